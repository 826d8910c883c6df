package providertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Sink is a provider.Sink that keeps outputs in memory, under the keys "kept-0", "kept-1", ….
type Sink struct {
	mu   sync.Mutex
	kept map[int][]byte
	// Fail, if not nil, is what Keep fails with, as storage does.
	Fail error
}

// Keep implements provider.Sink. It knows pictures and videos by what net/http sniffs.
func (s *Sink) Keep(_ context.Context, i int, r io.Reader) (provider.Output, error) {
	if s.Fail != nil {
		return provider.Output{}, s.Fail
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return provider.Output{}, fmt.Errorf("read output: %w", err)
	}
	typ := http.DetectContentType(b.Bytes())
	kind, _, _ := strings.Cut(typ, "/")
	if kind != "image" && kind != "video" {
		return provider.Output{}, provider.Errorf(provider.Generation, "the output is neither an image nor a video")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[int][]byte{}
	}
	s.kept[i] = b.Bytes()
	return Stored(i, b.Bytes(), typ), nil
}

// Stored is what a Sink returns for its output number i, for a test's expectations.
func Stored(i int, content []byte, contentType string) provider.Output {
	kind, _, _ := strings.Cut(contentType, "/")
	sum := sha256.Sum256(content)
	return provider.Output{Kind: kinora.Kind(kind), Kept: &provider.Kept{
		Key: fmt.Sprintf("kept-%d", i), ContentType: contentType, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
	}}
}

// Kept returns output number i; nil = none was kept.
func (s *Sink) Kept(i int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[i]
}
