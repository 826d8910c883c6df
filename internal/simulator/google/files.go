package google

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// fileLife is how long files are kept (section 2.1).
const fileLife = 48 * time.Hour

// file is GET /v1beta/files/{id}, and with ":download" its content.
func (s *Simulator) file(w http.ResponseWriter, r *http.Request, a *Account) error {
	name, method, download := strings.Cut(r.PathValue("file"), ":")
	j, index, ready, f := s.fileOf(name, a)
	if f != nil {
		return f
	}
	if !download {
		state := "ACTIVE"
		if !ready {
			state = "PROCESSING"
		}
		writeJSON(w, http.StatusOK, object{"name": "files/" + name, "mimeType": "video/mp4", "state": state})
		return nil
	}
	switch {
	case method != "download" || r.URL.Query().Get("alt") != "media":
		return problem("INVALID_ARGUMENT", "alt=media is wanted")
	case !ready:
		return problem("FAILED_PRECONDITION", "The file is not in an ACTIVE state.")
	}
	if f := s.downloaded(j); f != nil {
		return f
	}
	if j.orders.redirect {
		http.Redirect(w, r, j.host+"/cdn/"+name, http.StatusFound)
		return nil
	}
	return s.serve(w, r, j, index)
}

// fileOf finds the job behind a file's name, "job-index".
func (s *Simulator) fileOf(name string, a *Account) (j *job, index int, ready bool, f *failure) {
	id, number, _ := strings.Cut(name, "-")
	index, err := strconv.Atoi(number)
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	j = s.jobs[id]
	if j == nil || a != nil && j.account != a || err != nil || index < 0 || index >= j.count || j.state(now) != "ended" || now.After(j.ends.Add(fileLife)) {
		return nil, 0, false, problem("NOT_FOUND", "Requested entity was not found.")
	}
	return j, index, j.kind != "omni" || !now.Before(j.ready), nil
}

// downloaded counts a download, and refuses it as ordered.
func (s *Simulator) downloaded(j *job) *failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.downloads++
	if j.downloads++; j.downloads <= j.orders.forbid {
		return problem("UNAVAILABLE", "as ordered")
	}
	return nil
}

// cdn is where a redirect leads. It wants no key, and must be given none.
func (s *Simulator) cdn(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("X-Goog-Api-Key") != "" || r.Header.Get("Authorization") != "" {
		return problem("PERMISSION_DENIED", "a key came along")
	}
	j, index, _, f := s.fileOf(r.PathValue("id"), nil)
	if f != nil {
		return f
	}
	return s.serve(w, r, j, index)
}

// object is an object of Cloud Storage.
func (s *Simulator) object(w http.ResponseWriter, r *http.Request, a *Account) error {
	uri := "gs://" + r.PathValue("bucket") + "/" + r.PathValue("object")
	if r.URL.Query().Get("alt") != "media" {
		return problem("INVALID_ARGUMENT", "alt=media is wanted")
	}
	now := s.clock.Now()
	s.mu.Lock()
	var found *job
	index := 0
	for _, j := range s.order {
		for i := range j.count {
			if j.account == a && j.gcs != "" && uri == fmt.Sprintf("%s/%s_%d.mp4", j.gcs, j.id, i) && j.state(now) == "ended" {
				found, index = j, i
			}
		}
	}
	s.mu.Unlock()
	if found == nil {
		return problem("NOT_FOUND", "No such object.")
	}
	if f := s.downloaded(found); f != nil {
		return f
	}
	return s.serve(w, r, found, index)
}

func (s *Simulator) serve(w http.ResponseWriter, r *http.Request, j *job, index int) error {
	content, err := s.draw(r, j, index)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	return nil
}

// draw makes a file; the same job always has the same.
func (s *Simulator) draw(r *http.Request, j *job, index int) ([]byte, error) {
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	width, height := s.pixels(j)
	scene := render.Scene{Prompt: j.prompt, Model: j.model, Index: index, Count: max(j.count, index+1), Width: width, Height: height}
	var out bytes.Buffer
	var err error
	if j.kind == "image" {
		err = s.renderer.Image(&out, scene, render.PNG)
	} else {
		err = s.renderer.Video(&out, scene, min(max(j.seconds, render.MinSeconds), render.MaxSeconds))
	}
	return out.Bytes(), err
}

// pixels are the sides of a job's files, as far as the renderer and Config.MaxSide allow.
func (s *Simulator) pixels(j *job) (width, height int) {
	var a, b int
	if n, _ := fmt.Sscanf(j.ratio, "%d:%d", &a, &b); n != 2 || a <= 0 || b <= 0 {
		a, b = 1, 1
	}
	most := render.MaxVideoSide
	if j.kind == "image" {
		most = render.MaxSide
	}
	if s.cfg.MaxSide > 0 {
		most = min(most, s.cfg.MaxSide)
	}
	width, height = j.height*max(a, b)/b, j.height*max(a, b)/a
	if long := max(width, height); long > most {
		width, height = width*most/long, height*most/long
	}
	even := func(n int) int { return max(n/2*2, render.MinVideoSide) }
	return even(width), even(height)
}
