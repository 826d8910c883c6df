package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kinora/kinora/client"
)

type createCommand struct {
	Workflow string `arg:"" help:"Name of the workflow; kinora workflow list shows them, kinora workflow show what one takes."`
	Source   string `required:"" help:"The picture to work from: a file, an http(s) URL, or the id of a source image, src_…" placeholder:"FILE|URL|ID"`

	choices
}

type regenerateCommand struct {
	ID       string `arg:"" help:"The generation's id, job_…"`
	Workflow string `help:"Another workflow." placeholder:"NAME"`

	choices
}

// choices are what a generation of a workflow is made by, and what becomes of it.
type choices struct {
	CaptureType string   `help:"photo, panorama360, floorplan, or what else the workflow takes." placeholder:"TYPE"`
	Mode        string   `help:"furnish, clean, or what else the workflow takes." placeholder:"MODE"`
	Room        []string `help:"Type of a room that is seen, such as 'Living Room'. May be repeated." sep:"none" placeholder:"TYPE"`
	Style       string   `help:"Name of a style preset." placeholder:"NAME"`
	Set         []string `help:"Field of the workflow's own. VALUE is a JSON list of texts, or else text. May be repeated." placeholder:"KEY=VALUE" sep:"none"`

	Webhook        string `help:"Where the signed event goes; the organisation's default when absent." placeholder:"URL"`
	Reference      string `help:"Your own id, echoed in the event." placeholder:"TEXT"`
	Metadata       string `help:"Your own JSON object, echoed in the event." placeholder:"JSON"`
	IdempotencyKey string `help:"Repeats with the same key and request are one generation, for 24 hours. A new one when absent." placeholder:"KEY"`

	NoWait  bool          `help:"Return as soon as the generation is accepted."`
	Timeout time.Duration `help:"Give up waiting after this time; the generation goes on. 0 = never." default:"0" placeholder:"10m"`
	Out     string        `help:"Folder that the outputs are downloaded into." placeholder:"DIR" default:"." type:"path"`

	connection
}

func (x *createCommand) Run(ctx context.Context, c *console) error {
	request, err := x.request(x.Workflow)
	if err != nil {
		return err
	}
	return x.make(ctx, c, func(api *client.Client, once client.SubmitOption) (*client.Generation, error) {
		switch {
		case strings.HasPrefix(x.Source, "src_"):
			request.SourceAssetID = x.Source
		case strings.Contains(x.Source, "://"):
			request.SourceURL = x.Source
		default:
			file, err := os.Open(x.Source)
			if err != nil {
				return nil, usage("--source: "+err.Error(), "give a file that can be read, an http(s) URL, or the id of a source image")
			}
			defer file.Close()
			return api.CreateFromFile(ctx, request, filepath.Base(x.Source), file, once)
		}
		return api.Create(ctx, request, once)
	})
}

func (x *regenerateCommand) Run(ctx context.Context, c *console) error {
	request, err := x.request(x.Workflow)
	if err != nil {
		return err
	}
	return x.make(ctx, c, func(api *client.Client, once client.SubmitOption) (*client.Generation, error) {
		return api.Regenerate(ctx, x.ID, request, once)
	})
}

// make has a generation accepted, follows it to its end and fetches what it made.
func (x *choices) make(ctx context.Context, c *console, accept func(*client.Client, client.SubmitOption) (*client.Generation, error)) error {
	api, err := x.open(ctx, c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	key := x.IdempotencyKey
	if key == "" {
		key = rand.Text()
	}
	g, err := accept(api, client.IdempotencyKey(key))
	if err != nil {
		return unsettled(ctx, err, key)
	}
	c.note("%s accepted", printable(g.JobID))
	return follow{wait: !x.NoWait, timeout: x.Timeout, out: x.Out, resume: resume(g.JobID, x.connection, x.Out)}.runJob(ctx, c, api, g)
}

func (x *choices) request(workflow string) (client.GenerationRequest, error) {
	r := client.GenerationRequest{Workflow: workflow, CaptureType: x.CaptureType, Mode: x.Mode, RoomTypes: x.Room, StylePreset: x.Style, Reference: x.Reference}
	if x.Webhook != "" {
		r.Webhook = &client.Webhook{URL: x.Webhook}
	}
	if x.Metadata != "" {
		if r.Metadata = json.RawMessage(x.Metadata); !json.Valid(r.Metadata) {
			return r, usage("--metadata is not JSON", "quote it for your shell: --metadata '{\"row\":7}'")
		}
	}
	var err error
	r.Fields, err = ownFields(x.Set)
	return r, err
}

// ownFields reads KEY=VALUE pairs as the values that fields of workflows have: texts, which stand for numbers as well, and lists of
// texts. What begins like a list and is no JSON is text, such as "[draft] loft"; JSON of another kind is nothing that a field takes.
func ownFields(pairs []string) (map[string]any, error) {
	fields := map[string]any{}
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, usage(fmt.Sprintf("--set %q is not KEY=VALUE", pair), "")
		}
		if _, twice := fields[key]; twice {
			return nil, usage(fmt.Sprintf("--set names %q twice", key), "several values are a list: --set 'key=[\"a\",\"b\"]'")
		}
		fields[key] = value
		if strings.HasPrefix(strings.TrimSpace(value), "[") && json.Valid([]byte(value)) {
			var list []string
			if json.Unmarshal([]byte(value), &list) != nil {
				return nil, usage(fmt.Sprintf("--set %s: the value is a JSON list, but no list of texts", key), "quote each: --set 'key=[\"a\",\"b\"]'")
			}
			fields[key] = list
		}
	}
	return fields, nil
}
