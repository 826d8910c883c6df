package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/tenancy"
)

type serveCommand struct {
	configured
}

// serveShape is what --json writes once the server is ready.
type serveShape struct {
	URL     string          `json:"url"`
	Address string          `json:"address"` // host:port that it listens on
	Made    *bootstrapShape `json:"made"`    // null unless this start found an empty database
	// SetUpLink is where the first person comes in to the dashboard; null once somebody has.
	SetUpLink *string `json:"set_up_link"`
}

// bootstrapShape is shown once: none of its secrets can be read again.
type bootstrapShape struct {
	OrganisationID string `json:"organisation_id"`
	KeyID          string `json:"key_id"`
	Key            string `json:"key"`
	WebhookSecret  string `json:"webhook_secret"`
}

func (s *serveCommand) Run(ctx context.Context, c *console) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	// The log goes to standard error and the secrets of a first start to standard output, so that a log
	// that is collected never holds them.
	origins, err := config.FindOrigins(s.Config, os.Environ())
	if err != nil {
		return err
	}
	server, err := app.New(ctx, cfg, app.Options{Logger: newLogger(c.err, cfg.Log), Version: buildInfo().Version, Origins: origins})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) // within the configured grace
	}()
	failed := server.Start(ctx)
	made := bootstrapOf(server.Bootstrapped())
	if failed != nil && made == nil {
		return failed
	}
	// What a start has made is shown even if it went wrong afterwards: the next one will not make it again.
	shape := serveShape{URL: server.URL(), Address: server.Addr(), Made: made}
	if link := server.SetUpLink(); link != "" {
		shape.SetUpLink = &link
	}
	if err := c.result(shape, func() {
		if failed == nil {
			c.say("Kinora %s serves %s", buildInfo().Version, shape.URL)
		}
		c.showMade(made)
		if shape.SetUpLink != nil {
			c.say("")
			c.showSetUpLink(*shape.SetUpLink)
		}
		if made != nil && cfg.SandboxEnabled() {
			c.say("")
			c.say("Try it:  KINORA_SERVER=%s KINORA_KEY=%s \\", server.LocalURL(), made.Key)
			c.say("         kinora submit --model sandbox-image --prompt 'a red kite over the dunes'")
		}
	}); err != nil || failed != nil {
		return errors.Join(failed, err)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Failed():
		return fmt.Errorf("serving ended: %w", err)
	}
}

func bootstrapOf(b *tenancy.Bootstrapped) *bootstrapShape {
	if b == nil {
		return nil
	}
	return &bootstrapShape{OrganisationID: b.Organisation.ID, KeyID: b.Key.ID, Key: b.KeyText, WebhookSecret: b.Secret.Text}
}

func (c *console) showMade(made *bootstrapShape) {
	if made == nil {
		return
	}
	c.say("")
	c.say("This start made an organisation. Its key and webhook secret are shown this once:")
	c.say("")
	c.say("  organisation    %s", made.OrganisationID)
	c.say("  API key         %s", made.Key)
	c.say("  webhook secret  %s", made.WebhookSecret)
}
