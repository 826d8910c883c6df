package ark

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// drawing is all that a file depends on.
type drawing struct {
	Prompt, Model string
	Seed          int64
	Index, Count  int
	References    []string
	Width, Height int
	Seconds       int    // of a clip
	Format        string // mp4, png or jpeg

	made time.Time
}

// files draws on demand and keeps the latest files for a while. What images there are is kept
// here; those of tasks follow from the tasks.
type files struct {
	renderer *render.Renderer
	maxSide  int
	key      []byte // of URL signatures
	busy     *semaphore.Weighted

	mu     sync.Mutex
	images map[string]*drawing
	names  []string // of images, oldest first
	latest []cached
}

type cached struct {
	key     string
	content []byte
}

// keptFiles is how many files are kept once they are drawn: players and broken downloads ask
// for one several times.
const keptFiles = 16

func newFiles(maxSide int) (*files, error) {
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // crypto/rand never fails
	return &files{renderer: renderer, maxSide: maxSide, key: key, busy: semaphore.NewWeighted(2), images: map[string]*drawing{}}, nil
}

// keep remembers an image, and forgets those made before a time.
func (f *files) keep(name string, d *drawing, before time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.names) > 0 && f.images[f.names[0]].made.Before(before) {
		delete(f.images, f.names[0])
		f.names = f.names[1:]
	}
	f.images[name] = d
	f.names = append(f.names, name)
}

func (f *files) image(name string) *drawing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.images[name]
}

// draw makes a file. It waits while others are being drawn, until ctx ends.
func (f *files) draw(ctx context.Context, d *drawing) ([]byte, error) {
	if err := f.busy.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer f.busy.Release(1)
	key := fmt.Sprintf("%+v", *d)
	f.mu.Lock()
	for _, c := range f.latest {
		if c.key == key {
			f.mu.Unlock()
			return c.content, nil
		}
	}
	f.mu.Unlock()
	most, least := render.MaxSide, render.MinSide
	if d.Format == "mp4" {
		most, least = render.MaxVideoSide, render.MinVideoSide
	}
	if f.maxSide > 0 {
		most = min(most, f.maxSide)
	}
	w, h := fit(d.Width, d.Height, least, most)
	scene := render.Scene{Prompt: d.Prompt, Model: d.Model, Seed: d.Seed, Index: d.Index, Count: d.Count, References: d.References, Width: w, Height: h}
	var out bytes.Buffer
	var err error
	if d.Format == "mp4" {
		err = f.renderer.Video(&out, scene, min(max(d.Seconds, render.MinSeconds), render.MaxSeconds))
	} else {
		err = f.renderer.Image(&out, scene, render.Format(d.Format))
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = append(f.latest, cached{key, out.Bytes()})
	f.latest = f.latest[max(0, len(f.latest)-keptFiles):]
	return out.Bytes(), nil
}

// fit scales a picture into the renderer's bounds, with even sides.
func fit(w, h, least, most int) (int, int) {
	longer := max(w, h)
	if longer > most {
		w, h = w*most/longer, h*most/longer
	}
	even := func(side int) int { return max(side, least) / 2 * 2 }
	return even(w), even(h)
}

// signer makes output URLs that expire.
func (s *Simulator) signer(host string, now time.Time) func(name string) string {
	expires := strconv.FormatInt(now.Add(s.cfg.URLLife).Unix(), 10)
	return func(name string) string {
		q := url.Values{"X-Tos-Expires": {expires}, "X-Tos-Signature": {s.files.sign(name, expires)}}
		return host + "/tos/" + name + "?" + q.Encode()
	}
}

func (f *files) sign(name, expires string) string {
	mac := hmac.New(sha256.New, f.key)
	_, _ = mac.Write([]byte(name + "\n" + expires)) // a hash never fails
	return hex.EncodeToString(mac.Sum(nil))
}

var contentTypes = map[string]string{"mp4": "video/mp4", "png": "image/png", "jpeg": "image/jpeg"}

// file is GET /tos/{name}: the object store, which has errors of its own.
func (s *Simulator) file(w http.ResponseWriter, r *http.Request) {
	name, q := r.PathValue("name"), r.URL.Query()
	deny := func(status int, code string) {
		writeJSON(w, status, map[string]string{"Code": code, "Message": "the object store refuses the request"})
	}
	if !hmac.Equal([]byte(q.Get("X-Tos-Signature")), []byte(s.files.sign(name, q.Get("X-Tos-Expires")))) {
		deny(http.StatusForbidden, "SignatureDoesNotMatch")
		return
	}
	if expires, err := strconv.ParseInt(q.Get("X-Tos-Expires"), 10, 64); err != nil || !s.clock.Now().Before(time.Unix(expires, 0)) {
		deny(http.StatusForbidden, "AccessDenied")
		return
	}
	d, broken := s.drawing(name)
	if d == nil {
		deny(http.StatusNotFound, "NoSuchKey")
		return
	}
	content, err := s.files.draw(r.Context(), d)
	if err != nil {
		simulator.Abort()
	}
	w.Header().Set("Content-Type", contentTypes[d.Format])
	if broken {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = io.CopyN(w, bytes.NewReader(content), int64(len(content)/2))
		_ = http.NewResponseController(w).Flush()
		simulator.Abort()
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// drawing finds what a file shows, and whether this download of it is to break off.
func (s *Simulator) drawing(name string) (d *drawing, broken bool) {
	if d := s.files.image(name); d != nil {
		return d, false
	}
	id, format, _ := strings.Cut(name, ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil {
		return nil, false
	}
	if status, _ := t.state(s.clock.Now()); status != succeeded {
		return nil, false
	}
	t.downloads++
	return &drawing{
		Prompt: t.prompt, Model: t.Model, Seed: t.seed, Count: 1, References: t.references,
		Width: t.width, Height: t.height, Seconds: int(t.seconds), Format: format,
	}, t.downloads <= t.orders.broken
}
