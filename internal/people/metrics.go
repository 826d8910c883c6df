package people

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
)

type metrics struct{ signIns *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{signIns: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: "sign_ins_total",
		Help: "Tries to sign in to the dashboard, by way (password, link, provider) and outcome (in, refused, limited, failed)."}, []string{"way", "outcome"})}
	if reg != nil {
		reg.MustRegister(m.signIns)
	}
	return m
}

// The ways in.
const (
	byPassword = "password"
	byLink     = "link" // of the set-up, an invitation or a new password
	byProvider = "provider"
)

// tried counts a try by its error.
func (m *metrics) tried(way string, err error) {
	outcome := "failed"
	var e *kinora.Error
	switch {
	case err == nil:
		outcome = "in"
	case !errors.As(err, &e):
	case e.Code == kinora.ErrRateLimited:
		outcome = "limited"
	case e.Code == kinora.ErrUnauthorized || e.Code == kinora.ErrForbidden || e.Code == kinora.ErrNotFound || e.Code == kinora.ErrInvalid || e.Code == kinora.ErrConflict:
		outcome = "refused"
	}
	m.signIns.WithLabelValues(way, outcome).Inc()
}
