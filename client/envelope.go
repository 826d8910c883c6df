package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxMessage   = 1 << 10             // bytes of Error.Message
	maxWord      = 128                 // bytes of Error.Code and Error.RequestID
	maxDetails   = 8                   // entries of a {detail: […]} that are shown
	maxRetryWait = 30 * 24 * time.Hour // what an absurd Retry-After is read as
)

// errorFrom reads a failure from an answer. body may be cut or be no JSON at all.
func (c *Client) errorFrom(op string, status int, header http.Header, body []byte) *Error {
	e := &Error{StatusCode: status, Retryable: retryableStatus(status), op: op}
	e.RetryAfter = parseRetryAfter(header.Get("Retry-After"), c.clock.Now())
	e.RequestID = c.clean(header.Get("X-Request-Id"), maxWord)

	var envelope struct {
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &envelope) == nil {
		switch {
		case present(envelope.Error):
			e.readError(envelope.Error)
		case present(envelope.Detail):
			e.readDetail(envelope.Detail)
		}
	}
	e.Code, e.Message = c.clean(e.Code, maxWord), c.clean(e.Message, maxMessage)
	for i, d := range e.Details {
		e.Details[i] = FieldError{c.clean(d.Field, maxWord), c.clean(d.Message, maxMessage)}
	}
	if e.Message == "" {
		e.Message = http.StatusText(status)
	}
	if status/100 == 3 {
		e.Message = "redirects are not followed with a key; set the base URL to the address they lead to"
	}
	return e
}

// readError reads the value of "error" in the task envelope and in that of the generations API.
func (e *Error) readError(raw json.RawMessage) {
	var fields struct {
		Code       json.RawMessage `json:"code"`
		Type       json.RawMessage `json:"type"`
		Message    json.RawMessage `json:"message"`
		Retryable  json.RawMessage `json:"retryable"`
		RetryAfter json.RawMessage `json:"retry_after"`
		Details    json.RawMessage `json:"details"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		e.Message = text(raw) // {"error": "…"}, as proxies answer
		return
	}
	e.Message = text(fields.Message)
	if e.Code = text(fields.Type); e.Code == "" {
		e.Code = text(fields.Code)
	}
	if json.Unmarshal(fields.Details, &e.Details) != nil {
		e.Details = nil
	}
	switch string(fields.Retryable) {
	case "true":
		e.Retryable = true
	case "false":
		e.Retryable = false
	}
	if seconds, err := strconv.ParseFloat(text(fields.RetryAfter), 64); err == nil {
		e.RetryAfter = max(e.RetryAfter, secondsToDuration(seconds))
	}
}

// readDetail reads the upload envelope: a text, or a list of {loc, msg, type}.
func (e *Error) readDetail(raw json.RawMessage) {
	var list []struct {
		Location []json.RawMessage `json:"loc"`
		Message  json.RawMessage   `json:"msg"`
		Type     json.RawMessage   `json:"type"`
	}
	if json.Unmarshal(raw, &list) != nil {
		e.Message = text(raw)
		return
	}
	var parts []string
	for i, entry := range list {
		if i == maxDetails {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		var path []string
		for _, element := range entry.Location {
			path = append(path, text(element))
		}
		part := text(entry.Message)
		if len(path) > 0 {
			part = strings.Join(path, ".") + ": " + part
		}
		parts = append(parts, part)
	}
	e.Message = strings.Join(parts, "; ")
	if len(list) > 0 {
		e.Code = text(list[0].Type)
	}
}

// text returns a JSON string's value or a number's digits, and "" for everything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// clean makes a server's text fit for one line of a log: no key, no control characters, at most limit bytes.
func (c *Client) clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // line breaks, but also what reorders text on a terminal
			return ' '
		}
		return r
	}, s)
	s = c.redact(s) // before the cut, which could leave half of a key
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// parseRetryAfter reads the header in both forms of RFC 9110, 10.2.3. Anything else, and a date that has
// passed, is 0.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return secondsToDuration(seconds)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryWait)
}

func secondsToDuration(seconds float64) time.Duration {
	if math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	if seconds >= maxRetryWait.Seconds() {
		return maxRetryWait
	}
	return time.Duration(seconds * float64(time.Second))
}

// decodeData reads {code, data} of the submit API into data.
func (c *Client) decodeData(op string, a answer, data any) error {
	var envelope struct {
		Code int             `json:"code"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		return badAnswer(op, err)
	}
	// Servers of this family also report failures with HTTP 200 and the true status inside.
	if envelope.Code >= 400 && envelope.Code <= 599 {
		return c.errorFrom(op, envelope.Code, a.header, a.body)
	}
	if !present(envelope.Data) {
		return fmt.Errorf("client: %s: the answer holds no data", op)
	}
	if err := json.Unmarshal(envelope.Data, data); err != nil {
		return badAnswer(op, err)
	}
	return nil
}

func badAnswer(op string, err error) error {
	return fmt.Errorf("client: %s: the answer is not in the form of the contract: %w", op, err)
}

// parseTime reads the submit API's times, which are UTC and name no zone, and RFC 3339. Anything else is the
// zero time.
func parseTime(s string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
