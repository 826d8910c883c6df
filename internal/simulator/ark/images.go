package ark

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// imageSubmission is the body of an image call.
type imageSubmission struct {
	Model          string          `json:"model"`
	Prompt         string          `json:"prompt"`
	Image          json.RawMessage `json:"image"`
	Size           string          `json:"size"`
	Seed           *int64          `json:"seed"`
	Guidance       *float64        `json:"guidance_scale"`
	ResponseFormat string          `json:"response_format"`
	Stream         bool            `json:"stream"`
	Watermark      *bool           `json:"watermark"`
	OutputFormat   string          `json:"output_format"`
	Sequential     string          `json:"sequential_image_generation"`
	Options        struct {
		MaxImages *int `json:"max_images"`
	} `json:"sequential_image_generation_options"`

	orders     orders
	references []string
	count      int
	width      int
	height     int
}

// maxCallImages is how many images a call may have, sources and results together.
const maxCallImages = 15

// images is POST /images/generations. It is answered when the images are made.
func (s *Simulator) images(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *counts) { c.imageCalls++ })
	var in imageSubmission
	if err := readBody(w, r, &in); err != nil {
		return err
	}
	if err := s.admit(a, in.Model, imageModels); err != nil {
		return err
	}
	if err := in.understand(r.Header); err != nil {
		return err
	}
	if err := s.refused(a, in.Prompt, in.orders); err != nil {
		return err
	}
	if in.orders.drop == "before" {
		simulator.Abort()
	}
	if simulator.Hold(r.Context(), s.clock, or(in.orders.time, s.cfg.ImageTime)) != nil {
		simulator.Abort() // the caller has left
	}
	answer, err := s.makeImages(r, &in)
	if err != nil {
		return err
	}
	if err := s.after(r.Context(), in.orders); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (in *imageSubmission) understand(h http.Header) error {
	if strings.TrimSpace(in.Prompt) == "" {
		return missing("prompt")
	}
	var err error
	if in.orders, in.Prompt, err = readOrders(h, in.Prompt); err != nil {
		return err
	}
	if err := in.readSources(); err != nil {
		return err
	}
	for field, c := range map[string]struct {
		value string
		words []string
	}{
		"response_format":             {in.ResponseFormat, []string{"", "url", "b64_json"}},
		"output_format":               {in.OutputFormat, []string{"", "png", "jpeg"}},
		"sequential_image_generation": {in.Sequential, []string{"", "auto", "disabled"}},
	} {
		if !slices.Contains(c.words, c.value) {
			return invalid(field, "unknown value")
		}
	}
	old, latest := strings.HasPrefix(generation(in.Model), "3-"), strings.HasPrefix(generation(in.Model), "5-")
	switch {
	case in.Seed != nil && !old:
		return invalid("seed", "not supported by this model")
	case in.Guidance != nil && !old:
		return invalid("guidance_scale", "not supported by this model")
	case in.OutputFormat != "" && !latest:
		return invalid("output_format", "not supported by this model")
	}
	in.count = 1
	if in.Sequential == "auto" {
		in.count = maxCallImages - len(in.references)
		if n := in.Options.MaxImages; n != nil {
			if *n < 1 || *n > maxCallImages {
				return invalid("sequential_image_generation_options.max_images", "must be within [1, 15]")
			}
			in.count = *n
		}
		if in.count+len(in.references) > maxCallImages {
			return invalid("sequential_image_generation_options.max_images", "there are more than 15 images")
		}
	}
	if in.Stream {
		return invalid("stream", "the simulator does not stream")
	}
	return in.readSize()
}

func (in *imageSubmission) readSources() error {
	if len(in.Image) == 0 || string(in.Image) == "null" {
		return nil
	}
	var one string
	if json.Unmarshal(in.Image, &one) == nil {
		in.references = []string{one}
	} else if json.Unmarshal(in.Image, &in.references) != nil {
		return invalid("image", "must be a string or an array of strings")
	}
	most := 14
	if generation(in.Model) == "4-0" {
		most = 10
	}
	if len(in.references) > most {
		return invalid("image", fmt.Sprintf("must not be more than %d", most))
	}
	for _, u := range in.references {
		if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "data:image/") {
			return invalid("image", "must be a URL or a data URI")
		}
	}
	return nil
}

var sizePattern = regexp.MustCompile(`^(\d{2,5})x(\d{2,5})$`)

func (in *imageSubmission) readSize() error {
	side := map[string]int{"": 2048, "adaptive": 1024, "1K": 1024, "2K": 2048, "3K": 3072, "4K": 4096}[in.Size]
	in.width, in.height = side, side
	if side > 0 {
		return nil
	}
	m := sizePattern.FindStringSubmatch(in.Size)
	if m == nil {
		return invalid("size", "must be 1K, 2K, 3K, 4K or WxH")
	}
	in.width, _ = strconv.Atoi(m[1])
	in.height, _ = strconv.Atoi(m[2])
	if in.width*in.height > 4096*4096 {
		return invalid("size", "there are too many pixels")
	}
	return nil
}

// imageAnswer is an image call's result.
type imageAnswer struct {
	Model   string      `json:"model"`
	Created int64       `json:"created"`
	Data    []imageItem `json:"data"`
	Usage   struct {
		GeneratedImages int   `json:"generated_images"`
		OutputTokens    int64 `json:"output_tokens"`
		TotalTokens     int64 `json:"total_tokens"`
	} `json:"usage"`
}

// imageItem is one image, or why there is none.
type imageItem struct {
	URL   string   `json:"url,omitempty"`
	Bytes string   `json:"b64_json,omitempty"`
	Size  string   `json:"size,omitempty"`
	Error *Failure `json:"error,omitempty"`
}

// makeImages draws, notes the call, and makes the answer. Only images that were made are
// billed. Images that were refused stand among those that were made.
func (s *Simulator) makeImages(r *http.Request, in *imageSubmission) (*imageAnswer, error) {
	now := s.clock.Now()
	out := &imageAnswer{Model: in.Model, Created: now.Unix()}
	seed := randomSeed()
	if in.Seed != nil && *in.Seed >= 0 {
		seed = *in.Seed
	}
	made := ImageCall{Model: in.Model, Prompt: in.Prompt, At: now, Watermark: in.Watermark == nil || *in.Watermark, References: in.references}
	format := "jpeg"
	if in.OutputFormat == "png" {
		format = "png"
	}
	id := "img-" + strings.TrimPrefix(newID(now), "cgt-")
	for i := range in.count {
		code := in.orders.fail
		if i < in.orders.bad {
			code = "OutputImageSensitiveContentDetected"
		}
		if code != "" {
			out.Data = append(out.Data, imageItem{Error: &Failure{code, "the image was not made, as asked"}})
			continue
		}
		d := drawing{Prompt: in.Prompt, Model: in.Model, Seed: seed, Index: i, Count: in.count, References: in.references, Width: in.width, Height: in.height, Format: format, made: now}
		item := imageItem{Size: fmt.Sprintf("%dx%d", in.width, in.height)}
		if in.ResponseFormat == "b64_json" {
			content, err := s.files.draw(r.Context(), &d)
			if err != nil {
				return nil, err
			}
			item.Bytes = base64.StdEncoding.EncodeToString(content)
		} else {
			name := fmt.Sprintf("%s-%d.%s", id, i, format)
			s.files.keep(name, &d, now.Add(-s.cfg.URLLife))
			item.URL = s.signer(s.host(r), now)(name)
		}
		out.Data = append(out.Data, item)
		made.Made++
	}
	out.Usage.GeneratedImages = made.Made
	out.Usage.OutputTokens = int64(made.Made) * int64(in.width) * int64(in.height) / 256
	out.Usage.TotalTokens = out.Usage.OutputTokens
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, made)
	return out, nil
}

// ImageCall is one image call that was carried out.
type ImageCall struct {
	Model      string    `json:"model"`
	Prompt     string    `json:"prompt"` // without orders
	References []string  `json:"references,omitempty"`
	Watermark  bool      `json:"watermark"`
	Made       int       `json:"made"` // images
	At         time.Time `json:"at"`
}
