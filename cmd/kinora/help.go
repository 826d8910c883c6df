package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kong"
)

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command to explain; none = all of them."`
}

func (h *helpCommand) Run(ctx context.Context, c *console) error {
	_, ended, err := c.parse(ctx, append(h.Command, "--help"))
	if !ended {
		return err
	}
	return nil
}

// help prints kong's page, and below the page of the whole program the exit codes, which belong to no command.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() != nil {
		return nil
	}
	fmt.Fprint(ctx.Stdout, "\nExit codes:\n")
	for _, e := range exitCodes() {
		fmt.Fprintf(ctx.Stdout, "  %-4d %s\n", e.code, e.meaning)
	}
	return nil
}
