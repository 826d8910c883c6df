package google

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// interactionBody is the body of an Omni submit (section 3).
type interactionBody struct {
	Model      string          `json:"model"`
	Background bool            `json:"background"`
	Input      json.RawMessage `json:"input"`
	Format     struct {
		Type       string          `json:"type"`
		Ratio      string          `json:"aspect_ratio"`
		Resolution string          `json:"resolution"`
		Duration   json.RawMessage `json:"duration"`
		Delivery   string          `json:"delivery"`
		GCS        string          `json:"gcs_uri"`
	} `json:"response_format"`
	Config struct {
		Temperature *float64 `json:"temperature"`
		Video       struct {
			Task string `json:"task"`
		} `json:"video_config"`
	} `json:"generation_config"`
	Webhook *hook `json:"webhook_config"`
}

// tasks are the documented ones.
var tasks = []string{"", "text_to_video", "image_to_video", "reference_to_video", "edit", "extend"}

var durationShape = regexp.MustCompile(`^"([0-9]{1,2})s"$`)

// interact is the create. Without background the answer is held for the whole generation.
func (s *Simulator) interact(w http.ResponseWriter, r *http.Request, a *Account) error {
	var in interactionBody
	if f := s.read(w, r, &in); f != nil {
		return f
	}
	j, f := in.understand(r.PathValue("project") != "")
	if f != nil {
		return f
	}
	j.account = a
	if f := s.take(r, j); f != nil {
		return f
	}
	if !in.Background && simulator.Hold(r.Context(), s.clock, j.ends.Sub(j.created)) != nil {
		simulator.Abort()
	}
	return s.respond(w, r, j, s.shown(r, j, s.clock.Now()))
}

func (b *interactionBody) understand(vertex bool) (*job, *failure) {
	j := &job{kind: "omni", model: b.Model, ratio: "16:9", height: 720, seconds: 8, count: 1}
	if !strings.Contains(b.Model, "omni") {
		return nil, problem("NOT_FOUND", "model %s is not found", b.Model)
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
		URI  string `json:"uri"`
		Data []byte `json:"data"`
		MIME string `json:"mime_type"`
	}
	if json.Unmarshal(b.Input, &j.prompt) != nil && json.Unmarshal(b.Input, &parts) != nil {
		return nil, invalid("input", "a string, or a list of parts")
	}
	for _, p := range parts {
		switch {
		case p.Type == "text":
			j.prompt += p.Text
		case (p.Type == "image" || p.Type == "video") && strings.HasPrefix(p.MIME, p.Type+"/") && (p.URI != "" || len(p.Data) > 0):
			j.files++
		default:
			return nil, invalid("input", "a part that is neither text nor a file with its type")
		}
	}
	f := b.Format
	duration := durationShape.FindStringSubmatch(string(f.Duration))
	switch {
	case strings.TrimSpace(j.prompt) == "":
		return nil, invalid("input", "a text is wanted")
	case f.Type != "video":
		return nil, invalid("response_format.type", "video")
	case len(f.Duration) > 0 && duration == nil:
		return nil, invalid("response_format.duration", "a string such as 8s")
	case f.Ratio != "" && f.Ratio != "16:9" && f.Ratio != "9:16":
		return nil, invalid("response_format.aspect_ratio", "16:9 or 9:16")
	case f.Resolution != "" && heights[f.Resolution] == 0:
		return nil, invalid("response_format.resolution", "360p, 720p, 1080p or 4k")
	case !slices.Contains(tasks, b.Config.Video.Task):
		return nil, invalid("generation_config.video_config.task", "one of text_to_video, image_to_video, reference_to_video, edit, extend")
	case b.Config.Temperature != nil && (*b.Config.Temperature < 0 || *b.Config.Temperature > 2):
		return nil, invalid("generation_config.temperature", "between 0 and 2")
	case vertex && f.Delivery == "uri" && !strings.HasPrefix(f.GCS, "gs://"), !vertex && f.GCS != "":
		return nil, invalid("response_format.gcs_uri", "wanted with uri, on Vertex")
	case vertex && b.Webhook != nil:
		return nil, invalid("webhook_config", "not supported by this API")
	}
	if duration != nil {
		j.seconds, _ = strconv.Atoi(duration[1]) // two digits
	}
	if f.Ratio != "" {
		j.ratio = f.Ratio
	}
	if f.Resolution != "" {
		j.height = heights[f.Resolution]
	}
	j.gcs, j.inline = strings.TrimSuffix(f.GCS, "/"), f.Delivery != "uri"
	if b.Webhook != nil && len(b.Webhook.URIs) > 0 {
		j.hook, j.metadata = b.Webhook.URIs[0], b.Webhook.Metadata2
	}
	return j, nil
}

// interaction is the GET.
func (s *Simulator) interaction(w http.ResponseWriter, r *http.Request, a *Account) error {
	return s.look(w, a, r.PathValue("id"), "omni", func(j *job, now time.Time) any { return s.shown(r, j, now) })
}

// shown is an interaction as it is answered; nil = its video cannot be drawn.
func (s *Simulator) shown(r *http.Request, j *job, now time.Time) any {
	s.mu.Lock()
	state := j.state(now)
	s.mu.Unlock()
	out := object{"id": j.id, "object": "interaction", "model": j.model, "created": j.created.UTC().Format(time.RFC3339), "role": "agent"}
	switch state {
	case "queued":
		out["status"] = "queued"
	case "running":
		out["status"] = "in_progress"
		if j.orders.word != "" {
			out["status"] = j.orders.word
		}
	case "cancelled":
		out["status"] = "cancelled"
	case "ended":
		if !s.showEnd(r, j, out) {
			return nil
		}
	}
	return out
}

func (s *Simulator) showEnd(r *http.Request, j *job, out object) bool {
	usage := func(tokens int) {
		out["usage"] = object{"output_tokens_by_modality": []object{{"modality": "text", "tokens": 3}, {"modality": "video", "tokens": tokens}}}
	}
	out["status"] = "completed"
	content := object{"type": "video", "mime_type": "video/mp4"}
	switch end := j.orders.end; {
	case end == "refused":
		content = object{"type": "text", "text": "I cannot help with that."}
		usage(0)
	case end == "billed":
		usage(1234)
		return true
	case end != "":
		out["status"] = end
		if end == "failed" {
			out["error"] = object{"code": "internal", "message": "as ordered"}
		}
		return true
	case j.gcs != "":
		content["uri"] = j.gcs + "/" + j.id + "_0.mp4"
		usage(1234)
	case j.inline:
		file, err := s.draw(r, j, 0)
		if err != nil {
			return false
		}
		content["data"] = base64.StdEncoding.EncodeToString(file)
		usage(1234)
	default:
		content["uri"] = j.host + "/v1beta/files/" + j.id + "-0:download?alt=media"
		usage(1234)
	}
	out["steps"] = []object{
		{"type": "user_input", "content": []object{{"type": "text", "text": j.prompt}}},
		{"type": "model_output", "content": []object{content}},
	}
	return true
}

// cancel ends an interaction that has not ended yet.
func (s *Simulator) cancel(w http.ResponseWriter, r *http.Request, a *Account) error {
	now := s.clock.Now()
	s.mu.Lock()
	j := s.jobs[r.PathValue("id")]
	if j == nil || j.account != a || j.kind != "omni" {
		s.mu.Unlock()
		return problem("NOT_FOUND", "Requested entity was not found.")
	}
	if state := j.state(now); state == "ended" || state == "cancelled" {
		s.mu.Unlock()
		return problem("FAILED_PRECONDITION", "the interaction has ended")
	}
	j.cancelled = now
	s.counts.cancels++
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, s.shown(r, j, now))
	return nil
}

// forget is the DELETE: the record is gone.
func (s *Simulator) forget(w http.ResponseWriter, r *http.Request, a *Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[r.PathValue("id")]; j == nil || j.account != a {
		return problem("NOT_FOUND", "Requested entity was not found.")
	}
	delete(s.jobs, r.PathValue("id"))
	writeJSON(w, http.StatusOK, object{})
	return nil
}
