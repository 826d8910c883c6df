package lifecycle

import (
	"slices"
	"sync"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// DescribeModel tells callers what they may know of a model, its fields as its first route takes them.
//
// Errors (*kinora.Error): ErrNotFound.
func (e *Engine) DescribeModel(name string) (*kinora.ModelDescription, error) {
	m := e.models[name]
	if m == nil {
		return nil, kinora.Errorf(kinora.ErrNotFound, "there is no model of that name")
	}
	d := e.describe(m)
	first := m.Along()[0]
	if p := e.providers[first.Provider]; p != nil {
		tried, _ := e.fields.LoadOrStore(name, sync.OnceValue(func() []kinora.Field { return provider.FieldsOf(p, first.UpstreamModel, m.Kind) }))
		d.Fields = slices.Clone(tried.(func() []kinora.Field)())
	}
	return &d, nil
}

// DescribeModels is DescribeModel for all of them, by name, without their fields.
func (e *Engine) DescribeModels() []kinora.ModelDescription {
	var list []kinora.ModelDescription
	for _, m := range e.Models() {
		list = append(list, e.describe(&m))
	}
	return list
}

func (e *Engine) describe(m *kinora.Model) kinora.ModelDescription {
	d := kinora.ModelDescription{Name: m.Name, Kind: m.Kind, Deadline: m.DeadlineAfter()}
	if price := e.Price(m.Name, ""); price > 0 {
		d.Price = &price
	}
	first := m.Along()[0]
	if p := e.providers[first.Provider]; p != nil {
		d.Callbacks = p.Describe().Model(first.UpstreamModel).Callbacks
	}
	return d
}
