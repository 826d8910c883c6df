package minimax

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// h3Submit is the body of a V2 submit.
type h3Submit struct {
	Model       string      `json:"model"`
	Content     []h3Content `json:"content"`
	Resolution  string      `json:"resolution"`
	Duration    *int        `json:"duration"`
	Ratio       string      `json:"ratio"`
	Watermark   *bool       `json:"aigc_watermark"`
	CallbackURL string      `json:"callback_url"`
}

type h3Content struct {
	Type  string    `json:"type"`
	Text  string    `json:"text"`
	Role  string    `json:"role"`
	Image *mediaURL `json:"image_url"`
	Video *mediaURL `json:"video_url"`
	Audio *mediaURL `json:"audio_url"`
}

type mediaURL struct {
	URL string `json:"url"`
}

// h3Models are what the reference lists for each model.
var h3Models = map[string]struct {
	resolutions []string
	shortest    int
}{
	"MiniMax-H3":     {[]string{"768P", "2K"}, 4},
	"MiniMax-H3-Max": {[]string{"480P", "768P"}, 5},
}

// ratios are V2's shapes, as width by height.
var ratios = map[string][2]int{"21:9": {21, 9}, "16:9": {16, 9}, "4:3": {4, 3}, "1:1": {1, 1}, "3:4": {3, 4}, "9:16": {9, 16}}

// roles are the uses of the kinds of content.
var roles = map[string][]string{
	"image_url": {"", "first_frame", "last_frame", "reference_image"}, "video_url": {"reference_video"}, "audio_url": {"reference_audio"},
}

// counted is what a submit's content holds.
type counted struct {
	text       string
	texts      int
	roles      map[string]int
	references []string
}

func (h *h3Submit) count() (*counted, error) {
	c := &counted{roles: map[string]int{}}
	for _, item := range h.Content {
		if item.Type == "text" {
			if strings.TrimSpace(item.Text) != "" {
				c.texts++
				c.text = item.Text
			}
			continue
		}
		media := map[string]*mediaURL{"image_url": item.Image, "video_url": item.Video, "audio_url": item.Audio}[item.Type]
		if media == nil || media.URL == "" {
			return nil, invalid("content has an item of type %s without its address", clip(item.Type))
		}
		if !slices.Contains(roles[item.Type], item.Role) {
			return nil, invalid("content has an item of type %s with the role %s", item.Type, clip(item.Role))
		}
		if !webURL(media.URL) && !strings.HasPrefix(media.URL, "data:") && !strings.HasPrefix(media.URL, "mm_file://") {
			return nil, invalid("content has an address that is no URL")
		}
		role := item.Role
		if role == "" {
			role = "first_frame"
		}
		c.roles[role]++
		c.references = append(c.references, media.URL)
	}
	return c, nil
}

// understand checks a V2 submit and makes it a job.
func (h *h3Submit) understand() (*job, error) {
	m, ok := h3Models[h.Model]
	if !ok {
		return nil, invalid("model %s is not supported", clip(h.Model))
	}
	c, err := h.count()
	if err != nil {
		return nil, err
	}
	frames := c.roles["first_frame"] + c.roles["last_frame"]
	references := c.roles["reference_image"] + c.roles["reference_video"] + c.roles["reference_audio"]
	switch {
	case c.texts == 0:
		return nil, invalid("content must include a non-empty text item (prompt is required)")
	case utf8.RuneCountInString(c.text) > 7000:
		return nil, invalid("text is longer than 7000 characters")
	case frames > 0 && references > 0:
		return nil, invalid("content mixes frames and references")
	case c.roles["first_frame"] > 1 || c.roles["last_frame"] > 1:
		return nil, invalid("content has more than one first or last frame")
	case c.roles["last_frame"] > 0 && c.roles["first_frame"] == 0:
		return nil, invalid("content has a last frame without a first one")
	case c.roles["reference_audio"] > 0 && c.roles["reference_image"]+c.roles["reference_video"] == 0:
		return nil, invalid("content has audio without an image or a video")
	case c.roles["reference_image"] > 9 || c.roles["reference_video"] > 3 || c.roles["reference_audio"] > 3:
		return nil, invalid("content has too many references")
	case !slices.Contains(m.resolutions, h.Resolution):
		return nil, invalid("resolution must be one of %s", strings.Join(m.resolutions, ", "))
	case h.Duration == nil || *h.Duration < m.shortest || *h.Duration > 15:
		return nil, invalid("duration must be %d to 15", m.shortest)
	case h.Ratio != "" && h.Ratio != "adaptive" && ratios[h.Ratio] == [2]int{}:
		return nil, invalid("ratio is not supported")
	case frames+references == 0 && (h.Ratio == "" || h.Ratio == "adaptive"):
		return nil, invalid("ratio is required for text to video, and must not be adaptive")
	case h.CallbackURL != "" && !webURL(h.CallbackURL):
		return nil, invalid("callback_url is not a URL")
	}
	j := &job{
		version: v2, model: h.Model, prompt: c.text, callbackURL: h.CallbackURL, references: c.references,
		resolution: h.Resolution, seconds: *h.Duration, ratio: h.Ratio,
	}
	if frames > 0 || j.ratio == "" || j.ratio == "adaptive" {
		j.ratio = "16:9" // as the image would have it, which nobody fetches here
	}
	short, shape := sides[h.Resolution][1], ratios[j.ratio]
	j.width, j.height = short*shape[0]/min(shape[0], shape[1])&^1, short*shape[1]/min(shape[0], shape[1])&^1
	return j, nil
}

func (s *Simulator) submitV2(w http.ResponseWriter, r *http.Request, a *account) error {
	var in h3Submit
	body, err := s.readSubmit(w, r, a.h3s, &in)
	if err != nil {
		return err
	}
	j, err := in.understand()
	if err != nil {
		return err
	}
	j.account, j.body = a, body
	return s.take(w, r, j, func() any { return map[string]any{"task_id": j.id} })
}

// show is a task as V2 shows it, in answers and callbacks.
func (s *Simulator) show(j *job, st state, now time.Time, host string) map[string]any {
	task := map[string]any{
		"id": j.id, "model": j.model, "status": st.String(), "created_at": seconds(j.created), "updated_at": seconds(now),
		"resolution": j.resolution, "duration": j.seconds, "ratio": j.ratio, "task_type": "generation", "usage": map[string]any{},
	}
	switch st {
	case running:
		if word, ok := j.orders["status"]; ok {
			task["status"] = word
		}
	case succeeded:
		task["content"] = map[string]any{"url": s.address(host, j.fileID+".mp4", now.Add(s.cfg.URLLife))}
		task["usage"] = map[string]any{"total_seconds": j.seconds, "input_seconds": 0, "output_seconds": j.seconds}
	case failed:
		task["error"] = map[string]any{"code": strconv.Itoa(j.failure()), "message": codeWords[j.failure()]}
	}
	return task
}

func unknownTask() error { return refused(2013, "invalid task_id") }

// known tells whether a task is young enough to be shown.
func (s *Simulator) known(j *job, now time.Time) bool { return now.Sub(j.created) < s.cfg.RecordLife }

func (s *Simulator) queryV2(w http.ResponseWriter, r *http.Request, a *account) error {
	s.counts.queries.Add(1)
	now := s.clock.Now()
	var answer map[string]any
	var found *job
	var nth int
	if !s.find(r.PathValue("id"), v2, a, func(j *job) {
		if !s.known(j, now) {
			return
		}
		j.queries++
		found, nth = j, j.queries
		answer = map[string]any{"task": s.show(j, j.state(now), now, s.host(r))}
	}) || found == nil {
		return unknownTask()
	}
	s.interrupted(w, found, nth, answer)
	return nil
}

// listV2 lists the tasks of the last days, the newest first.
func (s *Simulator) listV2(w http.ResponseWriter, r *http.Request, a *account) error {
	s.counts.lists.Add(1)
	q := r.URL.Query()
	page, errPage := positive(q.Get("page_num"), 1)
	size, errSize := positive(q.Get("page_size"), 20)
	if errPage != nil || errSize != nil {
		return invalid("page_num and page_size must be whole numbers from 1")
	}
	now := s.clock.Now()
	items := []any{}
	total := 0
	s.mu.Lock()
	for _, j := range slices.Backward(s.jobs) {
		if j.account != a || j.version != v2 || j.deleted || !s.known(j, now) || !wanted(q, j, now) {
			continue
		}
		if total++; total > (page-1)*size && len(items) < size {
			j.queries++
			items = append(items, s.show(j, j.state(now), now, s.host(r)))
		}
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"items": items, "total": total})
	return nil
}

func positive(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err == nil && n < 1 {
		err = fmt.Errorf("%d is not positive", n)
	}
	return n, err
}

// wanted tells whether a list's filters let a task through.
func wanted(q map[string][]string, j *job, now time.Time) bool {
	for name, value := range map[string]string{"filter.status": j.state(now).String(), "filter.task_ids": j.id, "filter.model": j.model, "filter.task_type": "generation"} {
		if asked := q[name]; len(asked) > 0 && !slices.Contains(asked, value) {
			return false
		}
	}
	return true
}

// deleteV2 cancels a queued task and deletes the record of one that has ended.
func (s *Simulator) deleteV2(w http.ResponseWriter, r *http.Request, a *account) error {
	s.counts.deletes.Add(1)
	now := s.clock.Now()
	action := ""
	var found *job
	if !s.find(r.PathValue("id"), v2, a, func(j *job) {
		switch st := j.state(now); st {
		case preparing, queued:
			j.cancelled, action, found = now, "cancelled", j
		case succeeded, failed:
			j.deleted, action = true, "deleted"
		case running, cancelled:
		}
	}) {
		return unknownTask()
	}
	if action == "" {
		return invalid("the task's status does not allow this")
	}
	if found != nil {
		s.postAt(found, now, now)
	}
	writeJSON(w, http.StatusOK, map[string]any{"task_id": r.PathValue("id"), "action": action, "status": action})
	return nil
}
