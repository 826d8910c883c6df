package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kinora/kinora/client/webhook"
)

// receiver is the demo's receiver of webhooks: a real HTTP server on loopback that checks both signatures of what
// arrives, as a user's own would with package client/webhook.
type receiver struct {
	url      string
	standard *webhook.Verifier // webhook-id, webhook-timestamp, webhook-signature
	hex      *webhook.Verifier // x-katalo-signature
	server   *http.Server
	served   chan struct{}

	mu       sync.Mutex
	received map[string]receivedEvent // by job id; the first one of each
	refused  error                    // the first delivery that did not verify
	news     chan struct{}            // closed and renewed whenever something arrived
}

// receivedEvent is an event that both signatures vouch for.
type receivedEvent struct {
	event webhook.Event
	at    time.Time
}

// listenForWebhooks starts a receiver on a free port of 127.0.0.1.
func listenForWebhooks(ctx context.Context, secret string) (*receiver, error) {
	r := &receiver{served: make(chan struct{}), received: make(map[string]receivedEvent), news: make(chan struct{})}
	var err error
	if r.standard, err = webhook.NewVerifier([]string{secret}, webhook.RequireTimestamp(true)); err != nil {
		return nil, err
	}
	if r.hex, err = webhook.NewVerifier([]string{secret}, webhook.RequireTimestamp(false)); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	r.url = "http://" + listener.Addr().String() + "/webhooks"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks", r.take)
	r.server = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	go func() {
		defer close(r.served)
		_ = r.server.Serve(listener) // ends with Close
	}()
	return r, nil
}

func (r *receiver) close() {
	_ = r.server.Close()
	<-r.served
}

// take answers a delivery.
func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	event, err := r.verify(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.refused = errors.Join(r.refused, err)
		http.Error(w, "invalid webhook signature", http.StatusUnauthorized)
	} else if _, repeated := r.received[event.JobID]; !repeated {
		r.received[event.JobID] = receivedEvent{event: event, at: time.Now()}
	}
	close(r.news)
	r.news = make(chan struct{})
}

// verify demands both signatures. A receiver of one's own needs only one of them; the demo shows that both hold.
func (r *receiver) verify(req *http.Request) (webhook.Event, error) {
	event, body, err := r.standard.VerifyRequest(req)
	if err != nil {
		return event, fmt.Errorf("%s: %w", webhook.HeaderSignature, err)
	}
	alone := http.Header{webhook.HeaderHexSignature: req.Header.Values(webhook.HeaderHexSignature)}
	if _, err := r.hex.Verify(alone, body); err != nil {
		return event, fmt.Errorf("%s: %w", webhook.HeaderHexSignature, err)
	}
	return event, nil
}

// await returns the event of a job once it has arrived, or why it cannot.
func (r *receiver) await(ctx context.Context, jobID string) (receivedEvent, error) {
	for {
		r.mu.Lock()
		got, arrived := r.received[jobID]
		refused, news := r.refused, r.news
		r.mu.Unlock()
		switch {
		case refused != nil:
			return got, fmt.Errorf("a webhook did not verify: %w", refused)
		case arrived:
			return got, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return got, fmt.Errorf("the webhook of %s did not arrive: %w", jobID, ctx.Err())
		}
	}
}

// follow shows the events that arrive from now on, until ctx ends.
func (r *receiver) follow(ctx context.Context, show func(webhook.Event)) {
	r.mu.Lock()
	shown, news := maps.Clone(r.received), r.news
	r.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
		var fresh []webhook.Event
		r.mu.Lock()
		for jobID, got := range r.received {
			if _, known := shown[jobID]; !known {
				shown[jobID], fresh = got, append(fresh, got.event)
			}
		}
		news = r.news
		r.mu.Unlock()
		for _, e := range fresh {
			show(e)
		}
	}
}
