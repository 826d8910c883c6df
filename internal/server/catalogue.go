package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// Catalogue tells what callers may name, and what it takes.
type Catalogue interface {
	Models() []kinora.ModelDescription // by name, without fields
	// Model describes one of them. Errors: kinora.ErrNotFound.
	Model(name string) (*kinora.ModelDescription, error)
	Workflows() []kinora.WorkflowDescription // by name
	// Workflow describes one of them. Errors: kinora.ErrNotFound.
	Workflow(name string) (*kinora.WorkflowDescription, error)
}

// The routes by which a client learns what it can ask for: enough to draw a form from.
func (s *Server) catalogueRoutes() []route {
	if s.cfg.Catalogue == nil {
		return nil
	}
	on := func(pattern string, h handlerFunc) route {
		return route{method: http.MethodGet, pattern: pattern, dialect: &generationsDialect, auth: keyed, limit: limitStatus, handler: h}
	}
	return []route{
		on("/api/v1/models", s.catalogueModels),
		on("/api/v1/models/{model...}", s.catalogueModel), // names may hold slashes
		on("/api/v1/workflows", s.catalogueWorkflows),
		on("/api/v1/workflows/{workflow}", s.catalogueWorkflow),
	}
}

type describedModel struct {
	ID              string         `json:"id"`
	Kind            kinora.Kind    `json:"kind"`
	Price           *kinora.Money  `json:"price_usd"` // null = free
	DeadlineSeconds int64          `json:"deadline_seconds"`
	Callbacks       bool           `json:"callbacks"`
	Fields          []kinora.Field `json:"fields,omitempty"`
}

func viewModel(m *kinora.ModelDescription) describedModel {
	return describedModel{ID: m.Name, Kind: m.Kind, Price: m.Price, DeadlineSeconds: int64(m.Deadline.Seconds()), Callbacks: m.Callbacks, Fields: m.Fields}
}

func (s *Server) catalogueModels(_ context.Context, x *exchange, _ *http.Request) error {
	answer := struct {
		Models []describedModel `json:"models"`
	}{[]describedModel{}}
	for _, m := range s.cfg.Catalogue.Models() {
		answer.Models = append(answer.Models, viewModel(&m))
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) catalogueModel(_ context.Context, x *exchange, r *http.Request) error {
	m, err := s.cfg.Catalogue.Model(r.PathValue("model"))
	if err != nil {
		return err
	}
	v := viewModel(m)
	if v.Fields == nil {
		v.Fields = []kinora.Field{}
	}
	writeJSON(x, http.StatusOK, struct {
		describedModel
		Fields []kinora.Field `json:"fields"` // always there
	}{v, v.Fields})
	return nil
}

type describedWorkflow struct {
	Name        string               `json:"name"`
	Description string               `json:"description"`
	Kind        kinora.Kind          `json:"kind"`
	Price       *kinora.Money        `json:"price_usd"` // null = free
	Fields      []kinora.Field       `json:"fields"`
	Matrix      []kinora.WorkflowRow `json:"matrix"`
}

func viewWorkflow(w *kinora.WorkflowDescription) describedWorkflow {
	return describedWorkflow{Name: w.Name, Description: w.Description, Kind: w.Kind, Price: w.Price,
		Fields: append([]kinora.Field{}, w.Fields...), Matrix: append([]kinora.WorkflowRow{}, w.Rows...)}
}

func (s *Server) catalogueWorkflows(_ context.Context, x *exchange, _ *http.Request) error {
	answer := struct {
		Workflows []describedWorkflow `json:"workflows"`
	}{[]describedWorkflow{}}
	for _, w := range s.cfg.Catalogue.Workflows() {
		answer.Workflows = append(answer.Workflows, viewWorkflow(&w))
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) catalogueWorkflow(_ context.Context, x *exchange, r *http.Request) error {
	w, err := s.cfg.Catalogue.Workflow(r.PathValue("workflow"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewWorkflow(w))
	return nil
}
