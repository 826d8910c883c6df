package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/internal/simulator/sandbox/render"
)

// Limits of a submit.
const (
	MaxBody      = 1 << 20 // bytes
	MaxPrompt    = 8000    // characters
	MaxOutputs   = 4       // of n
	MaxImages    = 16
	MaxURL       = 4096 // bytes of a reference or a callback URL
	MaxClientRef = 255  // bytes
)

// spec is a submit that was understood: all that a job's outputs and fate depend
// on. It is what the journal stores.
type spec struct {
	Model       string   `json:"model"`
	Prompt      string   `json:"prompt"`
	Width       int      `json:"width"`
	Height      int      `json:"height"`
	OwnSize     bool     `json:"own_size,omitempty"` // the first reference's, where it can be had
	Seconds     int      `json:"seconds,omitempty"`  // of a video
	Count       int      `json:"count"`
	Seed        int64    `json:"seed"`
	Images      []string `json:"images,omitempty"`
	Format      string   `json:"format"` // png, jpeg or mp4
	CallbackURL string   `json:"callback_url,omitempty"`
	ClientRef   string   `json:"client_ref,omitempty"`
	Options     Options  `json:"options"`
}

func (s *spec) video() bool { return s.Seconds > 0 }

// submission is the body of a submit. Keys that are not here are ignored.
type submission struct {
	Model        string   `json:"model"`
	Prompt       string   `json:"prompt"`
	Size         string   `json:"size"`
	Resolution   string   `json:"resolution"`
	Duration     *number  `json:"duration"`
	N            *int     `json:"n"`
	Seed         *int64   `json:"seed"`
	Images       []string `json:"images"`
	OutputFormat string   `json:"output_format"`
	CallbackURL  string   `json:"callback_url"`
	ClientRef    string   `json:"client_ref"`
	Options      Options  `json:"options"`
}

// number reads whole seconds, as a JSON number or as a string.
type number int

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil {
		return errNumber
	}
	*n = number(v)
	return nil
}

var errNumber = errors.New("duration must be a whole number of seconds")

// understand reads a submit. seed is taken when the caller gives none. Its error
// is a *Problem that names the field.
func understand(body []byte, seed int64) (*spec, error) {
	var in submission
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, unreadable(err)
	}
	out := &spec{
		Model: in.Model, Prompt: in.Prompt, Images: in.Images, CallbackURL: in.CallbackURL,
		ClientRef: in.ClientRef, Options: in.Options, Count: 1, Seed: seed,
	}
	if in.N != nil {
		out.Count = *in.N
	}
	if in.Seed != nil {
		out.Seed = *in.Seed
	}
	for _, check := range []func(*submission, *spec) *Problem{checkText, checkModel, checkSize, checkCounts, checkURLs} {
		if p := check(&in, out); p != nil {
			return nil, p
		}
	}
	if p := out.Options.validate(); p != nil {
		return nil, p
	}
	return out, nil
}

// unreadable says what is wrong with a body, with the field where that is known
// and without quoting it.
func unreadable(err error) *Problem {
	var (
		typed  *json.UnmarshalTypeError
		option *optionError
	)
	switch {
	case errors.As(err, &option):
		return invalid(strings.TrimSuffix("options."+option.name, "."), option.err.Error())
	case errors.As(err, &typed):
		return invalid(typed.Field, "the value has the wrong type")
	case errors.Is(err, errNumber):
		return invalid("duration", errNumber.Error())
	}
	return invalid("", "the body is not the JSON that was expected")
}

func checkText(in *submission, _ *spec) *Problem {
	switch {
	case strings.TrimSpace(in.Prompt) == "":
		return invalid("prompt", "prompt is required")
	case utf8.RuneCountInString(in.Prompt) > MaxPrompt:
		return invalid("prompt", fmt.Sprintf("prompt must be at most %d characters", MaxPrompt))
	case len(in.ClientRef) > MaxClientRef:
		return invalid("client_ref", fmt.Sprintf("client_ref must be at most %d bytes", MaxClientRef))
	}
	return nil
}

func checkModel(in *submission, out *spec) *Problem {
	switch in.Model {
	case ImageModel, ImageCallbackModel:
		out.Format = "jpeg"
		switch in.OutputFormat {
		case "", "jpeg", "jpg":
		case "png":
			out.Format = "png"
		default:
			return invalid("output_format", "output_format must be jpeg or png")
		}
		return nil
	case VideoModel, VideoCallbackModel:
		out.Format, out.Seconds = "mp4", 5
		if in.Duration != nil {
			out.Seconds = int(*in.Duration)
		}
		if out.Seconds < render.MinSeconds || out.Seconds > render.MaxSeconds {
			return invalid("duration", fmt.Sprintf("duration must be between %d and %d seconds", render.MinSeconds, render.MaxSeconds))
		}
		return nil
	case "":
		return invalid("model", "model is required")
	}
	return problem(404, "model_gone", "model", "there is no such model")
}

func checkSize(in *submission, out *spec) (p *Problem) {
	out.Width, out.Height, p = pixelSize(in.Size, in.Resolution, out.video())
	out.OwnSize = (in.Size == "" || in.Size == "auto") && in.Resolution == "" && len(in.Images) > 0 && !out.video()
	return p
}

func checkCounts(_ *submission, out *spec) *Problem {
	most := MaxOutputs
	if out.video() {
		most = 1
	}
	if out.Count < 1 || out.Count > most {
		return invalid("n", fmt.Sprintf("n must be between 1 and %d", most))
	}
	return nil
}

func checkURLs(in *submission, _ *spec) *Problem {
	if len(in.Images) > MaxImages {
		return invalid("images", fmt.Sprintf("images must be at most %d", MaxImages))
	}
	for _, image := range in.Images {
		if !webURL(image) {
			return invalid("images", "images must be http or https URLs")
		}
	}
	if in.CallbackURL != "" && !webURL(in.CallbackURL) {
		return invalid("callback_url", "callback_url must be an http or https URL")
	}
	return nil
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= MaxURL && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
