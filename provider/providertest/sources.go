package providertest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/kinora/kinora/provider"
)

// Sources is a provider.Sources of files in memory, by URL. It knows their types by what
// net/http sniffs.
type Sources map[string][]byte

// Open implements provider.Sources.
func (s Sources) Open(_ context.Context, url string) (io.ReadCloser, string, error) {
	content, ok := s[url]
	if !ok {
		return nil, "", provider.Errorf(provider.Invalid, "could not be fetched: its server answered with status 404")
	}
	typ := http.DetectContentType(content)
	if !strings.HasPrefix(typ, "image/") && !strings.HasPrefix(typ, "video/") {
		return nil, "", provider.Errorf(provider.Invalid, "must be an image or a video")
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(content), io.NopCloser(nil)}, typ, nil
}
