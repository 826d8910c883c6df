package comfyui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// ended is a job in the history.
type ended struct {
	Outputs map[string]map[string]json.RawMessage `json:"outputs"` // by node, then by what it made
	Status  *struct {
		Word     string              `json:"status_str"`
		Messages [][]json.RawMessage `json:"messages"` // pairs of a name and what it is about
	} `json:"status"`
}

// file is an output on the server's disk.
type file struct {
	Name      string `json:"filename"`
	Subfolder string `json:"subfolder"`
	Type      string `json:"type"` // "output", or "temp" for a preview
}

// history reads a job that has ended; nil = there is none of that id.
func history(ctx context.Context, up provider.Upstream, id string) (*ended, error) {
	a, err := read(ctx, up, "/history/"+url.PathEscape(id))
	if err != nil {
		return nil, err
	}
	var found map[string]json.RawMessage
	if err := json.Unmarshal(a.Body, &found); err != nil || found == nil {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	raw, ok := found[id]
	if !ok && len(found) > 0 {
		return nil, provider.Unreadable(provider.Unavailable, a.Status) // some other document
	}
	if !ok {
		return nil, nil
	}
	var e *ended
	if err := json.Unmarshal(raw, &e); err != nil || e == nil {
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	}
	return e, nil
}

// queued is what has not ended, by id.
type queued map[string]provider.State

func (q queued) state(id string) provider.State { return q[id] }

// maxQueue bounds how much of a queue is read, in bytes. The queue holds whole workflows, with
// whatever their nodes were given, of all who use the server.
const maxQueue = 1 << 30

// queue reads what runs and what waits. Of each entry only the id is kept.
func queue(ctx context.Context, up provider.Upstream) (queued, error) {
	call, err := newRequest(up, http.MethodGet, "/queue", nil)
	if err != nil {
		return nil, err
	}
	res, a, err := provider.Stream(ctx, up, provider.Reads, call)
	if err != nil {
		return nil, err
	}
	if res == nil || a.Status != http.StatusOK {
		if res != nil {
			_ = res.Body.Close()
		}
		return nil, readRefused(a)
	}
	defer res.Body.Close()
	q, err := readQueue(json.NewDecoder(io.LimitReader(res.Body, maxQueue)))
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, errQueue), errors.As(err, &syntax):
		return nil, provider.Unreadable(provider.Unavailable, a.Status)
	case err != nil:
		return nil, provider.Broken(provider.Reads, a.Status, err)
	}
	return q, nil
}

var errQueue = errors.New("comfyui: not a queue")

// readQueue walks along the answer; an id that both lists name runs.
func readQueue(d *json.Decoder) (queued, error) {
	q, seen := queued{}, 0
	if err := open(d, '{'); err != nil {
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		state := map[json.Token]provider.State{"queue_running": provider.StateRunning, "queue_pending": provider.StateQueued}[name]
		if state == "" {
			if err := skip(d); err != nil {
				return nil, err
			}
			continue
		}
		if err := readEntries(d, q, state); err != nil {
			return nil, err
		}
		seen++
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if seen != 2 {
		return nil, errQueue
	}
	return q, nil
}

// readEntries reads a list of [number, id, workflow, …].
func readEntries(d *json.Decoder, q queued, state provider.State) error {
	if err := open(d, '['); err != nil {
		return err
	}
	for d.More() {
		if err := open(d, '['); err != nil {
			return err
		}
		id := ""
		for n := 0; d.More(); n++ {
			if n != 1 {
				if err := skip(d); err != nil {
					return err
				}
				continue
			}
			token, err := d.Token()
			if err != nil {
				return err
			}
			id, _ = token.(string)
			if id == "" {
				return errQueue
			}
		}
		if _, err := d.Token(); err != nil {
			return err
		}
		if id == "" {
			return errQueue
		}
		if q[id] != provider.StateRunning {
			q[id] = state
		}
	}
	_, err := d.Token()
	return err
}

// open reads the bracket that a value begins with.
func open(d *json.Decoder, bracket json.Delim) error {
	token, err := d.Token()
	if err == nil && token != bracket {
		err = errQueue
	}
	return err
}

// skip reads a value and keeps nothing of it.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// read is a call whose answer must be of status 200: a missing route is no missing job.
func read(ctx context.Context, up provider.Upstream, path string) (provider.Answer, error) {
	a, err := do(ctx, up, provider.Reads, http.MethodGet, path, nil)
	if err != nil || a.Status == http.StatusOK {
		return a, err
	}
	return a, readRefused(a)
}

// readRefused is an answer to a read of any status but 200.
func readRefused(a provider.Answer) *provider.Error {
	e := provider.Refused(a)
	if e.Class == provider.ModelGone || e.Class == provider.Invalid {
		e.Class, e.Message = provider.Unavailable, "the server does not answer as ComfyUI does"
	}
	return e
}

// report translates the end of a job.
func (c *ComfyUI) report(job provider.Job, e *ended) provider.Report {
	r := provider.Report{UpstreamID: job.UpstreamID, Progress: -1}
	word := ""
	if e.Status != nil {
		word = strings.ToLower(e.Status.Word)
	}
	switch {
	case word == "success", e.Status == nil: // servers of before 2024 have no status
		r.State, r.Outputs = provider.StateSucceeded, e.outputs(job.Kind)
		if len(r.Outputs) == 0 {
			r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "the workflow saved nothing of the model's kind")
		}
	case word == "error" && e.message("execution_interrupted") != nil:
		r.State = provider.StateCancelled
	case word == "error":
		r.State, r.Err = provider.StateFailed, e.failure(c.workflows[job.UpstreamModel])
	default:
		r.State = provider.StateRunning
	}
	return r
}

// message finds a message of the execution; nil = there is none.
func (e *ended) message(name string) json.RawMessage {
	for _, m := range e.Status.Messages {
		var found string
		if len(m) >= 2 && json.Unmarshal(m[0], &found) == nil && found == name {
			return m[1]
		}
	}
	return nil
}

// failure is why the execution failed. What was raised may hold anything, and so only words of
// the workflow's own and names of exceptions are told.
func (e *ended) failure(w *Workflow) *provider.Error {
	var about struct {
		Node      string `json:"node_type"`
		Exception string `json:"exception_type"`
	}
	_ = json.Unmarshal(e.message("execution_error"), &about) // without one nothing is known
	pe := provider.Errorf(provider.Generation, "the workflow failed")
	if strings.HasSuffix(about.Exception, "OutOfMemoryError") {
		pe.Message = "the server ran out of memory"
	}
	pe.Code = word(about.Exception)
	if w.has(about.Node) {
		pe.Detail = "at a node of class " + about.Node
	}
	return pe
}

// has tells whether a workflow has a node of a class.
func (w *Workflow) has(class string) bool {
	if w == nil {
		return false
	}
	for _, n := range w.nodes {
		if n.Class == class {
			return true
		}
	}
	return false
}

// word lets through what can be a type of error, and nothing that could be a sentence, a path
// or a key.
func word(s string) string {
	if len(s) > 60 || strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '.'
	}) {
		return ""
	}
	return s
}

// outputs are the files of a kind in the order of their nodes: those that the workflow saved,
// or its previews where it saved none.
func (e *ended) outputs(kind kinora.Kind) []provider.Output {
	var saved, previews []provider.Output
	for _, node := range slices.SortedFunc(maps.Keys(e.Outputs), byNumber) {
		made := e.Outputs[node]
		for _, key := range slices.Sorted(maps.Keys(made)) {
			var files []file
			if json.Unmarshal(made[key], &files) != nil {
				continue // texts, flags and the like
			}
			for _, f := range files {
				if f.Name == "" || kindOfFile(f.Name) != kind {
					continue
				}
				handle, err := json.Marshal(f)
				if err != nil {
					continue
				}
				out := provider.Output{Kind: kind, Handle: handle}
				if f.Type == "temp" {
					previews = append(previews, out)
				} else {
					saved = append(saved, out)
				}
			}
		}
	}
	if len(saved) == 0 {
		return previews
	}
	return saved
}

// byNumber orders the ids of nodes as the editor counts them; those of subgraphs are "5:2".
func byNumber(a, b string) int {
	as, bs := strings.Split(a, ":"), strings.Split(b, ":")
	for i := range min(len(as), len(bs)) {
		n, errN := strconv.Atoi(as[i])
		m, errM := strconv.Atoi(bs[i])
		if errN == nil && errM == nil && n != m {
			return cmp.Compare(n, m)
		}
		if as[i] != bs[i] {
			return strings.Compare(as[i], bs[i])
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func kindOfFile(name string) kinora.Kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".webp", ".gif":
		return kinora.KindImage
	case ".mp4", ".webm", ".mov", ".mkv", ".avi":
		return kinora.KindVideo
	}
	return ""
}

// problem is the body of a refused prompt.
type problem struct {
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	Nodes map[string]struct {
		Errors []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Details string `json:"details"`
			Extra   struct {
				Input string `json:"input_name"`
			} `json:"extra_info"`
		} `json:"errors"`
	} `json:"node_errors"`
}

// refusal translates the refusal of a prompt: what a caller's value is to blame for is
// invalid, and anything else says that the server cannot run the workflow.
func (w *Workflow) refusal(a provider.Answer) *provider.Error {
	e := provider.Refused(a)
	var p problem
	if a.Status != http.StatusBadRequest || json.Unmarshal(a.Body, &p) != nil {
		return e
	}
	e.Class, e.Code, e.Message = provider.ModelGone, word(p.Error.Type), "the server cannot run the workflow"
	var fields []string
	for _, id := range slices.SortedFunc(maps.Keys(p.Nodes), byNumber) {
		for _, err := range p.Nodes[id].Errors {
			e.Code = cmp.Or(word(err.Type), e.Code)
			field := w.filledBy(id, err.Extra.Input)
			if field == "" {
				e.Detail = w.name(id, err.Extra.Input)
				return e
			}
			fields = append(fields, field)
		}
	}
	if len(fields) > 0 {
		slices.Sort(fields)
		e.Class, e.Message = provider.Invalid, "the upstream refused "+strings.Join(slices.Compact(fields), ", ")
	}
	return e
}

// sentence is what a refused prompt's answer says in words: of its first node, else as a whole.
func sentence(a provider.Answer) string {
	var p problem
	_ = json.Unmarshal(a.Body, &p) // what is none says nothing
	for _, id := range slices.SortedFunc(maps.Keys(p.Nodes), byNumber) {
		for _, err := range p.Nodes[id].Errors {
			if err.Message != "" {
				return strings.TrimSuffix(err.Message+": "+err.Details, ": ")
			}
		}
	}
	return p.Error.Message
}

// name says which input of the workflow's own is meant; empty = none of them.
func (w *Workflow) name(node, input string) string {
	if _, ok := w.nodes[node].inputs[input]; !ok {
		return ""
	}
	return fmt.Sprintf("node %s (%s), input %s", node, w.nodes[node].Class, input)
}

// filledBy is the caller's field that fills an input of a node; empty = none does.
func (w *Workflow) filledBy(node, input string) string {
	for _, name := range slices.Sorted(maps.Keys(w.places)) {
		if slices.Contains(w.places[name].inputs, [2]string{node, input}) {
			return fieldOf(name)
		}
	}
	return ""
}
