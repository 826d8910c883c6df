package minimax

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// challengeTime is how long a receiver has to echo a challenge.
const challengeTime = 3 * time.Second

// challenge posts a random word to a callback URL and tells whether it came back in time.
func (s *Simulator) challenge(ctx context.Context, url string) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late, stop := s.clock.Timer(s.clock.Now().Add(challengeTime))
	defer stop()
	go func() {
		select {
		case <-late:
			cancel()
		case <-ctx.Done():
		}
	}()
	word := rand.Text()
	body, err := json.Marshal(map[string]string{"challenge": word})
	if err != nil {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var echo struct {
		Challenge string `json:"challenge"`
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	ok := err == nil && res.StatusCode == http.StatusOK && json.Unmarshal(answer, &echo) == nil && echo.Challenge == word
	if ok {
		s.counts.challenges.Add(1)
	}
	return ok
}

// planCallbacks arranges a post for each change of a job's status.
func (s *Simulator) planCallbacks(j *job) {
	how := j.orders["callback"]
	if j.callbackURL == "" || how == "lost" {
		return
	}
	changes := []time.Time{j.started, j.finished}
	if j.version == v2 {
		changes = append([]time.Time{j.created}, changes...)
	}
	if how == "forged" {
		s.schedule.At(j.started, func(ctx context.Context) {
			s.send(ctx, j, func(now time.Time) any { return s.message(j, succeeded, now, "https://forged.invalid") })
		})
	}
	for _, at := range changes {
		sent := at
		if how == "reordered" && at.Equal(j.started) {
			sent = j.finished.Add(50 * time.Millisecond)
		}
		s.postAt(j, sent, at)
		if how == "duplicate" {
			s.postAt(j, sent, at)
		}
	}
}

// postAt arranges a post at a time, of the state that the job had at another.
func (s *Simulator) postAt(j *job, at, of time.Time) {
	s.schedule.At(at, func(ctx context.Context) { s.post(ctx, j, of) })
}

// post tells the job's state of a time, unless it was cancelled before: that has its own.
func (s *Simulator) post(ctx context.Context, j *job, of time.Time) {
	s.mu.Lock()
	stale := !j.cancelled.IsZero() && !of.Equal(j.cancelled)
	st := j.state(of)
	s.mu.Unlock()
	if j.callbackURL == "" || stale {
		return
	}
	s.send(ctx, j, func(now time.Time) any { return s.message(j, st, now, j.host) })
}

// message is a callback's body: V1 has a shape of its own, V2 that of its query.
func (s *Simulator) message(j *job, st state, now time.Time, host string) any {
	if j.version == v1 {
		return j.statusV1(st)
	}
	return map[string]any{"task": s.show(j, st, now, host)}
}

// send posts once. Whether MiniMax repeats a post is not documented.
func (s *Simulator) send(ctx context.Context, j *job, message func(now time.Time) any) {
	s.callbacks.Try(ctx, simulator.Callback{URL: j.callbackURL, Body: func(now time.Time) []byte {
		body, err := json.Marshal(message(now))
		if err != nil {
			return []byte("{}") // a message can always be marshalled
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		j.posts = append(j.posts, body)
		return body
	}})
}
