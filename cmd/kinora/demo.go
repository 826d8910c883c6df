package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
)

type demoCommand struct {
	Keep bool   `help:"Keep serving afterwards, until Ctrl-C."`
	Out  string `help:"Folder for the two files." placeholder:"DIR" default:"kinora-demo" type:"path"`
	Addr string `help:"Address and port to listen on; port 0 takes a free one." placeholder:"HOST:PORT" default:"127.0.0.1:0"`
}

const (
	demoLimit = 2 * time.Minute // from start to verified webhooks; far more than any machine needs
	demoLook  = 150 * time.Millisecond
)

// demoItem is one of the two generations of the demo.
type demoItem struct {
	kind    string // names row and file
	request client.SubmitRequest

	task  *client.Task
	saved savedFile
	event receivedEvent
}

// demoItems are small on purpose: the point is the way, not the picture.
func demoItems() []*demoItem {
	return []*demoItem{
		{kind: "image", request: client.SubmitRequest{Model: "sandbox-image",
			Input: client.Input{Prompt: "A lighthouse above the sea at dusk", Size: "1024x1024"}}},
		{kind: "video", request: client.SubmitRequest{Model: "sandbox-video",
			Input: client.Input{Prompt: "Paper boats on a quiet canal", Size: "1280x720", Duration: 4}}},
	}
}

func (d *demoCommand) Run(ctx context.Context, c *console) (err error) {
	started := time.Now()
	run, err := d.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.stop(ctx)) }()
	c.introduceDemo(run)

	limited, cancel := context.WithTimeoutCause(ctx, demoLimit, errDemoSlow)
	defer cancel()
	if err := run.generate(limited, c); err != nil {
		return run.explain(ctx, limited, err)
	}
	shape := run.shape(d.Keep, time.Since(started))
	if err := c.result(shape, func() { c.concludeDemo(run, shape) }); err != nil {
		return err
	}
	if d.Keep {
		c.note("\nServing until Ctrl-C. Webhooks that the receiver verifies are shown here.")
		run.logs.passOn(c.err)
		run.receiver.follow(ctx, func(e webhook.Event) {
			c.note("  %s %s  %s  %s", c.errStyle.good("✓"), e.ID, e.EventType, e.JobID)
		})
	}
	return nil
}

var errDemoSlow = errors.New("the demo took too long")

// generate drives all items from submission to verified webhooks.
func (r *demoRun) generate(ctx context.Context, c *console) error {
	for _, item := range r.items {
		request := item.request
		request.Webhook = &client.Webhook{URL: r.receiver.url}
		var err error
		if item.task, err = r.api.Submit(ctx, request); err != nil {
			return fmt.Errorf("submit the %s: %w", item.kind, err)
		}
	}
	if err := r.watch(ctx, c); err != nil {
		return err
	}
	for _, item := range r.items {
		if err := r.settle(ctx, item); err != nil {
			return fmt.Errorf("%s: %w", item.kind, err)
		}
	}
	return nil
}

// watch shows progress until every item has ended.
func (r *demoRun) watch(ctx context.Context, c *console) error {
	var labels []string
	for _, item := range r.items {
		labels = append(labels, item.kind)
	}
	board := c.startProgress(labels...)
	defer board.finish()
	tick := time.NewTicker(demoLook)
	defer tick.Stop()
	for {
		open := 0
		for i, item := range r.items {
			if item.task.Status.Terminal() {
				continue
			}
			task, err := r.api.Status(ctx, item.task.ID)
			if err != nil {
				return fmt.Errorf("read the %s: %w", item.kind, err)
			}
			item.task = task
			if task.Status.Terminal() {
				board.end(i, string(task.Status), task.Progress, task.Status == client.TaskFailed)
				continue
			}
			board.set(i, string(task.Status), task.Progress)
			open++
		}
		if open == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle checks what one generation left behind: its file, and the webhook about it.
func (r *demoRun) settle(ctx context.Context, item *demoItem) (err error) {
	if item.task.Status == client.TaskFailed {
		return &client.TaskFailedError{Task: *item.task}
	}
	if len(item.task.Files) != 1 {
		return fmt.Errorf("finished with %d files instead of one", len(item.task.Files))
	}
	item.saved, err = download(ctx, r.api, item.task.Files[0].URL, r.out, item.kind)
	if err != nil {
		return err
	}
	if item.saved.Width == 0 || item.kind == "video" && item.saved.Duration == 0 {
		return fmt.Errorf("the file %s cannot be read as %s", item.saved.Path, item.kind)
	}
	item.event, err = r.receiver.await(ctx, item.task.ID)
	return err
}

// explain adds what the server had to say to an error that ended the demo.
func (r *demoRun) explain(ctx, limited context.Context, err error) error {
	f := *explain(err)
	switch {
	case ctx.Err() != nil:
		return &failure{exit: exitInterrupted, message: "interrupted", cause: err}
	case limited.Err() != nil:
		f.exit, f.code, f.message = exitTimeout, "", fmt.Sprintf("not done after %s: %s", elapsed(demoLimit), f.message)
	}
	if said := r.logs.kept(); said != "" {
		f.hint = "the server's log ends with: " + said
	}
	return &f
}

// demoShape is how --json tells the demo.
type demoShape struct {
	Server      string            `json:"server"`
	Receiver    string            `json:"receiver"`
	Key         string            `json:"key,omitempty"` // with --keep only: afterwards it opens nothing
	Generations []demoResultShape `json:"generations"`
	Seconds     float64           `json:"seconds"` // from start to the last verified webhook
}

type demoResultShape struct {
	Kind    string       `json:"kind"` // image or video
	Model   string       `json:"model"`
	Prompt  string       `json:"prompt"`
	TaskID  string       `json:"task_id"`
	File    *fileShape   `json:"file"`
	Webhook webhookShape `json:"webhook"`
}

// webhookShape is a webhook whose two signatures were found genuine; another one would have ended the demo.
type webhookShape struct {
	EventID   string   `json:"event_id"`
	EventType string   `json:"event_type"`
	Attempt   int      `json:"attempt"`
	Received  instant  `json:"received_at"`
	Verified  []string `json:"verified"` // names of the signature headers
}

func (r *demoRun) shape(keep bool, took time.Duration) demoShape {
	s := demoShape{Server: r.app.URL(), Receiver: r.receiver.url, Seconds: took.Seconds()}
	if keep {
		s.Key = r.key
	}
	for _, item := range r.items {
		s.Generations = append(s.Generations, demoResultShape{
			Kind: item.kind, Model: item.request.Model, Prompt: item.request.Input.Prompt, TaskID: item.task.ID, File: item.saved.shape(),
			Webhook: webhookShape{EventID: item.event.event.ID, EventType: item.event.event.EventType, Attempt: item.event.event.Attempt,
				Received: instant(item.event.at), Verified: verifiedHeaders()},
		})
	}
	return s
}

func (c *console) introduceDemo(r *demoRun) {
	c.note("%s  offline: the built-in sandbox makes the files, nothing leaves this machine", c.errStyle.bold("Kinora demo"))
	c.note("")
	c.note("  server    %s  SQLite in %s", r.app.URL(), r.folder)
	c.note("  receiver  %s", r.receiver.url)
	c.note("  %s", c.errStyle.dim("For this run only, webhooks may go to 127.0.0.0/8 over plain http; a server refuses both by default."))
	c.note("")
}

func (c *console) concludeDemo(r *demoRun, s demoShape) {
	c.note("")
	c.say("%s", c.outStyle.bold("Files"))
	for _, g := range s.Generations {
		c.say("  %s  %s", nearby(g.File.Path), g.File.saved.summary())
	}
	c.say("")
	c.say("%s  both signatures of each verified: webhook-signature and x-katalo-signature", c.outStyle.bold("Webhooks"))
	for _, g := range s.Generations {
		c.say("  %s %s  %s  %s", c.outStyle.good("✓"), g.Webhook.EventID, g.Webhook.EventType, g.TaskID)
	}
	c.say("")
	c.say("Done in %.1f s.", s.Seconds)
	if s.Key == "" {
		c.say("Next: kinora serve")
		return
	}
	body, _ := json.Marshal(client.SubmitRequest{Model: s.Generations[0].Model, Input: client.Input{Prompt: "A red kite over the dunes"}})
	c.say("")
	c.say("%s", c.outStyle.bold("Try it yourself"))
	c.say("  curl -s %s/api/generate/submit -H 'Authorization: Bearer %s' \\", s.Server, s.Key)
	c.say("    -H 'Content-Type: application/json' -d %s", shellQuoted(string(body)))
	c.say("")
	c.say("  KINORA_SERVER=%s KINORA_KEY=%s \\", s.Server, s.Key)
	c.say("    kinora submit --model %s --prompt %s --duration 4", s.Generations[1].Model, shellQuoted("A red kite over the dunes"))
	video, _ := json.Marshal(map[string]any{"model": s.Generations[1].Model, "prompt": "A red kite over the dunes", "webhook": map[string]string{"url": s.Receiver}})
	c.say("")
	c.say("  curl -s %s/v1/videos -H 'Authorization: Bearer %s' \\", s.Server, s.Key)
	c.say("    -H 'Content-Type: application/json' -d %s", shellQuoted(string(video)))
}
