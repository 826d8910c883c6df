package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// Installation tells what is installed, and what callers are offered.
type Installation interface {
	Version() string  // of the program
	Database() string // sqlite or postgres
	// Migrations lists the changes of the database's schema, oldest first. Errors: kinora.ErrUnavailable.
	Migrations(ctx context.Context) ([]kinora.Migration, error)
	// Models and Workflows are those offered, by name.
	Models() []kinora.OfferedModel
	Workflows() []kinora.OfferedWorkflow
}

func (s *Server) installationRoutes() []route {
	if s.cfg.Installation == nil || s.cfg.AdminToken == "" {
		return nil
	}
	on := func(pattern string, h handlerFunc) route {
		return route{method: http.MethodGet, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	return []route{
		on("/admin/v1/operator/installation", s.adminInstallation),
		on("/admin/v1/operator/offer", s.adminOffer),
	}
}

type installationView struct {
	Version    string          `json:"version"`
	Database   string          `json:"database"`
	Pending    int             `json:"pending"` // migrations that are not applied
	Migrations []migrationView `json:"migrations"`
}

type migrationView struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

// adminInstallation tells of the node that answers; nodes of one database may be of different versions for a while.
func (s *Server) adminInstallation(ctx context.Context, x *exchange, _ *http.Request) error {
	list, err := s.cfg.Installation.Migrations(ctx)
	if err != nil {
		return err
	}
	answer := installationView{Version: s.cfg.Installation.Version(), Database: s.cfg.Installation.Database(), Migrations: make([]migrationView, len(list))}
	for i, m := range list {
		answer.Migrations[i] = migrationView(m)
		if !m.Applied {
			answer.Pending++
		}
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

type offerView struct {
	Models    []offeredModelView    `json:"models"`
	Workflows []offeredWorkflowView `json:"workflows"`
}

type offeredModelView struct {
	ID              string        `json:"id"`
	Kind            kinora.Kind   `json:"kind"`
	Price           *kinora.Money `json:"price_usd"` // null = free
	DeadlineSeconds int64         `json:"deadline_seconds"`
	Routes          []offeredWay  `json:"routes"` // in the order of the configuration
}

// offeredWay is one way to make a model.
type offeredWay struct {
	Provider      string   `json:"provider"`
	UpstreamModel string   `json:"upstream_model"`
	Accounts      []string `json:"accounts"` // empty = all of the provider
}

type offeredWorkflowView struct {
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Model       string        `json:"model"`
	Kind        kinora.Kind   `json:"kind"`
	File        string        `json:"file"`   // "built-in" for one that ships with the program
	Review      bool          `json:"review"` // a person decides on what it makes
	Price       *kinora.Money `json:"price_usd"`
}

// adminOffer tells what callers may ask for, with what they are not told of how it is made.
func (s *Server) adminOffer(_ context.Context, x *exchange, _ *http.Request) error {
	answer := offerView{Models: []offeredModelView{}, Workflows: []offeredWorkflowView{}}
	for _, m := range s.cfg.Installation.Models() {
		one := offeredModelView{ID: m.Name, Kind: m.Kind, DeadlineSeconds: int64(m.DeadlineAfter().Seconds())}
		if m.Price > 0 {
			one.Price = &m.Price
		}
		for _, way := range m.Along() {
			one.Routes = append(one.Routes, offeredWay{Provider: way.Provider, UpstreamModel: way.UpstreamModel, Accounts: append([]string{}, way.Accounts...)})
		}
		answer.Models = append(answer.Models, one)
	}
	for _, w := range s.cfg.Installation.Workflows() {
		answer.Workflows = append(answer.Workflows, offeredWorkflowView{Name: w.Name, Description: w.Description, Model: w.Model, Kind: w.Kind, File: w.File,
			Review: w.Review, Price: w.Price})
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}
