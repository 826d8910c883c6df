package lifecycle

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

type metrics struct {
	accepted         *prometheus.CounterVec
	ended            *prometheus.CounterVec
	attemptsEnded    *prometheus.CounterVec
	rerouted         *prometheus.CounterVec
	judgeErrors      prometheus.Counter
	refused          *prometheus.CounterVec
	reviews          *prometheus.CounterVec
	reviewsPending   prometheus.Gauge
	generationTime   *prometheus.HistogramVec
	submits          *prometheus.CounterVec
	submitTime       *prometheus.HistogramVec
	polls            *prometheus.CounterVec
	polledJobs       *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	unsettled        *prometheus.CounterVec
	contested        *prometheus.CounterVec
	callbacks        *prometheus.CounterVec
	collectedBytes   *prometheus.CounterVec
	accountRests     *prometheus.CounterVec
	accountState     *prometheus.GaugeVec
	databaseErrors   prometheus.Counter
	panics           prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	long := []float64{.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "kinora", Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		accepted:         counter("generations_accepted_total", "Generations committed, by model.", "model"),
		ended:            counter("generations_ended_total", "Terminal generations, by model, state and failure code.", "model", "state", "failure"),
		refused:          counter("generations_refused_total", "Generations refused by what their organisation may use: in_flight, reviews or budget.", "bound"),
		generationTime:   histogram("generation_seconds", "From acceptance to the terminal state.", long, "model"),
		submits:          counter("upstream_submits_total", "Submit calls, by provider and outcome (ok or an error class).", "provider", "outcome"),
		submitTime:       histogram("upstream_submit_seconds", "Length of submit calls.", prometheus.DefBuckets, "provider"),
		polls:            counter("upstream_polls_total", "Poll calls, by provider and outcome.", "provider", "outcome"),
		polledJobs:       counter("upstream_polled_jobs_total", "Looks at single jobs, by provider.", "provider"),
		upstreamDuration: histogram("upstream_job_seconds", "From the upstream's acceptance to its success being seen.", long, "provider"),
		unsettled:        counter("submits_unsettled_total", "Submit calls whose outcome was not known when they ended.", "provider"),
		contested:        counter("upstream_jobs_contested_total", "Upstream jobs named for an attempt although another one had them, by provider and which of the two was left without: named or holder.", "provider", "without"),
		callbacks:        counter("upstream_callbacks_total", "Inbound upstream callbacks, by provider and what became of them.", "provider", "result"),
		collectedBytes:   counter("output_bytes_total", "Bytes of outputs stored, by provider.", "provider"),
		accountRests:     counter("account_rests_total", "Times that an account was left alone because the upstream gave no usable answers.", "provider", "account"),
		accountState: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "kinora", Name: "account_state",
			Help: "1 for the state that an account is in as this node sees it, 0 for the others."}, []string{"provider", "account", "state"}),
		databaseErrors: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kinora", Name: "database_errors_total",
			Help: "Times the lifecycle found the database out of reach."}),
	}
	m.attemptsEnded = counter("attempts_ended_total", "Ended attempts, by provider, state and class of the last error.", "provider", "state", "class")
	m.rerouted = counter("attempts_rerouted_total", "Parts that went to another route of their model, by provider before and after.", "from", "to")
	m.judgeErrors = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kinora", Name: "gate_errors_total",
		Help: "Times that outputs could not be held against their plan's gate."})
	m.reviews = counter("reviews_decided_total", "Reviews that a person decided, by decision.", "decision")
	m.reviewsPending = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "kinora", Name: "reviews_pending",
		Help: "Generations that wait for a person, counted twice a minute."})
	m.panics = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "kinora", Name: "lifecycle_panics_total",
		Help: "Panics in work on attempts; each is a bug."})
	if reg != nil {
		reg.MustRegister(m.accepted, m.ended, m.refused, m.attemptsEnded, m.rerouted, m.judgeErrors, m.reviews, m.reviewsPending, m.generationTime, m.submits, m.submitTime, m.polls, m.polledJobs,
			m.upstreamDuration, m.unsettled, m.contested, m.callbacks, m.collectedBytes, m.accountRests, m.accountState, m.databaseErrors, m.panics)
	}
	return m
}

func (m *metrics) finished(g *kinora.Generation) {
	code := ""
	if g.Failure != nil {
		code = string(g.Failure.Code)
	}
	m.ended.WithLabelValues(g.Model, string(g.State), code).Inc()
	m.generationTime.WithLabelValues(g.Model).Observe(g.CompletedAt.Sub(g.CreatedAt).Seconds())
}

func (m *metrics) attemptEnded(a *kinora.Attempt) {
	class := a.ErrorClass
	if a.State == kinora.AttemptSucceeded {
		class = "" // of a look that failed on the way
	}
	m.attemptsEnded.WithLabelValues(a.Provider, string(a.State), class).Inc()
}

func (m *metrics) accounts(list []kinora.AccountHealth) {
	for _, a := range list {
		for _, s := range kinora.AccountStates() {
			v := 0.0
			if s == a.State {
				v = 1
			}
			m.accountState.WithLabelValues(a.Provider, a.Name, string(s)).Set(v)
		}
	}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return string(provider.AsError(err, provider.Unavailable).Class)
}

func (m *metrics) observeSubmit(name string, err error, took time.Duration) {
	m.submits.WithLabelValues(name, outcome(err)).Inc()
	m.submitTime.WithLabelValues(name).Observe(took.Seconds())
}

func (m *metrics) observePoll(name string, jobs int, err error) {
	m.polls.WithLabelValues(name, outcome(err)).Inc()
	m.polledJobs.WithLabelValues(name).Add(float64(jobs))
}
