package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests by route. Labels come from the route table, never from the request, so there are only so many.
type metrics struct {
	requests *prometheus.CounterVec
	limited  *prometheus.CounterVec
	routes   map[*route]*routeMetrics
	other    *routeMetrics
}

// routeMetrics keeps one route's series at hand: looking labels up costs more than counting does.
type routeMetrics struct {
	method, pattern string
	took            prometheus.Observer
	byStatus        [500]atomic.Pointer[counterBox] // from status 100
}

type counterBox struct{ prometheus.Counter }

// newMetrics makes them for the table of routes, and for the dashboard where there is one.
func newMetrics(registerer prometheus.Registerer, routes []route, dashboard *route) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinora_http_requests_total",
		Help: "HTTP requests answered, by route and status.",
	}, []string{"method", "route", "status"})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "kinora_http_request_duration_seconds",
		Help:    "Time from a request's head to the end of its answer, by route.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route"})
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinora_http_rate_limited_total",
		Help: "Requests refused by a rate limit, by kind of route.",
	}, []string{"limit"})
	if registerer != nil {
		if err := errors.Join(registerer.Register(requests), registerer.Register(took), registerer.Register(limited)); err != nil {
			return nil, err
		}
	}
	m := &metrics{requests: requests, limited: limited, routes: make(map[*route]*routeMetrics, len(routes))}
	for i := range routes {
		rt := &routes[i]
		m.routes[rt] = &routeMetrics{method: rt.method, pattern: rt.pattern, took: took.WithLabelValues(rt.method, rt.pattern)}
	}
	if dashboard != nil {
		m.routes[dashboard] = &routeMetrics{method: dashboard.method, pattern: dashboard.pattern, took: took.WithLabelValues(dashboard.method, dashboard.pattern)}
	}
	m.other = &routeMetrics{method: "any", pattern: unmatched, took: took.WithLabelValues("any", unmatched)}
	return m, nil
}

func (m *metrics) observe(rt *route, status int, took time.Duration) {
	rm, ok := m.routes[rt]
	if !ok {
		rm = m.other
	}
	rm.took.Observe(took.Seconds())
	i := status - 100
	if i < 0 || i >= len(rm.byStatus) {
		m.requests.WithLabelValues(rm.method, rm.pattern, strconv.Itoa(status)).Inc()
		return
	}
	box := rm.byStatus[i].Load()
	if box == nil {
		box = &counterBox{m.requests.WithLabelValues(rm.method, rm.pattern, strconv.Itoa(status))}
		rm.byStatus[i].Store(box)
	}
	box.Inc()
}

func (s *Server) metricsRoutes() []route {
	if s.cfg.Gatherer == nil {
		return nil
	}
	handler := promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: 4,
	})
	return []route{{
		method: http.MethodGet, pattern: "/metrics", dialect: &generationsDialect, load: operation,
		handler: func(ctx context.Context, x *exchange, r *http.Request) error {
			handler.ServeHTTP(x, r.WithContext(ctx))
			return nil
		},
	}}
}
