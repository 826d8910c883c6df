package kling

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/kinora/kinora/internal/simulator"
)

// statuses are the documented error codes with their HTTP status.
var statuses = map[int]int{
	1000: 401, 1001: 401, 1002: 401, 1003: 401, 1004: 401,
	1100: 429, 1101: 429, 1102: 429, 1103: 403,
	1200: 400, 1201: 400, 1202: 404, 1203: 404,
	1300: 400, 1301: 400, 1302: 429, 1303: 429, 1304: 429,
	5000: 500, 5001: 503, 5002: 504,
}

// texts are what stands beside a code that was ordered.
var texts = map[int]string{
	1000: "authentication failed", 1100: "account exception", 1101: "account in arrears", 1102: "resource pack exhausted or expired",
	1103: "no permission for the requested resource", 1300: "the platform policy was triggered", 1301: "the content security policy was triggered",
	1302: "api request rate limit exceeded", 1303: "parallel task over resource pack limit", 1304: "the ip is not on the allow-list",
	5000: "server internal error", 5001: "server temporarily unavailable", 5002: "server internal timeout",
}

// failure is an answer that is an error.
type failure struct {
	Code      int    `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`

	status int // 0 = the code's
}

func (f *failure) Error() string { return f.Message }

func problem(code int, message string) *failure {
	if message == "" {
		message = texts[code]
	}
	return &failure{Code: code, Message: message, RequestID: requestID()}
}

// Fields that are missing or cannot be read have another code than values that are not
// allowed.
func lacking(field string) *failure { return problem(1200, "request parameter is missing: "+field) }
func illegal(field string) *failure { return problem(1201, "illegal parameter value: "+field) }

func requestID() string { return "r-" + strings.ToLower(rand.Text()) }

// answerErrors turns a handler's error into Kling's envelope.
func answerErrors(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var f *failure
		if !errors.As(err, &f) {
			f = problem(5000, "")
		}
		status := f.status
		if status == 0 {
			status = statuses[f.Code]
		}
		writeJSON(w, status, f)
	}
}

// answer writes what went well.
func answer(w http.ResponseWriter, data any) { writeJSON(w, http.StatusOK, succeeded(data)) }

// envelope is around every answer that is no error.
type envelope struct {
	Code      int    `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
	Data      any    `json:"data"`
}

func succeeded(data any) envelope {
	return envelope{Message: "SUCCEED", RequestID: requestID(), Data: data}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	out, err := json.Marshal(body)
	if err != nil {
		simulator.Abort() // nothing here cannot be marshalled
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out) // the caller may have left
}
