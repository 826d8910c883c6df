package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

const (
	maxImages  = 10
	maxSources = 16
)

// imageOrder is an image call that was understood.
type imageOrder struct {
	fields   *fields
	edit     bool
	drawing  drawing
	orders   orders
	n        int
	stream   bool
	partials int
}

// images is POST /images/generations and POST /images/edits. It is answered when the images are
// made, or while they are.
func (s *Simulator) images(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *Stats) { c.ImageCalls++ })
	f, err := readFields(w, r)
	if err != nil {
		return err
	}
	o := &imageOrder{fields: f, edit: strings.HasSuffix(r.URL.Path, "/edits")}
	o.drawing = drawing{model: f.text("model"), size: f.text("size"), format: f.text("output_format")}
	if o.orders, o.drawing.prompt, err = readOrders(r.Header, f.text("prompt")); err != nil {
		return err
	}
	if a.Unverified {
		return &problem{status: http.StatusForbidden, kind: invalidRequest, message: "Your organization must be verified to use the model. Please go to the settings and click on Verify Organization."}
	}
	if err := s.understand(o); err != nil {
		return err
	}
	if err := s.admit(a, o.drawing.model, o.drawing.prompt, o.orders); err != nil {
		return err
	}
	s.note(ImageCall{Model: o.drawing.model, Prompt: o.drawing.prompt, N: o.n, References: o.drawing.references, Stream: o.stream, At: s.clock.Now()})
	if o.stream {
		return s.streamed(w, r, o)
	}
	return s.whole(w, r, o)
}

func (s *Simulator) understand(o *imageOrder) error {
	f := o.fields
	gpt := strings.HasPrefix(o.drawing.model, "gpt-image-")
	var ok bool
	if o.n, ok = f.number("n", 1); !ok || o.n < 1 || o.n > maxImages {
		return invalid("n", "must be between 1 and 10")
	}
	if o.partials, ok = f.number("partial_images", 0); !ok || o.partials < 0 || o.partials > 3 {
		return invalid("partial_images", "must be between 0 and 3")
	}
	_ = json.Unmarshal([]byte(strings.Trim(string(f.values["stream"]), `"`)), &o.stream) // anything else is no
	if o.orders.partials >= 0 {
		o.partials = min(o.partials, o.orders.partials)
	}
	o.drawing.count = o.n
	switch {
	case o.drawing.prompt == "":
		return refuse("missing_required_parameter", "prompt", "Missing required parameter: 'prompt'.")
	case len(o.drawing.prompt) > 32000:
		return invalid("prompt", "is too long")
	case gpt && f.values["response_format"] != nil:
		return refuse("unknown_parameter", "response_format", "Unknown parameter: 'response_format'.")
	case gpt && f.values["resolution"] != nil:
		return refuse("unknown_parameter", "resolution", "Unknown parameter: 'resolution'.")
	case s.cfg.Dialect == VLLM && f.text("response_format") == "url":
		return invalid("response_format", "only b64_json is supported")
	}
	if gpt {
		if err := o.checkSize(); err != nil {
			return err
		}
		for name, words := range map[string][]string{
			"quality": {"low", "medium", "high", "auto", "xhigh", "max"}, "background": {"transparent", "opaque", "auto"},
			"moderation": {"auto", "low"}, "output_format": {"png", "jpeg", "webp", "gif", "svg"},
		} {
			if err := f.wordOf(name, words...); err != nil {
				return err
			}
		}
	}
	return o.readSources()
}

// checkSize is the rule of gpt-image-2 and later.
func (o *imageOrder) checkSize() error {
	size := o.fields.text("size")
	if o.fields.values["size"] == nil || size == "auto" {
		return nil
	}
	w, h := sides(size, "")
	switch {
	case w == 0 || w%16 != 0 || h%16 != 0:
		return invalid("size", "both sides must be multiples of 16")
	case w > 3*h || h > 3*w:
		return invalid("size", "the ratio must be between 1:3 and 3:1")
	case max(w, h) > 3840 || w*h > 3840*2160:
		return invalid("size", "must be at most 3840x2160")
	}
	return nil
}

func (o *imageOrder) readSources() error {
	var list []json.RawMessage
	_ = json.Unmarshal(o.fields.values["images"], &list) // anything else is none
	for i, raw := range list {
		ref, err := imageRef(raw, fmt.Sprintf("images[%d]", i))
		if err != nil {
			return err
		}
		o.drawing.references = append(o.drawing.references, ref)
	}
	for range o.fields.files["image"] {
		o.drawing.references = append(o.drawing.references, "a file")
	}
	n := len(o.drawing.references)
	switch {
	case o.edit && n == 0:
		return refuse("missing_required_parameter", "image", "Missing required parameter: 'image'.")
	case !o.edit && n > 0:
		return refuse("unknown_parameter", "images", "Unknown parameter: 'images'.")
	case n > maxSources:
		return invalid("image", "must be at most 16 images")
	}
	if raw, there := o.fields.values["mask"]; there {
		if _, err := imageRef(raw, "mask"); err != nil {
			return err
		}
	}
	return nil
}

// whole answers with all images at once.
func (s *Simulator) whole(w http.ResponseWriter, r *http.Request, o *imageOrder) error {
	if simulator.Hold(r.Context(), s.clock, or(o.orders.time, s.cfg.ImageTime)) != nil {
		simulator.Abort() // the caller has left
	}
	if o.orders.fail != "" {
		return refuse(o.orders.fail, "", "The image was not made, as asked.")
	}
	data := []map[string]string{}
	for i := range o.n {
		o.drawing.index = i
		content, err := s.draw(r, o.drawing)
		if err != nil {
			return err
		}
		data = append(data, map[string]string{"b64_json": base64Of(content)})
	}
	s.made(o.n)
	if err := s.after(r, o.orders); err != nil {
		return err
	}
	out, err := json.Marshal(map[string]any{
		"created": s.clock.Now().Unix(), "size": o.drawing.size, "output_format": o.drawing.format, "data": data,
		"usage": map[string]int{"input_tokens": 14, "output_tokens": 1372 * o.n, "total_tokens": 14 + 1372*o.n},
	})
	if err != nil {
		return err
	}
	if o.orders.drop == "half" {
		half(w, "application/json", out)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out) // the caller may have left
	return nil
}

// streamed answers with an event for each unfinished image, and one for each finished.
func (s *Simulator) streamed(w http.ResponseWriter, r *http.Request, o *imageOrder) error {
	kind := "image_generation"
	if o.edit {
		kind = "image_edit"
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	send := func(name string, data map[string]any) {
		data["type"] = name
		out, _ := json.Marshal(data) // texts and numbers
		if name == kind+".completed" && o.orders.drop == "half" {
			_, _ = fmt.Fprintf(w, "event: %s\ndata: %s", name, out[:len(out)/2])
			_ = http.NewResponseController(w).Flush()
			simulator.Abort()
		}
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, out)
		_ = http.NewResponseController(w).Flush()
	}
	step := or(o.orders.time, s.cfg.ImageTime) / time.Duration(o.partials+1)
	for i := range o.partials + 1 {
		if simulator.Hold(r.Context(), s.clock, step) != nil {
			simulator.Abort() // the caller has left
		}
		last := i == o.partials
		if o.orders.fail != "" && (i > 0 || last) {
			send("error", map[string]any{"error": refuse(o.orders.fail, "", "The image was not made, as asked.").object()})
			return nil
		}
		d := o.drawing
		if !last {
			d.size = "64x64" // unfinished ones are of any size
		}
		content, err := s.draw(r, d)
		if err != nil {
			simulator.Abort()
		}
		if !last {
			send(kind+".partial_image", map[string]any{"partial_image_index": i, "b64_json": base64Of(content)})
			continue
		}
		s.made(1)
		if s.after(r, o.orders) != nil {
			simulator.Abort()
		}
		send(kind+".completed", map[string]any{"b64_json": base64Of(content), "usage": map[string]int{"total_tokens": 1386}})
	}
	return nil
}
