package comfyui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// What ComfyUI's own nodes take.
const (
	maxSide  = 16384 // pixels
	sideStep = 8     // a latent's pixel is eight of a picture's
	maxCount = 64    // of a batch
)

// Validate implements provider.Provider. What the nodes themselves want is the server's to
// say, before it runs anything.
func (c *ComfyUI) Validate(req provider.Request) error {
	w, err := c.workflow(req)
	if err != nil {
		return err
	}
	if len(req.Images) > w.images {
		return tooMany(w.images)
	}
	names := make([]string, len(req.Images))
	_, err = w.values(req, names)
	return err
}

// tooMany refuses more images than a workflow has places for.
func tooMany(places int) *provider.Error {
	switch places {
	case 0:
		return provider.Errorf(provider.Invalid, "input.images must be absent: the model takes no image")
	case 1:
		return provider.Errorf(provider.Invalid, "input.images must be at most one image for this model")
	}
	return provider.Errorf(provider.Invalid, "input.images must be at most %d images for this model", places)
}

func (c *ComfyUI) workflow(req provider.Request) (*Workflow, error) {
	if w := c.workflows[req.UpstreamModel]; w != nil {
		return w, nil
	}
	return nil, provider.Errorf(provider.ModelGone, "there is no workflow of the model's name")
}

// values are what a request puts into a workflow, where images are the names under which the
// server knows them. Its error names the caller's field.
func (w *Workflow) values(req provider.Request, images []string) (map[string]any, error) {
	values := map[string]any{"prompt": req.Prompt, "seed": seedOf(req.ClientRef), "n": 1}
	for i, name := range images {
		values[imageName(i+1)] = name
	}
	if err := w.size(req.Size, values); err != nil {
		return nil, err
	}
	if req.Duration > 0 {
		values["duration"] = req.Duration
	}
	for _, key := range slices.Sorted(maps.Keys(req.Metadata)) {
		if err := w.metadata(key, req.Metadata[key], values); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.places)) {
		if _, ok := values[name]; !ok && w.places[name].required {
			return nil, provider.Errorf(provider.Invalid, "%s is required", fieldOf(name))
		}
	}
	return values, nil
}

// metadata takes one key of the caller's metadata: a number that has a name of its own, and
// what the workflow has a place for. Other keys mean nothing to it.
func (w *Workflow) metadata(key string, raw json.RawMessage, values map[string]any) error {
	if key == "seed" || key == "n" {
		n, ok := lenient.Whole(raw)
		if !ok || n < 0 || key == "n" && (n < 1 || n > maxCount) {
			return provider.Errorf(provider.Invalid, "input.metadata.%s must be a whole number from %s", key, map[string]string{"seed": "0", "n": fmt.Sprintf("1 to %d", maxCount)}[key])
		}
		values[key] = n
	}
	name := "metadata." + key
	p := w.places[name]
	if p == nil {
		return nil
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil || value == nil {
		return nil // null counts as absent
	}
	switch value.(type) {
	case string, bool, json.Number:
	default:
		return provider.Errorf(provider.Invalid, "input.%s must be a text, a number, true or false", name)
	}
	if p.fallback != nil && kindOf(value) != kindOf(p.fallback) {
		return provider.Errorf(provider.Invalid, "input.%s must be %s", name, kindOf(p.fallback))
	}
	if provider.HoldsAddress(raw) && !p.takesAddress() {
		return provider.Errorf(provider.Invalid, "input.%s must not be or hold a URL", name)
	}
	values[name] = value
	return nil
}

// takesAddress says that a place is for an address, as its default is one. Anywhere else a server would fetch, from where it
// stands, whatever a caller's leads to.
func (p *place) takesAddress() bool {
	text, _ := p.fallback.(string)
	raw, err := json.Marshal(text)
	return err == nil && provider.HoldsAddress(raw)
}

func kindOf(value any) string {
	switch value.(type) {
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	}
	return "a text"
}

// fieldOf is the caller's field from which a place is filled.
func fieldOf(name string) string {
	switch {
	case name == "width", name == "height":
		return "input.size"
	case name == "image":
		return "input.image"
	case imageNumber(name) > 0:
		return fmt.Sprintf("input.images[%d]", imageNumber(name)-1)
	case name == "n", name == "seed":
		return "input.metadata." + name
	case strings.HasPrefix(name, "metadata."), name == "prompt", name == "duration":
		return "input." + name
	}
	return name
}

// size puts the sides of "WxH" into values; of "W:H" those that have about as many pixels as
// the workflow's own. Where it says nothing the workflow's defaults stay.
func (w *Workflow) size(text string, values map[string]any) error {
	if text == "" || strings.EqualFold(text, "auto") || w.places["width"] == nil && w.places["height"] == nil {
		return nil
	}
	a, b, pixels, ok := lenient.Size(text)
	if !ok {
		return provider.Errorf(provider.Invalid, `input.size must be "WxH", "W:H" or "auto"`)
	}
	if !pixels {
		if a > 64*b || b > 64*a {
			return provider.Errorf(provider.Invalid, "input.size is too narrow a ratio")
		}
		area := w.side("width") * w.side("height")
		ratio := float64(a) / float64(b)
		a, b = int(math.Sqrt(area*ratio)), int(math.Sqrt(area/ratio))
	}
	if a > maxSide || b > maxSide || pixels && (a < sideStep || b < sideStep) {
		return provider.Errorf(provider.Invalid, "input.size must be from %d to %d pixels a side", sideStep, maxSide)
	}
	values["width"], values["height"] = stepped(a), stepped(b)
	return nil
}

// stepped rounds a side down to what a latent can have.
func stepped(n int) int { return max(n/sideStep*sideStep, sideStep) }

// side is a workflow's default side, or what most models were made for.
func (w *Workflow) side(name string) float64 {
	if p := w.places[name]; p != nil {
		if n, ok := numberOf(p.fallback); ok && n > 0 {
			return n
		}
	}
	return 1024
}
