package vidu

import (
	"encoding/json"
	"strconv"
	"strings"
)

// word is a JSON string, or a number where one was expected: ids have been seen as both.
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

// truth is a JSON boolean, or a string that spells one.
type truth bool

func (t *truth) UnmarshalJSON(b []byte) error {
	on, _ := boolean(b)
	*t = truth(on)
	return nil
}

func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func boolean(raw json.RawMessage) (on, ok bool) {
	switch strings.ToLower(strings.Trim(string(raw), `"`)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// whole reads a number without a fraction, also one in a string.
func whole(raw json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	return n, err == nil
}
