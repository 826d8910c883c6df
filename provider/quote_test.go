package provider_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
)

func TestQuotable(t *testing.T) {
	secrets, hidden := []string{"sk-0123456789abcdef", "tiny"}, []string{"two kites over a quiet bay", "a fox"}
	for sentence, want := range map[string]string{
		"":                                "",
		"duration must be 5 or 10":        "duration must be 5 or 10",
		" two\nlines\tand  a\x00bell\x07": "two lines and a bell",
		"broken \xff bytes":               "broken bytes",
		"cannot fetch https://cdn.example/a.png?sig=secret: timeout":    "cannot fetch … timeout",
		"gs://bucket/object and DATA:image/png;base64,AAAA are broken":  "… and … are broken",
		"key sk-0123456789abcdef is wrong":                              "",
		"key 456789abcdef was cut":                                      "",
		"a tiny key":                                                    "",
		"the prompt 'kites over a quiet' is refused":                    "",
		"a fox is refused":                                              "",
		"Incorrect API key provided: sk-01***cdef.":                     "Incorrect API key provided: …",
		"header Bearer ya29.short is not valid":                         "header … is not valid",
		"token eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x is not valid": "… is not valid",
		"id aW52aXNpYmxlLXRva2VuLTEyMzQ1Njc4OTA= is not known":          "id … is not known",
		"sequential_image_generation_options is not known":              "sequential_image_generation_options is not known",
		strings.Repeat("ü", 200):                                        strings.Repeat("ü", 150) + "…",
	} {
		if got := provider.Quotable(sentence, secrets, hidden); got != want {
			t.Errorf("%q is quoted as %q, want %q", sentence, got, want)
		}
	}
}

// A sentence of megabytes, and a file in the metadata, take no time.
func TestQuoteOfMuch(t *testing.T) {
	started := time.Now()
	req := provider.Request{Prompt: strings.Repeat("kite ", 2000), Metadata: map[string]json.RawMessage{"image": json.RawMessage(`"` + strings.Repeat("QUJD", 1<<20) + `"`)}}
	e := &provider.Error{Class: provider.Invalid, Detail: "request r-1"}
	if err := provider.Quote(described{}, provider.Upstream{}, req, e, strings.Repeat("x ", 4<<20)); err != e || !strings.HasPrefix(e.Detail, "request r-1: x x ") || len(e.Detail) > 400 {
		t.Errorf("%v with detail %.500q", err, e.Detail)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestQuote(t *testing.T) {
	up := provider.Upstream{Account: provider.Account{Settings: map[string]string{"key": "first-secret, second-secret", "region": "china"}}}
	req := provider.Request{Prompt: "two kites\nover a quiet bay", Metadata: map[string]json.RawMessage{
		"shots": json.RawMessage(`[{"prompt":"an old woman mends a red kite"}]`), "mode": json.RawMessage(`"pro"`), "n": json.RawMessage(`4`),
	}}
	for sentence, want := range map[string]string{
		"mode pro is not open in china":      "mode pro is not open in china",
		"first-secret":                       "",
		"is it second-secret?":               "",
		"refused: two kites over a":          "",
		"refused: woman mends a red":         "",
		"the model does not take 4 pictures": "the model does not take 4 pictures",
	} {
		e := &provider.Error{Class: provider.Invalid, Message: "the upstream refused the request"}
		if err := provider.Quote(described{}, up, req, e, sentence); err != e || e.Detail != want || e.Message != "the upstream refused the request" {
			t.Errorf("%q: %+v, want the detail %q", sentence, e, want)
		}
	}
	if plain := errors.New("x"); provider.Quote(described{}, up, req, plain, "y") != plain || provider.Quote(described{}, up, req, nil, "y") != nil {
		t.Error("what is no *Error has changed")
	}
}

// described is a provider with one secret setting.
type described struct{ provider.Provider }

func (described) Describe() provider.Description {
	return provider.Description{Settings: []provider.Setting{{Name: "key", Secret: true}, {Name: "region"}}}
}
