package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/workflow"
)

type workflowCommand struct {
	List   workflowListCommand   `cmd:"" help:"List the workflows of the configuration at hand."`
	Show   workflowShowCommand   `cmd:"" help:"Show what a workflow takes and does."`
	Check  workflowCheckCommand  `cmd:"" help:"Check workflow files and explain what is wrong with them."`
	Schema workflowSchemaCommand `cmd:"" help:"Print the JSON Schema of workflow files, for editors."`
}

// workflows reads the configuration's workflows, those too whose models are not offered.
func (x configured) workflows() (all, offered *workflow.Set, err error) {
	cfg, err := x.load()
	if err != nil {
		return nil, nil, err
	}
	models, err := app.OfferedModels(cfg)
	if err != nil {
		return nil, nil, err
	}
	if all, err = workflow.Load(cfg.WorkflowsDir); err != nil {
		return nil, nil, err
	}
	offered, err = all.Offer(models)
	return all, offered, err
}

type workflowListCommand struct{ configured }

// workflowRow is how --json shows a workflow in the list.
type workflowRow struct {
	*workflow.Workflow
	Offered bool `json:"offered"` // whether a server with this configuration has its model
}

func (w *workflowListCommand) Run(c *console) error {
	all, offered, err := w.workflows()
	if err != nil {
		return err
	}
	shape := struct {
		Workflows []workflowRow `json:"workflows"`
	}{[]workflowRow{}}
	for _, wf := range all.Describe() {
		shape.Workflows = append(shape.Workflows, workflowRow{wf, offered.Workflow(wf.Name) != nil})
	}
	return c.result(shape, func() {
		rows := make([][]string, 0, len(shape.Workflows))
		for _, r := range shape.Workflows {
			model := r.Model
			if !r.Offered {
				model += " (not offered)"
			}
			rows = append(rows, []string{r.Name, model, fmt.Sprint(r.Candidates), fmt.Sprint(r.Rounds), r.File, r.Description})
		}
		c.table([]string{"WORKFLOW", "MODEL", "CANDIDATES", "ROUNDS", "FROM", "DESCRIPTION"}, rows)
	})
}

type workflowShowCommand struct {
	Name string `arg:"" help:"The workflow's name."`
	YAML bool   `name:"yaml" help:"Print its file, to begin from."`
	configured
}

func (w *workflowShowCommand) Run(c *console) error {
	all, _, err := w.workflows()
	if err != nil {
		return err
	}
	wf := all.Workflow(w.Name)
	if wf == nil {
		return &kinora.Error{Code: kinora.ErrNotFound, Message: "there is no workflow " + w.Name, Hint: "there are " + strings.Join(all.Names(), ", ")}
	}
	if w.YAML {
		_, err := c.out.Write(wf.Text())
		return err
	}
	return c.result(wf, func() { c.showWorkflow(wf) })
}

func (c *console) showWorkflow(w *workflow.Workflow) {
	c.say("%s  %s", c.outStyle.bold(w.Name), printable(w.Description))
	c.say("")
	price := "the model's"
	if w.Price != nil {
		price = w.Price.String() + " USD"
	}
	facts := [][]string{{"from", w.File}, {"model", w.Model}, {"candidates", fmt.Sprintf("%d a round, %d rounds at most", w.Candidates, w.Rounds)},
		{"publishes", fmt.Sprintf("%d at most", w.Publish)}, {"review by people", fmt.Sprint(w.Review)}, {"approved outputs answer again", fmt.Sprint(w.CacheApproved)}, {"price", price}}
	c.table(nil, facts)
	if len(w.Fields) > 0 {
		c.say("")
		rows := make([][]string, 0, len(w.Fields))
		for _, f := range w.Fields {
			rows = append(rows, []string{f.Name, string(f.Type), orDash(f.Default), orDash(strings.Join(f.Values, ", "))})
		}
		c.table([]string{"FIELD", "TYPE", "DEFAULT", "VALUES"}, rows)
	}
	c.say("")
	head := []string{"CAPTURE TYPE", "MODE"}
	for _, f := range w.Fields {
		head = append(head, strings.ToUpper(f.Name))
	}
	rows := make([][]string, 0, len(w.Rows))
	for _, r := range w.Rows {
		row := []string{orDash(r.CaptureType), orDash(r.Mode)}
		for _, f := range w.Fields {
			row = append(row, string(r.Rules[f.Name]))
		}
		rows = append(rows, append(row, gateText(r.Gate)))
	}
	c.table(append(head, "GATE"), rows)
}

// gateText tells a gate in a line.
func gateText(g *kinora.Gate) string {
	if g == nil {
		return "–"
	}
	var parts []string
	add := func(on bool, format string, args ...any) {
		if on {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(g.MinWidth > 0, "width ≥ %d", g.MinWidth)
	add(g.MinHeight > 0, "height ≥ %d", g.MinHeight)
	add(g.Aspect > 0, "%.3g:1", g.Aspect)
	add(g.AspectTolerance > 0, "shape ± %.3g %%", 100*g.AspectTolerance)
	add(g.NotBlank, "not blank")
	add(g.Changed > 0, "changed ≥ %d/64", g.Changed)
	add(g.Structure > 0, "structure ≥ %.3g", g.Structure)
	add(g.Hook.URL != "", "own checker")
	if len(parts) == 0 {
		return "decodes"
	}
	return strings.Join(parts, ", ")
}

type workflowCheckCommand struct {
	Files []string `arg:"" optional:"" help:"Workflow files; those of the configuration's workflows_dir when absent."`
	configured
}

// checkShape is how --json tells what was found.
type checkShape struct {
	OK        bool               `json:"ok"`
	Workflows []string           `json:"workflows"` // those without a fault
	Problems  []workflow.Problem `json:"problems"`
}

func (w *workflowCheckCommand) Run(c *console) error {
	cfg, err := w.load()
	if err != nil {
		return err
	}
	files := w.Files
	if len(files) == 0 {
		if cfg.WorkflowsDir == "" {
			return usage("no files to check", "name them, or a configuration with workflows_dir")
		}
		if files, err = workflow.Files(cfg.WorkflowsDir); err != nil {
			return err
		}
	}
	workflows, found := workflow.CheckFiles(files)
	models, err := app.OfferedModels(cfg)
	if err != nil {
		return err
	}
	missing := workflow.CheckModels(workflows, models)
	if w.Config != "" {
		found = append(found, missing...)
		workflows = slices.DeleteFunc(workflows, func(wf *workflow.Workflow) bool {
			return slices.ContainsFunc(missing, func(p workflow.Problem) bool { return p.File == wf.File })
		})
	}
	shape := checkShape{OK: len(found) == 0, Workflows: []string{}, Problems: append([]workflow.Problem{}, found...)}
	for _, wf := range workflows {
		shape.Workflows = append(shape.Workflows, wf.Name)
	}
	if err := c.result(shape, func() { c.showCheck(workflows, found) }); err != nil {
		return err
	}
	if w.Config == "" {
		for _, p := range missing {
			c.note("%s: %s; give --config to check against your models", p.File, p.Message)
		}
	}
	if !shape.OK {
		return &failure{exit: exitUsage, message: "workflows have faults", shown: true}
	}
	return nil
}

func (c *console) showCheck(workflows []*workflow.Workflow, found []workflow.Problem) {
	for _, wf := range workflows {
		c.say("%s %s: workflow %s", c.outStyle.good("✓"), printable(wf.File), wf.Name)
	}
	for _, p := range found {
		where, rest, _ := strings.Cut(p.String(), ": ")
		c.say("%s %s: %s", c.outStyle.bad("✗"), printable(where), printable(rest))
	}
}

type workflowSchemaCommand struct{}

func (*workflowSchemaCommand) Run(c *console) error {
	_, err := c.out.Write(workflow.Schema())
	return err
}
