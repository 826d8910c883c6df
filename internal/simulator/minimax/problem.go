package minimax

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/kinora/kinora/internal/simulator"
)

// problem is a refusal by one of the documented codes.
type problem struct {
	code  int
	words string
}

func (p *problem) Error() string { return fmt.Sprintf("%d: %s", p.code, p.words) }

func refused(code int, words string, args ...any) *problem {
	if len(args) > 0 {
		words = fmt.Sprintf(words, args...)
	}
	return &problem{code, words}
}

func invalid(words string, args ...any) *problem {
	return refused(2013, "invalid params, "+words, args...)
}

// codeWords are the messages of the error code page.
var codeWords = map[int]string{
	1000: "unknown error", 1001: "request timeout", 1002: "rate limit", 1004: "not authorized", 1008: "insufficient balance",
	1024: "internal error", 1026: "input content sensitive", 1027: "output content sensitive", 1033: "system error / mysql failed",
	1039: "token limit", 1041: "conn limit", 2013: "invalid params", 2038: "no identity verification", 2045: "rate growth limit",
	2049: "invalid api key", 2056: "usage limit exceeded", 529: "the service is overloaded",
}

// teller writes a problem in the words of one version.
type teller func(http.ResponseWriter, *problem)

type baseResp struct {
	Code    int    `json:"status_code"`
	Message string `json:"status_msg"`
}

var fine = baseResp{0, "success"}

// tellV1 answers as V1 and images do: HTTP 200, the code in base_resp, and an empty id.
func tellV1(w http.ResponseWriter, p *problem) {
	if p.code == 529 {
		p = refused(1000, codeWords[1000]) // V1 has no such code
	}
	writeJSON(w, http.StatusOK, map[string]any{"task_id": "", "base_resp": baseResp{p.code, p.words}})
}

// v2Errors are the statuses and types of V2, by the code that the message ends with.
var v2Errors = map[int]struct {
	status int
	kind   string
}{
	1000: {500, "server_error"}, 1001: {500, "server_error"}, 1024: {500, "server_error"}, 1033: {500, "server_error"},
	1002: {429, "rate_limit_error"}, 1039: {429, "rate_limit_error"}, 1041: {429, "rate_limit_error"}, 2045: {429, "rate_limit_error"},
	1004: {401, "authorized_error"}, 2049: {401, "authorized_error"},
	1008: {402, "insufficient_balance_error"}, 2056: {402, "insufficient_balance_error"},
	1026: {422, "unprocessable_entity_error"}, 1027: {422, "unprocessable_entity_error"},
	2013: {400, "bad_request_error"}, 2038: {400, "bad_request_error"},
	529: {529, "overloaded_error"},
}

// tellV2 answers as V2 does: a real status, and the code at the end of the message.
func tellV2(w http.ResponseWriter, p *problem) {
	e, ok := v2Errors[p.code]
	if !ok {
		e = v2Errors[1000]
	}
	words := fmt.Sprintf("%s (%d)", p.words, p.code)
	if p.code == 529 {
		words = p.words
	}
	writeJSON(w, e.status, map[string]any{
		"type":       "error",
		"error":      map[string]any{"type": e.kind, "message": words, "http_code": strconv.Itoa(e.status)},
		"request_id": w.Header().Get("Trace-Id"),
	})
}

func newTrace() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
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

// writeHalf announces a whole answer, sends half of it and cuts the connection.
func writeHalf(w http.ResponseWriter, body any) {
	out, err := json.Marshal(body)
	if err != nil {
		simulator.Abort()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = w.Write(out[:len(out)/2])
	_ = http.NewResponseController(w).Flush()
	simulator.Abort()
}
