package server

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/kinora/kinora/internal/blob"
)

// authentication is who may use a route.
type authentication uint8

const (
	public   authentication = iota // anybody; what is secret about it stands in the URL
	keyed                          // whoever has an API key; the exchange then has Key and Organisation
	adminned                       // whoever has the admin token
)

// workload says which gate a request has to pass.
type workload uint8

const (
	ordinary  workload = iota // counted against MaxInFlight, or apart on the admin API; bounded by RequestTimeout
	transfer                  // counted against MaxTransfers; lasts as long as the client needs
	holding                   // counted against MaxInFlight until it is held, see wait.go; bounds its work itself
	streaming                 // counted against maxStreams; lasts until one side ends it
	inbound                   // calls of upstreams: as ordinary, but counted apart, because anybody can make them
	browsing                  // counted against maxBrowsing; the dashboard bounds its work itself
	relayed                   // let in by its own gate, then bounded and counted by the route that answers
	operation                 // never refused: probes must be answered under load as well
)

// handlerFunc answers a request, or returns the error that the route's dialect is to show. It must not return an error
// after it has begun to write.
type handlerFunc func(ctx context.Context, x *exchange, r *http.Request) error

// route is one operation of the HTTP surface. The table of routes is what is mounted, what metrics are labelled with
// and what the OpenAPI document is held against.
type route struct {
	method  string
	pattern string // of net/http.ServeMux, without method and host
	dialect *dialect
	auth    authentication
	limit   limitClass // "" = no rate limit
	load    workload
	handler handlerFunc
}

// allRoutes is the whole surface, in the order of the documentation.
func (s *Server) allRoutes() []route {
	return slices.Concat(
		s.submitRoutes(),
		s.uploadRoutes(),
		s.assetRoutes(),
		s.generationRoutes(),
		s.usageRoutes(),
		s.streamRoutes(),
		s.modelRoutes(),
		s.catalogueRoutes(),
		s.videoRoutes(),
		s.imageRoutes(),
		s.fileRoutes(),
		s.callbackRoutes(),
		s.adminRoutes(),
		s.webhookRoutes(),
		s.recoveryRoutes(),
		s.adminAssetRoutes(),
		s.actingRoutes(),
		s.masterKeyRoutes(),
		s.accountRoutes(),
		s.reviewRoutes(),
		s.operatorRoutes(),
		s.installationRoutes(),
		s.peopleRoutes(),
		s.healthRoutes(),
		s.metricsRoutes(),
		s.openapiRoutes(),
	)
}

// mount builds the handler. Every path of the table also answers the methods that it does not have, and everything else
// is answered as not found: both in the dialect of that path, which the mux's own answers are not.
func (s *Server) mount() http.Handler {
	mux := http.NewServeMux()
	allowed := make(map[string][]string)
	for i := range s.routes {
		rt := &s.routes[i]
		mux.HandleFunc(rt.method+" "+rt.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(rt, w, r) })
		allowed[rt.pattern] = append(allowed[rt.pattern], rt.method)
		if rt.method == http.MethodGet {
			allowed[rt.pattern] = append(allowed[rt.pattern], http.MethodHead)
		}
	}
	for pattern, methods := range allowed {
		slices.Sort(methods)
		allow := strings.Join(slices.Compact(methods), ", ")
		rt := s.fallback(pattern, func(_ context.Context, x *exchange, r *http.Request) error {
			x.Header().Set("Allow", allow)
			return refuse(errMethod, "method %s is not allowed here", shown(r.Method))
		})
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(rt, w, r) })
	}
	unknown := make(map[*dialect]*route)
	for _, d := range dialects() {
		unknown[d] = s.fallback(unmatched, func(_ context.Context, _ *exchange, r *http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/api/generate/status/") {
				return taskNotFound() // an id with slashes is malformed, and so is an empty one
			}
			return refuse(errRoute, "no such route")
		})
		unknown[d].dialect = d
	}
	notFound := func(w http.ResponseWriter, r *http.Request) { s.serve(unknown[dialectOf(r.URL.Path)], w, r) }
	mux.HandleFunc("/", notFound)
	mux.HandleFunc(strings.TrimSuffix(blob.FilesPath, "/"), notFound) // else redirected to the path with the slash
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.browses(w, r) {
			return
		}
		// The mux would answer a path that is not clean, and one that lacks a trailing slash, with a redirect of
		// its own making. Ours have one spelling.
		if !cleanPath(r.URL.EscapedPath()) {
			notFound(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unmatched is the metrics' label for all paths outside the table.
const unmatched = "unmatched"

// fallback is the route of an answer outside the table. It needs no key: what routes exist is no secret.
func (s *Server) fallback(pattern string, h handlerFunc) *route {
	return &route{pattern: pattern, dialect: dialectOf(pattern), handler: h}
}

// cleanPath takes the escaped path, as the mux does: an escaped slash is a part of its segment.
func cleanPath(p string) bool {
	return p == "/" || strings.HasPrefix(p, "/") && path.Clean(p) == p
}

// dialectOf says in which envelope errors under a path are told.
func dialectOf(p string) *dialect {
	p = strings.TrimSuffix(p, "/") + "/" // the family's root has no other envelope than what is below it
	switch {
	case strings.HasPrefix(p, "/api/common/"):
		return &detailDialect
	case strings.HasPrefix(p, "/api/generate/"):
		return &submitDialect
	case strings.HasPrefix(p, "/v1/"):
		return &openaiDialect
	case strings.HasPrefix(p, "/admin/"):
		return &adminDialect
	}
	return &generationsDialect
}
