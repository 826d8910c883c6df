package openai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	soraSizes    = []string{"", "720x1280", "1280x720"}
	soraProSizes = []string{"", "720x1280", "1280x720", "1024x1792", "1792x1024"}
)

// submitVideo is POST /videos.
func (s *Simulator) submitVideo(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *Stats) { c.Submits++ })
	f, err := readFields(w, r)
	if err != nil {
		return err
	}
	if s.cfg.Dialect == VLLM && !f.form {
		return &problem{status: http.StatusUnprocessableEntity, kind: invalidRequest, param: "prompt", message: "Field required"}
	}
	j := &job{account: a, model: f.text("model"), size: f.text("size")}
	if j.orders, j.prompt, err = readOrders(r.Header, f.text("prompt")); err != nil {
		return err
	}
	if j.prompt == "" {
		return refuse("missing_required_parameter", "prompt", "Missing required parameter: 'prompt'.")
	}
	if err := s.readSeconds(f, j); err != nil {
		return err
	}
	if raw, there := f.values["input_reference"]; there {
		ref, err := imageRef(raw, "input_reference")
		if err != nil {
			return err
		}
		j.references = append(j.references, ref)
	}
	for range f.files["input_reference"] {
		j.references = append(j.references, "a file")
	}
	if err := s.admit(a, j.model, j.prompt, j.orders); err != nil {
		return err
	}
	j.id, j.created, j.takes = newID(map[Dialect]string{Vendor: "video_", SGLang: "", VLLM: "video_gen_"}[s.cfg.Dialect]), s.clock.Now(), or(j.orders.time, s.cfg.VideoTime)
	s.keep(j)
	if err := s.after(r, j.orders); err != nil {
		return err
	}
	if s.cfg.Dialect == Vendor {
		w.Header().Set("openai-poll-after-ms", "2000")
	}
	writeJSON(w, http.StatusOK, s.shownVideo(j, queued, j.created))
	return nil
}

// readSeconds reads the length: a string for the vendor, an integer for SGLang.
func (s *Simulator) readSeconds(f *fields, j *job) error {
	j.seconds = 4
	raw, there := f.values["seconds"]
	sora := strings.HasPrefix(j.model, "sora-2")
	sizes := soraSizes
	if strings.HasPrefix(j.model, "sora-2-pro") {
		sizes = soraProSizes
	}
	if s.cfg.Dialect == Vendor && sora && !slices.Contains(sizes, j.size) {
		return invalid("size", "must be one of "+strings.Join(sizes[1:], ", "))
	}
	if !there {
		return nil
	}
	switch {
	case f.form, s.cfg.Dialect == VLLM:
		j.seconds, _ = strconv.Atoi(strings.Trim(string(raw), `"`))
	case s.cfg.Dialect == SGLang:
		if json.Unmarshal(raw, &j.seconds) != nil {
			return &problem{status: http.StatusUnprocessableEntity, kind: invalidRequest, param: "seconds", message: "Input should be a valid integer"}
		}
	default:
		if !f.isText("seconds") {
			return refuse("invalid_type", "seconds", "Invalid type for 'seconds': expected one of '4', '8', or '12', but got an integer instead.")
		}
		j.seconds, _ = strconv.Atoi(f.text("seconds"))
	}
	if j.seconds < 1 || s.cfg.Dialect == Vendor && sora && j.seconds != 4 && j.seconds != 8 && j.seconds != 12 {
		return invalid("seconds", "must be one of 4, 8, 12")
	}
	return nil
}

// shownVideo is a video as its reads show it.
func (s *Simulator) shownVideo(j *job, state string, now time.Time) map[string]any {
	shown := map[string]any{
		"id": j.id, "object": "video", "model": j.model, "status": j.word(state), "progress": j.progress(now), "created_at": j.created.Unix(),
		"completed_at": nil, "expires_at": nil, "seconds": strconv.Itoa(j.seconds), "size": j.size, "prompt": j.prompt,
		"remixed_from_video_id": nil, "error": nil,
	}
	if s.cfg.Dialect == SGLang && state != completed && state != failed {
		shown["status"], shown["progress"] = queued, 0
	}
	switch state {
	case completed:
		shown["completed_at"], shown["expires_at"] = j.ended().Unix(), j.ended().Add(s.cfg.FileLife).Unix()
		if s.cfg.Dialect == VLLM {
			shown["inference_time_s"], shown["file_name"] = j.takes.Seconds(), j.id+".mp4"
		}
	case failed:
		shown["error"] = map[string]string{"code": j.orders.fail, "message": "the video was not made, as asked"}
	}
	if s.cfg.Dialect != Vendor {
		delete(shown, "prompt")
	}
	return shown
}

// video is GET /videos/{id}.
func (s *Simulator) video(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *Stats) { c.Polls++ })
	j, state, err := s.find(r, a)
	if err != nil {
		return err
	}
	shown := s.shownVideo(j, state, s.clock.Now())
	if s.halved(j) {
		out, _ := json.Marshal(shown)
		half(w, "application/json", out)
	}
	if s.cfg.Dialect == Vendor {
		w.Header().Set("openai-poll-after-ms", "2000")
	}
	writeJSON(w, http.StatusOK, shown)
	return nil
}

// listVideos is GET /videos.
func (s *Simulator) listVideos(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *Stats) { c.Lists++ })
	now := s.clock.Now()
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		limit = 20
	}
	s.mu.Lock()
	list := slices.Clone(s.order)
	s.mu.Unlock()
	if r.URL.Query().Get("order") != "asc" {
		slices.Reverse(list)
	}
	after, begun := r.URL.Query().Get("after"), r.URL.Query().Get("after") == ""
	data, more := []map[string]any{}, false
	for _, j := range list {
		switch {
		case j.account.Key != a.Key || strings.HasPrefix(j.id, "resp_"):
		case !begun:
			begun = j.id == after
		case len(data) == limit:
			more = true
		default:
			data = append(data, s.shownVideo(j, j.state(now), now))
		}
	}
	answer := map[string]any{"object": "list", "data": data, "has_more": more, "first_id": nil, "last_id": nil}
	if len(data) > 0 {
		answer["first_id"], answer["last_id"] = data[0]["id"], data[len(data)-1]["id"]
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// content is GET /videos/{id}/content.
func (s *Simulator) content(w http.ResponseWriter, r *http.Request, a *account) error {
	j, state, err := s.find(r, a)
	if err != nil {
		return err
	}
	if v := r.URL.Query().Get("variant"); v != "" && v != "video" {
		return invalid("variant", "the simulator has videos only")
	}
	s.mu.Lock()
	j.downloads++
	n := j.downloads
	s.mu.Unlock()
	switch {
	case state == failed || j.orders.lost || !s.clock.Now().Before(j.ended().Add(s.cfg.FileLife)):
		return s.notFound()
	case state != completed || n <= j.orders.unready:
		return &problem{status: http.StatusNotFound, kind: invalidRequest, message: "Generation is still in-progress"}
	}
	file, err := s.draw(r, drawing{prompt: j.prompt, model: j.model, references: j.references, size: j.size, seconds: j.seconds})
	if err != nil {
		return err
	}
	if n <= j.orders.unready+j.orders.broken {
		half(w, "video/mp4", file)
	}
	w.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	return nil
}

// deleteVideo is DELETE /videos/{id}. SGLang forgets videos that are being made, too, and goes on
// making them.
func (s *Simulator) deleteVideo(w http.ResponseWriter, r *http.Request, a *account) error {
	j, state, err := s.find(r, a)
	if err != nil {
		return err
	}
	if s.cfg.Dialect != SGLang && state != completed && state != failed {
		return invalid("video_id", "a video that is being made cannot be deleted")
	}
	s.mu.Lock()
	delete(s.jobs, j.id)
	s.stats.Deleted++
	s.mu.Unlock()
	if s.cfg.Dialect == SGLang {
		writeJSON(w, http.StatusOK, map[string]any{"id": j.id, "object": "video", "status": "deleted"})
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": j.id, "object": "video.deleted", "deleted": true})
	return nil
}
