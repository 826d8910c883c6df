package minimax

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// hailuoSubmit is the body of a V1 submit. Keys that are not here are ignored.
type hailuoSubmit struct {
	Model      string  `json:"model"`
	Prompt     string  `json:"prompt"`
	Optimizer  *bool   `json:"prompt_optimizer"`
	Fast       *bool   `json:"fast_pretreatment"`
	Watermark  *bool   `json:"aigc_watermark"`
	Duration   *int    `json:"duration"`
	Resolution *string `json:"resolution"`
	FirstFrame string  `json:"first_frame_image"`
	LastFrame  string  `json:"last_frame_image"`
	Subjects   []struct {
		Type  string   `json:"type"`
		Image []string `json:"image"`
	} `json:"subject_reference"`
	CallbackURL string `json:"callback_url"`
}

// mode is what a submit makes a video from.
type mode string

const (
	fromText    mode = "text"
	fromFrame   mode = "first frame"
	fromFrames  mode = "last frame"
	fromSubject mode = "subject"
)

// hailuoModes are the uses that the reference lists for each model, with the resolutions
// and, for each of those, the lengths that it has there.
var hailuoModes = map[string]map[mode]map[string][]int{
	"MiniMax-Hailuo-2.3": {
		fromText:  {"768P": {6, 10}, "1080P": {6}},
		fromFrame: {"768P": {6, 10}, "1080P": {6}},
	},
	"MiniMax-Hailuo-2.3-Fast": {fromFrame: {"768P": {6, 10}, "1080P": {6}}},
	"MiniMax-Hailuo-02": {
		fromText:   {"768P": {6, 10}, "1080P": {6}},
		fromFrame:  {"512P": {6}, "768P": {6, 10}, "1080P": {6}},
		fromFrames: {"768P": {6, 10}, "1080P": {6}},
	},
	"T2V-01":          {fromText: {"720P": nil}},
	"T2V-01-Director": {fromText: {"720P": nil}},
	"I2V-01":          {fromFrame: {"720P": nil}},
	"I2V-01-Director": {fromFrame: {"720P": nil}},
	"I2V-01-live":     {fromFrame: {"720P": nil}},
	"S2V-01":          {fromSubject: {"720P": nil}},
}

// sides are the pixels of the resolutions, wide.
var sides = map[string][2]int{"480P": {832, 480}, "512P": {912, 512}, "720P": {1280, 720}, "768P": {1366, 768}, "1080P": {1920, 1080}, "2K": {2560, 1440}}

func (h *hailuoSubmit) mode() mode {
	switch {
	case len(h.Subjects) > 0:
		return fromSubject
	case h.LastFrame != "":
		return fromFrames
	case h.FirstFrame != "":
		return fromFrame
	}
	return fromText
}

// understand checks a V1 submit and makes it a job.
func (h *hailuoSubmit) understand() (*job, error) {
	modes, ok := hailuoModes[h.Model]
	if !ok {
		return nil, invalid("model %q is not supported", clip(h.Model))
	}
	use := h.mode()
	switch {
	case utf8.RuneCountInString(h.Prompt) > 2000:
		return nil, invalid("prompt is longer than 2000 characters")
	case use == fromText && strings.TrimSpace(h.Prompt) == "":
		return nil, invalid("prompt is required")
	case modes[use] == nil:
		return nil, invalid("model %s makes no video from a %s", h.Model, use)
	case use == fromSubject && (len(h.Subjects) != 1 || h.Subjects[0].Type != "character" || len(h.Subjects[0].Image) != 1):
		return nil, invalid("subject_reference must be one character with one image")
	case h.CallbackURL != "" && !webURL(h.CallbackURL):
		return nil, invalid("callback_url is not a URL")
	}
	j := &job{version: v1, model: h.Model, prompt: h.Prompt, callbackURL: h.CallbackURL, seconds: 6, resolution: "768P"}
	for _, image := range append(h.images(), h.FirstFrame, h.LastFrame) {
		if image == "" {
			continue
		}
		if !webURL(image) && !strings.HasPrefix(image, "data:image/") {
			return nil, invalid("an image must be a URL or a data URI")
		}
		j.references = append(j.references, image)
	}
	return j, h.measure(j, modes[use])
}

func (h *hailuoSubmit) images() []string {
	if len(h.Subjects) == 0 {
		return nil
	}
	return slices.Clone(h.Subjects[0].Image)
}

// measure settles length and size.
func (h *hailuoSubmit) measure(j *job, lengths map[string][]int) error {
	_, old := lengths["720P"]
	if old {
		j.resolution = "720P"
		if h.Duration != nil {
			return invalid("model %s does not support the parameter duration", h.Model) // seen in practice, not on the page
		}
	}
	if h.Resolution != nil {
		j.resolution = *h.Resolution
	}
	if h.Duration != nil {
		j.seconds = *h.Duration
	}
	allowed, ok := lengths[j.resolution]
	if !ok {
		return invalid("resolution %s is not supported here", clip(j.resolution))
	}
	if !old && !slices.Contains(allowed, j.seconds) {
		return invalid("duration %d is not supported at %s", j.seconds, j.resolution)
	}
	j.width, j.height = sides[j.resolution][0], sides[j.resolution][1]
	return nil
}

func clip(s string) string {
	if len(s) > 40 {
		s = s[:40]
	}
	return strconv.QuoteToASCII(s)
}

func (s *Simulator) submitV1(w http.ResponseWriter, r *http.Request, a *account) error {
	var in hailuoSubmit
	body, err := s.readSubmit(w, r, a.videos, &in)
	if err != nil {
		return err
	}
	j, err := in.understand()
	if err != nil {
		return err
	}
	j.account, j.body = a, body
	return s.take(w, r, j, func() any { return map[string]any{"task_id": j.id, "base_resp": fine} })
}

// v1Words are the words of V1's query. Its callbacks have others.
var v1Words = map[state]string{preparing: "Preparing", queued: "Queueing", running: "Processing", succeeded: "Success", failed: "Fail"}

func (s *Simulator) queryV1(w http.ResponseWriter, r *http.Request, a *account) error {
	s.counts.queries.Add(1)
	now := s.clock.Now()
	var found *job
	var nth int
	if !s.find(r.URL.Query().Get("task_id"), v1, a, func(j *job) {
		j.queries++
		found, nth = j, j.queries
	}) {
		return invalid("task_id is not known")
	}
	st := found.state(now)
	answer := map[string]any{"task_id": found.id, "status": v1Words[st], "base_resp": fine}
	switch st {
	case running:
		if word, ok := found.orders["status"]; ok {
			answer["status"] = word
		}
	case succeeded:
		answer["file_id"], answer["video_width"], answer["video_height"] = found.fileID, found.width, found.height
	case failed:
		answer["base_resp"] = baseResp{found.failure(), codeWords[found.failure()]}
	}
	s.interrupted(w, found, nth, answer)
	return nil
}

// retrieveFile gives a file's address, a new one at each call. The id, a string before, is
// a number here.
func (s *Simulator) retrieveFile(w http.ResponseWriter, r *http.Request, a *account) error {
	s.counts.files.Add(1)
	now := s.clock.Now()
	s.mu.Lock()
	j := s.byFile[r.URL.Query().Get("file_id")]
	s.mu.Unlock()
	if j == nil || j.version != v1 || j.account != a || j.state(now) != succeeded {
		return invalid("file_id is not known")
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"file": map[string]any{
			"file_id": json.Number(j.fileID), "bytes": 0, "created_at": seconds(j.finished), "filename": "output_aigc.mp4",
			"purpose": "video_generation", "download_url": s.address(s.host(r), j.fileID+".mp4", now.Add(s.cfg.URLLife)),
		},
		"base_resp": fine,
	})
	return nil
}

// statusV1 is the body of a V1 callback: the words are not those of the query.
func (j *job) statusV1(st state) map[string]any {
	body := map[string]any{"task_id": j.id, "status": "processing", "base_resp": fine}
	switch st {
	case succeeded:
		body["status"], body["file_id"] = "success", j.fileID
	case failed:
		body["status"], body["base_resp"] = "failed", baseResp{j.failure(), codeWords[j.failure()]}
	}
	return body
}
