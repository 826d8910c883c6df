package kling

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// fields reads a JSON object with its types as the documents have them, and remembers
// the first thing that is wrong.
type fields struct {
	prefix string // of the names in messages
	m      map[string]json.RawMessage
	bad    **failure
}

func readFields(body []byte) (*fields, *failure) {
	f := &fields{bad: new(*failure)}
	if err := json.Unmarshal(body, &f.m); err != nil || f.m == nil {
		return nil, problem(1200, "the request body is not a JSON object")
	}
	return f, nil
}

func (f *fields) refuse(p *failure) {
	if *f.bad == nil {
		*f.bad = p
	}
}

func (f *fields) illegal(key string) { f.refuse(illegal(f.prefix + key)) }
func (f *fields) lacking(key string) { f.refuse(lacking(f.prefix + key)) }

// has tells whether a field is there and is not null.
func (f *fields) has(key string) bool {
	raw, ok := f.m[key]
	return ok && string(raw) != "null"
}

// read reads a field into a value of its type; false = it is absent or wrong.
func (f *fields) read(key string, into any) bool {
	if !f.has(key) {
		return false
	}
	if json.Unmarshal(f.m[key], into) != nil {
		f.illegal(key)
		return false
	}
	return true
}

// text reads a string of at most so many characters.
func (f *fields) text(key string, most int) (s string) {
	if f.read(key, &s) && utf8.RuneCountInString(s) > most {
		f.illegal(key)
	}
	return s
}

// needed is text that has to be there.
func (f *fields) needed(key string, most int) string {
	s := f.text(key, most)
	if s == "" {
		f.lacking(key)
	}
	return s
}

// word reads one of some words; otherwise when absent.
func (f *fields) word(key, otherwise string, words ...string) string {
	var s string
	if !f.read(key, &s) {
		return otherwise
	}
	if !slices.Contains(words, s) {
		f.illegal(key)
	}
	return s
}

// number reads a number between two; otherwise when absent.
func (f *fields) number(key string, otherwise, least, most float64) float64 {
	var n float64
	if !f.read(key, &n) {
		return otherwise
	}
	if n < least || n > most {
		f.illegal(key)
	}
	return n
}

// whole reads one of some whole numbers, which must not be a string; otherwise when
// absent.
func (f *fields) whole(key string, otherwise int, allowed []int) int {
	var n int
	if !f.read(key, &n) {
		return otherwise
	}
	if !slices.Contains(allowed, n) {
		f.illegal(key)
	}
	return n
}

func (f *fields) flag(key string) (on bool) {
	f.read(key, &on)
	return on
}

// object reads an object; one without fields when absent.
func (f *fields) object(key string) *fields {
	out := &fields{prefix: f.prefix + key + ".", bad: f.bad}
	f.read(key, &out.m)
	return out
}

// list reads a list of objects of at most so many.
func (f *fields) list(key string, most int) (out []*fields) {
	var items []map[string]json.RawMessage
	f.read(key, &items)
	if len(items) > most {
		f.illegal(key)
	}
	for _, m := range items {
		out = append(out, &fields{prefix: f.prefix + key + ".", m: m, bad: f.bad})
	}
	return out
}

// link reads an http or https URL.
func (f *fields) link(key string) string {
	s := f.text(key, 2048)
	if s != "" && !webURL(s) {
		f.illegal(key)
	}
	return s
}

// picture reads an image: a URL, or base64 without a data: prefix.
func (f *fields) picture(key string) string {
	s := f.text(key, 64<<20)
	if strings.HasPrefix(s, "data:") {
		f.illegal(key)
	}
	return s
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// exclude refuses more than one of some things.
func (f *fields) exclude(keys ...string) {
	seen := 0
	for _, key := range keys {
		if f.has(key) {
			seen++
		}
		if seen > 1 {
			f.illegal(key)
			return
		}
	}
}
