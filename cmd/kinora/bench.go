package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/bench"
)

type benchCommand struct {
	Database string        `name:"database" help:"An empty PostgreSQL database (postgres://…) to measure on. Without it: SQLite in a temporary folder." placeholder:"URL"`
	Duration time.Duration `name:"duration" default:"5s" help:"How long each timed measurement lasts."`
	InFlight []int         `name:"in-flight" default:"50,500,5000" help:"Generations in flight for the detection measurement."`
	Backlog  int           `name:"backlog" default:"20000" help:"Deliveries that wait for the sustained measurement."`
	Only     []string      `name:"only" help:"Measure only these: ${measurements}." placeholder:"NAME"`
}

func (b *benchCommand) Run(ctx context.Context, c *console) error {
	for _, name := range b.Only {
		known := false
		for _, m := range bench.Measurements() {
			known = known || m == name
		}
		if !known {
			return usage(fmt.Sprintf("there is no measurement %q", name), "there are "+strings.Join(bench.Measurements(), ", "))
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("this program cannot be found: %w", err)
	}
	report, err := bench.Run(ctx, bench.Options{
		Binary: binary, DSN: b.Database, Duration: b.Duration, InFlight: b.InFlight, Backlog: b.Backlog, Only: b.Only,
		Progress: func(what string) { fmt.Fprintln(c.err, "measuring:", what) },
	})
	if err != nil {
		return err
	}
	return c.result(report, func() { report.WriteTable(c.out) })
}
