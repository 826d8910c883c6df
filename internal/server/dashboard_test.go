package server

import (
	"net/http"
	"strings"
	"testing"
)

// Browsers reach the dashboard, and nothing about the APIs' answers changes by its being there.
func TestDashboardStandsBesideTheAPIs(t *testing.T) {
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "its own")
		_, _ = w.Write([]byte("page of " + r.URL.Path))
	})
	with, without := newFixture(t, func(c *Config) { c.Dashboard, c.PublicPath = pages, "/images" }), newFixture(t)
	browser := func(r *http.Request) { r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8") }
	anything := func(r *http.Request) { r.Header.Set("Accept", "*/*") }

	for _, path := range []string{"/dashboard", "/dashboard/", "/dashboard/o/org_1//x", "/dashboard/%2e%2e"} {
		got := with.do("GET", path, "", browser)
		if got.Code != http.StatusOK || !strings.HasPrefix(got.Body.String(), "page of /dashboard") || got.Header().Get("Content-Security-Policy") != "its own" {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	if got := with.do("GET", "/", "", browser); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/images/dashboard" {
		t.Errorf("a browser at the root: %d %s", got.Code, got.Header().Get("Location"))
	}
	for _, c := range []struct {
		method, path string
		change       func(*http.Request)
	}{{"GET", "/", anything}, {"POST", "/", browser}, {"GET", "/dashboards", browser}, {"GET", "/healthz", browser}, {"GET", "/api/v1/generations", browser}, {"GET", "/v1/none", anything}} {
		a, b := with.do(c.method, c.path, "", c.change), without.do(c.method, c.path, "", c.change)
		if a.Code != b.Code || a.Header().Get("Content-Type") != b.Header().Get("Content-Type") {
			t.Errorf("%s %s: %d with a dashboard, %d without", c.method, c.path, a.Code, b.Code)
		}
	}
	if got := without.do("GET", "/dashboard", "", browser); got.Code != http.StatusNotFound {
		t.Errorf("without one: %d", got.Code)
	}
}

// Pages that are open take no places of callers, and too many of them are refused.
func TestDashboardHasPlacesOfItsOwn(t *testing.T) {
	hold, inside := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(c *Config) {
		c.MaxInFlight = 1
		c.Dashboard = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside <- struct{}{}; <-hold })
	})
	f.browsers.most = 1
	ended := make(chan struct{})
	go func() { defer close(ended); f.do("GET", "/dashboard", "") }()
	<-inside
	if got := f.do("GET", "/dashboard", ""); got.Code != http.StatusServiceUnavailable {
		t.Errorf("one page too many: %d", got.Code)
	}
	if got := f.do("GET", "/v1/models", ""); got.Code == http.StatusServiceUnavailable {
		t.Error("a page takes a caller's place")
	}
	close(hold)
	<-ended
}
