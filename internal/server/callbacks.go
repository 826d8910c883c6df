package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Where upstreams post the news of an attempt. The token in the path is what tells the attempt, and is a secret.
func (s *Server) callbackRoutes() []route {
	if s.cfg.Callbacks == nil {
		return nil
	}
	return []route{{
		method: http.MethodPost, pattern: "/callbacks/{provider}/{token}", dialect: &generationsDialect,
		limit: limitCallbackAddress, load: inbound, handler: s.callback,
	}}
}

const (
	maxCallbackBody = 1 << 20
	// callbackTime is less than the three seconds after which the most impatient upstream gives up (MiniMax: the
	// challenge at registration).
	callbackTime = 2500 * time.Millisecond
	// callbackBodyTime is for the body to arrive: whoever dribbles is no upstream, and must not keep others out.
	callbackBodyTime = 5 * time.Second
	maxToken         = 128
	maxProvider      = 32
)

// callback hands an inbound call over. The answer says nothing about the attempt, and never repeats what came in.
func (s *Server) callback(ctx context.Context, x *exchange, r *http.Request) error {
	name, token := r.PathValue("provider"), r.PathValue("token")
	if !isWord(name, maxProvider) || !isWord(token, maxToken) {
		return callbackNotFound()
	}
	v, err := s.limits.take(ctx, limitCallbackToken, share{token, s.limits.limitOf(limitCallbackToken, nil)})
	if err != nil {
		return err
	}
	if err := s.refusal(limitCallbackToken, v); err != nil {
		return err
	}
	arrived := s.now()
	body, err := s.read(x, r, reading{budget: s.news, who: s.bucketAddress(r), most: maxCallbackBody, start: callbackBodyTime, rest: 2 * callbackTime})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callbackTime)
	defer cancel()
	reply, err := s.cfg.Callbacks.Callback(ctx, name, token, provider.InboundCallback{
		Method:  r.Method,
		Path:    s.cfg.PublicPath + r.URL.EscapedPath(),
		Query:   r.URL.RawQuery,
		Header:  r.Header,
		Body:    body,
		Arrived: arrived,
	})
	switch kinora.CodeOf(err) {
	case "":
	case kinora.ErrNotFound:
		return callbackNotFound()
	case kinora.ErrUnauthorized, kinora.ErrForbidden:
		return &kinora.Error{Code: kinora.ErrForbidden, Message: "the signature is not valid", Err: err}
	case kinora.ErrInvalid:
		return &kinora.Error{Code: errMalformed, Message: "the body cannot be read", Err: err}
	default:
		return err
	}
	if reply.Answer == nil {
		x.Header()["Content-Length"] = []string{"0"}
		x.WriteHeader(http.StatusOK)
		return nil
	}
	writeBody(x, http.StatusOK, jsonContent, reply.Answer)
	return nil
}

func callbackNotFound() error { return refuse(kinora.ErrNotFound, "not found") }

// isWord allows 1 to most letters, digits, "_" and "-".
func isWord(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !wordByte(s[i]) {
			return false
		}
	}
	return true
}
