package provider

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	maxQuote = 300 // bytes of an upstream's words that an operator is shown
	// sharedRun is how many bytes in a row a quotation may have in common with what the caller
	// wrote, or with a secret.
	sharedRun = 12
	// longText is from how many bytes on a text in a caller's metadata is prose and no word of the
	// upstream's own.
	longText = 24
	// longWord is from how many letters and digits on a word may be a key or a token.
	longWord = 24
	// looked is how much of an upstream's sentence is looked at, in bytes, and fileText from how many
	// on a text in metadata is a file's content, which no sentence repeats.
	looked, fileText = 2 << 10, 1 << 20
)

// Quote adds to the error of a submit, in its Detail, what the upstream says in a sentence of its
// own. Only operators read that: what a caller is told stays the Message. An error without a
// sentence, and one that is no *Error, is returned as it is.
func Quote(p Provider, up Upstream, req Request, err error, sentence string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	said := Quotable(sentence, secretsOf(up.Account, p.Describe().Settings), written(req))
	switch {
	case said == "":
	case e.Detail == "":
		e.Detail = said
	default:
		e.Detail += ": " + said
	}
	return err
}

var (
	// addresses are signed as often as not.
	addresses = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://\S*|\bdata:\S*`)
	// keyLike are the schemes of an Authorization header with what stands behind them, and keys of
	// which an upstream shows the ends alone.
	keyLike = regexp.MustCompile(`(?i)\b(?:bearer|token|basic)\s+\S{8,}|\S*\*{3}\S*`)
	tokens  = regexp.MustCompile(`[A-Za-z0-9+/=_.~-]{24,}`)
)

// Quotable is what an operator may read of an upstream's sentence: without addresses and what
// looks like a key, clipped, and nothing at all where it repeats a secret or one of the hidden
// texts.
func Quotable(sentence string, secrets, hidden []string) string {
	if len(sentence) > looked {
		sentence = sentence[:looked]
	}
	said := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(sentence, ""), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	runs := map[string]bool{}
	for i := 0; i+sharedRun <= len(said); i++ {
		runs[said[i:i+sharedRun]] = true
	}
	for _, text := range slices.Concat(secrets, hidden) {
		if text != "" && len(text) <= sharedRun && strings.Contains(said, text) || shares(runs, text) {
			return ""
		}
	}
	said = addresses.ReplaceAllString(said, "…")
	said = keyLike.ReplaceAllString(said, "…")
	said = tokens.ReplaceAllStringFunc(said, func(word string) string {
		if len(word) >= longWord && strings.ContainsAny(word, "0123456789") {
			return "…"
		}
		return word
	})
	if len(said) > maxQuote {
		said = strings.ToValidUTF8(said[:maxQuote], "") + "…"
	}
	return said
}

// shares tells whether a text has one of the runs: as much in a row is no accident.
func shares(runs map[string]bool, text string) bool {
	for i := 0; i+sharedRun <= len(text); i++ {
		if runs[text[i:i+sharedRun]] {
			return true
		}
	}
	return false
}

// secretsOf are the secret settings of an account, lists of them taken apart.
func secretsOf(a Account, settings []Setting) (out []string) {
	for _, s := range settings {
		if !s.Secret {
			continue
		}
		for _, word := range strings.FieldsFunc(a.Settings[s.Name], func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
			if len(word) > 3 {
				out = append(out, word)
			}
		}
	}
	return out
}

// written is the prose of a request: the prompt, and longer texts in metadata.
func written(req Request) []string {
	out := []string{strings.Join(strings.Fields(req.Prompt), " ")}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if len(v) >= longText && len(v) < fileText && !addresses.MatchString(v) {
				out = append(out, strings.Join(strings.Fields(v), " "))
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case map[string]any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, raw := range req.Metadata {
		var v any
		if json.Unmarshal(raw, &v) == nil {
			walk(v)
		}
	}
	return out
}
