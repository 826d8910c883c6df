package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Sources opens files that a caller named by URL, for upstreams that want bytes instead of
// URLs. It is safe for concurrent use.
type Sources interface {
	// Open returns the file behind an http or https URL and its media type, which is judged by
	// the content ("image/png", "video/mp4", never empty). The file is an image or a video and
	// not larger than an upload of its kind may be; whether the upstream takes its type is the
	// provider's to check. It is all there when Open returns, so that a slow or broken
	// host shows before anything is sent upstream. The caller closes it.
	//
	// Errors are *Error: Invalid for everything that the URL or its host is to blame for,
	// Unavailable where this server is. Their messages are the end of a sentence that begins
	// with the caller's field ("could not be fetched: …") and never hold any of the URL.
	Open(ctx context.Context, url string) (file io.ReadCloser, contentType string, err error)
}

// ImageField names one of a request's images as its caller does: the list is "image", where it was given,
// and then "images". Where repeats have been dropped from that it cannot be told which one it was.
func (r Request) ImageField(i int) string {
	n := len(r.Images)
	switch {
	case n == 1 && r.ImageItems <= 1, i == 0 && r.ImageItems > 0 && r.ImageItems == n-1:
		return "input.image"
	case r.ImageItems > 0 && r.ImageItems == n-1:
		i--
	case r.ImageItems > n:
		return "input.images"
	}
	return fmt.Sprintf("input.images[%d]", i)
}

// OpenSource opens a caller's file, which has to be of one of some types ("image/png"), and names
// the field it stands in ("input.images[1]") where that fails.
func (u Upstream) OpenSource(ctx context.Context, field, url string, types []string) (file io.ReadCloser, contentType string, err error) {
	if u.Sources == nil {
		return nil, "", &Error{Class: Unavailable, Message: field + " could not be fetched", Err: errors.New("provider: the upstream has no sources")}
	}
	file, contentType, err = u.Sources.Open(ctx, url)
	if err == nil && slices.Contains(types, contentType) {
		return file, contentType, nil
	}
	if err == nil {
		refused := Errorf(Invalid, "%s must be of %s", field, typesText(types))
		return nil, "", errors.Join(refused, file.Close())
	}
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Class: Unavailable, Message: "could not be fetched", Err: err}
	}
	named := *known
	named.Message = field + " " + known.Message
	return nil, "", &named
}

func typesText(types []string) string {
	if len(types) == 1 {
		return "the type " + types[0]
	}
	return "one of the types " + strings.Join(types, ", ")
}

// address is what a server might fetch.
var address = regexp.MustCompile(`://|^\s*[A-Za-z][A-Za-z0-9+.-]*:[/\\]`)

// HoldsAddress tells whether a caller's own value is or holds a URL, be it in JSON that it holds as text. A server within
// the operator's network that is passed the value would fetch from where it stands whatever that leads to.
func HoldsAddress(raw json.RawMessage) bool {
	var value any
	return json.Unmarshal(raw, &value) == nil && holdsAddress(value)
}

func holdsAddress(value any) bool {
	switch v := value.(type) {
	case string:
		if address.MatchString(v) {
			return true
		}
		text := strings.TrimSpace(v)
		return text != "" && strings.Contains("{[\"", text[:1]) && HoldsAddress(json.RawMessage(text))
	case []any:
		return slices.ContainsFunc(v, holdsAddress)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), holdsAddress)
	}
	return false
}
