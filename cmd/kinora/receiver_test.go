package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora/client/webhook"
)

const testSecret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="

func eventBody(jobID string) string {
	return `{"event_type":"generation.completed","job_id":"` + jobID + `","source_asset_id":null,"reference":null,"outputs":[],"failure":null,"metadata":{}}`
}

// post delivers body as a sender would, with both signatures unless change takes one off.
func post(t *testing.T, r *receiver, body string, change func(http.Header)) int {
	t.Helper()
	now := time.Now()
	standard, err := webhook.SignStandard(testSecret, "evt_1", now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	hex, err := webhook.SignHex(testSecret, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(webhook.HeaderID, "evt_1")
	req.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(webhook.HeaderSignature, standard)
	req.Header.Set(webhook.HeaderHexSignature, hex)
	req.Header.Set(webhook.HeaderAttempt, "2")
	if change != nil {
		change(req.Header)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestReceiverVerifiesBothSignatures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(http.Header)
		blames error // nil = accepted
	}{
		{"both genuine", nil, nil},
		{"no standard headers", func(h http.Header) {
			h.Del(webhook.HeaderID)
			h.Del(webhook.HeaderTimestamp)
			h.Del(webhook.HeaderSignature)
		}, webhook.ErrMissing},
		{"no hex header", func(h http.Header) { h.Del(webhook.HeaderHexSignature) }, webhook.ErrMissing},
		{"forged standard signature", func(h http.Header) { h.Set(webhook.HeaderID, "evt_2") }, webhook.ErrMismatch},
		{"forged hex signature", func(h http.Header) { h.Set(webhook.HeaderHexSignature, strings.Repeat("0", 64)) }, webhook.ErrMismatch},
		{"replayed", func(h http.Header) { h.Set(webhook.HeaderTimestamp, "1781433090") }, webhook.ErrTimestamp},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, err := listenForWebhooks(t.Context(), testSecret)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			status := post(t, r, eventBody("task_1"), test.change)
			got, err := r.await(t.Context(), "task_1")
			if test.blames != nil {
				if status != http.StatusUnauthorized || !errors.Is(err, test.blames) {
					t.Fatalf("status %d, %v; want 401 and %v", status, err, test.blames)
				}
				return
			}
			if status != http.StatusOK || err != nil || got.event.ID != "evt_1" || got.event.JobID != "task_1" || got.event.Attempt != 2 {
				t.Fatalf("status %d, event %+v, %v", status, got.event, err)
			}
		})
	}
}

func TestReceiverWaitsForTheRightJob(t *testing.T) {
	t.Parallel()
	r, err := listenForWebhooks(t.Context(), testSecret)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	post(t, r, eventBody("task_other"), nil)
	arrived := make(chan error, 1)
	go func() {
		_, err := r.await(t.Context(), "task_mine")
		arrived <- err
	}()
	post(t, r, eventBody("task_mine"), nil)
	if err := <-arrived; err != nil {
		t.Fatal(err)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.await(ended, "task_never"); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting in vain: %v", err)
	}
}

// What arrives after the demo's own webhooks is shown, once each.
func TestReceiverFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{received: map[string]receivedEvent{"task_old": {}}, news: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		shown, done := make(chan string, 9), make(chan struct{})
		arrive := func(jobID string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.received[jobID] = receivedEvent{event: webhook.Event{JobID: jobID}}
			close(r.news)
			r.news = make(chan struct{})
		}
		go func() {
			defer close(done)
			r.follow(ctx, func(e webhook.Event) { shown <- e.JobID })
		}()
		synctest.Wait()
		arrive("task_new")
		synctest.Wait()
		arrive("task_new") // a repeat
		arrive("task_newer")
		synctest.Wait()
		cancel()
		<-done
		if len(shown) != 2 || <-shown != "task_new" || <-shown != "task_newer" {
			t.Error("not the two new ones were shown")
		}
	})
}
