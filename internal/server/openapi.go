package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora/api"
)

// The OpenAPI document, at the place of this project and at that of the generations API (contract, section 1).
func (s *Server) openapiRoutes() []route {
	document := []byte(api.Document())
	handler := func(_ context.Context, x *exchange, _ *http.Request) error {
		writeBody(x, http.StatusOK, yamlContent, document)
		return nil
	}
	return []route{
		{method: http.MethodGet, pattern: "/openapi.yaml", dialect: &generationsDialect, load: operation, handler: handler},
		{method: http.MethodGet, pattern: "/api/v1/openapi", dialect: &generationsDialect, load: operation, handler: handler},
	}
}
