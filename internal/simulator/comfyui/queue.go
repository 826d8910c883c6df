package comfyui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// orders are what a caller wants done to his own prompt.
type orders struct {
	// time=2s is how long it runs.
	time time.Duration // negative = not ordered
	// end=oom lets it run out of memory at its end, end=error fail there otherwise,
	// end=nothing save nothing.
	end string
	// drop=after takes the prompt and cuts the connection; drop=error takes it and answers 500.
	drop string
	// word=half_done is shown as the history's status.
	word string
	// gone keeps it out of the history.
	gone bool
}

func readOrders(h http.Header, texts []string) (orders, error) {
	o := simulator.ReadOrders(h, texts...)
	return orders{time: o.Duration("time", -1), end: o["end"], drop: o["drop"], word: o["word"], gone: o.Has("gone")},
		o.Check("time", "end", "drop", "word", "gone")
}

// job is an accepted prompt.
type job struct {
	id        string
	number    int
	raw       json.RawMessage
	graph     map[string]node
	text      string // of all its nodes, for the picture
	orders    orders
	submitted time.Time
	started   time.Time // when it begins to run; of one that waits, when it will
	ends      time.Time
	ended     time.Time // zero = not yet
	cut       bool      // interrupted
	forgotten bool
}

// settle brings the line up to now.
func (s *Simulator) settle(now time.Time) {
	var left []*job
	for _, j := range s.line {
		if !j.ends.After(now) {
			j.ended = j.ends
			continue
		}
		left = append(left, j)
	}
	s.line = left
}

// plan gives a new job its time: after the last one in the line.
func (s *Simulator) plan(j *job, now time.Time) {
	run := s.cfg.RunTime
	if j.orders.time >= 0 {
		run = j.orders.time
	}
	j.started = now
	if !s.cfg.Parallel && s.free.After(now) {
		j.started = s.free
	}
	j.ends = j.started.Add(run)
	s.free = j.ends
}

// replan moves up what waits, after something left the line.
func (s *Simulator) replan(now time.Time) {
	if s.cfg.Parallel {
		return
	}
	s.free = now
	for _, j := range s.line {
		run := j.ends.Sub(j.started)
		if j.started.After(now) {
			j.started = s.free
			j.ends = j.started.Add(run)
		}
		s.free = j.ends
	}
}

// prompt is POST /prompt.
func (s *Simulator) prompt(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Prompt json.RawMessage `json:"prompt"`
		ID     string          `json:"prompt_id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		answer(w, http.StatusBadRequest, refused("invalid_json", "invalid JSON", err.Error()))
		return
	}
	if len(in.Prompt) == 0 {
		answer(w, http.StatusBadRequest, refused("no_prompt", "No prompt provided", "No prompt provided"))
		return
	}
	var graph map[string]node
	dec := json.NewDecoder(strings.NewReader(string(in.Prompt)))
	dec.UseNumber()
	if err := dec.Decode(&graph); err != nil {
		answer(w, http.StatusBadRequest, refused("invalid_prompt", "Cannot execute because a node is missing the class_type property.", ""))
		return
	}
	var texts []string
	for _, n := range graph {
		for _, value := range n.Inputs {
			if t, ok := value.(string); ok {
				texts = append(texts, t)
			}
		}
	}
	slices.Sort(texts)
	o, err := readOrders(r.Header, texts)
	if err != nil {
		answer(w, http.StatusBadRequest, refused("invalid_prompt", err.Error(), ""))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.validate(graph); p != nil {
		answer(w, http.StatusBadRequest, p)
		return
	}
	now := s.clock.Now()
	s.settle(now)
	s.number++
	j := &job{id: in.ID, number: s.number, raw: in.Prompt, graph: graph, text: strings.Join(texts, " "), orders: o, submitted: now}
	if j.id == "" || s.cfg.OwnIDs {
		j.id = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.number)
	}
	s.plan(j, now)
	s.jobs[j.id] = j
	s.line = append(s.line, j)
	s.stats.Prompts++
	switch o.drop {
	case "after":
		simulator.Abort()
	case "error":
		http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"prompt_id": j.id, "number": j.number, "node_errors": map[string]any{}})
}

// tuple is a job as the queue and the history show it.
func (j *job) tuple() []any {
	return []any{j.number, j.id, j.raw, map[string]any{"client_id": "x", "create_time": j.submitted.UnixMilli()}, []string{}}
}

// queue is GET /queue.
func (s *Simulator) queue(w http.ResponseWriter, _ *http.Request) {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	s.stats.Reads++
	running, pending := []any{}, []any{}
	for _, j := range s.line {
		if j.started.After(now) {
			pending = append(pending, j.tuple())
		} else {
			running = append(running, j.tuple())
		}
	}
	answer(w, http.StatusOK, map[string]any{"queue_running": running, "queue_pending": pending})
}

// dequeue is POST /queue.
func (s *Simulator) dequeue(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Delete []string `json:"delete"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // the server looks for what it knows
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	s.line = slices.DeleteFunc(s.line, func(j *job) bool {
		out := j.started.After(now) && slices.Contains(in.Delete, j.id)
		j.forgotten = j.forgotten || out // what is deleted leaves no history
		return out
	})
	s.replan(now)
	w.WriteHeader(http.StatusOK)
}

// interrupt is POST /interrupt.
func (s *Simulator) interrupt(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ID string `json:"prompt_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // without a body it is whatever runs
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(now)
	s.line = slices.DeleteFunc(s.line, func(j *job) bool {
		if j.started.After(now) || in.ID != "" && in.ID != j.id {
			return false
		}
		j.cut, j.ended, j.ends = true, now, now
		return true
	})
	s.replan(now)
	w.WriteHeader(http.StatusOK)
}

// history is GET /history/{id}.
func (s *Simulator) history(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(s.clock.Now())
	s.stats.Reads++
	j := s.jobs[r.PathValue("id")]
	if j == nil || j.ended.IsZero() || j.forgotten || j.orders.gone {
		answer(w, http.StatusOK, map[string]any{})
		return
	}
	word, outputs, messages := "success", map[string]any{}, []any{[]any{"execution_start", map[string]any{"prompt_id": j.id, "timestamp": j.started.UnixMilli()}}}
	about := map[string]any{"prompt_id": j.id, "node_id": "3", "node_type": "KSampler", "executed": []string{}, "timestamp": j.ended.UnixMilli()}
	switch {
	case j.cut:
		word, messages = "error", append(messages, []any{"execution_interrupted", about})
	case j.orders.end == "oom", j.orders.end == "error":
		about["exception_type"], about["exception_message"] = "RuntimeError", "shapes cannot be multiplied at /home/gpu/comfy/model.py"
		if j.orders.end == "oom" {
			about["exception_type"], about["exception_message"] = "torch.OutOfMemoryError", "Allocation on device"
		}
		about["traceback"], about["current_inputs"] = []string{"  File \"execution.py\""}, map[string]any{}
		word, messages = "error", append(messages, []any{"execution_error", about})
	default:
		messages = append(messages, []any{"execution_success", about})
		if j.orders.end != "nothing" {
			outputs = j.outputs()
		}
	}
	shown := word
	if j.orders.word != "" {
		shown = j.orders.word
	}
	answer(w, http.StatusOK, map[string]any{j.id: map[string]any{
		"prompt": j.tuple(), "outputs": outputs, "meta": map[string]any{},
		"status": map[string]any{"status_str": shown, "completed": word == "success", "messages": messages},
	}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller who has left needs no answer
}
