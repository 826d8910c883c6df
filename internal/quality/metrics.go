package quality

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
)

type metrics struct {
	checks  *prometheus.CounterVec
	time    prometheus.Histogram
	answers *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: "gate_checks_total",
			Help: "Checks of candidates, by check and outcome (passed, failed, skipped)."}, []string{"check", "outcome"}),
		time: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "kinora", Name: "gate_seconds",
			Help:    "How long it took to judge a candidate, an operator's checker included.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: "gate_hook_calls_total",
			Help: "Questions to operators' checkers, by outcome (answered, failed)."}, []string{"outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.checks, m.time, m.answers)
	}
	return m
}

func (m *metrics) judged(v kinora.Verdict, took time.Duration) {
	m.time.Observe(took.Seconds())
	for _, c := range v.Checks {
		outcome := "failed"
		switch {
		case strings.HasPrefix(c.Detail, skipped):
			outcome = "skipped"
		case c.Passed:
			outcome = "passed"
		}
		m.checks.WithLabelValues(c.Name, outcome).Inc()
	}
}

func (m *metrics) asked(err error) {
	outcome := "answered"
	if err != nil {
		outcome = "failed"
	}
	m.answers.WithLabelValues(outcome).Inc()
}
