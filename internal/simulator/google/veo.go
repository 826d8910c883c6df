package google

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// prediction is the body of a Veo submit (sections 2.1 and 2.2).
type prediction struct {
	Instances []struct {
		Prompt     string   `json:"prompt"`
		Image      *veoFile `json:"image"`
		LastFrame  *veoFile `json:"lastFrame"`
		References []struct {
			Image *veoFile `json:"image"`
			Type  string   `json:"referenceType"`
		} `json:"referenceImages"`
	} `json:"instances"`
	Parameters map[string]json.RawMessage `json:"parameters"`
	Webhook    *hook                      `json:"webhookConfig"`
	Labels     json.RawMessage            `json:"labels"`
}

type hook struct {
	URIs      []string `json:"uris"`
	Metadata  any      `json:"userMetadata"`
	Metadata2 any      `json:"user_metadata"`
}

type veoFile struct {
	Bytes []byte `json:"bytesBase64Encoded"` // encoding/json decodes base64
	Type  string `json:"mimeType"`
}

func (f *veoFile) bad() bool { return len(f.Bytes) == 0 || !strings.HasPrefix(f.Type, "image/") }

// vertexOnly are parameters that the Gemini API refuses.
var vertexOnly = []string{"seed", "fps", "generateAudio", "storageUri", "pubsubTopic", "mask", "compressionQuality", "labels", "resizeMode"}

// predict is :predictLongRunning at either back end.
func (s *Simulator) predict(w http.ResponseWriter, r *http.Request, a *Account) error {
	var in prediction
	if f := s.read(w, r, &in); f != nil {
		return f
	}
	vertex := r.PathValue("project") != ""
	model := r.PathValue("model")
	j, f := in.understand(vertex, model)
	if f != nil {
		return f
	}
	j.account, j.model, j.parent = a, model, "models/"+model+"/operations/"
	if vertex {
		j.parent = "projects/" + r.PathValue("project") + "/locations/" + r.PathValue("location") + "/publishers/google/" + j.parent
	}
	if f := s.take(r, j); f != nil {
		return f
	}
	return s.respond(w, r, j, object{"name": j.name()})
}

func (p *prediction) understand(vertex bool, model string) (*job, *failure) {
	if !strings.HasPrefix(model, "veo-") {
		return nil, problem("NOT_FOUND", "models/%s is not found for API version v1beta, or is not supported for predictLongRunning.", model)
	}
	if len(p.Instances) != 1 || strings.TrimSpace(p.Instances[0].Prompt) == "" {
		return nil, invalid("instances", "exactly one with a prompt is wanted")
	}
	one := p.Instances[0]
	j := &job{kind: "veo", prompt: one.Prompt, ratio: "16:9", height: 720, seconds: 8, count: 1, inline: vertex}
	for _, f := range []*veoFile{one.Image, one.LastFrame} {
		if f != nil && f.bad() {
			return nil, invalid("instances[0].image", "not an image in base64")
		} else if f != nil {
			j.files++
		}
	}
	if len(one.References) > 3 {
		return nil, invalid("instances[0].referenceImages", "at most 3")
	}
	for _, ref := range one.References {
		if ref.Image == nil || ref.Image.bad() || ref.Type == "" {
			return nil, invalid("instances[0].referenceImages", "not an image in base64 with a type")
		}
		j.files++
	}
	for key := range p.Parameters {
		if !vertex && slices.Contains(vertexOnly, key) {
			return nil, invalid("parameters."+key, "not supported by this API")
		}
	}
	if f := j.readParameters(p.Parameters, model); f != nil {
		return nil, f
	}
	if vertex && p.Webhook != nil || !vertex && p.Labels != nil {
		return nil, problem("INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name.")
	}
	if p.Webhook != nil && len(p.Webhook.URIs) > 0 {
		j.hook, j.metadata = p.Webhook.URIs[0], p.Webhook.Metadata
	}
	return j, nil
}

func (j *job) readParameters(params map[string]json.RawMessage, model string) *failure {
	var ratio, resolution, place string
	number := func(key string, to *int) bool {
		raw, ok := params[key]
		return !ok || json.Unmarshal(raw, to) == nil // a string is refused
	}
	text := func(key string, to *string) bool {
		raw, ok := params[key]
		return !ok || json.Unmarshal(raw, to) == nil
	}
	switch {
	case !number("durationSeconds", &j.seconds) || strings.HasPrefix(model, "veo-3") && !slices.Contains([]int{4, 6, 8}, j.seconds):
		return invalid("parameters.durationSeconds", "4, 6 or 8")
	case !number("sampleCount", &j.count) || j.count < 1 || j.count > 4:
		return invalid("parameters.sampleCount", "1 to 4")
	case !text("aspectRatio", &ratio) || ratio != "" && ratio != "16:9" && ratio != "9:16":
		return invalid("parameters.aspectRatio", "16:9 or 9:16")
	case !text("resolution", &resolution) || resolution != "" && heights[resolution] == 0:
		return invalid("parameters.resolution", "720p, 1080p or 4k")
	case !text("storageUri", &place) || place != "" && !strings.HasPrefix(place, "gs://"):
		return invalid("parameters.storageUri", "gs://")
	}
	if ratio != "" {
		j.ratio = ratio
	}
	if resolution != "" {
		j.height = heights[resolution]
	}
	if place != "" {
		j.gcs, j.inline = strings.TrimSuffix(place, "/"), false
	}
	return nil
}

var heights = map[string]int{"360p": 360, "720p": 720, "1080p": 1080, "4k": 2160}

// operation is the GET of the Gemini API.
func (s *Simulator) operation(w http.ResponseWriter, r *http.Request, a *Account) error {
	return s.lookAt(w, r, a, "models/"+r.PathValue("model")+"/operations/"+r.PathValue("id"))
}

// fetchOperation is the POST of Vertex.
func (s *Simulator) fetchOperation(w http.ResponseWriter, r *http.Request, a *Account) error {
	var in struct {
		Name string `json:"operationName"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); err != nil || in.Name == "" {
		return invalid("operationName", "is wanted")
	}
	if !strings.Contains(in.Name, "/publishers/google/models/"+r.PathValue("model")+"/operations/") {
		return invalid("operationName", "is of another model")
	}
	return s.lookAt(w, r, a, in.Name)
}

func (s *Simulator) lookAt(w http.ResponseWriter, r *http.Request, a *Account, name string) error {
	id := name[strings.LastIndex(name, "/")+1:]
	return s.look(w, a, id, "veo", func(j *job, now time.Time) any {
		if j.name() != name {
			return object{"name": name, "done": true, "error": object{"code": 5, "message": "not found"}}
		}
		shown := object{"name": name, "metadata": object{"@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningMetadata"}}
		if j.state(now) != "ended" {
			return shown
		}
		shown["done"] = true
		switch code := j.orders.rpcEnd(); {
		case code != 0:
			shown["error"] = object{"code": code, "message": "as ordered"}
		default:
			response := s.predictions(r, j)
			if response == nil {
				return nil
			}
			shown["response"] = response
		}
		return shown
	})
}

// predictions is the response of an operation that ended well, or was filtered.
func (s *Simulator) predictions(r *http.Request, j *job) object {
	vertex := j.account.Project != ""
	wrap := func(inner object) object {
		if vertex {
			return inner
		}
		return object{"@type": "type.googleapis.com/x.PredictLongRunningResponse", "generateVideoResponse": inner}
	}
	switch j.orders.end {
	case "filtered":
		return wrap(object{"raiMediaFilteredCount": j.count, "raiMediaFilteredReasons": []string{"filtered"}})
	case "empty":
		return wrap(object{})
	}
	var list []object
	for i := range j.count {
		item := object{"mimeType": "video/mp4"}
		switch {
		case j.gcs != "":
			item["gcsUri"] = fmt.Sprintf("%s/%s_%d.mp4", j.gcs, j.id, i)
		case j.inline:
			content, err := s.draw(r, j, i)
			if err != nil {
				return nil
			}
			key := "encodedVideo"
			if vertex {
				key = "bytesBase64Encoded"
			}
			item[key] = base64.StdEncoding.EncodeToString(content)
		default:
			item = object{"uri": fmt.Sprintf("%s/v1beta/files/%s-%d:download?alt=media", j.host, j.id, i)}
		}
		if !vertex {
			item = object{"video": item}
		}
		list = append(list, item)
	}
	if vertex {
		return wrap(object{"raiMediaFilteredCount": 0, "videos": list})
	}
	return wrap(object{"generatedSamples": list})
}
