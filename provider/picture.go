package provider

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"maps"
	"slices"
	"strings"

	"golang.org/x/image/webp"
)

// PictureLimits are what an upstream documents of the images that it takes; what is zero is not
// documented. They are held against images that stand in the request itself. Those behind a URL are
// the upstream's to judge: nothing is fetched to check them.
type PictureLimits struct {
	Bytes int64    // at most
	Types []string // "image/png"
	Side  int      // pixels that each side has at least
	Ratio float64  // how many times the shorter side the longer one is at most
}

// pictureHead is how much of an image is decoded to find its sides, in bytes of base64: its header,
// behind whatever a camera has written before it.
const pictureHead = 512 << 10

// pictures are the types whose heads are read: how their base64 begins, and what reads them.
var pictures = []struct {
	begins, contentType string
	config              func(*bytes.Reader) (image.Config, error)
}{
	{"iVBORw0KGgo", "image/png", func(r *bytes.Reader) (image.Config, error) { return png.DecodeConfig(r) }},
	{"/9j/", "image/jpeg", func(r *bytes.Reader) (image.Config, error) { return jpeg.DecodeConfig(r) }},
	{"UklGR", "image/webp", func(r *bytes.Reader) (image.Config, error) { return webp.DecodeConfig(r) }},
	{"R0lGOD", "image/gif", nil},
}

// Check holds the images within the values of some metadata keys against the limits.
func (l PictureLimits) Check(metadata map[string]json.RawMessage, keys ...string) *Error {
	for _, key := range keys {
		var value any
		if raw, ok := metadata[key]; ok && json.Unmarshal(raw, &value) == nil {
			if err := l.walk("input.metadata."+key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l PictureLimits) walk(field string, value any) *Error {
	switch v := value.(type) {
	case string:
		return l.inline(field, v)
	case []any:
		for i, inner := range v {
			if err := l.walk(fmt.Sprintf("%s[%d]", field, i), inner); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := l.walk(field+"."+key, v[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// inline checks a data URI, or bare base64 that begins as an image does. Other text is no image, and
// what cannot be read is left to the upstream.
func (l PictureLimits) inline(field, text string) *Error {
	contentType, content := "", text
	if head, rest, ok := strings.Cut(text, ";base64,"); ok && len(head) < 100 && strings.HasPrefix(head, "data:image/") {
		declared, _, _ := strings.Cut(strings.TrimPrefix(head, "data:"), ";")
		contentType, content = strings.ToLower(declared), rest
		if contentType == "image/jpg" {
			contentType = "image/jpeg"
		}
	}
	var config func(*bytes.Reader) (image.Config, error)
	for _, p := range pictures {
		if strings.HasPrefix(content, p.begins) {
			contentType, config = p.contentType, p.config
		}
	}
	switch size := int64(base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(content, "=")))); {
	case contentType == "":
		return nil
	case len(l.Types) > 0 && !slices.Contains(l.Types, contentType):
		return Errorf(Invalid, "%s must be of %s", field, typesText(l.Types))
	case l.Bytes > 0 && size > l.Bytes:
		return Errorf(Invalid, "%s must be an image of at most %d MB", field, l.Bytes>>20)
	case config == nil:
		return nil
	}
	head := content[:min(len(content), pictureHead)]
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(head[:len(head)&^3], "="))
	if err != nil {
		return nil
	}
	shown, err := config(bytes.NewReader(raw))
	if err != nil || shown.Width <= 0 || shown.Height <= 0 {
		return nil
	}
	short, long := min(shown.Width, shown.Height), max(shown.Width, shown.Height)
	switch {
	case short < l.Side:
		return Errorf(Invalid, "%s must be an image of at least %d pixels a side; it has %d × %d", field, l.Side, shown.Width, shown.Height)
	case l.Ratio > 0 && float64(long) > l.Ratio*float64(short):
		return Errorf(Invalid, "%s must be an image between 1:%g and %g:1; it has %d × %d", field, l.Ratio, l.Ratio, shown.Width, shown.Height)
	}
	return nil
}

// CheckMetadataSize wants a request's metadata to leave room within the largest body that an upstream
// takes, in bytes: files inside it make a body large, and nothing else does.
func CheckMetadataSize(metadata map[string]json.RawMessage, most int64) *Error {
	var size int64
	for _, raw := range metadata {
		size += int64(len(raw))
	}
	if size > most {
		return Errorf(Invalid, "input.metadata must be smaller: the upstream takes at most %d MB in all", most>>20)
	}
	return nil
}
