package main

import (
	"context"
	"strings"

	"github.com/kinora/kinora"
)

type installationCommand struct{ operator }

func (i *installationCommand) Run(ctx context.Context, c *console) error {
	var found struct {
		Version    string           `json:"version"`
		Database   string           `json:"database"`
		Pending    int              `json:"pending"`
		Migrations []migrationShape `json:"migrations"`
	}
	return i.show(ctx, c, "/operator/installation", &found, func() {
		c.say("version   %s", printable(found.Version))
		c.say("database  %s", printable(found.Database))
		c.say("schema    %d of %d changes applied", len(found.Migrations)-found.Pending, len(found.Migrations))
		for _, m := range found.Migrations {
			if !m.Applied {
				c.say("  waiting: %s", printable(m.Name))
			}
		}
	})
}

type offerCommand struct{ operator }

func (o *offerCommand) Run(ctx context.Context, c *console) error {
	var offer struct {
		Models []struct {
			ID     string        `json:"id"`
			Kind   string        `json:"kind"`
			Price  *kinora.Money `json:"price_usd"`
			Routes []struct {
				Provider string `json:"provider"`
			} `json:"routes"`
		} `json:"models"`
		Workflows []struct {
			Name   string        `json:"name"`
			Kind   string        `json:"kind"`
			Model  string        `json:"model"`
			File   string        `json:"file"`
			Review bool          `json:"review"`
			Price  *kinora.Money `json:"price_usd"`
		} `json:"workflows"`
	}
	return o.show(ctx, c, "/operator/offer", &offer, func() {
		price := func(p *kinora.Money, none string) string {
			if p == nil {
				return none
			}
			return p.String() + " USD"
		}
		rows := make([][]string, len(offer.Models))
		for i, m := range offer.Models {
			var ways []string
			for _, way := range m.Routes {
				ways = append(ways, way.Provider)
			}
			rows[i] = []string{printable(m.ID), printable(m.Kind), printable(strings.Join(ways, ", ")), price(m.Price, "free")}
		}
		c.table([]string{"MODEL", "KIND", "BY", "PRICE"}, rows)
		rows = make([][]string, len(offer.Workflows))
		for i, w := range offer.Workflows {
			review := "no"
			if w.Review {
				review = "yes"
			}
			rows[i] = []string{printable(w.Name), printable(w.Kind), printable(w.Model), printable(w.File), review, price(w.Price, "the model's")}
		}
		c.say("")
		c.table([]string{"WORKFLOW", "KIND", "MODEL", "FROM", "REVIEWED", "PRICE"}, rows)
	})
}
