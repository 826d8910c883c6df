package openai

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// job is a video or a response.
type job struct {
	id         string
	account    *account
	model      string
	prompt     string // without orders
	seconds    int    // of a video
	size       string
	references []string
	format     string
	orders     orders
	created    time.Time
	takes      time.Duration
	stored     bool // of a response
	cancelled  time.Time
	looks      int
	downloads  int
}

// The states of jobs.
const (
	queued    = "queued"
	running   = "in_progress"
	completed = "completed"
	failed    = "failed"
	cancelled = "cancelled"
)

// state is the job's at a time.
func (j *job) state(now time.Time) string {
	age := now.Sub(j.created)
	switch {
	case !j.cancelled.IsZero():
		return cancelled
	case age >= j.takes && j.orders.fail != "":
		return failed
	case age >= j.takes:
		return completed
	case age >= j.takes/5:
		return running
	}
	return queued
}

// word is how the state is shown.
func (j *job) word(state string) string {
	if state == running && j.orders.word != "" {
		return j.orders.word
	}
	return state
}

// progress is in percent.
func (j *job) progress(now time.Time) int {
	if j.takes <= 0 {
		return 100
	}
	return int(max(0, min(100, 100*now.Sub(j.created)/j.takes)))
}

func (j *job) ended() time.Time { return j.created.Add(j.takes) }

// keep remembers a job, and forgets the oldest ended ones beyond Config.Keep.
func (s *Simulator) keep(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[j.id] = j
	s.order = append(s.order, j)
	for s.cfg.Keep > 0 && len(s.order) > s.cfg.Keep && !s.clock.Now().Before(s.order[0].ended()) {
		delete(s.jobs, s.order[0].id)
		s.order = s.order[1:]
	}
}

// find looks a job up for somebody who looks at it, and tells its state then. Jobs of others are
// not there.
func (s *Simulator) find(r *http.Request, a *account) (*job, string, error) {
	now := s.clock.Now()
	s.mu.Lock()
	j := s.jobs[r.PathValue("id")]
	var looks int
	var state string
	if j != nil {
		j.looks++
		looks, state = j.looks, j.state(now)
	}
	s.mu.Unlock()
	if j == nil || j.account.Key != a.Key || j.orders.gone && !now.Before(j.ended()) {
		return nil, "", s.notFound()
	}
	if strings.HasPrefix(j.id, "resp_") && !j.stored && now.Sub(j.created) > s.cfg.ResponseLife {
		return nil, "", s.notFound()
	}
	if looks <= j.orders.busy {
		return nil, "", &problem{status: http.StatusServiceUnavailable, kind: "server_error", message: "The server is busy."}
	}
	return j, state, nil
}

func (s *Simulator) notFound() *problem {
	return &problem{status: http.StatusNotFound, kind: invalidRequest, code: "not_found", message: "Video not found"}
}

// halved tells whether this look at a job is to be answered with half the JSON.
func (s *Simulator) halved(j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return j.looks <= j.orders.busy+j.orders.cut
}

// drawing is all that a file depends on.
type drawing struct {
	prompt, model string
	index, count  int
	references    []string
	size          string
	seconds       int    // 0 = an image
	format        string // of an image
}

// draw makes a file; the same drawing always has the same. Formats that the renderer does not have
// become PNG.
func (s *Simulator) draw(r *http.Request, d drawing) ([]byte, error) {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	least, most, usual := render.MinSide, render.MaxSide, "1024x1024"
	if d.seconds > 0 {
		least, most, usual = render.MinVideoSide, render.MaxVideoSide, "720x1280"
	}
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	w, h := sides(d.size, usual)
	if long := max(w, h); long > most {
		w, h = w*most/long, h*most/long
	}
	even := func(n int) int { return max(n/2*2, least) }
	scene := render.Scene{Prompt: d.prompt, Model: d.model, Index: d.index, Count: max(1, d.count), References: d.references, Width: even(w), Height: even(h)}
	var out bytes.Buffer
	var err error
	switch {
	case d.seconds > 0:
		err = s.renderer.Video(&out, scene, min(d.seconds, render.MaxSeconds))
	case d.format == "jpeg":
		err = s.renderer.Image(&out, scene, render.JPEG)
	default:
		err = s.renderer.Image(&out, scene, render.PNG)
	}
	return out.Bytes(), err
}

// sides reads a size.
func sides(size, usual string) (w, h int) {
	for _, text := range []string{size, usual} {
		if n, _ := fmt.Sscanf(text, "%dx%d", &w, &h); n == 2 && w > 0 && h > 0 {
			return w, h
		}
	}
	return 0, 0
}

func base64Of(content []byte) string { return base64.StdEncoding.EncodeToString(content) }

func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }

// half writes half an answer and cuts the connection.
func half(w http.ResponseWriter, contentType string, content []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:len(content)/2])
	_ = http.NewResponseController(w).Flush()
	simulator.Abort()
}
