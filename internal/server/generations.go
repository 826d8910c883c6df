package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// The routes of the generations API by which every generation can be listed, read, followed and cancelled, whichever API
// it came by (contract, section 6).
func (s *Server) generationRoutes() []route {
	const (
		all = "/api/v1/generations"
		one = all + "/{job_id}"
	)
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &generationsDialect, auth: keyed, limit: limitGeneration, handler: h}
	}
	read, events := on(http.MethodGet, one, s.generation), on(http.MethodGet, one+"/events", s.generationEvents)
	read.load, events.load = holding, streaming
	routes := []route{
		on(http.MethodGet, all, s.listGenerations),
		read,
		events,
		on(http.MethodPost, one+"/cancel", s.cancelGeneration),
	}
	if s.cfg.Workflows != nil {
		create, again := on(http.MethodPost, all, s.createGeneration), on(http.MethodPost, one+"/regenerate", s.regenerateGeneration)
		create.limit, create.load = limitCreate, holding
		again.limit, again.load = limitRegenerate, holding
		routes = append(routes, create, again)
	}
	return routes
}

// maxPreferredWait is how long a caller may have an answer held until the generation has ended.
const maxPreferredWait = time.Minute

func (s *Server) generation(ctx context.Context, x *exchange, r *http.Request) error {
	g, outputs, err := s.readGeneration(ctx, x, r)
	if err != nil {
		return err
	}
	return s.answerWhenWanted(ctx, x, r, http.StatusOK, g, outputs)
}

// answerWhenWanted answers with the record of one generation: at once, or where the caller prefers to wait (RFC 7240)
// when it has ended or the time is over. A preference is no order: where there is no room to wait the answer comes at
// once, and does not say that it was applied. The route's load must be holding.
func (s *Server) answerWhenWanted(ctx context.Context, x *exchange, r *http.Request, status int, g *kinora.Generation, outputs []kinora.Output) error {
	if p := preferred(r.Header); p.length > 0 {
		if hold, err := s.reserve(x); err == nil {
			defer hold.release()
			length := min(p.length, maxPreferredWait)
			if !g.State.Terminal() {
				if g, outputs, err = hold.await(ctx, x, g.ID, length); err != nil {
					return err
				}
			}
			x.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(length.Seconds())))
		}
	}
	return s.answerGeneration(ctx, x, status, g, outputs)
}

// readGeneration reads the generation that the path names. Malformed, unknown and foreign ids get one and the same answer.
func (s *Server) readGeneration(ctx context.Context, x *exchange, r *http.Request) (*kinora.Generation, []kinora.Output, error) {
	jobID, err := jobOf(r)
	if err != nil {
		return nil, nil, err
	}
	g, outputs, err := s.lookAt(ctx, x, jobID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return nil, nil, generationNotFound()
	}
	return g, outputs, err
}

func jobOf(r *http.Request) (string, error) {
	jobID := r.PathValue("job_id")
	if !id.WellFormed(jobID, id.Job) && !id.WellFormed(jobID, id.Task) {
		return "", generationNotFound()
	}
	return jobID, nil
}

// answerGeneration answers with the record of one generation.
func (s *Server) answerGeneration(ctx context.Context, x *exchange, status int, g *kinora.Generation, outputs []kinora.Output) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	look, err := s.cfg.Generations.Outlook(ctx, g)
	if err != nil {
		return err
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	s.generationRecord(g, outputs, look).writeTo(buf)
	writeBody(x, status, jsonContent, buf.Bytes())
	return nil
}

// cancelGeneration answers with the record as it is after the cancel. It needs no idempotency key: a repeat finds the
// generation cancelled and answers alike.
func (s *Server) cancelGeneration(ctx context.Context, x *exchange, r *http.Request) error {
	jobID, err := jobOf(r)
	if err != nil {
		return err
	}
	g, err := s.cfg.Generations.Cancel(ctx, x.organisation.ID, jobID)
	switch kinora.CodeOf(err) {
	case "":
	case kinora.ErrNotFound:
		return generationNotFound()
	case kinora.ErrConflict:
		return refuse(errEnded, "the generation has ended and cannot be cancelled")
	default:
		return err
	}
	return s.answerGeneration(ctx, x, http.StatusOK, g, nil)
}

func generationNotFound() error { return refuse(kinora.ErrNotFound, "generation not found") }

// generationWord is a state in the generations API's words (contract, section 6).
func generationWord(state kinora.GenerationState) string {
	if state == kinora.GenerationRunning {
		return "processing"
	}
	return string(state)
}
