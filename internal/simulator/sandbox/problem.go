package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/kinora/kinora/internal/simulator"
)

// Problem is an answer that is an error.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   string `json:"param,omitempty"` // the field of the submit that is wrong

	status     int
	retryAfter int // seconds; 0 = no such header
}

func (p *Problem) Error() string { return p.Code + ": " + p.Message }

func problem(status int, code, param, message string) *Problem {
	return &Problem{Code: code, Message: message, Param: param, status: status}
}

func invalid(param, message string) *Problem {
	return problem(http.StatusBadRequest, "invalid", param, message)
}

// answerErrors turns a handler's error into the error envelope. A handler that
// returns an error has not written anything.
func answerErrors(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var p *Problem
		if !errors.As(err, &p) {
			p = problem(http.StatusInternalServerError, "internal", "", "the sandbox failed")
		}
		if p.retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
		}
		writeJSON(w, p.status, struct {
			Error *Problem `json:"error"`
		}{p})
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	out, err := json.Marshal(body)
	if err != nil {
		simulator.Abort() // nothing here cannot be marshalled
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(out, '\n')) // the caller may have left
}
