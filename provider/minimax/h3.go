package minimax

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora/provider"
)

// The limits of V2, and what is sent where a required field is not given.
const (
	maxH3Prompt     = 7000 // characters
	maxH3Images     = 9    // references
	maxH3Videos     = 3
	maxH3Audios     = 3
	maxH3Seconds    = 15
	maxH3Body       = 64 << 20 // bytes
	defaultH3Length = 5        // seconds; the only length that every use of every model has
)

// h3Ratios are the shapes of V2. Beside them there is "adaptive", which follows the media.
var h3Ratios = []string{"21:9", "16:9", "4:3", "1:1", "3:4", "9:16"}

const adaptive = "adaptive"

// h3Model is what the V2 reference says about a model.
type h3Model struct {
	steps   []step
	seconds int // the shortest clip
	known   bool
}

// h3Steps are the resolutions of V2; a model has some.
var h3Steps = []step{{"480P", 480}, {"768P", 768}, {"2K", 1440}}

func h3Facts(id string) h3Model {
	switch id {
	case "MiniMax-H3":
		return h3Model{known: true, seconds: 4, steps: h3Steps[1:]}
	case "MiniMax-H3-Max":
		return h3Model{known: true, seconds: 5, steps: h3Steps[:2]}
	}
	return h3Model{steps: h3Steps[1:2]}
}

// h3Body builds a V2 submit. Resolution, duration and, for text alone, the ratio are
// required upstream, so they are always sent.
func h3Body(req provider.Request) fields {
	m := h3Facts(req.UpstreamModel)
	f := begin(req)
	content := h3Content(req)
	if content != nil {
		f["content"] = content.entries()
	}
	f.put("resolution", "768P")
	f.put("duration", defaultH3Length)
	shape := "16:9"
	if content.shapes() {
		shape = adaptive
	}
	if s, asked, err := readSize(req); asked && err == nil {
		if s.pixels && !given(req, "resolution") {
			f["resolution"] = s.fit(m.steps)
		}
		// With frames the clip has their shape, whatever is asked.
		if r, err := s.ratio(h3Ratios); err == nil && !content.has("first_frame", "last_frame") {
			shape = r
		}
	}
	f.put("ratio", shape)
	if req.Duration > 0 && !given(req, "duration") {
		f["duration"] = req.Duration
	}
	if n, ok := f.whole("duration"); ok {
		f["duration"] = n
	}
	if r, ok := f.word("resolution"); ok {
		f["resolution"] = strings.ToUpper(r)
	}
	return f
}

// medium is one entry of V2's content.
type medium struct {
	raw json.RawMessage

	Type string `json:"type"`
	Text string `json:"text"`
	Role string `json:"role"`
}

// h3Media is V2's content: the prompt, frames and references.
type h3Media []medium

// entries is the content as it is sent, the caller's own entries as they came.
func (c h3Media) entries() []json.RawMessage {
	list := make([]json.RawMessage, len(c))
	for i, m := range c {
		list[i] = m.raw
	}
	return list
}

func newMedium(typ, role string, value any) medium {
	entry := map[string]any{"type": typ}
	m := medium{Type: typ, Role: role}
	if text, ok := value.(string); ok && typ == "text" {
		entry["text"], m.Text = text, text
	} else {
		entry[typ] = map[string]any{"url": value}
	}
	if role != "" {
		entry["role"] = role
	}
	m.raw, _ = encode(entry) // strings always encode
	return m
}

// h3Content is the caller's own metadata.content, or one made of prompt and images: one
// image is the first frame, two are the first and the last, more are references. Content
// without a text gets the prompt, which the upstream requires. nil = it cannot be read.
func h3Content(req provider.Request) h3Media {
	var content h3Media
	if given(req, "content") {
		var entries []json.RawMessage
		if json.Unmarshal(req.Metadata["content"], &entries) != nil {
			return nil
		}
		for _, entry := range entries {
			m := medium{raw: entry}
			if json.Unmarshal(entry, &m) != nil {
				return nil
			}
			content = append(content, m)
		}
	} else {
		roles := []string{"first_frame", "last_frame"}
		for i, url := range req.Images {
			role := "reference_image"
			if len(req.Images) <= len(roles) {
				role = roles[i]
			}
			content = append(content, newMedium("image_url", role, url))
		}
	}
	if content.count("text") == 0 {
		content = slices.Insert(content, 0, newMedium("text", "", req.Prompt))
	}
	return content
}

func (c h3Media) count(typ string) (n int) {
	for _, m := range c {
		if m.Type == typ {
			n++
		}
	}
	return n
}

// role is what an entry is for. An image without a role is the first frame.
func (m medium) role() string {
	if m.Role == "" && m.Type == "image_url" {
		return "first_frame"
	}
	return m.Role
}

// has tells whether some entry has one of the roles.
func (c h3Media) has(roles ...string) bool {
	return slices.ContainsFunc(c, func(m medium) bool { return slices.Contains(roles, m.role()) })
}

// twice tells whether more than one entry has the role.
func (c h3Media) twice(role string) bool {
	n := 0
	for _, m := range c {
		if m.role() == role {
			n++
		}
	}
	return n > 1
}

// shapes tells whether there is something beside text, which gives the clip its shape.
func (c h3Media) shapes() bool { return len(c) > c.count("text") }

// checkH3 holds a request against the V2 reference.
func checkH3(req provider.Request) *provider.Error {
	s, asked, err := readSize(req)
	if err != nil {
		return err
	}
	content := h3Content(req)
	if err := content.check(req); err != nil {
		return err
	}
	if err := provider.CheckMetadataSize(req.Metadata, maxH3Body); err != nil {
		return err
	}
	if asked && !given(req, "ratio") && !content.has("first_frame", "last_frame") {
		if _, err := s.ratio(h3Ratios); err != nil {
			return err
		}
	}
	f := h3Body(req)
	if err := checkSwitches(f, "aigc_watermark"); err != nil {
		return err
	}
	if err := checkH3Ratio(f, content); err != nil {
		return err
	}
	return h3Facts(req.UpstreamModel).check(req, f)
}

func (c h3Media) check(req provider.Request) *provider.Error {
	const field = "input.metadata.content"
	if c == nil {
		return invalid(field, "a list of objects")
	}
	for _, m := range c {
		if utf8.RuneCountInString(m.Text) > maxH3Prompt {
			return invalid(place(req, "content", "input.prompt"), "at most %d characters", maxH3Prompt)
		}
	}
	frames, references := c.has("first_frame", "last_frame"), c.has("reference_image", "reference_video", "reference_audio")
	switch {
	case frames && references:
		return invalid(field, "either frames or references, not both")
	case c.twice("first_frame") || c.twice("last_frame"):
		return invalid(field, "of at most one first and one last frame")
	case c.has("last_frame") && !c.has("first_frame"):
		return invalid(field, "given a first frame beside the last")
	case c.count("audio_url") > 0 && c.count("image_url")+c.count("video_url") == 0:
		return invalid(field, "given an image or a video beside the audio")
	case c.count("image_url") > maxH3Images:
		return invalid(place(req, "content", "input.images"), "at most %d images", maxH3Images)
	case c.count("video_url") > maxH3Videos:
		return invalid(field, "at most %d videos", maxH3Videos)
	case c.count("audio_url") > maxH3Audios:
		return invalid(field, "at most %d audio clips", maxH3Audios)
	}
	return nil
}

func checkH3Ratio(f fields, content h3Media) *provider.Error {
	ratio, ok := f.word("ratio")
	switch {
	case !ok || ratio != adaptive && !slices.Contains(h3Ratios, ratio):
		return invalid("input.metadata.ratio", "one of %s, %s", adaptive, strings.Join(h3Ratios, ", "))
	case ratio == adaptive && !content.shapes():
		return invalid("input.metadata.ratio", "one of %s: text alone has no shape to adapt to", strings.Join(h3Ratios, ", "))
	}
	return nil
}

// check checks what depends on the model.
func (m h3Model) check(req provider.Request, f fields) *provider.Error {
	if !m.known {
		return nil
	}
	var names []string
	for _, s := range m.steps {
		names = append(names, s.name)
	}
	if r, ok := f.word("resolution"); !ok || !slices.Contains(names, r) {
		return invalid(place(req, "resolution", "input.size"), "one of %s", strings.Join(names, ", "))
	}
	if n, ok := f.whole("duration"); !ok || n < m.seconds || n > maxH3Seconds {
		return invalid(place(req, "duration", "input.duration"), "between %d and %d seconds for %s", m.seconds, maxH3Seconds, req.Model)
	}
	return nil
}
