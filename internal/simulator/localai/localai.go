// Package localai is a simulated LocalAI server: its video and image routes as its documents say
// (localai.io, video generation and image generation), with real files and without any model.
//
//	POST /video                    answers when the video is made, with it or with its address
//	GET  /generated-videos/{name}  a video that the server has kept
//	POST /v1/images/generations    answers when the images are made, with their addresses unless base64 is asked for
//	GET  /generated-images/{name}  an image that the server has kept
//
// A caller steers his own call by words in the prompt, "a fox [[time=2s fail]]": time is how long
// it takes, fail answers 500 at its end, drop cuts the connection there, url keeps the file
// although its content was asked for.
package localai

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// Config says how a Simulator behaves; the zero value is ready.
type Config struct {
	Key     string        // that requests must carry; empty = none
	Models  []string      // that are installed; nil = any
	Time    time.Duration // a video takes; 0 = 1 s
	MaxSide int           // of the files that are drawn, in pixels; 0 = as asked
	Clock   simulator.Clock
}

// Simulator is a simulated LocalAI. It is an http.Handler.
type Simulator struct {
	cfg      Config
	mux      *http.ServeMux
	faults   simulator.Faults
	renderer *render.Renderer
	drawing  chan struct{} // one file at a time: drawing keeps a processor busy

	mu    sync.Mutex
	files map[string][]byte
	made  []Made
}

// Made is a video, or a call's images, that were made.
type Made struct {
	ID string
	At time.Time
}

// New starts a Simulator. Close it.
func New(cfg Config) (*Simulator, error) {
	if cfg.Clock == nil {
		cfg.Clock = simulator.SystemClock{}
	}
	if cfg.Time == 0 {
		cfg.Time = time.Second
	}
	renderer, err := render.New()
	if err != nil {
		return nil, err
	}
	s := &Simulator{cfg: cfg, renderer: renderer, drawing: make(chan struct{}, 1), mux: http.NewServeMux(), files: map[string][]byte{}}
	s.mux.Handle("POST /video", s.faults.Wrap("video", cfg.Clock, s.video))
	s.mux.Handle("GET /generated-videos/{name}", s.faults.Wrap("file", cfg.Clock, s.file))
	s.mux.Handle("POST /v1/images/generations", s.faults.Wrap("image", cfg.Clock, s.images))
	s.mux.Handle("GET /generated-images/{name}", s.faults.Wrap("file", cfg.Clock, s.file))
	return s, nil
}

// Close ends nothing that outlives a request. It may be called twice.
func (s *Simulator) Close() error { return nil }

// Faults are the things that go wrong for every call alike. Operations are "video", "image" and "file".
func (s *Simulator) Faults() *simulator.Faults { return &s.faults }

// Made returns what was made so far.
func (s *Simulator) Made() []Made {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.made)
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Bearer " + s.cfg.Key
	if s.cfg.Key != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
		fail(w, http.StatusUnauthorized, "an authentication key is required")
		return
	}
	s.mux.ServeHTTP(w, r)
}

// maxBody bounds a request, with two frames in it.
const maxBody = 64 << 20

// picture says that a frame is left out or an image. A real server fetches what is a URL; this
// one has no network.
func picture(frame string) bool {
	content, err := base64.StdEncoding.DecodeString(frame)
	return err == nil && (len(content) == 0 || strings.HasPrefix(http.DetectContentType(content), "image/"))
}

// video is POST /video.
func (s *Simulator) video(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody)) // whole, so that a caller who leaves is noticed
	var in struct {
		Model, Prompt string
		Width, Height int
		Seconds       string
		Seed          int64
		Format        string `json:"response_format"`
		Start         string `json:"start_image"`
		End           string `json:"end_image"`
	}
	if err != nil || json.Unmarshal(body, &in) != nil || in.Prompt == "" {
		fail(w, http.StatusBadRequest, "bad request")
		return
	}
	for _, frame := range []string{in.Start, in.End} {
		if !picture(frame) {
			fail(w, http.StatusBadRequest, "a frame is not an image in base64")
			return
		}
	}
	orders, ok := s.begin(w, r, in.Model, in.Prompt)
	if !ok {
		return
	}
	content, err := s.draw(r, in.Prompt, in.Model, in.Seed, in.Width, in.Height)
	if err != nil {
		simulator.Abort() // the caller has left, or nothing can be drawn
	}
	s.end(w, r, orders, in.Format == "b64_json" && !orders.Has("url"), "/generated-videos/", ".mp4", content)
}

// maxImages is how many images a call may ask of this server; a real one has no bound.
const maxImages = 10

// images is POST /v1/images/generations.
func (s *Simulator) images(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	var in struct {
		Model, Prompt, Size string
		N                   int
		Seed                int64
		Format              string `json:"response_format"`
	}
	if err != nil || json.Unmarshal(body, &in) != nil || in.Prompt == "" || in.N < 0 || in.N > maxImages {
		fail(w, http.StatusBadRequest, "bad request")
		return
	}
	width, height := 512, 512 // the documented default
	if in.Size != "" {
		if _, err := fmt.Sscanf(in.Size, "%dx%d", &width, &height); err != nil {
			fail(w, http.StatusBadRequest, "invalid value for 'size'")
			return
		}
	}
	orders, ok := s.begin(w, r, in.Model, in.Prompt)
	if !ok {
		return
	}
	most := render.MaxSide
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	scene := render.Scene{Prompt: in.Prompt, Model: in.Model, Seed: in.Seed, Count: max(1, in.N),
		Width: min(max(width, render.MinSide), most), Height: min(max(height, render.MinSide), most)}
	contents := make([][]byte, scene.Count)
	for i := range contents {
		var out bytes.Buffer
		scene.Index = i
		if err := s.renderer.Image(&out, scene, render.PNG); err != nil || r.Context().Err() != nil {
			simulator.Abort() // the caller has left, or nothing can be drawn
		}
		contents[i] = out.Bytes()
	}
	s.end(w, r, orders, in.Format == "b64_json", "/generated-images/", ".png", contents...)
}

// begin refuses a call, or holds it for as long as its files take.
func (s *Simulator) begin(w http.ResponseWriter, r *http.Request, model, prompt string) (orders simulator.Orders, ok bool) {
	if s.cfg.Models != nil && !slices.Contains(s.cfg.Models, model) {
		fail(w, http.StatusNotFound, "model not found")
		return nil, false
	}
	orders = simulator.ReadOrders(r.Header, prompt)
	if err := orders.Check("time", "fail", "drop", "url"); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	if simulator.Hold(r.Context(), s.cfg.Clock, orders.Duration("time", s.cfg.Time)) != nil {
		simulator.Abort()
	}
	return orders, true
}

// end keeps the files of a call and answers it, with them or with their addresses.
func (s *Simulator) end(w http.ResponseWriter, r *http.Request, orders simulator.Orders, inline bool, folder, extension string, contents ...[]byte) {
	id, items := "", make([]any, len(contents))
	s.mu.Lock()
	for i, content := range contents {
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:16])
		if s.files[name+extension] = content; id == "" {
			id = name
		}
		items[i] = map[string]string{"url": "http://" + r.Host + folder + name + extension}
		if inline {
			items[i] = map[string]string{"b64_json": base64.StdEncoding.EncodeToString(content)}
		}
	}
	s.made = append(s.made, Made{id, s.cfg.Clock.Now()})
	s.mu.Unlock()
	switch {
	case orders.Has("drop"):
		simulator.Abort()
	case orders.Has("fail"):
		fail(w, http.StatusInternalServerError, "rpc error: the backend has crashed")
	default:
		answer(w, http.StatusOK, map[string]any{"created": s.cfg.Clock.Now().Unix(), "id": id, "data": items})
	}
}

// file is GET /generated-videos/{name} and /generated-images/{name}.
func (s *Simulator) file(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, ok := s.files[r.PathValue("name")]
	s.mu.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, "not found")
		return
	}
	http.ServeContent(w, r, r.PathValue("name"), time.Time{}, bytes.NewReader(content))
}

func (s *Simulator) draw(r *http.Request, prompt, model string, seed int64, width, height int) ([]byte, error) {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	most := render.MaxVideoSide
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	side := func(n int) int {
		if n == 0 {
			n = 512 // the documented default
		}
		return min(max(n/2*2, render.MinVideoSide), most)
	}
	var out bytes.Buffer
	err := s.renderer.Video(&out, render.Scene{Prompt: prompt, Model: model, Seed: seed, Count: 1, Width: side(width), Height: side(height)}, render.MinSeconds)
	return out.Bytes(), err
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": status, "message": strings.TrimSpace(message), "type": ""}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller who has left needs no answer
}
