package server

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

const (
	// DashboardPath is what the dashboard is below.
	DashboardPath = "/dashboard"
	// maxBrowsing bounds the dashboard's requests at once, open streams included, apart from all others: neither do
	// browsers take places from callers, nor callers from browsers. Who may have how many of these places is for the dashboard to
	// say, which alone knows who is signed in.
	maxBrowsing = 512
)

// dashboardRoute is the one route of all that the dashboard answers. It is not part of the table: its pages are no interface.
func (s *Server) dashboardRoute() *route {
	if s.cfg.Dashboard == nil {
		return nil
	}
	return &route{method: "any", pattern: DashboardPath, dialect: &generationsDialect, load: browsing,
		handler: func(ctx context.Context, x *exchange, r *http.Request) error {
			s.cfg.Dashboard.ServeHTTP(x, r.WithContext(ctx))
			return nil
		}}
}

// browses tells whether a request is for the dashboard, and sends browsers there that ask for the server's root. Callers of the
// APIs, who want no pages, get what they always got.
func (s *Server) browses(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case s.dashboard == nil:
		return false
	case r.URL.Path == DashboardPath || strings.HasPrefix(r.URL.Path, DashboardPath+"/"):
		s.serve(s.dashboard, w, r)
	case r.URL.Path == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html"):
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", s.cfg.PublicPath+DashboardPath)
		w.WriteHeader(http.StatusSeeOther)
	default:
		return false
	}
	return true
}

// ClientNetwork tells what the client that ClientAddress tells of has of addresses: one of IPv4, or a /64 of IPv6.
func ClientNetwork(trusted []netip.Prefix) func(*http.Request) string {
	return func(r *http.Request) string { return network(clientAddress(trusted, r)) }
}

// ClientAddress tells the network address that requests come from: the peer's, or what trusted proxies say of it.
func ClientAddress(trusted []netip.Prefix) func(*http.Request) string {
	return func(r *http.Request) string { return clientAddress(trusted, r) }
}
