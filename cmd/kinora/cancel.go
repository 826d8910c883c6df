package main

import (
	"context"

	"github.com/kinora/kinora/client"
)

type cancelCommand struct {
	ID string `arg:"" help:"The generation's id, task_… or job_…"`

	connection
}

// cancelShape is how --json shows a generation that was cancelled.
type cancelShape struct {
	JobID       string  `json:"job_id"`
	Status      string  `json:"status"` // cancelled
	CompletedAt instant `json:"completed_at"`
}

func (x *cancelCommand) Run(ctx context.Context, c *console) error {
	api, err := x.open(ctx, c)
	if err != nil {
		return err
	}
	defer api.CloseIdleConnections()
	g, err := api.Cancel(ctx, x.ID)
	if err != nil {
		return err
	}
	return c.result(cancelled(g), func() { c.say("%s  %s", printable(g.JobID), printable(string(g.Status))) })
}

func cancelled(g *client.Generation) cancelShape {
	shape := cancelShape{JobID: g.JobID, Status: string(g.Status)}
	if g.CompletedAt != nil {
		shape.CompletedAt = instant(*g.CompletedAt)
	}
	return shape
}
