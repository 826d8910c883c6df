package sandbox

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

const (
	// pixelsAtOnce bounds the memory of drawing: four bytes a pixel for an image,
	// about ten for a video.
	pixelsAtOnce = render.MaxSide * render.MaxSide
	// galleryBytes bounds what is kept of what was drawn: players and download
	// resumption ask for one file several times.
	galleryBytes = 16 << 20
)

// gallery draws files on demand and keeps the latest for a while.
type gallery struct {
	renderer   *render.Renderer
	references references
	pixels     *semaphore.Weighted

	mu     sync.Mutex
	byKey  map[string]*list.Element
	recent *list.List // of *drawing, latest first
	size   int
}

type drawing struct {
	key     string
	content []byte
}

func newGallery(r *render.Renderer, refs references) *gallery {
	return &gallery{renderer: r, references: refs, pixels: semaphore.NewWeighted(pixelsAtOnce), byKey: map[string]*list.Element{}, recent: list.New()}
}

// get returns the file of a job's output; do not change it. It waits while much
// else is being drawn, until ctx ends.
func (g *gallery) get(ctx context.Context, s *spec, index int) ([]byte, error) {
	scene := render.Scene{
		Prompt: s.Prompt, Model: s.Model, Seed: s.Seed, Index: index, Count: s.Count,
		References: s.Images, Width: s.Width, Height: s.Height, Order: render.Order(s.Options.Image),
	}
	key := fmt.Sprintf("%s %d %t %#v", s.Format, s.Seconds, s.OwnSize, scene)
	if content := g.kept(key); content != nil {
		return content, nil
	}
	weight := int64(s.Width * s.Height)
	switch {
	case s.video():
		weight *= 3
	case len(s.Images) > 0:
		weight = pixelsAtOnce // how large the reference is nobody knows yet
	}
	// Drawing keeps a processor busy: more at once than there are only costs memory.
	weight = max(weight, int64(pixelsAtOnce/max(runtime.GOMAXPROCS(0), 2)))
	if err := g.pixels.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	defer g.pixels.Release(weight)
	if content := g.kept(key); content != nil {
		return content, nil // another request drew it meanwhile
	}
	if !s.video() && len(s.Images) > 0 {
		scene.Reference = g.references.first(ctx, s.Images[0])
	}
	if scene.Reference != nil && s.OwnSize {
		scene.Width, scene.Height = render.OwnSize(scene.Reference)
	}
	var out bytes.Buffer
	var err error
	if s.video() {
		err = g.renderer.Video(&out, scene, s.Seconds)
	} else {
		err = g.renderer.Image(&out, scene, render.Format(s.Format))
	}
	if err != nil {
		return nil, err
	}
	g.keep(key, out.Bytes())
	return out.Bytes(), nil
}

func (g *gallery) kept(key string) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.byKey[key]
	if !ok {
		return nil
	}
	g.recent.MoveToFront(e)
	return e.Value.(*drawing).content
}

func (g *gallery) keep(key string, content []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.byKey[key]; ok || len(key)+len(content) > galleryBytes {
		return
	}
	g.byKey[key] = g.recent.PushFront(&drawing{key, content})
	g.size += len(key) + len(content)
	for g.size > galleryBytes {
		oldest := g.recent.Back()
		d := g.recent.Remove(oldest).(*drawing)
		delete(g.byKey, d.key)
		g.size -= len(d.key) + len(d.content)
	}
}
