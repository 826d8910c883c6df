package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kinora/kinora/client"
)

type submitCommand struct {
	Model    string   `required:"" help:"Public name of the model." placeholder:"NAME"`
	Prompt   string   `required:"" help:"What to make; - reads it from standard input." placeholder:"TEXT"`
	Image    []string `help:"Reference image: an http(s) URL, or a file, which is uploaded first. May be repeated." placeholder:"URL|FILE" sep:"none"`
	Size     string   `help:"1280x720, 16:9 or auto; the model's default when absent." placeholder:"SIZE"`
	Duration int      `help:"Seconds of video; 0 = the model's default." placeholder:"SECONDS"`
	Meta     []string `help:"Field of the model's own, input.metadata. VALUE is JSON, or plain text where it is none. May be repeated." placeholder:"KEY=VALUE" sep:"none"`

	Webhook        string `help:"Where the signed event goes; the organisation's default when absent." placeholder:"URL"`
	Reference      string `help:"Your own id, echoed in the event." placeholder:"TEXT"`
	IdempotencyKey string `help:"Repeats with the same key and request are one generation, for 24 hours. A new one when absent." placeholder:"KEY"`

	NoWait  bool          `help:"Return as soon as the generation is accepted."`
	Timeout time.Duration `help:"Give up waiting after this time; the generation goes on. 0 = never." default:"0" placeholder:"10m"`
	Out     string        `help:"Folder that the outputs are downloaded into." placeholder:"DIR" default:"." type:"path"`

	connection
}

func (s *submitCommand) Run(ctx context.Context, c *console) error {
	api, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	request, err := s.request(ctx, c, api)
	if err != nil {
		return err
	}
	key := s.IdempotencyKey
	if key == "" {
		key = rand.Text()
	}
	task, err := api.Submit(ctx, request, client.IdempotencyKey(key))
	if err != nil {
		return unsettled(ctx, err, key)
	}
	c.note("%s accepted", printable(task.ID))
	return follow{
		wait: !s.NoWait, timeout: s.Timeout, out: s.Out, resume: resume(task.ID, s.connection, s.Out),
	}.run(ctx, c, api, task)
}

// unsettled adds to an error after which nobody knows whether the server has the generation how to find out.
func unsettled(ctx context.Context, err error, key string) error {
	if ctx.Err() == nil && !errors.Is(err, client.ErrUnavailable) {
		return err
	}
	hint := "it may have been accepted all the same; the same command with --idempotency-key " + key + " finds out, and pays once"
	var dialled *net.OpError
	if errors.As(err, &dialled) && dialled.Op == "dial" {
		hint = explain(err).hint // it got no further than the door
	}
	return withHint(err, hint)
}

func (s *submitCommand) request(ctx context.Context, c *console, api *client.Client) (client.SubmitRequest, error) {
	r := client.SubmitRequest{
		Model: s.Model, Reference: s.Reference,
		Input: client.Input{Prompt: s.Prompt, Size: s.Size, Duration: s.Duration},
	}
	if s.Prompt == "-" {
		text, err := readInput(c.in, maxPrompt)
		if err != nil {
			return r, err
		}
		r.Input.Prompt = text
	}
	if s.Webhook != "" {
		r.Webhook = &client.Webhook{URL: s.Webhook}
	}
	var err error
	if r.Input.Metadata, err = metadata(s.Meta); err != nil {
		return r, err
	}
	for _, image := range s.Image {
		link, err := referenceImage(ctx, c, api, image)
		if err != nil {
			return r, err
		}
		r.Input.Images = append(r.Input.Images, link)
	}
	return r, nil
}

const maxPrompt = 1 << 20 // bytes; servers take far less

// readInput reads a text from standard input, without the line end that shells put behind it.
func readInput(in io.Reader, limit int64) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	if int64(len(text)) > limit {
		return "", usage(fmt.Sprintf("standard input holds more than %d bytes", limit), "")
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// metadata reads KEY=VALUE pairs. A value that begins like a JSON object, array or string has to be one: taking a
// mistyped one for plain text would send something that nobody meant.
func metadata(pairs []string) (map[string]any, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	fields := make(map[string]any, len(pairs))
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, usage(fmt.Sprintf("--meta %q is not KEY=VALUE", pair), "")
		}
		if _, twice := fields[key]; twice {
			return nil, usage(fmt.Sprintf("--meta names %q twice", key), "")
		}
		switch raw := bytes.TrimSpace([]byte(value)); {
		case json.Valid(raw):
			fields[key] = json.RawMessage(raw) // as it was written, so that no number changes
		case len(raw) > 0 && strings.ContainsRune(`{["`, rune(raw[0])):
			return nil, usage(fmt.Sprintf("--meta %s: the value begins like JSON and is none", key), "quote it for your shell: --meta 'key={\"a\":1}'")
		default:
			fields[key] = value
		}
	}
	return fields, nil
}

// referenceImage returns the URL to submit. A file is uploaded, and kept by the server for as long as it keeps uploads.
func referenceImage(ctx context.Context, c *console, api *client.Client, image string) (string, error) {
	if strings.Contains(image, "://") {
		return image, nil
	}
	file, err := os.Open(image)
	if err != nil {
		return "", usage("--image: "+err.Error(), "give an http(s) URL or a file that can be read")
	}
	defer file.Close()
	uploaded, err := api.UploadStream(ctx, filepath.Base(image), file)
	if err != nil {
		return "", fmt.Errorf("upload %s: %w", image, err)
	}
	c.note("%s uploaded, kept until %s", printable(image), stamp(uploaded.ExpiresAt))
	return uploaded.URL, nil
}

// resume is the command that takes up waiting again. The key is not part of it.
func resume(id string, x connection, out string) string {
	command := "kinora status " + shellQuoted(id) + " --wait"
	if x.Server != "" && x.Server != defaultServer && os.Getenv("KINORA_SERVER") != x.Server {
		command += " --server " + shellQuoted(x.Server)
	}
	if x.Org != "" {
		command += " --org " + shellQuoted(x.Org)
	}
	if out != "" {
		command += " --out " + shellQuoted(out)
	}
	return command
}

// shellQuoted makes a word of a POSIX shell.
func shellQuoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
