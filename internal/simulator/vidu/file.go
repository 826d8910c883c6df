package vidu

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// fileURL is the URL of one of a task's files: "out", "cover" or "marked". It carries its
// end and a signature over itself, in characters that a client which "normalises" URLs
// would write otherwise.
func (s *Simulator) fileURL(t *task, which string) string {
	name := t.id + "-" + which + "." + extension(t, which)
	return t.host + "/files/" + name + "?" + s.fileQuery(name, t.ended.Add(s.cfg.URLLife))
}

func (s *Simulator) fileQuery(name string, until time.Time) string {
	expires := strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write([]byte(name + " " + expires))
	return "Expires=" + expires + "&Signature=" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) + "%7E&Key-Pair-Id=K2"
}

func extension(t *task, which string) string {
	if t.image() || which == "cover" {
		return "jpg"
	}
	return "mp4"
}

// file is GET /files/{name}. Whoever has the URL may read it, but only exactly that: the
// storage behind it answers 403 to another spelling, and to a key.
func (s *Simulator) file(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	id, rest, _ := strings.Cut(name, "-")
	which, ext, _ := strings.Cut(rest, ".")
	now := s.clock.Now()
	s.mu.Lock()
	s.settle(now)
	t := s.tasks[id]
	ok := t != nil && t.succeeded && ext == extension(t, which) && r.Header.Get("Authorization") == "" &&
		r.URL.RawQuery == s.fileQuery(name, t.ended.Add(s.cfg.URLLife)) && now.Before(t.ended.Add(s.cfg.URLLife))
	if ok {
		t.downloads++
		s.counts.downloads++
		ok = t.downloads > t.orders.forbid
	}
	s.mu.Unlock()
	if !ok {
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		return
	}
	content, err := s.draw(r, t, ext)
	if err != nil {
		simulator.Abort() // the caller has left, or nothing can be drawn
	}
	w.Header().Set("Content-Type", map[string]string{"jpg": "image/jpeg", "mp4": "video/mp4"}[ext])
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// draw makes a file; the same task always has the same.
func (s *Simulator) draw(r *http.Request, t *task, ext string) ([]byte, error) {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	width, height := s.pixels(t)
	scene := render.Scene{
		Prompt: t.Prompt, Model: t.Model + t.Template + t.Story, Seed: t.Seed, Count: 1, References: t.Images, Width: width, Height: height,
	}
	var out bytes.Buffer
	var err error
	if ext == "mp4" {
		err = s.renderer.Video(&out, scene, min(t.Duration, render.MaxSeconds))
	} else {
		err = s.renderer.Image(&out, scene, render.JPEG)
	}
	return out.Bytes(), err
}

// pixels are the sides of a task's file: the resolution is the shorter one, as far as
// the renderer and Config.MaxSide allow.
func (s *Simulator) pixels(t *task) (width, height int) {
	var a, b int
	if n, _ := fmt.Sscanf(t.AspectRatio, "%d:%d", &a, &b); n != 2 || a <= 0 || b <= 0 {
		a, b = 1, 1
	}
	short := map[string]int{"360p": 360, "540p": 540, "720p": 720, "1080p": 1080, "2K": 1440, "4K": 2160}[t.Resolution]
	if short == 0 {
		short = 720
	}
	most := render.MaxVideoSide
	if t.image() {
		most = render.MaxSide
	}
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	width, height = short*max(a, b)/b, short*max(a, b)/a
	if long := max(width, height); long > most {
		width, height = width*most/long, height*most/long
	}
	even := func(n int) int { return max(n/2*2, render.MinVideoSide) }
	return even(width), even(height)
}
