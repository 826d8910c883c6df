package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
)

type modelCommand struct {
	List modelListCommand `cmd:"" help:"List the models of the configuration at hand."`
	Show modelShowCommand `cmd:"" help:"Show how a model is made and what it takes."`
}

// modelShape is how --json shows a model.
type modelShape struct {
	ID              string        `json:"id"`
	Kind            kinora.Kind   `json:"kind"`
	PriceUSD        *kinora.Money `json:"price_usd"` // null = free
	DeadlineSeconds int64         `json:"deadline_seconds"`
	Routes          []modelRoute  `json:"routes"` // in the order of the configuration
}

type modelRoute struct {
	Provider      string `json:"provider"`
	UpstreamModel string `json:"upstream_model"`
}

func modelOf(m kinora.Model, prices map[string]config.USD) modelShape {
	shape := modelShape{ID: m.Name, Kind: m.Kind, DeadlineSeconds: int64(m.DeadlineAfter().Seconds())}
	if price := kinora.Money(prices[m.Name]); price > 0 {
		shape.PriceUSD = &price
	}
	for _, way := range m.Along() {
		shape.Routes = append(shape.Routes, modelRoute{way.Provider, way.UpstreamModel})
	}
	return shape
}

func (m modelShape) price() string {
	if m.PriceUSD == nil {
		return "free"
	}
	return m.PriceUSD.String() + " USD"
}

type modelListCommand struct{ configured }

func (m *modelListCommand) Run(c *console) error {
	cfg, err := m.load()
	if err != nil {
		return err
	}
	models, err := app.OfferedModels(cfg)
	if err != nil {
		return err
	}
	shape := struct {
		Models []modelShape `json:"models"`
	}{[]modelShape{}}
	rows := make([][]string, 0, len(models))
	for _, one := range models {
		s := modelOf(one, cfg.Prices.Models)
		var ways []string
		for _, r := range s.Routes {
			ways = append(ways, r.Provider)
		}
		shape.Models = append(shape.Models, s)
		rows = append(rows, []string{s.ID, string(s.Kind), strings.Join(ways, ", "), s.price()})
	}
	return c.result(shape, func() { c.table([]string{"MODEL", "KIND", "BY", "PRICE"}, rows) })
}

type modelShowCommand struct {
	Name string `arg:"" help:"The model's name."`
	configured
}

func (m *modelShowCommand) Run(c *console) error {
	cfg, err := m.load()
	if err != nil {
		return err
	}
	model, fields, offered, err := app.DescribedModel(cfg, m.Name)
	if err != nil {
		return err
	}
	if !offered {
		return &kinora.Error{Code: kinora.ErrNotFound, Message: "there is no model " + m.Name, Hint: "kinora model list shows what there is"}
	}
	shape := struct {
		modelShape
		Fields []kinora.Field `json:"fields"` // that its first route takes
	}{modelOf(model, cfg.Prices.Models), append([]kinora.Field{}, fields...)}
	return c.result(shape, func() { c.showModel(shape.modelShape, shape.Fields) })
}

func (c *console) showModel(m modelShape, fields []kinora.Field) {
	c.say("%s  %s, %s", c.outStyle.bold(printable(m.ID)), m.Kind, m.price())
	for i, r := range m.Routes {
		c.say("  %-10s  %s as %s", map[bool]string{true: "made by", false: "or by"}[i == 0], r.Provider, printable(r.UpstreamModel))
	}
	c.say("")
	rows := make([][]string, 0, len(fields))
	for _, f := range fields {
		name := f.Name
		if f.Required {
			name += " *"
		}
		rows = append(rows, []string{name, string(f.Type), fieldBounds(f), f.Help})
	}
	c.table([]string{"FIELD", "TYPE", "TAKES", "ABOUT"}, rows)
}

// fieldBounds tells in a line what a field takes.
func fieldBounds(f kinora.Field) string {
	var parts []string
	if len(f.Values) > 0 {
		list := strings.Join(f.Values, ", ")
		if f.Open {
			list += ", …"
		}
		parts = append(parts, list)
	}
	bound := func(v *float64, sign string) {
		if v != nil {
			parts = append(parts, sign+strconv.FormatFloat(*v, 'f', -1, 64))
		}
	}
	bound(f.Minimum, "≥ ")
	bound(f.Maximum, "≤ ")
	if f.MaxLength > 0 {
		parts = append(parts, fmt.Sprintf("≤ %d characters", f.MaxLength))
	}
	if f.MinItems > 0 {
		parts = append(parts, fmt.Sprintf("≥ %d", f.MinItems))
	}
	if f.MaxItems > 0 {
		parts = append(parts, fmt.Sprintf("≤ %d", f.MaxItems))
	}
	return orDash(strings.Join(parts, ", "))
}
