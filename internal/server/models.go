package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// The list of models, in the shape that clients of OpenAI's API know (submit API contract, section 7).
func (s *Server) modelRoutes() []route {
	if s.cfg.Models == nil {
		return nil
	}
	return []route{
		{method: http.MethodGet, pattern: "/v1/models", dialect: &openaiDialect, auth: keyed, limit: limitStatus, handler: s.listModels},
		// The rest of the path: names may hold slashes.
		{method: http.MethodGet, pattern: "/v1/models/{model...}", dialect: &openaiDialect, auth: keyed, limit: limitStatus, handler: s.readModel},
	}
}

type modelList struct {
	Object string        `json:"object"`
	Data   []modelRecord `json:"data"`
}

type modelRecord struct {
	ID      string      `json:"id"`
	Object  string      `json:"object"`
	Created int64       `json:"created"` // unix seconds; 0, as nobody knows
	OwnedBy string      `json:"owned_by"`
	Kind    kinora.Kind `json:"kind"` // own addition
}

func modelOf(m kinora.Model) modelRecord {
	return modelRecord{ID: m.Name, Object: "model", OwnedBy: m.Provider, Kind: m.Kind}
}

func (s *Server) listModels(_ context.Context, x *exchange, _ *http.Request) error {
	list := modelList{Object: "list", Data: []modelRecord{}}
	for _, m := range s.cfg.Models.Models() {
		list.Data = append(list.Data, modelOf(m))
	}
	writeJSON(x, http.StatusOK, list)
	return nil
}

// readModel shows one model of the list.
func (s *Server) readModel(_ context.Context, x *exchange, r *http.Request) error {
	name := r.PathValue("model")
	for _, m := range s.cfg.Models.Models() {
		if m.Name == name {
			writeJSON(x, http.StatusOK, modelOf(m))
			return nil
		}
	}
	return noModel(name)
}
