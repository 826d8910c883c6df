package asset

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
)

type metrics struct {
	ends     *prometheus.CounterVec
	seconds  prometheus.Histogram
	fetches  *prometheus.CounterVec
	fetching prometheus.Histogram
	incoming prometheus.Counter
	prepared prometheus.Histogram
	bytes    prometheus.Counter
	shared   prometheus.Counter
	troubles prometheus.Counter
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kinora", Name: name, Help: help})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "kinora", Name: name, Help: help, Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}})
	}
	m := &metrics{
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: "asset_ingests_total",
			Help: "Ingests of source images that ended, by state and failure code."}, []string{"state", "failure"}),
		seconds: histogram("asset_ingest_seconds", "From the ingest being recorded to its end."),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: "asset_fetches_total",
			Help: "Fetches of source URLs, by outcome (ok, refused, timeout, too_large, status, network, internal)."}, []string{"outcome"}),
		fetching: histogram("asset_fetch_seconds", "Length of fetches of source URLs."),
		incoming: counter("asset_fetched_bytes_total", "Bytes fetched from source URLs."),
		prepared: histogram("asset_prepare_seconds", "Checking and turning of source images that came out well."),
		bytes:    counter("asset_bytes_total", "Bytes of source images that became ready, shared ones included."),
		shared:   counter("asset_files_shared_total", "Source images whose content their organisation had already."),
		troubles: counter("asset_troubles_total", "Times that an ingest stood still because storage or egress proxy was out of reach."),
		panics:   counter("asset_panics_total", "Panics in work on ingests; each is a bug."),
	}
	if reg != nil {
		reg.MustRegister(m.ends, m.seconds, m.fetches, m.fetching, m.incoming, m.prepared, m.bytes, m.shared, m.troubles, m.panics)
	}
	return m
}

func (m *metrics) ended(a *kinora.SourceAsset) {
	code := ""
	if a.Failure != nil {
		code = string(a.Failure.Code)
	}
	m.ends.WithLabelValues(string(a.State), code).Inc()
	m.seconds.Observe(a.UpdatedAt.Sub(a.CreatedAt).Seconds())
}

func (m *metrics) fetched(err error, n int64, took time.Duration) {
	var (
		mine     *ownFault
		refusal  *netguard.Refusal
		tooLarge *netguard.TooLargeError
		status   *netguard.StatusError
	)
	outcome := "network"
	switch {
	case err == nil:
		outcome = "ok"
	case errors.As(err, &mine):
		outcome = "internal"
	case errors.As(err, &refusal):
		outcome = "refused"
	case errors.As(err, &tooLarge):
		outcome = "too_large"
	case errors.As(err, &status):
		outcome = "status"
	case errors.Is(err, context.DeadlineExceeded):
		outcome = "timeout"
	}
	m.fetches.WithLabelValues(outcome).Inc()
	m.fetching.Observe(took.Seconds())
	m.incoming.Add(float64(n))
}
