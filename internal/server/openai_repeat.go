package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// OpenAI's SDKs send a POST again, twice by default, when its answer does not come, and without an idempotency key
// (contract upstream-openai, section 2). They do say that it is a repeat, and so the generation of a first try whose
// caller went away before the answer is found again by what was asked for. Each such first try stands for one repeat: two
// equal requests on purpose stay two. Notes are this process's own; who needs more than that sends Idempotency-Key.

const (
	// repeatWindow is how long a first try waits for its repeat: an SDK waits eight seconds at most.
	repeatWindow = 5 * time.Minute
	maxUnheard   = 10_000 // notes
)

// unheard are the generations whose callers went away before they were told of them.
type unheard struct {
	mu    sync.Mutex
	notes []note // oldest first
}

type note struct {
	who, what, generationID string
	at                      time.Time
}

func (u *unheard) add(n note) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forget(n.at)
	if len(u.notes) < maxUnheard {
		u.notes = append(u.notes, n)
	}
}

// take returns the oldest generation that one has asked for in these words, once.
func (u *unheard) take(who, what string, now time.Time) (generationID string, found bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forget(now)
	for i, n := range u.notes {
		if n.who == who && n.what == what {
			u.notes = append(u.notes[:i], u.notes[i+1:]...)
			return n.generationID, true
		}
	}
	return "", false
}

func (u *unheard) forget(now time.Time) {
	old := 0
	for old < len(u.notes) && now.Sub(u.notes[old].at) > repeatWindow {
		old++
	}
	u.notes = u.notes[old:]
}

// repeated tells that a request is an SDK's repeat.
func repeated(h http.Header) bool {
	count := h.Get(stainlessRetry)
	return count != "" && count != "0"
}

// firstTry returns the generation that the first try of a repeat made, or nil.
func (s *Server) firstTry(ctx context.Context, x *exchange, r *http.Request, q *openaiRequest) (*kinora.Generation, error) {
	generationID, found := s.unheard.take(x.key.ID, idempotencyScope(r)+" "+q.hash, s.now())
	if !found {
		return nil, nil
	}
	g, _, err := s.cfg.Generations.Generation(ctx, x.organisation.ID, generationID)
	if err != nil {
		s.noteUnheard(x, r, q, generationID) // for the next repeat
		return nil, err
	}
	x.tellReplay(true)
	x.Header().Set(generationName, g.ID)
	return g, nil
}

// noteUnheard keeps a generation for the repeat of a request whose caller has gone.
func (s *Server) noteUnheard(x *exchange, r *http.Request, q *openaiRequest, generationID string) {
	if q.key == "" && r.Header.Get(stainlessRetry) != "" {
		s.unheard.add(note{who: x.key.ID, what: idempotencyScope(r) + " " + q.hash, generationID: generationID, at: s.now()})
	}
}
