package kling

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// fileURL is the URL of one of a task's files, or of its copy with a watermark, which is
// there only if it was asked for. It carries its end and a signature over itself.
func (s *Simulator) fileURL(t *task, index int, marked bool) string {
	name := fmt.Sprintf("%s-%d%s", t.id, index, t.extension())
	if marked {
		if !t.marked {
			return ""
		}
		name = "w" + name
	}
	return t.host + "/files/" + name + "?" + s.fileQuery(name, t.ended.Add(s.cfg.URLLife))
}

func (s *Simulator) fileQuery(name string, until time.Time) string {
	expires := strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, s.secret[:])
	mac.Write([]byte(name + " " + expires))
	return "x-kcdn-expires=" + expires + "&pkey=" + hex.EncodeToString(mac.Sum(nil)[:16])
}

func (t *task) extension() string {
	if t.route.images {
		return ".png"
	}
	return ".mp4"
}

// file is GET /files/{name}. Who has the URL may read it until it ends; a page that shows
// it as its own may not.
func (s *Simulator) file(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	id, rest, _ := strings.Cut(strings.TrimPrefix(name, "w"), "-")
	number, _, _ := strings.Cut(rest, ".")
	index, err := strconv.Atoi(number)
	now := s.clock.Now()
	s.mu.Lock()
	t := s.tasks[id]
	ok := err == nil && t != nil && t.over(now) && t.orders.end == "" && index >= 0 && index < t.slots() &&
		r.URL.RawQuery == s.fileQuery(name, t.ended.Add(s.cfg.URLLife)) && now.Before(t.ended.Add(s.cfg.URLLife)) && r.Header.Get("Referer") == ""
	if ok {
		t.downloads++
		s.counts.downloads++
		ok = t.downloads > t.orders.forbid
	}
	s.mu.Unlock()
	if !ok {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	content, err := s.draw(r, t, index)
	if err != nil {
		simulator.Abort() // the caller has left, or nothing can be drawn
	}
	w.Header().Set("Content-Type", map[string]string{".png": "image/png", ".mp4": "video/mp4"}[t.extension()])
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// draw makes a file; the same task always has the same.
func (s *Simulator) draw(r *http.Request, t *task, index int) ([]byte, error) {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	width, height := s.pixels(t)
	scene := render.Scene{
		Prompt: t.prompt, Model: t.model, Seed: t.seed, Index: index, Count: t.slots(), References: t.images, Width: width, Height: height,
	}
	var out bytes.Buffer
	var err error
	if t.route.images {
		err = s.renderer.Image(&out, scene, render.PNG)
	} else {
		err = s.renderer.Video(&out, scene, min(max(t.seconds, render.MinSeconds), render.MaxSeconds))
	}
	return out.Bytes(), err
}

// pixels are the sides of a task's file, as far as the renderer and Config.MaxSide allow.
func (s *Simulator) pixels(t *task) (width, height int) {
	var a, b int
	if n, _ := fmt.Sscanf(t.ratio, "%d:%d", &a, &b); n != 2 || a <= 0 || b <= 0 {
		a, b = 1, 1
	}
	most := render.MaxVideoSide
	if t.route.images {
		most = render.MaxSide
	}
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	width, height = t.short*max(a, b)/b, t.short*max(a, b)/a
	if long := max(width, height); long > most {
		width, height = width*most/long, height*most/long
	}
	even := func(n int) int { return max(n/2*2, render.MinVideoSide) }
	return even(width), even(height)
}
