package openai

import (
	"encoding/json"
	"net/http"
)

// tool is the image tool of a response.
type tool struct {
	Type   string          `json:"type"`
	Model  string          `json:"model"`
	Size   string          `json:"size"`
	Format string          `json:"output_format"`
	Mask   json.RawMessage `json:"input_image_mask"`
}

// submitResponse is POST /responses, of which there are only those that make an image in the
// background.
func (s *Simulator) submitResponse(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *Stats) { c.Submits++ })
	var in struct {
		Model      string          `json:"model"`
		Input      json.RawMessage `json:"input"`
		Background bool            `json:"background"`
		Store      *bool           `json:"store"`
		Tools      []tool          `json:"tools"`
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&in) != nil {
		return refuse("", "", "We could not parse the JSON body of your request.")
	}
	switch {
	case !in.Background:
		return invalid("background", "the simulator answers in the background only")
	case len(in.Tools) != 1 || in.Tools[0].Type != "image_generation":
		return invalid("tools", "the simulator has image_generation only")
	}
	j := &job{account: a, model: in.Model, size: in.Tools[0].Size, format: in.Tools[0].Format, stored: in.Store != nil && *in.Store}
	text, err := readInput(in.Input, j)
	if err != nil {
		return err
	}
	if j.orders, j.prompt, err = readOrders(r.Header, text); err != nil {
		return err
	}
	if err := s.admit(a, j.model, j.prompt, j.orders); err != nil {
		return err
	}
	j.id, j.created, j.takes = newID("resp_"), s.clock.Now(), or(j.orders.time, s.cfg.ResponseTime)
	s.keep(j)
	if err := s.after(r, j.orders); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.shownResponse(j, queued, nil))
	return nil
}

// readInput reads a text, or a message with texts and images.
func readInput(raw json.RawMessage, j *job) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return text, nil
	}
	var messages []struct {
		Content []struct {
			Type     string `json:"type"`
			Text     string `json:"text"`
			ImageURL string `json:"image_url"`
		} `json:"content"`
	}
	if json.Unmarshal(raw, &messages) != nil || len(messages) == 0 {
		return "", refuse("missing_required_parameter", "input", "Missing required parameter: 'input'.")
	}
	for _, m := range messages {
		for _, c := range m.Content {
			switch c.Type {
			case "input_text":
				text += c.Text
			case "input_image":
				j.references = append(j.references, c.ImageURL)
			default:
				return "", invalid("input", "unknown content")
			}
		}
	}
	return text, nil
}

func (s *Simulator) shownResponse(j *job, state string, image []byte) map[string]any {
	output := []map[string]any{}
	shown := map[string]any{
		"id": j.id, "object": "response", "background": true, "model": j.model, "status": j.word(state), "created_at": j.created.Unix(),
		"error": nil, "incomplete_details": nil, "store": j.stored,
	}
	call := map[string]any{"id": "ig_" + j.id, "type": "image_generation_call", "status": "generating", "result": nil}
	switch {
	case state == failed:
		shown["error"] = map[string]string{"code": j.orders.fail, "message": "the image was not made, as asked"}
	case state == running:
		output = append(output, call)
	case state == completed && j.orders.silent:
		output = append(output, map[string]any{"id": "msg_" + j.id, "type": "message", "status": completed, "content": []map[string]string{{"type": "refusal", "refusal": "I cannot draw that."}}})
	case state == completed:
		call["status"], call["result"] = completed, base64Of(image)
		output = append(output, map[string]any{"id": "rs_" + j.id, "type": "reasoning", "summary": []string{}}, call)
	}
	shown["output"] = output
	return shown
}

// response is GET /responses/{id}.
func (s *Simulator) response(w http.ResponseWriter, r *http.Request, a *account) error {
	s.count(func(c *Stats) { c.Polls++ })
	j, state, err := s.find(r, a)
	if err != nil {
		return err
	}
	var image []byte
	if state == completed && !j.orders.silent {
		if image, err = s.draw(r, drawing{prompt: j.prompt, model: j.model, references: j.references, size: j.size, format: j.format}); err != nil {
			return err
		}
		s.mu.Lock()
		j.downloads++
		broken := j.downloads <= j.orders.broken
		s.mu.Unlock()
		if broken {
			out, _ := json.Marshal(s.shownResponse(j, state, image))
			half(w, "application/json", out)
		}
	}
	shown := s.shownResponse(j, state, image)
	if s.halved(j) {
		out, _ := json.Marshal(shown)
		half(w, "application/json", out)
	}
	writeJSON(w, http.StatusOK, shown)
	return nil
}

// cancelResponse is POST /responses/{id}/cancel; one that has ended stays as it is.
func (s *Simulator) cancelResponse(w http.ResponseWriter, r *http.Request, a *account) error {
	j, state, err := s.find(r, a)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	if state == queued || state == running {
		s.mu.Lock()
		j.cancelled, state = now, cancelled
		s.stats.Cancelled++
		s.mu.Unlock()
	}
	shown := s.shownResponse(j, state, nil)
	shown["output"] = []any{}
	writeJSON(w, http.StatusOK, shown)
	return nil
}

// deleteResponse is DELETE /responses/{id}.
func (s *Simulator) deleteResponse(w http.ResponseWriter, r *http.Request, a *account) error {
	j, _, err := s.find(r, a)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.jobs, j.id)
	s.stats.Deleted++
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"id": j.id, "object": "response", "deleted": true})
	return nil
}
