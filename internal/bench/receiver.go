package bench

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// receiver is a webhook endpoint that notes when each event first arrived.
type receiver struct {
	url    string
	server *httptest.Server

	refuse func() bool // answers 503 while true; nil = never

	mu    sync.Mutex
	first map[string]time.Time // by job_id
	news  chan struct{}
}

// newReceiver starts one; hold, if not nil, delays each answer.
func newReceiver(hold func(r *http.Request)) *receiver { return newReceiverOn(nil, hold) }

// newReceiverOn is newReceiver on a listener; nil = one of its own.
func newReceiverOn(ln net.Listener, hold func(r *http.Request)) *receiver {
	rc := &receiver{first: map[string]time.Time{}, news: make(chan struct{}, 1)}
	rc.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		if rc.refuse != nil && rc.refuse() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var event struct {
			JobID string `json:"job_id"`
		}
		if json.Unmarshal(text, &event) == nil {
			rc.mu.Lock()
			if _, seen := rc.first[event.JobID]; !seen {
				rc.first[event.JobID] = arrived
			}
			rc.mu.Unlock()
			select {
			case rc.news <- struct{}{}:
			default:
			}
		}
		if hold != nil {
			hold(r)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	if ln != nil {
		rc.server.Listener.Close()
		rc.server.Listener = ln
	}
	rc.server.Start()
	rc.url = rc.server.URL + "/hook"
	return rc
}

func (rc *receiver) close() {
	rc.server.CloseClientConnections()
	rc.server.Close()
}

func (rc *receiver) count() int {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return len(rc.first)
}

// await waits until n events have arrived or nothing has for a while.
func (rc *receiver) await(n int, patience time.Duration) {
	for rc.count() < n {
		select {
		case <-rc.news:
		case <-time.After(patience):
			return
		}
	}
}

func (rc *receiver) arrivals() map[string]time.Time {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	m := make(map[string]time.Time, len(rc.first))
	for k, v := range rc.first {
		m[k] = v
	}
	return m
}
