package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// Accept checks a submission and commits the generation with its first attempts. When it
// returns without an error the generation is durable and will come to an end.
//
// Errors (*kinora.Error): ErrInvalid, with the field in the message; ErrNoUpstream when
// no account can run the model; ErrConflict when the idempotency key stands for another
// request; ErrRateLimited when the organisation has too many jobs in flight; ErrBudget when
// its budget is spent; ErrNotFound when it does not exist; ErrUnavailable when the
// database cannot take it now, in which case nothing was accepted.
func (e *Engine) Accept(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	accepted, err := e.accept(ctx, s)
	if err != nil || accepted.Replayed {
		e.unused(ctx, s.Source, err)
	}
	return accepted, err
}

func (e *Engine) accept(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	m := e.models[s.Model]
	if m == nil {
		return nil, kinora.Errorf(kinora.ErrInvalid, "unsupported model: %s", clip(s.Model))
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	g := e.newGeneration(s, m, now)
	if s.DurationFault != "" && m.Kind == kinora.KindVideo {
		return nil, kinora.Errorf(kinora.ErrInvalid, "%s", s.DurationFault)
	}
	places, err := e.places(g)
	if err != nil {
		return nil, refusal(s, err)
	}
	if g.Plan.Gate != nil && e.cfg.Judge == nil {
		return nil, errors.New("accept: the plan has a gate, and nothing can judge by it")
	}
	bound, err := e.boundsOf(ctx, g)
	if err != nil {
		return nil, err
	}
	if err := e.checkWebhook(ctx, g); err != nil {
		return nil, err
	}
	first, usable := e.newRound(g, places, 0, 0, now)
	if route := e.routeOf(first[0]); route != m {
		e.allot(g, route, now)
		for _, a := range first {
			a.DeadlineAt = g.DeadlineAt
		}
	}
	if len(first) > maxParts {
		return nil, kinora.Errorf(kinora.ErrInvalid, "the request takes more than %d upstream calls", maxParts)
	}

	begun, err := e.beginIngest(s, now)
	if err != nil {
		return nil, err
	}

	var made string // by the first try of this request
	err = e.db.Update(ctx, func(tx *store.Tx) (err error) {
		if made, err = tx.Once(g.OrganisationID, s.Idempotency(), g.ID, now); err != nil || made != "" {
			return err
		}
		if !usable { // only now: a repeat stands for a generation that was accepted while it was
			usable, err = e.takesWorkAfterAll(tx, g, places, now)
		}
		if err != nil {
			return err
		}
		if !usable {
			return &kinora.Error{Code: kinora.ErrNoUpstream, Op: "accept", Message: "no upstream account takes work of this model at present",
				Hint: "kinora account list shows why"}
		}
		if err := e.allow(tx, g, bound, now); err != nil {
			return err
		}
		if err := e.takeSource(tx, s.Source, begun, g, first); err != nil {
			return err
		}
		if err := insertAccepted(tx, g); err != nil {
			return err
		}
		return tx.InsertAttempts(first...)
	})
	if err != nil {
		return nil, err
	}
	if made != "" {
		return e.replay(ctx, s.OrganisationID, made)
	}
	e.metrics.accepted.WithLabelValues(m.Name).Inc()
	if g.State == kinora.GenerationIngesting {
		g.SourceAssetID = "" // as it is read until there is one
		e.cfg.Ingests.Nudge()
		return &kinora.Accepted{Generation: g}, nil
	}
	e.nudge(first[0].Lane, func(l *lane) bell { return l.submit })
	return &kinora.Accepted{Generation: g}, nil
}

// insertAccepted writes a generation, and who had it accepted where that is a person.
func insertAccepted(tx *store.Tx, g *kinora.Generation) error {
	if err := tx.InsertGeneration(g); err != nil {
		return err
	}
	if g.ParentID != "" {
		return tx.Audit(kinora.AuditGenerationRegenerate, g.OrganisationID, g.ID, map[string]any{"model": g.Model, "parent": g.ParentID})
	}
	return tx.Audit(kinora.AuditGenerationCreate, g.OrganisationID, g.ID, map[string]any{"model": g.Model})
}

// maxParts bounds how many attempts one request may begin with.
const maxParts = 100

// refusal is what a caller reads of an upstream's words against a request.
func refusal(s *kinora.Submission, err error) error {
	var pe *provider.Error
	if !errors.As(err, &pe) {
		if kinora.CodeOf(err) == kinora.ErrInternal {
			err = fmt.Errorf("validate: %w", err)
		}
		return err
	}
	message := pe.Message
	if s.DurationField != "" {
		// A provider is told one length, whichever of the caller's fields it came from.
		message = strings.Replace(message, "input.duration ", s.DurationField+" ", 1)
	}
	return kinora.Errorf(kinora.ErrInvalid, "%s", message)
}

// checkWebhook refuses a destination that could never be delivered to.
func (e *Engine) checkWebhook(ctx context.Context, g *kinora.Generation) error {
	if g.WebhookURL == "" {
		return nil
	}
	var org *kinora.Organisation
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		org, err = tx.Organisation(g.OrganisationID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return kinora.Errorf(kinora.ErrNotFound, "there is no such organisation")
	}
	if err != nil {
		return err
	}
	return e.cfg.Events.Check(org, g.WebhookURL)
}

func (e *Engine) newGeneration(s *kinora.Submission, m *kinora.Model, now time.Time) *kinora.Generation {
	prefix := id.Task
	if s.Surface == kinora.SurfaceGenerations {
		prefix = id.Job
	}
	g := &kinora.Generation{
		ID: id.New(prefix, now), OrganisationID: s.OrganisationID, Surface: s.Surface, Model: m.Name, Kind: m.Kind,
		State: kinora.GenerationQueued, Input: s.Input, Request: s.Request, ParentID: s.ParentID, Plan: s.Plan,
		Reference: s.Reference, Metadata: s.Metadata, WebhookURL: s.WebhookURL,
		CreatedAt: now, UpdatedAt: now,
	}
	if s.Source.Given() {
		g.State = kinora.GenerationIngesting // until it is known to be there
	}
	e.bill(g, s)
	e.allot(g, m, now)
	return g
}

// allot gives a generation the time that the route it goes to may take.
func (e *Engine) allot(g *kinora.Generation, m *kinora.Model, now time.Time) {
	p := e.providers[m.Provider]
	g.DeadlineAt = now.Add(m.DeadlineAfter())
	if patient, ok := p.(provider.Patient); ok {
		g.DeadlineAt = now.Add(max(m.DeadlineAfter(), patient.Patience(e.request(g, nil, m))))
	}
	g.Input.CallbackIgnored = g.Input.CallbackURL != "" && !p.Describe().Model(m.UpstreamModel).Callbacks
}

func (e *Engine) callbackMode(g *kinora.Generation, m *kinora.Model, p provider.Provider) kinora.CallbackMode {
	traits := p.Describe().Model(m.UpstreamModel)
	switch {
	case traits.Callbacks && g.Input.CallbackURL != "":
		return kinora.CallbackForwarded
	case (traits.Callbacks || traits.Hints) && e.callbackURL(m.Provider) != "":
		return kinora.CallbackManaged
	}
	return kinora.CallbackNone
}

// replay answers a repeated request with the generation that its first try made, as it is now.
func (e *Engine) replay(ctx context.Context, organisationID, generationID string) (*kinora.Accepted, error) {
	var g *kinora.Generation
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		g, err = tx.Generation(organisationID, generationID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return &kinora.Accepted{Generation: g, Replayed: true}, nil
}

// Recall answers a repeated request with the generation that its first try made, before
// anything else about the request is looked at; nil when there is none. Accept does the same
// by itself: this is for requests that cost something to work out.
//
// Errors (*kinora.Error): ErrConflict when the key stands for another request; ErrUnavailable.
func (e *Engine) Recall(ctx context.Context, organisationID string, i kinora.Idempotency) (*kinora.Accepted, error) {
	if i.Key == "" {
		return nil, nil
	}
	var made string
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		made, err = tx.Recall(organisationID, i, time.Now())
		return err
	})
	if err != nil || made == "" {
		return nil, err
	}
	return e.replay(ctx, organisationID, made)
}

// Generation reads a generation with its outputs; ErrNotFound (as *kinora.Error) when the
// organisation has none of that id. An empty organisation reads anybody's.
func (e *Engine) Generation(ctx context.Context, organisationID, generationID string) (*kinora.Generation, []kinora.Output, error) {
	var (
		g       *kinora.Generation
		outputs []kinora.Output
	)
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		if g, err = tx.Generation(organisationID, generationID); err != nil {
			return err
		}
		if g.State == kinora.GenerationSucceeded {
			outputs, err = tx.Outputs(g.ID)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "generation not found", Err: err}
	}
	return g, outputs, err
}

// Candidates reads all outputs of a generation, published or not, with their verdicts, for
// operators. The files of some may have been removed.
func (e *Engine) Candidates(ctx context.Context, generationID string) ([]kinora.Output, error) {
	var list []kinora.Output
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Candidates(generationID)
		return err
	})
	return list, err
}

// Attempts reads a generation's attempts, for operators.
func (e *Engine) Attempts(ctx context.Context, generationID string) ([]*kinora.Attempt, error) {
	var list []*kinora.Attempt
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Attempts(generationID)
		return err
	})
	return list, err
}

// request is what a provider is told. The attempt is nil while nothing is submitted yet.
func (e *Engine) request(g *kinora.Generation, a *kinora.Attempt, m *kinora.Model) provider.Request {
	req := provider.Request{
		Model: m.Name, UpstreamModel: m.UpstreamModel, Kind: m.Kind,
		Prompt: g.Input.Prompt, Size: g.Input.Size, Images: g.Input.Images, ImageItems: g.Input.ImageItems, Duration: g.Input.Duration, Metadata: g.Input.Metadata,
	}
	if a == nil {
		if g.SourceAssetID != "" || g.State == kinora.GenerationIngesting {
			req = e.withSource(req, anySource, g.DeadlineAt)
		}
		return req
	}
	if a.UpstreamModel != "" {
		req.UpstreamModel = a.UpstreamModel // as it was called, whatever is configured since
	}
	req.ClientRef, req.SubmittedAt = a.ID(), a.SubmittedAt
	if shares := a.Parts / max(1, g.Plan.Parts); shares > 1 {
		req.Part, req.Parts = a.Part%shares, shares
	}
	switch a.CallbackMode {
	case kinora.CallbackForwarded:
		req.CallbackURL = g.Input.CallbackURL
	case kinora.CallbackManaged:
		if a.CallbackToken == "" {
			break // the call was made before, and its URL is known to the upstream alone
		}
		req.CallbackURL = e.callbackURL(a.Provider) + "/callbacks/" + a.Provider + "/" + a.CallbackToken
	}
	return req
}

// clip keeps a caller's word short enough to be repeated in an error.
func clip(s string) string { return clipTo(s, 100) }

func clipTo(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit]) + "…"
}
