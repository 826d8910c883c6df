package main

import (
	"context"
	"fmt"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store"
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
		shape.Checks = besideServer(ctx, cfg, app.Doctor(ctx, cfg))
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

// besideServer adds how the server on this configuration is, when one runs: it takes this data folder's admin token, so
// it is no other. Such a server keeps its SQLite database to itself, which is no illness.
func besideServer(ctx context.Context, cfg config.Config, checks []app.Diagnosis) []app.Diagnosis {
	api, _ := operator{}.running(ctx, cfg)
	if api == nil {
		return checks
	}
	defer api.close()
	url := localURL(cfg.Listen)
	if err := api.ready(ctx); err != nil {
		return append(checks, app.Diagnosis{Name: "server", Detail: "runs at " + url + " and is not ready: " + err.Error(), Hint: "its log says why"})
	}
	for i, check := range checks {
		if check.Name == "database" && !check.OK && !store.IsPostgres(cfg.DatabaseDSN()) {
			checks[i] = app.Diagnosis{Name: check.Name, OK: true, Detail: "sqlite, in use by the server, which answers from it"}
		}
	}
	return append(checks, app.Diagnosis{Name: "server", OK: true, Detail: "runs at " + url + " and is ready"})
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
