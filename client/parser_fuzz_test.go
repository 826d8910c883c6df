package client

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func FuzzErrorFrom(f *testing.F) {
	const key = "sk-0123456789"
	for _, body := range []string{
		`{"code":400,"error":{"message":"input.prompt is required","type":"invalid_request_error"}}`,
		`{"error":{"code":"rate_limited","message":"too many requests","retryable":true,"retry_after":12}}`,
		`{"error":{"retry_after":1e308}}`, `{"error":{"retry_after":"NaN"}}`, `{"error":"text"}`, `{"error":[{}]}`,
		`{"detail":"Invalid URL"}`, `{"detail":[{"loc":["body","file"],"msg":"field required","type":"value_error.missing"}]}`,
		`{"detail":[null,7]}`, `{"error":{"message":"` + key + `"}}`, `{"error":{"message":"` + strings.Repeat("€", 600) + `"}}`, "", "null", "<html>", "\xff",
	} {
		f.Add(429, body, "12", "req_1")
		f.Add(503, body, "Sun, 14 Jun 2026 10:30:09 GMT", key+"\x00"+key)
	}
	c, err := New("https://kinora.test", key)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body, retryAfter, requestID string) {
		e := c.errorFrom("GET /x", status, http.Header{"Retry-After": {retryAfter}, "X-Request-Id": {requestID}}, []byte(body))
		if e.RetryAfter < 0 || e.RetryAfter > maxRetryWait {
			t.Errorf("retry after %v", e.RetryAfter)
		}
		for field, limit := range map[string]int{e.Message: maxMessage, e.Code: maxWord, e.RequestID: maxWord} {
			if len(field) > limit || !utf8.ValidString(field) || strings.ContainsFunc(field, unicode.IsControl) || strings.Contains(field, key) {
				t.Errorf("%q", field)
			}
		}
	})
}

func FuzzParseContentRange(f *testing.F) {
	for _, value := range []string{"bytes 0-0/1", "bytes 4-9/10", "bytes 4-9/*", "bytes */10", "bytes 9-4/10", "bytes 4-10/10", "bytes -1-2/3", "bytes +4-9/10", "items 0-1/2", "bytes 0-9223372036854775807/*", "bytes 0-9223372036854775808/*", ""} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		first, last, size, ok := parseContentRange(value)
		if ok && (first < 0 || last < first || size < -1 || size >= 0 && last >= size) {
			t.Errorf("%q: %d-%d/%d", value, first, last, size)
		}
	})
}

func FuzzParseRetryAfter(f *testing.F) {
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	for _, value := range []string{"", "0", "12", "-1", "1.5", "1e400", "NaN", "Inf", "0x10", "Sun, 14 Jun 2026 10:30:09 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sunday, 14-Jun-26 10:30:09 GMT"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if d := parseRetryAfter(value, now); d < 0 || d > maxRetryWait {
			t.Errorf("%q: %v", value, d)
		}
	})
}
