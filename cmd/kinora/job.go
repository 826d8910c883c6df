package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kinora/kinora/client"
)

// jobPrefix is what ids of generations begin with that were made by workflows.
const jobPrefix = "job_"

// jobShape is how --json shows a generation of the generations API, whichever API it came by.
type jobShape struct {
	JobID         string          `json:"job_id"`
	Status        string          `json:"status"`   // ingesting, queued, processing, succeeded, failed or cancelled
	Progress      int             `json:"progress"` // 0 to 100
	Model         string          `json:"model"`
	Workflow      string          `json:"workflow"` // empty = none
	CaptureType   string          `json:"capture_type"`
	Mode          string          `json:"mode"`
	RoomTypes     []string        `json:"room_types"`
	StylePreset   string          `json:"style_preset"`
	SourceAssetID *string         `json:"source_asset_id"` // null = none, or none yet
	ParentJobID   string          `json:"parent_job_id"`   // that it was made anew from; empty = none
	Reference     *string         `json:"reference"`
	Metadata      json.RawMessage `json:"metadata"`
	Failure       *failedShape    `json:"failure"` // null unless failed or cancelled
	CreatedAt     instant         `json:"created_at"`
	CompletedAt   instant         `json:"completed_at"` // null until the end
	Files         []jobFileShape  `json:"files"`        // empty unless succeeded
}

// jobFileShape is one output.
type jobFileShape struct {
	URL  string     `json:"url"`
	Role string     `json:"role"` // primary or alternate
	File *fileShape `json:"file"` // null unless it has been downloaded
}

func jobOf(g *client.Generation) jobShape {
	s := jobShape{
		JobID: g.JobID, Status: string(g.Status), Progress: g.Progress, Model: g.Model, Workflow: g.Workflow, CaptureType: g.CaptureType, Mode: g.Mode,
		RoomTypes: append([]string{}, g.RoomTypes...), StylePreset: g.StylePreset, SourceAssetID: g.SourceAssetID, ParentJobID: g.ParentJobID,
		Reference: g.Reference, Metadata: g.Metadata, CreatedAt: instant(g.CreatedAt), Files: []jobFileShape{},
	}
	if g.CompletedAt != nil {
		s.CompletedAt = instant(*g.CompletedAt)
	}
	if f := g.Failure; f != nil {
		s.Failure = &failedShape{Code: f.Code, Message: f.Message, Retryable: f.Retryable}
	}
	for _, o := range g.Outputs {
		s.Files = append(s.Files, jobFileShape{URL: o.URL, Role: o.Role})
	}
	return s
}

// runJob is run for a generation of the generations API.
func (f follow) runJob(ctx context.Context, c *console, api *client.Client, g *client.Generation) error {
	if f.wait && !g.Status.Terminal() {
		var err error
		if g, err = f.awaitJob(ctx, c, api, g); err != nil {
			return err
		}
	}
	shape := jobOf(g)
	if g.Status == client.GenerationSucceeded && f.out != "" {
		for i := range shape.Files {
			saved, err := download(ctx, api, shape.Files[i].URL, f.out, fmt.Sprintf("%s-%d", fileStem(shape.JobID), i+1))
			if err != nil {
				return withHint(fmt.Errorf("output %d: %w", i+1, err), "the generation itself succeeded; fetch its outputs with "+f.resume)
			}
			shape.Files[i].File = saved.shape()
		}
	}
	if err := c.result(shape, func() { c.showJob(shape) }); err != nil {
		return err
	}
	if g.Status == client.GenerationFailed || g.Status == client.GenerationCancelled {
		return &failure{exit: exitGeneration, message: "the generation did not succeed", shown: true}
	}
	return nil
}

// awaitJob is await for a generation of the generations API.
func (f follow) awaitJob(ctx context.Context, c *console, api *client.Client, g *client.Generation) (*client.Generation, error) {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if f.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, f.timeout)
	}
	defer cancel()
	line := c.startProgress("")
	defer line.finish()
	line.set(0, string(g.Status), g.Progress)
	ended, err := api.WaitGeneration(limited, g.JobID, client.GenerationWaitOptions{OnProgress: func(g client.Generation) {
		if g.Status.Terminal() {
			line.end(0, string(g.Status), g.Progress, g.Status != client.GenerationSucceeded)
			return
		}
		line.set(0, string(g.Status), g.Progress)
	}})
	line.finish()
	var failed *client.GenerationFailedError
	if err == nil || errors.As(err, &failed) {
		return ended, nil
	}
	return nil, f.gaveUp(ctx, limited, err)
}

// showJob writes a generation of the generations API for people.
func (c *console) showJob(s jobShape) {
	state := s.Status
	switch client.GenerationStatus(s.Status) {
	case client.GenerationSucceeded:
		state = c.outStyle.good(state)
	case client.GenerationFailed, client.GenerationCancelled:
		state = c.outStyle.bad(state)
	default:
		state = fmt.Sprintf("%s, %d %%", state, s.Progress)
	}
	c.say("%s  %s", c.outStyle.bold(printable(s.JobID)), state)
	if s.ParentJobID != "" {
		c.say("  made anew from %s", printable(s.ParentJobID))
	}
	if s.Failure != nil {
		c.say("  %s: %s", printable(s.Failure.Code), printable(s.Failure.Message))
	}
	for _, f := range s.Files {
		if f.File != nil {
			c.say("  %s  %s", printable(nearby(f.File.Path)), f.File.saved.summary())
			continue
		}
		c.say("  %s  %s", printable(f.Role), printable(f.URL))
	}
}

type listCommand struct {
	Status    string `help:"Those that are ingesting, queued, processing, succeeded, failed or cancelled." enum:",ingesting,queued,processing,succeeded,failed,cancelled" default:"" placeholder:"STATUS"`
	Model     string `help:"Those of one model." placeholder:"NAME"`
	Workflow  string `help:"Those of one workflow." placeholder:"NAME"`
	Reference string `help:"Those with exactly this reference of yours." placeholder:"TEXT"`
	Prefix    string `name:"reference-prefix" help:"Those whose reference begins so." placeholder:"TEXT"`
	Since     moment `help:"Those accepted since: how long ago (90m, 3d), or a time." placeholder:"WHEN"`
	Until     moment `help:"Those accepted before." placeholder:"WHEN"`
	Limit     int    `help:"How many to list." default:"50" placeholder:"N"`

	connection
}

// longestPage is how many the server lists at once.
const longestPage = 100

func (l *listCommand) Run(ctx context.Context, c *console) error {
	if l.Limit < 1 {
		return usage("--limit must be 1 at least", "")
	}
	api, err := l.open(ctx, c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	filter := client.GenerationFilter{
		Status: client.GenerationStatus(l.Status), Model: l.Model, Workflow: l.Workflow, Reference: l.Reference, ReferencePrefix: l.Prefix,
		CreatedAfter: time.Time(l.Since), CreatedBefore: time.Time(l.Until), PageSize: min(l.Limit, longestPage),
	}
	shape := struct {
		Generations []jobShape `json:"generations"`
		Truncated   bool       `json:"truncated"` // there are more
	}{Generations: []jobShape{}}
	for g, err := range api.AllGenerations(ctx, filter) {
		if err != nil {
			return err
		}
		if shape.Truncated = len(shape.Generations) == l.Limit; shape.Truncated {
			break
		}
		shape.Generations = append(shape.Generations, jobOf(&g))
	}
	return c.result(shape, func() {
		rows := make([][]string, len(shape.Generations))
		for i, g := range shape.Generations {
			rows[i] = jobRow(g)
		}
		c.table([]string{"ID", "CREATED", "STATUS", "PROGRESS", "MODEL", "WORKFLOW", "REFERENCE"}, rows)
		if shape.Truncated {
			c.say("There are more: raise --limit, or narrow it down.")
		}
	})
}

func jobRow(g jobShape) []string {
	reference := ""
	if g.Reference != nil {
		reference = *g.Reference
	}
	return []string{printable(g.JobID), stamp(time.Time(g.CreatedAt)), printable(g.Status), fmt.Sprintf("%d %%", g.Progress), printable(g.Model),
		printable(orDash(g.Workflow)), printable(orDash(reference))}
}
