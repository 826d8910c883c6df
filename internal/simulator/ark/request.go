package ark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxBody is the vendor's limit of a request, in bytes.
const maxBody = 64 << 20

// submission is the body of a video submit.
type submission struct {
	Model            string          `json:"model"`
	Content          []contentItem   `json:"content"`
	CallbackURL      string          `json:"callback_url"`
	ReturnLastFrame  bool            `json:"return_last_frame"`
	ServiceTier      string          `json:"service_tier"`
	ExpiresAfter     *int64          `json:"execution_expires_after"`
	Priority         *int64          `json:"priority"`
	GenerateAudio    *bool           `json:"generate_audio"`
	Draft            bool            `json:"draft"`
	Resolution       string          `json:"resolution"`
	Ratio            string          `json:"ratio"`
	Duration         *int64          `json:"duration"`
	Frames           *int64          `json:"frames"`
	Seed             *int64          `json:"seed"`
	CameraFixed      bool            `json:"camera_fixed"`
	Watermark        bool            `json:"watermark"`
	OutputFormat     string          `json:"output_format"`
	TaskType         string          `json:"omni_reference_task_type"`
	Tools            json.RawMessage `json:"tools"`
	SafetyIdentifier *string         `json:"safety_identifier"`
}

type contentItem struct {
	Type  string   `json:"type"`
	Role  string   `json:"role"`
	Text  *string  `json:"text"`
	Image *address `json:"image_url"`
	Video *address `json:"video_url"`
	Audio *address `json:"audio_url"`
	Draft *struct {
		ID string `json:"id"`
	} `json:"draft_task"`
}

type address struct {
	URL string `json:"url"`
}

// readBody reads a JSON body. Values of a wrong type are refused with the field's name:
// fields of the body are strict.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return refuse("InvalidParameter", "", "the request body is too large or broke off")
	}
	err = json.Unmarshal(raw, into)
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typed):
		return invalid(typed.Field, "the type is wrong")
	case err != nil:
		return refuse("InvalidParameter", "", "the request body is not JSON")
	}
	return nil
}

// generationPattern finds the version in a model's name.
var generationPattern = regexp.MustCompile(`seed(?:ance|ream)-(\d-\d)`)

// generation is a model's version, such as "2-5"; empty for endpoints, which are taken for
// the newest.
func generation(model string) string {
	if m := generationPattern.FindStringSubmatch(model); m != nil {
		return m[1]
	}
	return ""
}

// The names of the two families.
var (
	videoModels = regexp.MustCompile(`seedance`)
	imageModels = regexp.MustCompile(`seedream|seededit`)
)

// checkModel wants a model of the route's family, or an endpoint; "ep-closed-…" is closed.
func checkModel(model string, family *regexp.Regexp, a *account) error {
	switch {
	case model == "":
		return missing("model")
	case strings.HasPrefix(model, "ep-closed"):
		return refuse("InvalidEndpoint.ClosedEndpoint", "model", "the endpoint is closed")
	case slices.Contains(a.Closed, model):
		return refuse("ModelNotOpen", "", "the account has not opened the model")
	case !family.MatchString(model) && !strings.HasPrefix(model, "ep-"):
		return refuse("InvalidEndpointOrModel.NotFound", "", "the model or endpoint does not exist or you do not have access to it")
	}
	return nil
}

// spec is a video submit that was understood.
type spec struct {
	submission
	header     http.Header
	orders     orders
	prompt     string // without orders and text parameters
	references []string
	seconds    int64
	frames     int64 // 0 = the duration counts
	seed       int64
	width      int
	height     int
}

// limits of a generation of models.
var limits = map[string]struct {
	least, most            int64 // seconds
	free                   bool  // -1 leaves the duration to the model
	images, videos, audios int
}{
	"1-0": {2, 12, false, 4, 0, 0},
	"1-5": {4, 12, true, 0, 0, 0},
	"2-0": {4, 15, true, 9, 3, 3},
	"2-5": {4, 30, true, 30, 10, 10},
	"":    {2, 30, true, 30, 10, 10},
}

// understand reads a video submit.
func understand(h http.Header, in submission) (*spec, error) {
	out := &spec{submission: in, header: h}
	for _, check := range []func(*spec) error{checkContent, applyText, checkWords, checkLength, checkNumbers, checkURL} {
		if err := check(out); err != nil {
			return nil, err
		}
	}
	out.width, out.height = dimensions(out.Resolution, out.Ratio)
	return out, nil
}

func checkContent(s *spec) error {
	if len(s.Content) == 0 {
		return missing("content")
	}
	count := map[string]int{}
	var err error
	if s.orders, _, err = readOrders(s.header, ""); err != nil {
		return err
	}
	for i, item := range s.Content {
		field := fmt.Sprintf("content[%d]", i)
		role, where, err := item.read(field)
		if err != nil {
			return err
		}
		if item.Text != nil {
			if s.prompt != "" {
				return invalid(field, "only one text is allowed")
			}
			if s.orders, s.prompt, err = readOrders(s.header, *item.Text); err != nil {
				return err
			}
		}
		if role != "" {
			count[role]++
			s.references = append(s.references, where)
		}
	}
	return checkRoles(count, generation(s.Model))
}

// read returns what an item is for, and where it lies.
func (i contentItem) read(field string) (role, where string, err error) {
	kinds := map[string]struct {
		at      *address
		roles   []string // the first is that of an item without one
		schemes []string
	}{
		"image_url": {i.Image, []string{"first_frame", "last_frame", "reference_image"}, []string{"http", "https", "data", "asset"}},
		"video_url": {i.Video, []string{"reference_video"}, []string{"http", "https", "asset"}},
		"audio_url": {i.Audio, []string{"reference_audio"}, []string{"http", "https", "data", "asset"}},
	}
	kind, ok := kinds[i.Type]
	switch {
	case i.Type == "text":
		if i.Text == nil || strings.TrimSpace(*i.Text) == "" {
			return "", "", missing(field + ".text")
		}
		return "", "", nil
	case i.Type == "draft_task":
		if i.Draft == nil || i.Draft.ID == "" {
			return "", "", missing(field + ".draft_task.id")
		}
		return "", "", nil
	case !ok:
		return "", "", invalid(field+".type", "unknown type")
	case kind.at == nil || kind.at.URL == "":
		return "", "", missing(field + "." + i.Type + ".url")
	}
	u, err := url.Parse(kind.at.URL)
	if err != nil && !strings.HasPrefix(kind.at.URL, "data:") || err == nil && !slices.Contains(kind.schemes, u.Scheme) {
		return "", "", invalid(field+"."+i.Type+".url", "the scheme is not supported")
	}
	role = i.Role
	if role == "" {
		role = kind.roles[0]
	}
	if !slices.Contains(kind.roles, role) {
		return "", "", invalid(field+".role", "unknown role")
	}
	return role, kind.at.URL, nil
}

func checkRoles(count map[string]int, generation string) error {
	limit := limits[generation]
	frames := count["first_frame"] + count["last_frame"]
	refs := count["reference_image"] + count["reference_video"] + count["reference_audio"]
	switch {
	case frames > 0 && refs > 0:
		return constraint("first/last frame content cannot be mixed with reference media content")
	case count["first_frame"] > 1 || count["last_frame"] > 1:
		return constraint("there is more than one first or last frame")
	case count["last_frame"] == 1 && count["first_frame"] == 0:
		return constraint("a last frame needs a first frame")
	case count["reference_audio"] > 0 && count["reference_audio"] == refs:
		return constraint("audio cannot be the only reference")
	case count["reference_image"] > limit.images || count["reference_video"] > limit.videos || count["reference_audio"] > limit.audios:
		return constraint("there are more references than the model takes")
	}
	return nil
}

var textParameters = regexp.MustCompile(`--(\w+)[ =](\S+)`)

// applyText reads the parameters typed in the text. This mode is lenient: what makes no sense
// is ignored. Body fields outrank them.
func applyText(s *spec) error {
	for _, m := range textParameters.FindAllStringSubmatch(s.prompt, -1) {
		number, err := strconv.ParseInt(m[2], 10, 64)
		whole := err == nil
		switch name := m[1]; {
		case (name == "rs" || name == "resolution") && s.Resolution == "":
			s.Resolution = m[2]
		case (name == "rt" || name == "ratio") && s.Ratio == "":
			s.Ratio = m[2]
		case (name == "dur" || name == "duration") && s.Duration == nil && whole:
			s.Duration = &number
		case name == "frames" && s.Frames == nil && whole:
			s.Frames = &number
		case name == "seed" && s.Seed == nil && whole:
			s.Seed = &number
		case name == "wm" || name == "watermark":
			s.Watermark = s.Watermark || m[2] == "true"
		}
	}
	s.prompt = strings.TrimSpace(textParameters.ReplaceAllString(s.prompt, ""))
	return nil
}

func checkWords(s *spec) error {
	if s.Ratio == "" || s.Ratio == "adaptive" || s.Ratio == "keep_ratio" {
		s.Ratio = "16:9"
	}
	if s.Resolution == "" {
		s.Resolution = "720p"
	}
	if s.ServiceTier == "" {
		s.ServiceTier = "default"
	}
	for field, c := range map[string]struct {
		value string
		words []string
	}{
		"resolution":               {s.Resolution, []string{"480p", "720p", "1080p", "4k"}},
		"ratio":                    {s.Ratio, []string{"16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21"}},
		"service_tier":             {s.ServiceTier, []string{"default", "flex"}},
		"output_format":            {s.OutputFormat, []string{"", "mp4", "mov"}},
		"omni_reference_task_type": {s.TaskType, []string{"", "auto", "reference", "edit", "extend"}},
	} {
		if !slices.Contains(c.words, c.value) {
			return invalid(field, "must be one of "+strings.Join(c.words, " "))
		}
	}
	if s.ServiceTier == "flex" && strings.HasPrefix(generation(s.Model), "2") {
		return invalid("service_tier", "the model does not support flex")
	}
	return nil
}

func checkLength(s *spec) error {
	limit := limits[generation(s.Model)]
	s.seconds = 5
	if s.Frames != nil {
		s.frames = *s.Frames
		if s.frames < 29 || s.frames > 289 || (s.frames-25)%4 != 0 {
			return invalid("frames", "must be within [29, 289] and of the form 25 + 4n")
		}
		s.seconds = (s.frames + 12) / 24
		return nil
	}
	if s.Duration == nil || *s.Duration == -1 && limit.free {
		return nil
	}
	if *s.Duration < limit.least || *s.Duration > limit.most {
		return invalid("duration", fmt.Sprintf("must be within [%d, %d]", limit.least, limit.most))
	}
	s.seconds = *s.Duration
	return nil
}

func checkNumbers(s *spec) error {
	expires := int64(172_800)
	if s.ExpiresAfter == nil {
		s.ExpiresAfter = &expires
	}
	switch {
	case *s.ExpiresAfter < 3600 || *s.ExpiresAfter > 259_200:
		return invalid("execution_expires_after", "must be within [3600, 259200]")
	case s.Priority != nil && (*s.Priority < 0 || *s.Priority > 9):
		return invalid("priority", "must be within [0, 9]")
	case s.Seed != nil && (*s.Seed < -1 || *s.Seed > 1<<32-1):
		return invalid("seed", "must be within [-1, 2^32-1]")
	case s.SafetyIdentifier != nil && utf8.RuneCountInString(*s.SafetyIdentifier) > 64:
		return invalid("safety_identifier", "must not be longer than 64 characters")
	}
	if s.Seed != nil && *s.Seed >= 0 {
		s.seed = *s.Seed
	} else {
		s.seed = randomSeed()
	}
	return nil
}

func checkURL(s *spec) error {
	if s.CallbackURL == "" {
		return nil
	}
	if u, err := url.Parse(s.CallbackURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return invalid("callback_url", "must be a URL")
	}
	return nil
}
