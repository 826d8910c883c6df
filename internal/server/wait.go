package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// A request may be held until a generation ends. It then holds no place among those that are worked on, but one among
// those that are held, of which an organisation has its share too. It is woken by the end; nothing asks the database in
// between. What it waits for is durable: a caller who goes away loses the answer and nothing else.

// hold is a request's place among those that wait.
type hold struct {
	s     *Server
	place place
}

// reserve takes a place to wait in, before anything is accepted that is then to be waited for. release gives it back.
// Errors: errTooMany and errBusy; the latter, too, when the server is being stopped, so that the caller goes to another.
func (s *Server) reserve(x *exchange) (*hold, error) {
	if s.draining.Err() != nil {
		return nil, errBusy()
	}
	h := &hold{s: s, place: place{gate: s.held, owner: x.organisation.ID}}
	if err := h.place.take(); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *hold) release() { h.place.give() }

// await holds the request until the generation has ended, for at most so long, and returns it as it is then with its
// outputs. Where the time is over, or the server is being stopped, its state is not terminal. The route's load must be
// holding, and the request's body must have been read: only then is it noticed that the caller goes away.
//
// Errors: those of Generations.Generation, and the context's when the caller has gone.
func (h *hold) await(ctx context.Context, x *exchange, id string, most time.Duration) (*kinora.Generation, []kinora.Output, error) {
	s := h.s
	ended, leave := s.cfg.Generations.Ended(id)
	defer leave()
	g, outputs, err := s.lookAt(ctx, x, id) // it may have ended before
	if err != nil || g.State.Terminal() || most <= 0 {
		return g, outputs, err
	}
	x.place.give()
	control := http.NewResponseController(x.w)
	_ = control.SetReadDeadline(time.Time{}) // its passing would end the request's context
	_ = control.SetWriteDeadline(time.Now().Add(most + 2*stretchTime))
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	case <-s.draining.Done():
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	return s.lookAt(ctx, x, id)
}

// lookAt reads a generation within the time for one request's work.
func (s *Server) lookAt(ctx context.Context, x *exchange, id string) (*kinora.Generation, []kinora.Output, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	return s.cfg.Generations.Generation(ctx, x.organisation.ID, id)
}

// preferences are those of a request's Prefer header (RFC 7240) that have a meaning here.
type preferences struct {
	async  bool          // respond-async: an answer at once that names the generation
	waits  bool          // wait=N was sent
	length time.Duration // of that wait
}

// preferred reads the Prefer headers. What is malformed or unknown is ignored, as the RFC wants it; of repeats the first
// one counts.
func preferred(h http.Header) preferences {
	var p preferences
	for _, line := range h.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			part, _, _ = strings.Cut(part, ";")
			name, val, _ := strings.Cut(part, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				p.async = true
			case "wait":
				n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(val), `"`), 10, 31)
				if err == nil && !p.waits {
					p.waits, p.length = true, time.Duration(n)*time.Second
				}
			}
		}
	}
	return p
}
