package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Organisations reads organisations. A *tenancy.Service is one.
type Organisations interface {
	// Organisation reads one organisation. Errors: kinora.ErrNotFound, kinora.ErrUnavailable.
	Organisation(ctx context.Context, organisationID string) (*kinora.Organisation, error)
}

// acting is who sends a request that carries no key.
type acting struct {
	actor          kinora.Actor
	counted        string // whose requests they count as; "" = nobody's
	organisationID string
}

// actingKey is private to this package: what a request from outside carries never has it.
type actingKey struct{}

func actingOf(ctx context.Context) *acting {
	a, _ := ctx.Value(actingKey{}).(*acting)
	return a
}

// As returns a handler of the routes that an organisation reaches by its keys, for an actor who has been recognised in
// another way, such as a person who is signed in to the dashboard. The same handlers answer, so that what they check,
// count, limit and price is the same: instead of a key's the actor's own limits hold, beside those of the organisation and
// of the actor's address. Nothing but the organisation can be reached; whether the actor belongs there is for whoever
// calls this to know. Changes are the actor's (kinora.WithActor). All other routes are not found, and the request's
// Authorization is not looked at.
//
// actor.ID must not be empty. Config.Organisations is needed.
func (s *Server) As(actor kinora.Actor, organisationID string) http.Handler {
	return s.acting(&acting{actor: actor, counted: actor.ID, organisationID: organisationID})
}

// acting is As for whoever is counted under another name than the actor's.
func (s *Server) acting(a *acting) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(kinora.WithActor(r.Context(), a.actor), actingKey{}, a)
		r = r.Clone(ctx)
		if r.Body == nil { // as in a request that was made in this process
			r.Body = http.NoBody
		}
		if a.actor.Address != "" {
			r.RemoteAddr = net.JoinHostPort(a.actor.Address, "0")
		}
		s.handler.ServeHTTP(w, r)
	})
}

// Call has As answer a request and returns the answer's header and body. It is not for streams, whose answers do not end.
//
// Errors: whatever the answer refuses, as a *kinora.Error whose Message is the one that a caller of the API reads, whose
// Code is one of package kinora's, and whose Details name the field where it is known. What was internal has been logged.
func (s *Server) Call(r *http.Request, actor kinora.Actor, organisationID string) (http.Header, []byte, error) {
	w := &reply{header: http.Header{}}
	s.As(actor, organisationID).ServeHTTP(w, r)
	if w.refused != nil {
		return nil, nil, w.refused
	}
	return w.header, w.body.Bytes(), nil
}

// Pass has As answer a request to w as the answer comes, such as a file that is written while it is read. What the answer refuses is
// not written, but returned as by Call.
func (s *Server) Pass(w http.ResponseWriter, r *http.Request, actor kinora.Actor, organisationID string) error {
	p := &passing{ResponseWriter: w}
	s.As(actor, organisationID).ServeHTTP(p, r)
	if p.refused != nil {
		return p.refused
	}
	return nil
}

// authenticateActor finds out whom a request without a key is for.
func (s *Server) authenticateActor(ctx context.Context, x *exchange, a *acting) error {
	if x.route.auth != keyed {
		return refuse(errRoute, "no such route")
	}
	if a.counted == "" || s.cfg.Organisations == nil {
		return refuse(kinora.ErrUnauthorized, "nobody is known to have sent this request")
	}
	o, err := s.cfg.Organisations.Organisation(ctx, a.organisationID)
	switch {
	case err != nil:
		return err
	case o.Disabled:
		return refuse(kinora.ErrForbidden, "API access of this organisation is switched off")
	}
	// Whatever is counted by key is counted by actor.
	x.key, x.organisation = &kinora.Key{ID: a.counted, OrganisationID: o.ID, Name: a.actor.Name}, o
	return nil
}

// refuser takes refusals as errors rather than as an answer.
type refuser interface {
	refuse(e *kinora.Error, message string, retryAfter int)
}

// reply is the answer of a Call.
type reply struct {
	header http.Header
	body   bytes.Buffer
	refusal
}

func (w *reply) Header() http.Header         { return w.header }
func (w *reply) WriteHeader(int)             {}
func (w *reply) Write(p []byte) (int, error) { return w.body.Write(p) }

// passing is the answer of a Pass.
type passing struct {
	http.ResponseWriter
	refusal
}

// Unwrap leads http.ResponseController to the writer.
func (w *passing) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// refusal keeps what a dialect would have written as an error.
type refusal struct{ refused *kinora.Error }

// refuse takes an error; message is what the dialect would have said.
func (w *refusal) refuse(e *kinora.Error, message string, retryAfter int) {
	told := &kinora.Error{
		Code: domainCode(e.Code), Message: message, Details: e.Details, RetryAfter: time.Duration(retryAfter) * time.Second,
	}
	if field := fieldNamed(message); field != "" && len(told.Details) == 0 && told.Code == kinora.ErrInvalid {
		told.Details = []kinora.FieldError{{Field: field, Message: message}}
	}
	w.refused = told
}

// domainCode is a code of this package as one of package kinora's.
func domainCode(code kinora.ErrorCode) kinora.ErrorCode {
	switch code {
	case errMalformed, errMethod, errMedia, errRange:
		return kinora.ErrInvalid
	case errRoute:
		return kinora.ErrNotFound
	case errEnded:
		return kinora.ErrConflict
	case errOverload, errClient:
		return kinora.ErrUnavailable
	}
	return code
}

// fieldNamed is the field that a message of the submit API begins with; "" = none.
func fieldNamed(message string) string {
	word, _, _ := strings.Cut(message, " ")
	word = strings.TrimRight(word, ":,.")
	switch {
	case strings.HasPrefix(word, "input."), strings.HasPrefix(word, "webhook."):
		return word
	case word == "model", word == "input", word == "reference", word == "metadata", word == "webhook":
		return word
	}
	return ""
}
