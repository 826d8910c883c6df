package minimax

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider"
)

// maxHailuoPrompt is the longest prompt of V1, in characters.
const maxHailuoPrompt = 2000

// hailuoModel is what the V1 reference says about a model.
type hailuoModel struct {
	frames     int  // how many of first and last frame it takes
	needsFrame bool // it makes no video from text alone
	subject    bool // the image is a person to show, not a frame
	// series01 models have one length and refuse the duration field, even with that length.
	series01 bool
	small    bool // it has 512P, from a first frame alone
	known    bool // what it takes is documented, and so can be checked
}

var hailuoModels = map[string]hailuoModel{
	"MiniMax-Hailuo-2.3":      {known: true, frames: 1},
	"MiniMax-Hailuo-2.3-Fast": {known: true, frames: 1, needsFrame: true},
	"MiniMax-Hailuo-02":       {known: true, frames: 2, small: true},
	"T2V-01":                  {known: true, series01: true},
	"T2V-01-Director":         {known: true, series01: true},
	"I2V-01":                  {known: true, series01: true, frames: 1, needsFrame: true},
	"I2V-01-Director":         {known: true, series01: true, frames: 1, needsFrame: true},
	"I2V-01-live":             {known: true, series01: true, frames: 1, needsFrame: true},
	"S2V-01":                  {known: true, series01: true, subject: true},
}

// hailuoFacts returns what is known of a model; an id that nobody documented gets what its
// name promises, and nothing is held against it.
func hailuoFacts(id string) hailuoModel {
	if m, ok := hailuoModels[id]; ok {
		return m
	}
	return hailuoModel{
		frames:   2,
		subject:  strings.HasPrefix(strings.ToUpper(id), "S2V-"),
		series01: strings.HasSuffix(id, "-01") || strings.Contains(id, "-01-"),
	}
}

// hailuoBody builds a V1 submit.
func hailuoBody(req provider.Request) fields {
	m := hailuoFacts(req.UpstreamModel)
	f := begin(req)
	f.put("prompt", req.Prompt)
	switch {
	case m.subject && len(req.Images) > 0:
		f.put("subject_reference", []any{map[string]any{"type": "character", "image": req.Images[:1]}})
	case !m.subject:
		for i, key := range []string{"first_frame_image", "last_frame_image"} {
			if i < len(req.Images) {
				f.put(key, req.Images[i])
			}
		}
	}
	if r, ok := f.word("resolution"); ok {
		f["resolution"] = strings.ToUpper(r)
	}
	if m.series01 {
		delete(f, "duration")
		return f
	}
	if req.Duration > 0 {
		f.put("duration", req.Duration)
	}
	if n, ok := f.whole("duration"); ok {
		f["duration"] = n // also where it came as a string
	}
	if s, asked, err := readSize(req); asked && err == nil && s.pixels {
		f.put("resolution", s.fit(m.steps(f)))
	}
	return f
}

// hailuoSteps are the resolutions of V1. The first one is for short videos from a first frame alone.
var hailuoSteps = []step{{"512P", 512}, {"768P", 768}, {"1080P", 1080}}

// steps are the resolutions that a model offers for a body.
func (m hailuoModel) steps(f fields) []step {
	long, _ := f.whole("duration")
	if m.small && long != 10 && f.has("first_frame_image") && !f.has("last_frame_image") {
		return hailuoSteps
	}
	return hailuoSteps[1:]
}

// frameLimits are those of V1's frames, whose sides are above 300 pixels.
var frameLimits = provider.PictureLimits{Bytes: 20 << 20, Types: []string{"image/png", "image/jpeg", "image/webp"}, Side: 301, Ratio: 2.5}

// checkHailuo holds a request against the V1 reference.
func checkHailuo(req provider.Request) *provider.Error {
	f := hailuoBody(req)
	if _, _, err := readSize(req); err != nil {
		return err
	}
	if err := checkText(req, f, maxHailuoPrompt); err != nil {
		return err
	}
	if err := checkSwitches(f, "prompt_optimizer", "fast_pretreatment", "aigc_watermark"); err != nil {
		return err
	}
	if err := frameLimits.Check(req.Metadata, "first_frame_image", "last_frame_image"); err != nil {
		return err
	}
	m := hailuoFacts(req.UpstreamModel)
	if !m.known {
		return nil
	}
	if err := m.checkImages(req, f); err != nil {
		return err
	}
	return m.checkLength(req, f)
}

func (m hailuoModel) checkImages(req provider.Request, f fields) *provider.Error {
	most := m.frames
	if m.subject {
		most = 1
	}
	switch {
	case len(req.Images) > most && most == 0, m.frames == 0 && f.has("first_frame_image"):
		return invalid(place(req, "first_frame_image", "input.images"), "absent: %s takes no frames", req.Model)
	case len(req.Images) > most:
		return invalid("input.images", "at most %d for %s", most, req.Model)
	case m.frames < 2 && f.has("last_frame_image"):
		return invalid("input.metadata.last_frame_image", "absent: %s takes no last frame", req.Model)
	case m.needsFrame && !f.has("first_frame_image"):
		return invalid("input.image", "given: %s begins with it", req.Model)
	case m.subject && !f.has("subject_reference"):
		return invalid("input.image", "given: %s shows the person in it", req.Model)
	}
	if raw, ok := f["subject_reference"].(json.RawMessage); ok && m.subject {
		var list []struct {
			Image []string `json:"image"`
		}
		if json.Unmarshal(raw, &list) != nil || len(list) != 1 || len(list[0].Image) != 1 {
			return invalid("input.metadata.subject_reference", `one entry with one image, as in [{"type":"character","image":["https://…"]}]`)
		}
	}
	return nil
}

// checkLength checks duration and resolution, which depend on each other. Of the 01 series
// the reference's own tables disagree about resolutions, so that those pass.
func (m hailuoModel) checkLength(req provider.Request, f fields) *provider.Error {
	length := place(req, "duration", "input.duration")
	if m.series01 {
		asked := begin(req)
		if req.Duration > 0 {
			asked.put("duration", req.Duration)
		}
		if n, ok := asked.whole("duration"); asked.has("duration") && (!ok || n != 6) {
			return invalid(length, "6 seconds for %s", req.Model)
		}
		return nil
	}
	resolution := "768P"
	if f.has("resolution") {
		var names []string
		for _, s := range m.steps(f) {
			names = append(names, s.name)
		}
		var ok bool
		if resolution, ok = f.word("resolution"); !ok || !slices.Contains(names, resolution) {
			rule := "one of " + strings.Join(names, ", ")
			if resolution == "512P" && m.small {
				rule += ": 512P is for 6 seconds from a first frame alone"
			}
			return invalid(place(req, "resolution", "input.size"), "%s", rule)
		}
	}
	if !f.has("duration") {
		return nil
	}
	switch n, ok := f.whole("duration"); {
	case !ok || n != 6 && n != 10:
		return invalid(length, "6 or 10 seconds")
	case n == 10 && resolution != "768P":
		return invalid(length, "6 seconds at %s", resolution)
	}
	return nil
}
