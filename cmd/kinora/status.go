package main

import (
	"context"
	"strings"
	"time"
)

type statusCommand struct {
	ID string `arg:"" help:"The generation's id, task_… or job_…"`

	Wait    bool          `help:"Wait until it has ended."`
	Timeout time.Duration `help:"With --wait: give up after this time; 0 = never." default:"0" placeholder:"10m"`
	Out     string        `help:"Download the outputs into this folder." placeholder:"DIR" type:"path"`

	connection
}

func (s *statusCommand) Run(ctx context.Context, c *console) error {
	api, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	f := follow{wait: s.Wait, timeout: s.Timeout, out: s.Out, resume: resume(s.ID, s.connection, s.Out)}
	if strings.HasPrefix(s.ID, jobPrefix) { // of which the submit API knows nothing
		g, err := api.Generation(ctx, s.ID)
		if err != nil {
			return err
		}
		return f.runJob(ctx, c, api, g)
	}
	task, err := api.Status(ctx, s.ID)
	if err != nil {
		return err
	}
	return f.run(ctx, c, api, task)
}
