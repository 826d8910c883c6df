package ark

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
	status               int
	code, message, param string
}

func (p *problem) Error() string { return p.code + ": " + p.message }

// statuses are the statuses of the documented codes, by how a code begins. The refusal of a
// DELETE is not documented: OperationDenied.Task… is this simulator's.
var statuses = []struct {
	prefix string
	status int
	kind   string
}{
	{"MissingParameter", 400, "BadRequest"},
	{"InvalidParameter", 400, "BadRequest"},
	{"InvalidEndpointOrModel", 404, "NotFound"},
	{"InvalidEndpoint", 400, "BadRequest"},
	{"Input", 400, "BadRequest"},
	{"Output", 400, "BadRequest"},
	{"SensitiveContent", 400, "BadRequest"},
	{"AuthenticationError", 401, "Unauthorized"},
	{"AccountOverdueError", 403, "Forbidden"},
	{"OperationDenied.Task", 409, "Conflict"},
	{"OperationDenied", 403, "Forbidden"},
	{"AccessDenied", 403, "Forbidden"},
	{"ModelNotOpen", 404, "NotFound"},
	{"ResourceNotFound", 404, "NotFound"},
	{"InvalidAction", 404, "NotFound"},
	{"InternalServiceError", 500, "InternalServerError"},
}

// refuse makes the error of a code, with the status that is documented for it. All codes of
// rates, quotas and overload come with 429.
func refuse(code, param, message string) *problem {
	p := &problem{status: http.StatusTooManyRequests, code: code, param: param, message: message}
	for _, s := range statuses {
		if strings.HasPrefix(code, s.prefix) {
			p.status = s.status
			break
		}
	}
	return p
}

// kind is the word that goes with the status.
func (p *problem) kind() string {
	for _, s := range statuses {
		if p.status == s.status {
			return s.kind
		}
	}
	return "TooManyRequests"
}

func missing(param string) *problem {
	return refuse("MissingParameter", param, "The request failed because it is missing one or multiple required parameters: "+param)
}

func invalid(param, rule string) *problem {
	return refuse("InvalidParameter", param, "The parameter `"+param+"` specified in the request is not valid: "+rule)
}

// constraint is the refusal of things that do not go together.
func constraint(rule string) *problem {
	return refuse("InvalidParameter.TaskTypeConstraint", "content", rule)
}

// answerErrors turns a handler's error into the vendor's envelope. A handler that returns an
// error has not written anything.
func answerErrors(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var p *problem
		if !errors.As(err, &p) {
			p = refuse("InternalServiceError", "", "the service failed")
		}
		type envelope struct {
			Code      string `json:"code"`
			Message   string `json:"message"`
			Param     string `json:"param"`
			Type      string `json:"type"`
			RequestID string `json:"request_id"`
		}
		writeJSON(w, p.status, map[string]envelope{"error": {p.code, p.message, p.param, p.kind(), "02" + strings.ToLower(rand.Text())}})
	}
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
