package app

import (
	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/workflow"
	"github.com/kinora/kinora/provider"
)

// catalogue is what callers may name, with what it takes and costs.
type catalogue struct {
	engine    *lifecycle.Engine
	workflows *workflow.Set
}

func (c catalogue) Models() []kinora.ModelDescription { return c.engine.DescribeModels() }

func (c catalogue) Model(name string) (*kinora.ModelDescription, error) {
	return c.engine.DescribeModel(name)
}

func (c catalogue) Workflows() []kinora.WorkflowDescription {
	var list []kinora.WorkflowDescription
	for _, w := range c.workflows.Describe() {
		list = append(list, c.describe(w))
	}
	return list
}

func (c catalogue) Workflow(name string) (*kinora.WorkflowDescription, error) {
	w := c.workflows.Workflow(name)
	if w == nil {
		return nil, kinora.Errorf(kinora.ErrNotFound, "there is no workflow of that name")
	}
	d := c.describe(w)
	return &d, nil
}

func (c catalogue) describe(w *workflow.Workflow) kinora.WorkflowDescription {
	d := w.Public()
	if price := c.engine.Price(w.Model, w.Name); price > 0 {
		d.Price = &price
	}
	return d
}

// DescribedModel is what a configuration makes of a model that it offers: the ways to make it, and the fields that the first one
// takes. false = it offers none of that name.
func DescribedModel(cfg config.Config, name string) (m kinora.Model, fields []kinora.Field, offered bool, err error) {
	workflows, err := comfyWorkflows(cfg.ComfyUI.Workflows)
	if err != nil {
		return m, nil, false, err
	}
	models, err := OfferedModels(cfg)
	if err != nil {
		return m, nil, false, err
	}
	for _, m := range models {
		if m.Name != name {
			continue
		}
		first := m.Along()[0]
		for _, p := range providers(workflows) {
			if p.Name() == first.Provider {
				fields = provider.FieldsOf(p, first.UpstreamModel, m.Kind)
			}
		}
		return m, fields, true, nil
	}
	return m, nil, false, nil
}
