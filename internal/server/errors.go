package server

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// Refusals that only HTTP knows. Together with the codes of package kinora they are what each dialect has an answer for.
const (
	errMalformed kinora.ErrorCode = "malformed"              // the body cannot be read as JSON, or as the form it says it is
	errMethod    kinora.ErrorCode = "method_not_allowed"     //
	errMedia     kinora.ErrorCode = "unsupported_media_type" //
	errRange     kinora.ErrorCode = "range_not_satisfiable"  // the file does not reach as far as the range asked for
	errRoute     kinora.ErrorCode = "no_route"               // no such path
	errOverload  kinora.ErrorCode = "overload"               // too many requests at once
	errEnded     kinora.ErrorCode = "ended"                  // the generation has come to its end
	errClient    kinora.ErrorCode = "client_gone"            // the caller has hung up; nobody reads the answer
)

// statusClientGone is what the access log and the metrics show for a caller who hung up (nginx's number for it).
const statusClientGone = 499

// refuse makes an error for the caller.
func refuse(code kinora.ErrorCode, format string, args ...any) *kinora.Error {
	return kinora.Errorf(code, format, args...)
}

// fieldMissing is the refusal of a request that lacks a required field. Only the {detail} dialect tells it apart from
// other invalid requests.
type fieldMissing struct{ field string }

func (e *fieldMissing) Error() string { return e.field + " is required" }

// answer is how a dialect shows one code.
type answer struct {
	status int
	word   string // error.type of the submit API, error.code of the generations API
	text   string // fixed message, in place of the error's own; "" = the error's own
	withID bool   // the message ends with the request id, for the caller to quote
}

// dialect is the way in which one family of routes tells errors: one table from codes to statuses, one envelope.
type dialect struct {
	name    string
	answers map[kinora.ErrorCode]answer
	// envelope is the body for an answer.
	envelope func(a answer, message string, e *kinora.Error, retryAfter int) any
}

// The table of the submit API (contract 2.7). It knows no 413, so a body that is too large is a bad request; a database
// out of reach is its 503.
var submitDialect = dialect{
	name: "submit",
	answers: map[kinora.ErrorCode]answer{
		kinora.ErrInvalid:      {status: 400, word: "invalid_request_error"},
		errMalformed:           {status: 400, word: "invalid_request_error"},
		kinora.ErrTooLarge:     {status: 400, word: "invalid_request_error"},
		kinora.ErrUnauthorized: {status: 401, word: "authentication_error"},
		kinora.ErrForbidden:    {status: 403, word: "permission_error"},
		kinora.ErrNotFound:     {status: 404, word: "not_found"},
		errRoute:               {status: 404, word: "not_found"},
		errMethod:              {status: 405, word: "invalid_request_error"},
		kinora.ErrConflict:     {status: 409, word: "idempotency_conflict"},
		errMedia:               {status: 415, word: "invalid_request_error"},
		errRange:               {status: 416, word: "invalid_request_error"},
		kinora.ErrRateLimited:  {status: 429, word: "rate_limit_error"},
		kinora.ErrBudget:       {status: 402, word: "insufficient_quota"},
		errClient:              {status: statusClientGone, word: "invalid_request_error"},
		kinora.ErrInternal:     {status: 500, word: "server_error", text: "internal error", withID: true},
		kinora.ErrNoUpstream:   {status: 503, word: "upstream_error"},
		kinora.ErrUnavailable:  {status: 503, word: "upstream_error"},
		errOverload:            {status: 503, word: "upstream_error"},
	},
	envelope: func(a answer, message string, _ *kinora.Error, _ int) any {
		return taskError{Code: a.status, Error: taskErrorBody{Message: message, Type: a.word}}
	},
}

type taskError struct {
	Code  int           `json:"code"`
	Error taskErrorBody `json:"error"`
}

type taskErrorBody struct {
	Message string `json:"message"`
	Type    string `json:"type"`
}

// The table of the uploads (submit API contract 5), which answer {"detail": …} with texts of their own.
var detailDialect = dialect{
	name: "detail",
	answers: map[kinora.ErrorCode]answer{
		kinora.ErrInvalid:      {status: 400},
		errMalformed:           {status: 400},
		kinora.ErrUnauthorized: {status: 401, text: "Unauthorized"},
		kinora.ErrForbidden:    {status: 403, text: "Forbidden"},
		kinora.ErrNotFound:     {status: 404, text: "Not found"},
		errRoute:               {status: 404, text: "Not found"},
		errMethod:              {status: 405, text: "Method not allowed"},
		kinora.ErrConflict:     {status: 409},
		kinora.ErrTooLarge:     {status: 413, text: "File too large"},
		errMedia:               {status: 415},
		errRange:               {status: 416},
		errFieldMissing:        {status: 422},
		kinora.ErrRateLimited:  {status: 429, text: "Too many requests"},
		kinora.ErrBudget:       {status: 403},
		errClient:              {status: statusClientGone},
		kinora.ErrInternal:     {status: 500, text: "Internal server error"},
		kinora.ErrNoUpstream:   {status: 503, text: "Service unavailable"},
		kinora.ErrUnavailable:  {status: 503, text: "Service unavailable"},
		errOverload:            {status: 503, text: "Service unavailable"},
	},
	envelope: func(_ answer, message string, e *kinora.Error, _ int) any {
		var missing *fieldMissing
		if errors.As(e, &missing) {
			return detailError{Detail: []fieldError{{
				Loc: []string{"body", missing.field}, Msg: "field required", Type: "value_error.missing",
			}}}
		}
		return detailError{Detail: message}
	},
}

// errFieldMissing is the code of a fieldMissing in the one dialect that has it.
const errFieldMissing kinora.ErrorCode = "field_missing"

type detailError struct {
	Detail any `json:"detail"` // a text, or a list of fieldError
}

type fieldError struct {
	Loc  []string `json:"loc"`
	Msg  string   `json:"msg"`
	Type string   `json:"type"`
}

// The table of the generations API (contract 9.1). Files and inbound callbacks use it too.
var generationsDialect = dialect{
	name: "generations",
	answers: map[kinora.ErrorCode]answer{
		errMalformed:           {status: 400, word: "bad_request"},
		kinora.ErrTooLarge:     {status: 400, word: "bad_request"},
		kinora.ErrUnauthorized: {status: 401, word: "unauthorized"},
		kinora.ErrForbidden:    {status: 403, word: "forbidden"},
		kinora.ErrNotFound:     {status: 404, word: "not_found"},
		errRoute:               {status: 404, word: "not_found"},
		errMethod:              {status: 405, word: "bad_request"},
		kinora.ErrConflict:     {status: 409, word: "idempotency_conflict"},
		errEnded:               {status: 409, word: "conflict"},
		errMedia:               {status: 415, word: "bad_request"},
		errRange:               {status: 416, word: "bad_request"},
		kinora.ErrInvalid:      {status: 422, word: "validation_error"},
		kinora.ErrRateLimited:  {status: 429, word: "rate_limited"},
		kinora.ErrBudget:       {status: 403, word: "forbidden"}, // its list has no 402
		errClient:              {status: statusClientGone, word: "bad_request"},
		kinora.ErrInternal:     {status: 500, word: "internal_error", text: "internal error", withID: true},
		kinora.ErrNoUpstream:   {status: 503, word: "internal_error"},
		kinora.ErrUnavailable:  {status: 503, word: "internal_error"},
		errOverload:            {status: 503, word: "internal_error"},
	},
	envelope: func(a answer, message string, e *kinora.Error, retryAfter int) any {
		body := apiErrorBody{Code: a.word, Message: message, Retryable: a.status == 429 || a.status >= 500, Details: e.Details}
		if retryAfter > 0 {
			body.RetryAfter = &retryAfter
		}
		return apiError{Error: body}
	},
}

type apiError struct {
	Error apiErrorBody `json:"error"`
}

type apiErrorBody struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Retryable  bool   `json:"retryable"`
	RetryAfter *int   `json:"retry_after"` // seconds
	// Details say what is wrong with each field; nobody has to read them.
	Details []kinora.FieldError `json:"details,omitempty"`
}

// The table of the admin API. Its caller is the operator, so it alone shows hints.
var adminDialect = dialect{
	name: "admin",
	answers: map[kinora.ErrorCode]answer{
		kinora.ErrInvalid:      {status: 400, word: "invalid"},
		errMalformed:           {status: 400, word: "malformed"},
		kinora.ErrUnauthorized: {status: 401, word: "unauthorized"},
		kinora.ErrForbidden:    {status: 403, word: "forbidden"},
		kinora.ErrNotFound:     {status: 404, word: "not_found"},
		errRoute:               {status: 404, word: "not_found"},
		errMethod:              {status: 405, word: "method_not_allowed"},
		kinora.ErrConflict:     {status: 409, word: "conflict"},
		kinora.ErrTooLarge:     {status: 413, word: "too_large"},
		errMedia:               {status: 415, word: "unsupported_media_type"},
		errRange:               {status: 416, word: "range_not_satisfiable"},
		kinora.ErrRateLimited:  {status: 429, word: "rate_limited"},
		kinora.ErrBudget:       {status: 403, word: "budget_spent"},
		errClient:              {status: statusClientGone, word: "client_gone"},
		kinora.ErrInternal:     {status: 500, word: "internal", text: "internal error", withID: true},
		kinora.ErrNoUpstream:   {status: 503, word: "no_upstream"},
		kinora.ErrUnavailable:  {status: 503, word: "unavailable"},
		errOverload:            {status: 503, word: "unavailable"},
	},
	envelope: func(a answer, message string, e *kinora.Error, _ int) any {
		return adminError{Error: adminErrorBody{Code: a.word, Message: message, Hint: e.Hint}}
	},
}

type adminError struct {
	Error adminErrorBody `json:"error"`
}

type adminErrorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do next
}

func dialects() []*dialect {
	return []*dialect{&submitDialect, &detailDialect, &generationsDialect, &openaiDialect, &adminDialect}
}

// coded returns err as an error with a code of the tables. Whatever is not meant for callers becomes internal.
func coded(ctx context.Context, err error) *kinora.Error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return &kinora.Error{Code: errClient, Message: "the caller has gone", Err: err}
	}
	var missing *fieldMissing
	if errors.As(err, &missing) {
		return &kinora.Error{Code: kinora.ErrInvalid, Message: missing.Error(), Err: missing}
	}
	var e *kinora.Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &kinora.Error{Code: kinora.ErrUnavailable, Message: "the request took too long", Err: err}
	}
	return &kinora.Error{Code: kinora.ErrInternal, Err: err}
}

// fail answers with err in the dialect of the route, and logs what an operator should know of.
func (s *Server) fail(ctx context.Context, x *exchange, err error) {
	d := x.route.dialect
	e := coded(ctx, err)
	a, known := d.answers[e.Code]
	if !known {
		a = d.answers[kinora.ErrInternal]
	}
	var missing *fieldMissing
	if errors.As(e, &missing) {
		if own, has := d.answers[errFieldMissing]; has {
			a = own
		}
	}
	s.logFailure(ctx, x, a, e)

	message := e.Message
	switch {
	case a.withID:
		message = a.text + " (request " + x.id + ")"
	case a.text != "":
		message = a.text
	case message == "":
		message = strings.ToLower(http.StatusText(a.status))
	}
	retryAfter := retryAfterSeconds(a.status, e.RetryAfter)
	if w, ok := x.w.(refuser); ok {
		x.status = a.status
		w.refuse(e, message, retryAfter)
		return
	}
	h := x.Header()
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if a.status == http.StatusUnauthorized {
		h["Www-Authenticate"] = challenge
	}
	h["Cache-Control"] = noStore
	writeJSON(x, a.status, d.envelope(a, message, e, retryAfter))
}

// retryAfterSeconds is what the caller is told to wait: whole seconds, upwards; 0 = nothing is said. Every 429 and 503
// says something, so that callers do not come back at once.
func retryAfterSeconds(status int, d time.Duration) int {
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return 0
	}
	return max(1, int(math.Ceil(d.Seconds())))
}

// writeJSON answers with v. What it is given always encodes: types of this package only.
func writeJSON(x *exchange, status int, v any) {
	buf := takeBuffer()
	defer giveBuffer(buf)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false) // signed URLs hold "&", and are read by people too
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	writeBody(x, status, jsonContent, trimNewline(buf.Bytes()))
}

// trimNewline drops the line end that json.Encoder adds: the contract gives exact bodies.
func trimNewline(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}
