package lenient

import (
	"encoding/json"
	"testing"
)

func TestWhole(t *testing.T) {
	for text, want := range map[string]int{`5`: 5, `"5"`: 5, `5.0`: 5, `" 7 "`: 7, `-1`: -1, `1e2`: 100} {
		if got, ok := Whole(json.RawMessage(text)); !ok || got != want {
			t.Errorf("%s = %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{``, `null`, `true`, `5.5`, `"x"`, `{}`, `[5]`, `1e40`, `"1e40"`, `"NaN"`, `"Inf"`} {
		if got, ok := Whole(json.RawMessage(text)); ok {
			t.Errorf("%s = %d", text, got)
		}
	}
}

func TestTextNumberBoolean(t *testing.T) {
	for _, text := range []string{``, `null`, `5`, `{}`, `"broken`} {
		if got, ok := Text(json.RawMessage(text)); ok {
			t.Errorf("text %s = %q", text, got)
		}
	}
	if got, ok := Text(json.RawMessage(` "a\"b" `)); !ok || got != `a"b` {
		t.Errorf("text %q, %v", got, ok)
	}
	for _, text := range []string{``, `null`, `"5"`, `{}`} {
		if got, ok := Number(json.RawMessage(text)); ok {
			t.Errorf("number %s = %v", text, got)
		}
	}
	if got, ok := Number(json.RawMessage(`0.5`)); !ok || got != 0.5 {
		t.Errorf("number %v, %v", got, ok)
	}
	for text, want := range map[string]bool{`true`: true, `"True"`: true, `false`: false, `"false"`: false} {
		if got, ok := Boolean(json.RawMessage(text)); !ok || got != want {
			t.Errorf("boolean %s = %v, %v", text, got, ok)
		}
	}
	if _, ok := Boolean(json.RawMessage(`1`)); ok {
		t.Error("1 is a boolean")
	}
}

func TestSize(t *testing.T) {
	if w, h, pixels, ok := Size("1024X768"); w != 1024 || h != 768 || !pixels || !ok {
		t.Error(w, h, pixels, ok)
	}
	if w, h, pixels, ok := Size("16:9"); w != 16 || h != 9 || pixels || !ok {
		t.Error(w, h, pixels, ok)
	}
	for _, s := range []string{"", "auto", "16", "0x5", "5x-1", "x", "5x", "1x2x3", "99999999999999999999x1"} {
		if _, _, _, ok := Size(s); ok {
			t.Errorf("%q is a size", s)
		}
	}
}

// Whatever comes in, nothing here fails or panics, and what is read is what stands there.
func FuzzWord(f *testing.F) {
	for _, seed := range []string{`"a"`, `7`, `-1.5e3`, `null`, `{}`, `true`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var doc struct {
			W Word
			T Truth
		}
		if !json.Valid(b) {
			return
		}
		if err := json.Unmarshal([]byte(`{"W":`+string(b)+`,"T":`+string(b)+`}`), &doc); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	})
}
