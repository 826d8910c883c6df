package webhook

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
)

// countedUpTo bounds what is counted for the gauges of waiting deliveries.
const countedUpTo = 100_000

type metrics struct {
	attempts *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	lag      prometheus.Histogram
	states   *prometheus.GaugeVec
	stale    prometheus.Counter
	missed   prometheus.Counter
	disabled *prometheus.CounterVec
	revived  prometheus.Counter
	trials   *prometheus.CounterVec

	unreadable prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, inHand func() [trackCount]int, replays func() int) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "kinora", Subsystem: "webhook", Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "kinora", Subsystem: "webhook", Name: name, Help: help, Buckets: buckets}
	}
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts(opts("attempts_total",
			"Delivery attempts, by what became of the delivery (delivered, pending, dead) and whose fault it was.")), []string{"state", "fault"}),
		latency: prometheus.NewHistogramVec(histogram("attempt_seconds", "Length of delivery attempts, by what became of the delivery.",
			[]float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}), []string{"state"}),
		lag: prometheus.NewHistogram(histogram("first_attempt_lag_seconds", "From an event's commit to the start of its first attempt.",
			[]float64{.001, .0025, .005, .01, .015, .025, .04, .1, .25, 1, 5, 30, 120})),
		states: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("deliveries",
			"Deliveries in the database that wait for their time (pending), for their destination (held) or are dead, counted up to 100,000.")),
			[]string{"state"}),
		stale: prometheus.NewCounter(prometheus.CounterOpts(opts("stale_results_total",
			"Results dropped because another node had taken the delivery over."))),
		revived: prometheus.NewCounter(prometheus.CounterOpts(opts("replayed_total", "Deliveries that replays have revived."))),
		trials: prometheus.NewCounterVec(prometheus.CounterOpts(opts("test_events_total", "Test events, by whose fault it was that none arrived.")),
			[]string{"fault"}),
		unreadable: prometheus.NewCounter(prometheus.CounterOpts(opts("unreadable_secrets_total",
			"Looks at an organisation whose signing secrets, or an endpoint whose headers, no master key of this server opens; the deliveries wait."))),
		missed: prometheus.NewCounter(prometheus.CounterOpts(opts("missed_total",
			"Claimed deliveries that ended without an attempt because their endpoint was disabled or had been removed."))),
		disabled: prometheus.NewCounterVec(prometheus.CounterOpts(opts("endpoints_disabled_total",
			"Endpoints that were disabled, by reason (gone, failing).")), []string{"reason"}),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.attempts, m.latency, m.lag, m.states, m.stale, m.missed, m.disabled, m.unreadable, m.revived, m.trials,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("replays", "Replays that this node works on.")), func() float64 { return float64(replays()) }))
	for t := range trackCount {
		o := opts("in_hand", "Deliveries that this node has in hand, by track.")
		o.ConstLabels = prometheus.Labels{"track": t.String()}
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts(o), func() float64 { return float64(inHand()[t]) }))
	}
	return m
}

func (m *metrics) attempt(d *kinora.Delivery, o outcome, log *kinora.DeliveryAttempt) {
	m.attempts.WithLabelValues(string(d.State), string(o.fault)).Inc()
	m.latency.WithLabelValues(string(d.State)).Observe(log.Duration.Seconds())
	if log.Number == 1 {
		m.lag.Observe(max(0, log.StartedAt.Sub(d.CreatedAt).Seconds()))
	}
}

func (m *metrics) waiting(pending, held, dead int) {
	m.states.WithLabelValues(string(kinora.DeliveryPending)).Set(float64(pending))
	m.states.WithLabelValues(string(kinora.DeliveryHeld)).Set(float64(held))
	m.states.WithLabelValues(string(kinora.DeliveryDead)).Set(float64(dead))
}
