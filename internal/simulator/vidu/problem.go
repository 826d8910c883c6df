package vidu

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/kinora/kinora/internal/simulator"
)

// statuses are the documented error words with their HTTP status.
var statuses = map[string]int{
	"BadRequest": 400, "FieldLacking": 400, "FieldUnwanted": 400, "FieldInvalid": 400, "FieldItemCountOutOfRange": 400,
	"PageSizeOutOfRange": 400, "ImageDownloadFailure": 400, "ImageFormatInvalid": 400, "ImageCheckBodyJointsFailed": 400,
	"ImageCheckFaceFailed": 400, "ImageObjectsUndetected": 400, "OperationInProcess": 400, "TaskPromptPolicyViolation": 400,
	"AuditSubmitIllegal": 400, "CreationPolicyViolation": 400, "CreditInsufficient": 400, "ModelUnavailable": 400,
	"UserCancelled": 400, "Unauthorized": 401, "Forbidden": 403, "TaskNotFound": 404, "CreationNotFound": 404,
	"NotFound": 404, "Conflict": 409, "QuotaExceeded": 429, "TooManyRequests": 429, "SystemThrottling": 429,
	"Canceled": 499, "InternalServiceFailure": 500,
}

// failure is an answer that is an error.
type failure struct {
	Code     int    `json:"code"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Metadata struct {
		TraceID string `json:"trace_id"`
	} `json:"metadata"`
}

func (f *failure) Error() string { return f.Reason + ": " + f.Message }

func problem(reason, message string) *failure {
	f := &failure{Code: statuses[reason], Reason: reason, Message: message}
	f.Metadata.TraceID = strings.ToLower(rand.Text())
	return f
}

func lacking(field string) *failure {
	return problem("FieldLacking", "field is missing or empty: "+field)
}
func unwanted(field string) *failure {
	return problem("FieldUnwanted", "field is unwanted: "+field)
}
func invalid(field string) *failure { return problem("FieldInvalid", "invalid field: "+field) }
func miscounted(field string) *failure {
	return problem("FieldItemCountOutOfRange", "field item count out of range: "+field)
}

// answerErrors turns a handler's error into Vidu's answer. A handler that returns an
// error has not written anything.
func answerErrors(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var f *failure
		if !errors.As(err, &f) {
			f = problem("InternalServiceFailure", "internal service failure")
		}
		writeJSON(w, f.Code, f)
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
