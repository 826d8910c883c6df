// Package lenient reads what callers and upstreams write loosely: numbers as strings and
// strings as numbers, sizes in several forms. It knows no upstream; what a field means is each
// provider's duty.
package lenient

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Text reads a JSON string; false for anything else.
func Text(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// Whole reads a number without a fraction, also one in a string: 5, 5.0 and "5" are the same.
func Whole(raw json.RawMessage) (int, bool) {
	text := strings.TrimSpace(string(raw))
	if s, ok := Text(raw); ok {
		text = strings.TrimSpace(s)
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -(1<<53) {
		return 0, false
	}
	return int(f), true
}

// Number reads a JSON number; false for anything else.
func Number(raw json.RawMessage) (float64, bool) {
	var f *float64
	if json.Unmarshal(raw, &f) != nil || f == nil {
		return 0, false
	}
	return *f, true
}

// Boolean reads true or false, also as a string.
func Boolean(raw json.RawMessage) (on, ok bool) {
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// Word is a JSON string, or a number where one was expected: ids have been seen as both.
// What is neither says nothing, and reads as empty.
type Word string

// UnmarshalJSON never fails.
func (w *Word) UnmarshalJSON(b []byte) error {
	if s, ok := Text(b); ok {
		*w = Word(s)
		return nil
	}
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*w = Word(b)
	}
	return nil
}

// Truth is a JSON boolean, or a string that spells one. What is neither reads as false.
type Truth bool

// UnmarshalJSON never fails.
func (t *Truth) UnmarshalJSON(b []byte) error {
	on, _ := Boolean(b)
	*t = Truth(on)
	return nil
}

// Size splits "WxH", which is pixels, or "W:H", which is not; both sides are above 0.
func Size(s string) (w, h int, pixels, ok bool) {
	i := strings.IndexAny(s, "xX:")
	if i < 0 {
		return 0, 0, false, false
	}
	w, errW := strconv.Atoi(s[:i])
	h, errH := strconv.Atoi(s[i+1:])
	return w, h, s[i] != ':', errW == nil && errH == nil && w > 0 && h > 0
}
