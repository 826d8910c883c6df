package openai

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/kinora/kinora/internal/simulator"
)

// problem is an answer that is an error.
type problem struct {
	status                     int
	code, kind, param, message string
}

func (p *problem) Error() string { return p.code + ": " + p.message }

const invalidRequest = "invalid_request_error"

// known are the codes with the status and the type that they come with; all others are
// invalid requests.
var known = map[string]struct {
	status int
	kind   string
}{
	"invalid_api_key":            {401, invalidRequest},
	"must_be_verified":           {403, invalidRequest},
	"model_not_found":            {404, invalidRequest},
	"moderation_blocked":         {400, "image_generation_user_error"},
	"rate_limit_exceeded":        {429, "requests"},
	"insufficient_quota":         {429, "insufficient_quota"},
	"billing_hard_limit_reached": {400, "billing_limit_user_error"},
	"server_error":               {500, "server_error"},
	"overloaded":                 {503, "server_error"},
}

func refuse(code, param, message string) *problem {
	p := &problem{status: http.StatusBadRequest, kind: invalidRequest, code: code, param: param, message: message}
	if k, ok := known[code]; ok {
		p.status, p.kind = k.status, k.kind
	}
	return p
}

func invalid(param, rule string) *problem {
	return refuse("invalid_value", param, "Invalid value for '"+param+"': "+rule)
}

// object is the error as it stands in an answer.
func (p *problem) object() map[string]any {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return map[string]any{"message": p.message, "type": p.kind, "param": orNull(p.param), "code": orNull(p.code)}
}

// answerErrors turns a handler's error into the dialect's envelope. A handler that returns an
// error has not written anything.
func (s *Simulator) answerErrors(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-request-id", "req_"+strings.ToLower(rand.Text()))
		err := h(w, r)
		if err == nil {
			return
		}
		var p *problem
		if !errors.As(err, &p) {
			p = refuse("server_error", "", "The server had an error while processing your request.")
		}
		if p.status == http.StatusTooManyRequests && p.code == "rate_limit_exceeded" {
			w.Header().Set("Retry-After-Ms", "1500")
			w.Header().Set("Retry-After", "2")
		}
		if s.cfg.Dialect == SGLang {
			writeJSON(w, p.status, map[string]any{"detail": p.message})
			return
		}
		writeJSON(w, p.status, map[string]any{"error": p.object()})
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	out, err := json.Marshal(body)
	if err != nil {
		simulator.Abort() // nothing here cannot be marshalled
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(out) // the caller may have left
}
