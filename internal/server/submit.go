package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// The routes of the submit API for tasks. Its bodies are the submit API contract's, sections 2 and 3.
func (s *Server) submitRoutes() []route {
	return []route{
		{
			method: http.MethodPost, pattern: "/api/generate/submit", dialect: &submitDialect,
			auth: keyed, limit: limitSubmit, handler: s.submitTask,
		},
		{
			method: http.MethodGet, pattern: "/api/generate/status/{task_id}", dialect: &submitDialect,
			auth: keyed, limit: limitStatus, handler: s.taskStatus,
		},
	}
}

const (
	taskTimeFormat   = "2006-01-02T15:04:05" // UTC, without saying so (contract 2.6)
	callbackIgnored  = "X-Callback-Ignored"
	ignoredPolling   = "polling-only"    // the model's upstream cannot call back
	ignoredMisplaced = "not-in-metadata" // the URL stood where it has no meaning
)

// submitTask accepts a task. The answer never depends on the upstream, which is called later.
func (s *Server) submitTask(ctx context.Context, x *exchange, r *http.Request) error {
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	doc, err := s.readJSON(x, r)
	if err != nil {
		return err
	}
	sub, misplaced, err := parseSubmit(doc)
	if err != nil {
		return err
	}
	sub.OrganisationID = x.organisation.ID
	if key != "" {
		sub.IdempotencyKey, sub.IdempotencyScope, sub.RequestHash = key, idempotencyScope(r), doc.hash()
	}
	accepted, err := s.cfg.Generations.Accept(ctx, sub)
	if err != nil {
		return err
	}
	x.tellReplay(accepted.Replayed)
	switch h, ignored := x.Header(), accepted.Generation.Input.CallbackIgnored; {
	case ignored && misplaced:
		h.Set(callbackIgnored, ignoredPolling+", "+ignoredMisplaced)
	case ignored:
		h.Set(callbackIgnored, ignoredPolling)
	case misplaced:
		h.Set(callbackIgnored, ignoredMisplaced)
	}
	// The state of a replayed task may have moved on. The answer is that of the first time all the same.
	body := make([]byte, 0, 128)
	body = append(body, `{"code":200,"data":{"task_id":"`...)
	body = append(body, accepted.Generation.ID...)
	body = append(body, `","status":"not_started","created_time":"`...)
	body = accepted.Generation.CreatedAt.UTC().AppendFormat(body, taskTimeFormat)
	body = append(body, `"}}`...)
	writeBody(x, http.StatusOK, jsonContent, body)
	return nil
}

type taskAnswer struct {
	Code int      `json:"code"`
	Data taskData `json:"data"`
}

type taskData struct {
	TaskID       string     `json:"task_id"`
	Status       string     `json:"status"`
	Progress     int        `json:"progress"`
	Files        []taskFile `json:"files,omitzero"` // absent unless finished; then present even when empty
	CreatedTime  string     `json:"created_time"`
	ErrorMessage *string    `json:"error_message"`
}

type taskFile struct {
	FileURL  string      `json:"file_url"`
	FileType kinora.Kind `json:"file_type"`
}

// taskStatus tells how a task stands. Malformed, unknown and foreign ids get one and the same answer.
func (s *Server) taskStatus(ctx context.Context, x *exchange, r *http.Request) error {
	taskID := r.PathValue("task_id")
	if !id.WellFormed(taskID, id.Task) {
		return taskNotFound()
	}
	g, outputs, err := s.cfg.Generations.Generation(ctx, x.organisation.ID, taskID)
	if kinora.CodeOf(err) == kinora.ErrNotFound {
		return taskNotFound()
	}
	if err != nil {
		return err
	}
	if g.Input.CallbackIgnored {
		x.Header().Set(callbackIgnored, ignoredPolling)
	}
	writeJSON(x, http.StatusOK, taskAnswer{Code: http.StatusOK, Data: s.taskData(g, outputs)})
	return nil
}

func taskNotFound() error { return refuse(kinora.ErrNotFound, "task not found") }

func (s *Server) taskData(g *kinora.Generation, outputs []kinora.Output) taskData {
	d := taskData{
		TaskID: g.ID, Status: taskWord(g.State), Progress: g.Progress,
		CreatedTime: g.CreatedAt.UTC().Format(taskTimeFormat),
	}
	switch g.State {
	case kinora.GenerationIngesting, kinora.GenerationQueued:
		d.Progress = 0
	case kinora.GenerationSucceeded:
		d.Progress = 100
		d.Files = make([]taskFile, 0, len(outputs))
		for _, o := range kept(outputs) {
			url, _ := s.cfg.FileURL(o.BlobKey)
			d.Files = append(d.Files, taskFile{FileURL: url, FileType: o.Kind})
		}
	case kinora.GenerationFailed, kinora.GenerationCancelled:
		message := failureMessage(g)
		d.ErrorMessage = &message
	}
	return d
}

// taskWord is a state in the submit API's words (contract 3.4).
func taskWord(state kinora.GenerationState) string {
	switch state {
	case kinora.GenerationIngesting, kinora.GenerationQueued:
		return "not_started"
	case kinora.GenerationRunning:
		return "running"
	case kinora.GenerationSucceeded:
		return "finished"
	}
	return "failed"
}

func failureMessage(g *kinora.Generation) string {
	switch {
	case g.State == kinora.GenerationCancelled:
		return "cancelled"
	case g.Failure == nil || g.Failure.Message == "":
		return "the generation failed"
	}
	return g.Failure.Message
}

// kept leaves out the outputs whose files retention has removed.
func kept(outputs []kinora.Output) []kinora.Output {
	var still []kinora.Output
	for _, o := range outputs {
		if o.RemovedAt.IsZero() {
			still = append(still, o)
		}
	}
	return still
}

// apiTime is a time as the generations API writes it: RFC 3339, UTC, whole seconds; nil for a time that has not come.
func apiTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}
