package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora"
)

// The routes that an organisation reaches by its keys, for operators. They are served by the handlers of As, so that whatever
// a caller can do an operator can do for any organisation, by the same rules.
const (
	actingPath = "/admin/v1/organisations/{organisation_id}/as"
	// actingDepth is the number of segments before the path that is passed on, the empty first one included.
	actingDepth = 6
)

func (s *Server) actingRoutes() []route {
	if s.cfg.Organisations == nil || s.cfg.AdminToken == "" {
		return nil
	}
	var list []route
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		list = append(list, route{method: method, pattern: actingPath + "/{path...}", dialect: &adminDialect, auth: adminned, load: relayed, handler: s.adminAct})
	}
	return list
}

// adminAct has another route answer, in its own dialect. That route admits, bounds and counts the request as it does others.
func (s *Server) adminAct(ctx context.Context, x *exchange, r *http.Request) error {
	to, ok := actedURL(r.URL)
	if !ok {
		return refuse(errRoute, "no such route")
	}
	organisationID := r.PathValue("organisation_id")
	if err := s.knownOrganisation(ctx, organisationID); err != nil {
		return err
	}
	x.place.give()
	operator, _ := kinora.ActorOf(ctx)
	acted := r.Clone(ctx)
	acted.URL = to
	acted.Header.Del("Authorization")
	acted.Header.Set("X-Request-Id", x.id)
	// The operator is counted apart for each organisation, whose limits differ.
	s.acting(&acting{actor: operator, counted: "operator " + organisationID, organisationID: organisationID}).ServeHTTP(x, acted)
	return nil
}

// knownOrganisation tells of an organisation that there is not in the admin API's own envelope.
func (s *Server) knownOrganisation(ctx context.Context, organisationID string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	_, err := s.cfg.Organisations.Organisation(ctx, organisationID)
	return err
}

// actedURL is the URL that is passed on, its escapes as they are; false = it can be none of an organisation's.
func actedURL(from *url.URL) (*url.URL, bool) {
	segments := strings.SplitN(from.EscapedPath(), "/", actingDepth+1)
	if len(segments) <= actingDepth {
		return nil, false
	}
	escaped := "/" + segments[actingDepth]
	path, err := url.PathUnescape(escaped)
	if err != nil || !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/v1/") {
		return nil, false
	}
	to := *from
	to.Path, to.RawPath = path, escaped
	return &to, true
}
