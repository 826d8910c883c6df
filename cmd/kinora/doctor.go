package main

import (
	"context"
	"fmt"

	"github.com/kinora/kinora/internal/app"
)

type doctorCommand struct {
	configured
}

// doctorShape is how --json tells what was found.
type doctorShape struct {
	OK     bool            `json:"ok"`
	Checks []app.Diagnosis `json:"checks"` // name, ok, detail, hint
}

func (d *doctorCommand) Run(ctx context.Context, c *console) error {
	shape := doctorShape{OK: true}
	if cfg, err := d.load(); err != nil {
		// Nothing else can be looked at without it.
		f := explain(err)
		shape.Checks = []app.Diagnosis{{Name: "configuration", Detail: f.message, Hint: f.hint}}
	} else {
		shape.Checks = app.Doctor(ctx, cfg)
	}
	failed := 0
	for _, check := range shape.Checks {
		if !check.OK {
			shape.OK = false
			failed++
		}
	}
	if err := c.result(shape, func() { c.showDiagnosis(shape, failed) }); err != nil {
		return err
	}
	if failed > 0 {
		return &failure{exit: exitFailure, message: "checks failed", shown: true}
	}
	return nil
}

func (c *console) showDiagnosis(s doctorShape, failed int) {
	width := 0
	for _, check := range s.Checks {
		width = max(width, len(check.Name))
	}
	for _, check := range s.Checks {
		mark := c.outStyle.good("✓")
		if !check.OK {
			mark = c.outStyle.bad("✗")
		}
		c.say("%s %-*s  %s", mark, width, printable(check.Name), printable(check.Detail))
		if check.Hint != "" {
			c.say("  %-*s  %s", width, "", c.outStyle.dim(printable(check.Hint)))
		}
	}
	c.say("")
	if failed > 0 {
		c.say("%s", c.outStyle.bad(fmt.Sprintf("%d of %d checks failed.", failed, len(s.Checks))))
		return
	}
	c.say("All is well: %d checks.", len(s.Checks))
}
