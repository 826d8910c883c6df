package minimax

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/provider"
)

// owned are the keys of a body that metadata cannot set: what the gateway decides, and a
// name of the submit API's own that has been read into the duration already.
var owned = []string{"model", "callback_url", "durationSeconds"}

// fields are a body in the making, and the caller's metadata that it began with.
type fields map[string]any

// begin makes a body of the caller's metadata, the model and the callback URL. Whatever is
// put in afterwards stands behind metadata: a key of the caller's own wins.
func begin(req provider.Request) fields {
	f := fields{}
	for key, value := range req.Metadata {
		if given(req, key) && !slices.Contains(owned, key) {
			f[key] = value
		}
	}
	f["model"] = req.UpstreamModel
	if req.CallbackURL != "" {
		f["callback_url"] = req.CallbackURL
	}
	return f
}

// put sets a key that the caller's metadata has not set.
func (f fields) put(key string, value any) {
	if !f.has(key) {
		f[key] = value
	}
}

func (f fields) has(key string) bool { _, ok := f[key]; return ok }

// word reads a key as a string; false when it is none.
func (f fields) word(key string) (word string, ok bool) {
	switch v := f[key].(type) {
	case string:
		return v, true
	case json.RawMessage:
		return word, json.Unmarshal(v, &word) == nil
	}
	return "", false
}

// whole reads a key as a whole number, also from a string; false when it is none. Huge ones
// come out as the largest of 32 bits, which is out of every range here.
func (f fields) whole(key string) (n int, ok bool) {
	switch v := f[key].(type) {
	case int:
		return v, true
	case json.RawMessage:
		var x float64
		err := json.Unmarshal(bytes.Trim(v, `"`), &x)
		return int(min(max(x, math.MinInt32), math.MaxInt32)), err == nil && x == math.Trunc(x)
	}
	return 0, false
}

// encode writes a value as JSON. URLs stay as they are: "&" is not turned into \u0026,
// which careless servers hand on as it is.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, &provider.Error{Class: provider.Invalid, Message: "input.metadata is not JSON", Err: err}
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

// given tells whether the caller's metadata has a key.
func given(req provider.Request, key string) bool {
	raw, ok := req.Metadata[key]
	return ok && string(raw) != "null"
}

// place names a field as the caller knows it: the metadata key where that was given, else
// the input field that it was made from.
func place(req provider.Request, key, input string) string {
	if given(req, key) || input == "" {
		return "input.metadata." + key
	}
	return input
}

func invalid(field, rule string, args ...any) *provider.Error {
	return provider.Errorf(provider.Invalid, "%s must be %s", field, fmt.Sprintf(rule, args...))
}

// checkText bounds the text that becomes a body's prompt, in characters.
func checkText(req provider.Request, f fields, most int) *provider.Error {
	text, ok := f.word("prompt")
	field := place(req, "prompt", "input.prompt")
	switch {
	case !ok:
		return invalid(field, "a string")
	case utf8.RuneCountInString(text) > most:
		return invalid(field, "at most %d characters", most)
	}
	return nil
}

// checkSwitches wants switches to be true or false where they are given.
func checkSwitches(f fields, keys ...string) *provider.Error {
	for _, key := range keys {
		var on bool
		if raw, ok := f[key].(json.RawMessage); ok && json.Unmarshal(raw, &on) != nil {
			return invalid("input.metadata."+key, "true or false")
		}
	}
	return nil
}

// size is input.size, read.
type size struct {
	w, h   int
	pixels bool // "WxH"; otherwise "W:H"
}

// readSize reads input.size; false when it asks for nothing: empty or "auto".
func readSize(req provider.Request) (s size, asked bool, err *provider.Error) {
	if req.Size == "" || req.Size == "auto" {
		return size{}, false, nil
	}
	i := strings.IndexAny(req.Size, "xX:")
	if i > 0 {
		w, errW := strconv.Atoi(req.Size[:i])
		h, errH := strconv.Atoi(req.Size[i+1:])
		if errW == nil && errH == nil && w > 0 && h > 0 {
			return size{w: w, h: h, pixels: req.Size[i] != ':'}, true, nil
		}
	}
	return size{}, false, invalid("input.size", "WxH in pixels, a ratio such as 16:9, or auto")
}

// step is one resolution that a model offers: its name and its shorter side in pixels.
type step struct {
	name string
	side int
}

// fit picks the smallest step that is not below the size's shorter side, or the largest.
func (s size) fit(steps []step) string {
	for _, st := range steps {
		if st.side >= min(s.w, s.h) {
			return st.name
		}
	}
	return steps[len(steps)-1].name
}

// nearest picks the ratio, of those named "W:H", that comes nearest to the size.
func (s size) nearest(ratios []string) (best string) {
	least := math.Inf(1)
	for _, r := range ratios {
		var w, h float64
		if _, err := fmt.Sscanf(r, "%g:%g", &w, &h); err != nil {
			continue
		}
		if off := math.Abs(math.Log(float64(s.w) / float64(s.h) * h / w)); off < least {
			best, least = r, off
		}
	}
	return best
}

// ratio is the size as one of the named ratios: pixels as the nearest, a ratio as itself.
func (s size) ratio(ratios []string) (string, *provider.Error) {
	if s.pixels {
		return s.nearest(ratios), nil
	}
	if r := fmt.Sprintf("%d:%d", s.w, s.h); slices.Contains(ratios, r) {
		return r, nil
	}
	return "", invalid("input.size", "one of %s, or WxH in pixels", strings.Join(ratios, ", "))
}

// newRequest makes an HTTP request with the account's key.
func newRequest(up provider.Upstream, method, path string, payload []byte) (*http.Request, error) {
	return provider.NewRequest(up, method, path, "Bearer "+up.Account.Settings[SettingAPIKey], payload)
}
