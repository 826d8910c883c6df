package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
)

// kinds is every sentinel; an error is at most one of them.
var kinds = []error{
	client.ErrInvalid, client.ErrUnauthorized, client.ErrInsufficientQuota, client.ErrForbidden, client.ErrNotFound,
	client.ErrConflict, client.ErrRateLimited, client.ErrUnavailable,
}

func TestErrorEnvelopes(t *testing.T) {
	long := strings.Repeat("é", 2000)
	tests := map[string]struct {
		status  int
		body    string
		headers []string

		kind       error
		code       string
		message    string
		retryable  bool
		retryAfter time.Duration
		requestID  string
	}{
		"task envelope": {status: 400, body: `{"code": 400, "error": {"message": "input.prompt is required", "type": "invalid_request_error"}}`, headers: []string{"X-Request-Id", "req_1"},
			kind: client.ErrInvalid, code: "invalid_request_error", message: "input.prompt is required", requestID: "req_1"},
		"task envelope, 404": {status: 404, body: `{"code":404,"error":{"message":"task not found","type":"not_found"}}`,
			kind: client.ErrNotFound, code: "not_found", message: "task not found"},
		"task envelope, 402": {status: 402, body: `{"code":402,"error":{"message":"no balance","type":"insufficient_quota"}}`,
			kind: client.ErrInsufficientQuota, code: "insufficient_quota", message: "no balance"},
		"task envelope inside HTTP 200": {status: 200, body: `{"code":401,"error":{"message":"bad key","type":"authentication_error"}}`,
			kind: client.ErrUnauthorized, code: "authentication_error", message: "bad key"},
		"generations envelope": {status: 429, body: `{"error":{"code":"rate_limited","message":"too many requests","retryable":true,"retry_after":12}}`,
			kind: client.ErrRateLimited, code: "rate_limited", message: "too many requests", retryable: true, retryAfter: 12 * time.Second},
		"generations envelope, null": {status: 500, body: `{"error":{"code":"internal_error","message":"server fault","retryable":true,"retry_after":null}}`,
			kind: client.ErrUnavailable, code: "internal_error", message: "server fault", retryable: true},
		"generations envelope, not retryable": {status: 500, body: `{"error":{"code":"internal_error","message":"server fault","retryable":false,"retry_after":null}}`,
			kind: client.ErrUnavailable, code: "internal_error", message: "server fault"},
		"generations envelope, details": {status: 422, body: `{"error":{"code":"validation_error","message":"wrong","retryable":false,"retry_after":null,"details":{"mode":"?"}}}`,
			kind: client.ErrInvalid, code: "validation_error", message: "wrong"},
		"conflict": {status: 409, body: `{"error":{"code":"idempotency_conflict","message":"reused","retryable":false,"retry_after":null}}`,
			kind: client.ErrConflict, code: "idempotency_conflict", message: "reused"},
		"upload envelope": {status: 413, body: `{"detail":"File too large"}`,
			kind: client.ErrInvalid, message: "File too large"},
		"upload envelope, list": {status: 422, body: `{"detail":[{"loc":["body","file"],"msg":"field required","type":"value_error.missing"},{"loc":["body",0],"msg":"odd","type":"x"}]}`,
			kind: client.ErrInvalid, code: "value_error.missing", message: "body.file: field required; body.0: odd"},
		"upload envelope, long list": {status: 422, body: `{"detail":[` + strings.Repeat(`{"msg":"m","type":"t"},`, 9) + `{"msg":"m"}]}`,
			kind: client.ErrInvalid, code: "t", message: "m; m; m; m; m; m; m; m; and 2 more"},
		"header and body: the longer wait": {status: 429, body: `{"error":{"code":"rate_limited","message":"m","retryable":true,"retry_after":3}}`, headers: []string{"Retry-After", "7"},
			kind: client.ErrRateLimited, code: "rate_limited", message: "m", retryable: true, retryAfter: 7 * time.Second},
		"Retry-After as a date": {status: 503, body: `{}`, headers: []string{"Retry-After", "Sun, 14 Jun 2026 10:30:09 GMT"},
			kind: client.ErrUnavailable, message: "Service Unavailable", retryable: true, retryAfter: 9 * time.Second},
		"Retry-After in the past": {status: 503, body: `{}`, headers: []string{"Retry-After", "Sun, 14 Jun 2020 10:30:09 GMT"},
			kind: client.ErrUnavailable, message: "Service Unavailable", retryable: true},
		"Retry-After absurd": {status: 503, body: `{}`, headers: []string{"Retry-After", "99999999999999999999"},
			kind: client.ErrUnavailable, message: "Service Unavailable", retryable: true, retryAfter: 30 * 24 * time.Hour},
		"Retry-After negative": {status: 503, body: `{}`, headers: []string{"Retry-After", "-5"},
			kind: client.ErrUnavailable, message: "Service Unavailable", retryable: true},
		"Retry-After odd": {status: 503, body: `{}`, headers: []string{"Retry-After", "soon"},
			kind: client.ErrUnavailable, message: "Service Unavailable", retryable: true},
		"a proxy's page": {status: 502, body: "<html>nginx at 10.0.0.7</html>",
			kind: client.ErrUnavailable, message: "Bad Gateway", retryable: true},
		"a proxy's JSON":  {status: 504, body: `{"error":"upstream timed out"}`, kind: client.ErrUnavailable, message: "upstream timed out", retryable: true},
		"nothing":         {status: 403, body: "", kind: client.ErrForbidden, message: "Forbidden"},
		"null":            {status: 401, body: "null", kind: client.ErrUnauthorized, message: "Unauthorized"},
		"gone":            {status: 410, body: "{}", kind: client.ErrNotFound, message: "Gone"},
		"time-out":        {status: 408, body: "{}", kind: client.ErrUnavailable, message: "Request Timeout", retryable: true},
		"not implemented": {status: 501, body: "{}", kind: client.ErrUnavailable, message: "Not Implemented"},
		"odd types": {status: 400, body: `{"code":"x","error":{"message":7,"type":["a"],"code":1214,"retryable":"yes","retry_after":"2.5"}}`,
			kind: client.ErrInvalid, code: "1214", message: "7", retryAfter: 2500 * time.Millisecond},
		"control characters": {status: 400, body: `{"error":{"message":"a\r\nb\u001b[31m\u0000c\u202ed","type":"t"}}`,
			kind: client.ErrInvalid, code: "t", message: "a  b [31m c d"},
		"very long": {status: 400, body: `{"error":{"message":"` + long + `","type":"t"}}`,
			kind: client.ErrInvalid, code: "t", message: long[:1020] + "…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, _ := scriptedWith(t, client.RetryPolicy{MaxTries: 1}, reply(tt.status, tt.body, tt.headers...))
			_, err := c.Status(t.Context(), "task_1")
			var got *client.Error
			if !errors.As(err, &got) {
				t.Fatalf("%T: %v", err, err)
			}
			if tt.status != 200 && got.StatusCode != tt.status {
				t.Errorf("status %d", got.StatusCode)
			}
			if got.Code != tt.code || got.Message != tt.message || got.Retryable != tt.retryable || got.RetryAfter != tt.retryAfter || got.RequestID != tt.requestID {
				t.Errorf("got %+v", got)
			}
			for _, kind := range kinds {
				if errors.Is(err, kind) != (kind == tt.kind) {
					t.Errorf("errors.Is(err, %v) = %t", kind, kind != tt.kind)
				}
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	c, _, _ := scripted(t, reply(400, `{"code":400,"error":{"message":"input.prompt is required","type":"invalid_request_error"}}`, "X-Request-Id", "req_1"))
	_, err := c.Submit(t.Context(), client.SubmitRequest{})
	want := "client: POST /api/generate/submit: 400 invalid_request_error: input.prompt is required (request req_1)"
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAnswersOutsideTheContract: a 2xx that makes no sense is an error, and not a zero task.
func TestAnswersOutsideTheContract(t *testing.T) {
	bodies := map[string]string{
		"empty":        "",
		"a page":       "<html>",
		"no data":      `{"code":200}`,
		"null data":    `{"code":200,"data":null}`,
		"data of text": `{"code":200,"data":"ok"}`,
		"empty data":   `{"code":200,"data":{}}`,
		"no status":    `{"code":200,"data":{"task_id":"task_1"}}`,
		"too large":    `{"code":200,"data":{"task_id":"` + strings.Repeat("x", 9<<20) + `"}}`,
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			c, s, _ := scripted(t, reply(200, body))
			if task, err := c.Status(t.Context(), "task_1"); err == nil || task != nil {
				t.Errorf("status: %+v, %v", task, err)
			}
			if g, err := c.Generation(t.Context(), "job_1"); err == nil || g != nil {
				t.Errorf("generation: %+v, %v", g, err)
			}
			if u, err := c.UploadURL(t.Context(), "https://files.example/x"); err == nil || u != nil {
				t.Errorf("upload: %+v, %v", u, err)
			}
			if len(s.seen) != 3 {
				t.Errorf("%d requests for 3 calls: nonsense is not retried", len(s.seen))
			}
		})
	}
}
