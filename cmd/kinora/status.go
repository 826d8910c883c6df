package main

import (
	"context"
	"time"
)

type statusCommand struct {
	ID string `arg:"" help:"The generation's id, task_…"`

	Wait    bool          `help:"Wait until it has ended."`
	Timeout time.Duration `help:"With --wait: give up after this time; 0 = never." default:"0" placeholder:"10m"`
	Out     string        `help:"Download the outputs into this folder." placeholder:"DIR" type:"path"`

	connection
}

func (s *statusCommand) Run(ctx context.Context, c *console) error {
	api, err := s.open(c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	task, err := api.Status(ctx, s.ID)
	if err != nil {
		return err
	}
	return follow{wait: s.Wait, timeout: s.Timeout, out: s.Out, resume: resume(s.ID, s.connection, s.Out)}.run(ctx, c, api, task)
}
