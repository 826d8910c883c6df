package app

import (
	"context"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/server"
)

// installation tells operators what is installed and offered.
type installation struct{ *App }

var (
	_ dashboard.Installation = installation{}
	_ server.Installation    = installation{}
)

func (i installation) Version() string { return i.version() }

func (i installation) Database() string { return i.db.Name() }

func (i installation) Migrations(ctx context.Context) ([]kinora.Migration, error) {
	all, err := i.db.Migrations(ctx)
	list := make([]kinora.Migration, len(all))
	for n, m := range all {
		list[n] = kinora.Migration(m)
	}
	return list, err
}

func (i installation) MasterKeys(ctx context.Context) (kinora.MasterKeys, error) {
	return i.keys.Status(ctx)
}

func (i installation) Models() []kinora.OfferedModel {
	offered := i.engine.Models()
	list := make([]kinora.OfferedModel, len(offered))
	for n, m := range offered {
		list[n] = kinora.OfferedModel{Model: m, Price: kinora.Money(i.cfg.Prices.Models[m.Name])}
	}
	return list
}

func (i installation) Workflows() []kinora.OfferedWorkflow {
	var list []kinora.OfferedWorkflow
	for _, w := range i.workflows.Describe() {
		one := kinora.OfferedWorkflow{Name: w.Name, Description: w.Description, Model: w.Model, Kind: w.Kind, File: w.File, Review: w.Review, Price: w.Price}
		if own, ok := i.cfg.Prices.Workflows[w.Name]; ok { // over what the file says
			price := kinora.Money(own)
			one.Price = &price
		}
		list = append(list, one)
	}
	return list
}
