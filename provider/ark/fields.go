package ark

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora/provider"
)

// body is a request as it is sent.
type body map[string]any

// encode leaves "&" in URLs as it is: the bytes that a caller gave are the bytes that go out.
func (b body) encode() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		return nil, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// pass copies the caller's metadata into the body, but for nulls and for the keys that mean
// something else here. Whole numbers that come as text become numbers: the vendor refuses text
// there.
func (b body) pass(metadata map[string]json.RawMessage, except, numbers []string) {
	for key, value := range metadata {
		if slices.Contains(except, key) || strings.TrimSpace(string(value)) == "null" {
			continue
		}
		b[key] = value
		if n, ok := whole(value); ok && slices.Contains(numbers, key) {
			b[key] = n
		}
	}
}

// word reads a JSON string; ok is false for anything else.
func word(raw json.RawMessage) (s string, ok bool) {
	var p *string
	if json.Unmarshal(raw, &p) != nil || p == nil {
		return "", false
	}
	return *p, true
}

// whole reads a whole number, also from a string: 5, 5.0 and "5" are the same.
func whole(raw json.RawMessage) (n int64, ok bool) {
	text := strings.TrimSpace(string(raw))
	if s, isText := word(raw); isText {
		text = strings.TrimSpace(s)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -(1<<53) {
		return 0, false
	}
	return int64(f), true
}

// given returns a metadata value that is there and not null.
func given(req provider.Request, key string) (json.RawMessage, bool) {
	raw, ok := req.Metadata[key]
	return raw, ok && strings.TrimSpace(string(raw)) != "null"
}

// object reads a JSON object; ok is false for anything else.
func object(raw json.RawMessage) (o map[string]json.RawMessage, ok bool) {
	return o, json.Unmarshal(raw, &o) == nil && o != nil
}
