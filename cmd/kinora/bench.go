package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/bench"
)

type benchCommand struct {
	Suite string `arg:"" optional:"" help:"webhooks: deliveries alone, in every situation that hurts. upstreams: how late the end of a job at each upstream is seen, and what asking for it costs. Without it: the whole program."`

	Database string        `name:"database" help:"An empty PostgreSQL database (postgres://…) to measure on. Without it: SQLite in a temporary folder." placeholder:"URL"`
	Duration time.Duration `name:"duration" default:"5s" help:"How long each timed measurement lasts."`
	InFlight []int         `name:"in-flight" help:"Generations in flight for the detection measurement (50,500,5000), or at each upstream (50,1000)." placeholder:"N,…"`
	Backlog  int           `name:"backlog" default:"20000" help:"Deliveries that wait for the sustained measurement."`
	Only     []string      `name:"only" help:"Measure only these: ${measurements}; of webhooks: ${webhook_measurements}; of upstreams: ${upstream_measurements}." placeholder:"NAME"`
}

func (b *benchCommand) Run(ctx context.Context, c *console) error {
	if b.Suite != "" && !slices.Contains(bench.Suites(), b.Suite) {
		return usage(fmt.Sprintf("there is no suite %q", b.Suite), "there is "+strings.Join(bench.Suites(), ", "))
	}
	all := bench.Measurements(b.Suite)
	for _, name := range b.Only {
		if !slices.Contains(all, name) {
			return usage(fmt.Sprintf("there is no measurement %q", name), "there are "+strings.Join(all, ", "))
		}
	}
	for _, n := range b.InFlight {
		if n < 1 {
			return usage(fmt.Sprintf("%d generations cannot be in flight", n), "give numbers from 1")
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("this program cannot be found: %w", err)
	}
	report, err := bench.Run(ctx, bench.Options{
		Binary: binary, DSN: b.Database, Duration: b.Duration, InFlight: b.InFlight, Backlog: b.Backlog, Suite: b.Suite, Only: b.Only,
		Progress: func(what string) { fmt.Fprintln(c.err, "measuring:", what) },
	})
	if err != nil {
		return err
	}
	return c.result(report, func() { report.WriteTable(c.out) })
}
