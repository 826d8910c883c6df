package kling

import (
	"encoding/json"
	"strconv"
	"strings"
)

// word is a JSON string, or a number where one was expected: Kling's ids and amounts
// come as both.
type word string

func (w *word) UnmarshalJSON(b []byte) error {
	if s, ok := text(b); ok {
		*w = word(s)
		return nil
	}
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*w = word(b)
	}
	return nil // what is neither says nothing
}

func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// whole reads a number without a fraction, also one in a string.
func whole(raw json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	return n, err == nil
}

// object reads a JSON object; nil for anything else.
func object(raw json.RawMessage) (fields map[string]json.RawMessage) {
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	return fields
}

// list reads a JSON list; nil for anything else.
func list(raw json.RawMessage) (items []json.RawMessage) {
	if json.Unmarshal(raw, &items) != nil {
		return nil
	}
	return items
}

func number(raw json.RawMessage) (float64, bool) {
	var f float64
	err := json.Unmarshal(raw, &f)
	return f, err == nil && string(raw) != "null"
}

// size splits "WxH", which is pixels, or "W:H", which is not.
func size(s string) (w, h int, pixels, ok bool) {
	i := strings.IndexAny(s, "xX:")
	if i < 0 {
		return 0, 0, false, false
	}
	w, errW := strconv.Atoi(s[:i])
	h, errH := strconv.Atoi(s[i+1:])
	const most = 1 << 16
	return w, h, s[i] != ':', errW == nil && errH == nil && w > 0 && h > 0 && w <= most && h <= most
}
