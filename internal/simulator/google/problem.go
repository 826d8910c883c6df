package google

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/kinora/kinora/internal/simulator"
)

type object = map[string]any

// statuses are the words of google.rpc with their HTTP status and number.
var statuses = map[string][2]int{
	"INVALID_ARGUMENT": {400, 3}, "FAILED_PRECONDITION": {400, 9}, "UNAUTHENTICATED": {401, 16}, "PERMISSION_DENIED": {403, 7}, "NOT_FOUND": {404, 5},
	"ABORTED": {409, 10}, "RESOURCE_EXHAUSTED": {429, 8}, "CANCELLED": {499, 1}, "INTERNAL": {500, 13}, "UNKNOWN": {500, 2}, "UNIMPLEMENTED": {501, 12},
	"UNAVAILABLE": {503, 14}, "DEADLINE_EXCEEDED": {504, 4},
}

// failure is an answer that is an error.
type failure struct {
	word    string
	message string
	details []object
	array   bool // as the front end answers
}

func (f *failure) Error() string { return f.word + ": " + f.message }

func problem(word, message string, args ...any) *failure {
	return &failure{word: word, message: fmt.Sprintf(message, args...)}
}

// invalid names a field, as google.rpc.BadRequest does.
func invalid(field, message string) *failure {
	f := problem("INVALID_ARGUMENT", "%s: %s", field, message)
	f.details = []object{{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []object{{"field": field, "description": message}}}}
	return f
}

func (f *failure) send(w http.ResponseWriter) {
	status := statuses[f.word][0]
	inner := object{"code": status, "message": f.message, "status": f.word}
	if len(f.details) > 0 {
		inner["details"] = f.details
	}
	var body any = object{"error": inner}
	if f.array {
		body = []any{body}
	}
	writeJSON(w, status, body)
}

// answerErrors turns a handler's error into Google's answer. A handler that returns an error
// has not written anything.
func answerErrors(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var f *failure
		if !errors.As(err, &f) {
			f = problem("INTERNAL", "internal error")
		}
		f.send(w)
	}
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	problem("NOT_FOUND", "Requested entity was not found.").send(w)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	out, err := json.Marshal(body)
	if err != nil {
		simulator.Abort() // nothing here cannot be marshalled
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(out) // the caller may have left
}
