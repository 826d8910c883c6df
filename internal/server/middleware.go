package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"

	"github.com/kinora/kinora"
)

// serve answers one request on a route: everything that all routes have in common stands here, in the order in which
// it happens.
func (s *Server) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, route: rt, id: requestID(r), started: s.now()}
	h := w.Header()
	h["X-Request-Id"] = []string{x.id}
	h["X-Content-Type-Options"] = noSniff
	h["Content-Security-Policy"] = noContent
	h["Cache-Control"] = noStore

	x.place.gate = s.gateOf(rt, actingOf(r.Context()) != nil)
	if err := x.place.take(); err != nil {
		s.fail(r.Context(), x, err)
		s.record(r, x)
		return
	}
	defer s.record(r, x) // also when the next one panics
	defer func() {
		x.place.give()
		if p := recover(); p != nil {
			s.recovered(r.Context(), x, p)
		}
	}()

	ctx := r.Context()
	if rt.load == ordinary || rt.load == inbound {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.RequestTimeout)
		defer cancel()
	}
	if err := s.answer(ctx, x, r); err != nil {
		s.fail(ctx, x, err)
	}
}

// answer admits the request and lets its handler answer.
func (s *Server) answer(ctx context.Context, x *exchange, r *http.Request) error {
	if err := s.authenticate(ctx, x, r); err != nil {
		return err
	}
	if x.route.auth == adminned && !storable(r.URL.Path) {
		return refuse(kinora.ErrNotFound, "not found") // no id is such a text
	}
	if x.organisation != nil {
		if err := x.place.own(x.organisation.ID); err != nil {
			return err
		}
	}
	if err := s.admit(ctx, x, r); err != nil {
		return err
	}
	if x.route.auth == adminned { // whatever a header says of who it is would be hearsay
		ctx = kinora.WithActor(ctx, kinora.Actor{Kind: kinora.ActorOperator, Address: s.clientAddress(r)})
	}
	return x.route.handler(ctx, x, r)
}

// gateOf is the gate that a request on a route has to pass; acted = it comes by As.
func (s *Server) gateOf(rt *route, acted bool) *gate {
	if rt.auth == adminned {
		return s.operators // no caller shuts the operator out
	}
	switch rt.load {
	case ordinary, holding:
		if acted {
			return s.actors // people at a dashboard and programs do not shut each other out
		}
		return s.inFlight
	case transfer:
		return s.transfers
	case streaming:
		return s.streams
	case inbound:
		return s.inbound
	case browsing:
		return s.browsers
	}
	return nil
}

// errPanicked marks the failure that stands for a panic, which has been logged already.
var errPanicked = errors.New("panicked")

// recovered turns a panic into a 500 with the request's id. Where the answer has begun already it breaks the connection
// off, so that the caller does not take half an answer for a whole one.
func (s *Server) recovered(ctx context.Context, x *exchange, p any) {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.log.LogAttrs(ctx, slog.LevelError, "request panicked", slog.String("request_id", x.id),
		slog.String("route", x.route.pattern), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	if x.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.fail(ctx, x, &kinora.Error{Code: kinora.ErrInternal, Err: errPanicked})
}

// record counts the request and writes the access log: at debug level, so that a busy gateway does not drown its log.
func (s *Server) record(r *http.Request, x *exchange) {
	took := s.now().Sub(x.started)
	s.metrics.observe(x.route, x.status, took)
	ctx := r.Context()
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id), slog.String("method", r.Method), slog.String("route", x.route.pattern),
		slog.Int("status", x.status), slog.Int64("bytes", x.written), slog.Duration("took", took),
		slog.String("client", s.clientAddress(r)),
	}
	if x.organisation != nil {
		attrs = append(attrs, slog.String("organisation", x.organisation.ID), slog.String("key", x.key.ID))
	}
	// The path is left out: it holds callback tokens and the keys of files.
	s.log.LogAttrs(ctx, slog.LevelDebug, "request answered", attrs...)
}

// logFailure logs what an operator should know of, once: faults always, refusals by load or outage at most once a
// second, what callers do wrong at debug level.
func (s *Server) logFailure(ctx context.Context, x *exchange, a answer, e *kinora.Error) {
	level := slog.LevelDebug
	switch {
	case e.Err == errPanicked:
		return
	case a.status == http.StatusInternalServerError:
		level = slog.LevelError
	case a.status == http.StatusServiceUnavailable:
		if s.overload.allow(s.now()) {
			level = slog.LevelWarn
		}
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.id), slog.String("route", x.route.pattern), slog.Int("status", a.status),
		slog.String("error", e.Error()),
	}
	if e.Hint != "" {
		attrs = append(attrs, slog.String("hint", e.Hint))
	}
	s.log.LogAttrs(ctx, level, "request failed", attrs...)
}

// requestID takes over the caller's X-Request-Id where it is harmless in a log, and else makes one.
func requestID(r *http.Request) string {
	if given := r.Header["X-Request-Id"]; len(given) == 1 && saneID(given[0]) {
		return given[0]
	}
	return newRequestID()
}

// saneID allows 1 to 64 letters, digits, ".", "_" and "-".
func saneID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if !wordByte(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// newRequestID makes an id of 100 random bits. It is no secret, so the fast generator will do.
func newRequestID() string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	b := [24]byte{'r', 'e', 'q', '_'}
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := 4; i < 14; i++ {
		b[i] = alphabet[hi&31]
		hi >>= 5
	}
	for i := 14; i < 24; i++ {
		b[i] = alphabet[lo&31]
		lo >>= 5
	}
	return string(b[:])
}

// shown cuts a caller's text to what an error message can bear.
func shown(s string) string {
	const most = 64
	cut := 0
	for i := range s {
		if i > most {
			return s[:cut] + "…"
		}
		cut = i
	}
	return s
}
