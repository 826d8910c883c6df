package openai

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
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
// something else here. Whole numbers that come as text become numbers: upstreams refuse text
// there.
func (b body) pass(metadata map[string]json.RawMessage, owned, numbers []string) {
	for key, value := range metadata {
		if slices.Contains(owned, key) || isNull(value) {
			continue
		}
		b[key] = value
		if n, ok := lenient.Whole(value); ok && slices.Contains(numbers, key) {
			b[key] = n
		}
	}
}

// size says how large an image is to be. A resolution that is no word of ours is left to the upstream.
func (b body) size(req provider.Request) {
	if size := imageSize(req); size != "" {
		b["size"] = size
	}
	if raw, ok := given(req, "resolution"); ok {
		if _, known := areaOf(req); !known {
			b["resolution"] = raw
		}
	}
}

func isNull(raw json.RawMessage) bool {
	text := strings.TrimSpace(string(raw))
	return text == "" || text == "null"
}

// given returns a metadata value that is there and not null.
func given(req provider.Request, key string) (json.RawMessage, bool) {
	raw, ok := req.Metadata[key]
	return raw, ok && !isNull(raw)
}

// wanted is metadata.n, the number of images; 0 = not given.
func wanted(req provider.Request) int {
	raw, ok := given(req, "n")
	if !ok {
		return 0
	}
	n, _ := lenient.Whole(raw)
	return n
}

// maskURL is metadata.mask_url; empty = none.
func maskURL(req provider.Request) string {
	s, _ := lenient.Text(req.Metadata["mask_url"])
	return s
}

// sizeField is where a request says how large its outputs are to be.
func sizeField(req provider.Request) (field, text string, ok bool) {
	if raw, isThere := given(req, "size"); isThere {
		text, ok = lenient.Text(raw)
		return "input.metadata.size", text, ok
	}
	return "input.size", req.Size, true
}

// lengthField is where a request says how long its video is to be; 0 seconds = nowhere.
func lengthField(req provider.Request) (field string, seconds int, ok bool) {
	for _, key := range []string{"seconds", "durationSeconds"} {
		if raw, isThere := given(req, key); isThere {
			seconds, ok = lenient.Whole(raw)
			return "input.metadata." + key, seconds, ok
		}
	}
	return "input.duration", req.Duration, true
}
