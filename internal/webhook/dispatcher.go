package webhook

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// Database is where deliveries lie; *store.DB in production.
type Database interface {
	Update(ctx context.Context, fn func(*store.Tx) error) error
	View(ctx context.Context, fn func(*store.Tx) error) error
}

// Secrets gives the secrets that sign an organisation's deliveries now, the current one
// first. It is asked once per organisation for each small batch of attempts, so it should be
// quick. An error leaves the deliveries as they are; any but ErrUnavailable means that the
// secrets cannot be read, which somebody has to be told.
type Secrets interface {
	WebhookSecrets(ctx context.Context, organisation string) ([]kinora.WebhookSecret, error)
	// EndpointHeaders opens an endpoint's sealed headers.
	EndpointHeaders(e *kinora.Endpoint) (map[string]string, error)
}

// Config is what a Dispatcher needs. DB, Node, Guard, Client, Secrets and FileURL are required.
type Config struct {
	DB      Database
	Node    string // owner of the leases; other nodes release them when this one is gone
	Guard   Guard
	Client  Doer // the guard's webhook client
	Secrets Secrets
	FileURL FileURL

	Version  string        // of the program, for User-Agent
	Schedule *Schedule     // nil = DefaultSchedule
	Timeout  time.Duration // of one attempt, from look-up to the answer's last byte; 0 = 10 s
	Limits   Limits
	Disable  kinora.DisableRule // when an endpoint that only fails is disabled; zero = never

	// Poll is the longest sleep of a claimer that finds nothing, because other nodes insert
	// deliveries without a nudge; 0 = 1 s.
	Poll time.Duration
	// Rescan is how often destinations with held deliveries are looked for that this node
	// does not know of; 0 = 3 s.
	Rescan time.Duration

	// HealthLife is how long a report of destinations is given out before another one is made; 0 = 5 s.
	HealthLife time.Duration

	Now     func() time.Time      // nil = time.Now
	Random  func() float64        // in [0, 1), for jitter; nil = math/rand
	Logger  *slog.Logger          // nil = discard
	Metrics prometheus.Registerer // nil = none
}

// Dispatcher delivers. Make it with New, then Start; Stop it once.
type Dispatcher struct {
	cfg        Config
	policy     Policy
	schedule   Schedule
	courier    courier
	gate       *gate
	writer     *writer
	claimers   [2]*claimer
	leases     leases
	pace       *pace
	missedBell chan struct{} // rings when a replay of what was missed may have been asked for
	replays    *replays
	trials     *trials
	health     healthReports

	unreadable unreadable

	metrics *metrics
	log     *slog.Logger

	listeners listeners

	mu      sync.Mutex
	started bool
	claim   context.Context // ends when nothing new may be claimed or started
	cancel  context.CancelFunc
	post    context.Context // ends when POSTs under way are broken off
	abort   context.CancelFunc
	unhook  func() bool // lets go of Start's context

	loops    sync.WaitGroup // claimers, refiller, replays, replayer of what was missed, upkeep
	attempts sync.WaitGroup // attempts and what prepares them
	stop     sync.Once
	stopped  chan struct{}
	stopErr  error
}

// New makes a Dispatcher. It opens nothing and starts nothing: Check, Emit and
// Redeliver work before Start and after Stop.
func New(cfg Config) (*Dispatcher, error) {
	switch {
	case cfg.DB == nil, cfg.Node == "", cfg.Guard == nil, cfg.Client == nil, cfg.Secrets == nil, cfg.FileURL == nil:
		return nil, errors.New("webhook: DB, Node, Guard, Client, Secrets and FileURL are required")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	if cfg.Rescan <= 0 {
		cfg.Rescan = 3 * time.Second
	}
	if cfg.HealthLife == 0 {
		cfg.HealthLife = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	schedule := DefaultSchedule()
	if cfg.Schedule != nil {
		schedule = *cfg.Schedule
	}
	version := cfg.Version
	if version == "" {
		version = "dev"
	}
	s := &Dispatcher{
		cfg: cfg, policy: Policy{Guard: cfg.Guard}, schedule: schedule, log: cfg.Logger,
		gate:       newGate(cfg.Limits, cfg.Now, cfg.Random),
		leases:     leases{inHand: map[string]int64{}},
		pace:       newPace(),
		missedBell: make(chan struct{}, 1),
		stopped:    make(chan struct{}),
	}
	s.courier = courier{
		policy: s.policy, client: cfg.Client, link: cfg.FileURL, timeout: cfg.Timeout, now: cfg.Now,
		userAgent: "Kinora/" + version + " (+webhooks)",
	}
	s.replays, s.trials = newReplays(s), newTrials()
	s.metrics = newMetrics(cfg.Metrics, s.gate.inHand, s.replays.working)
	s.writer = newWriter(s)
	s.claimers = [2]*claimer{newClaimer(s, trackFresh), newClaimer(s, trackRetry)}
	s.claim, s.cancel = context.WithCancel(context.Background())
	s.post, s.abort = context.WithCancel(context.Background())
	return s, nil
}

// Check refuses a destination that its URL's text or the organisation's allowlist rules out,
// with a *kinora.Error of code ErrInvalid; see Policy.CheckDestination.
func (s *Dispatcher) Check(org *kinora.Organisation, url string) error {
	return s.policy.CheckDestination(org, url)
}

// Emit is the function of that name.
func (s *Dispatcher) Emit(tx *store.Tx, e *kinora.Event, g *kinora.Generation, now time.Time) error {
	_, err := Emit(tx, e, g, now)
	return err
}

// Nudge says that an event of an organisation and its deliveries were committed, so that their
// first attempts start at once and not with the next look, and that the organisation's streams
// go on. It never blocks.
func (s *Dispatcher) Nudge(organisation string) {
	ring(s.claimers[trackFresh].bell)
	s.listeners.wake(organisation)
}

// Start begins to deliver and returns at once. When ctx ends nothing new is claimed, as in
// the first step of Stop; Stop has to be called all the same.
func (s *Dispatcher) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return errors.New("webhook: started twice")
	}
	if err := s.claim.Err(); err != nil {
		return errors.New("webhook: started after Stop")
	}
	s.started = true
	s.unhook = context.AfterFunc(ctx, s.cancel)
	for _, c := range s.claimers {
		s.loops.Go(c.run)
	}
	s.loops.Go(s.refill)
	s.loops.Go(s.replays.run)
	s.loops.Go(s.replayMissed)
	s.loops.Go(s.upkeep)
	go s.writer.run()
	return nil
}

// Stop claims nothing more, lets attempts under way end, writes their results and gives back
// all leases. When ctx ends first, attempts are broken off (their receivers may see them
// again) and results that cannot be written within a second stay leased, to be released when
// the node is removed; the error is ctx's then. Later calls wait for the first one.
func (s *Dispatcher) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		defer close(s.stopped)
		s.stopErr = s.shut(ctx)
	})
	<-s.stopped
	return s.stopErr
}

func (s *Dispatcher) shut(ctx context.Context) error {
	s.cancel()
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	if !started {
		s.abort()
		s.writer.cancel()
		return nil
	}
	s.unhook()
	impatient := context.AfterFunc(ctx, s.abort)
	defer impatient()
	s.loops.Wait()
	for _, j := range s.gate.drain() {
		s.giveBack(j, s.cfg.Now())
	}
	s.attempts.Wait()
	err := s.writer.close(ctx)
	s.abort()
	return err
}

// upkeep forgets idle destinations, measures what waits, and counts those who share limits.
func (s *Dispatcher) upkeep() {
	const every = 15 * time.Second
	for failed := false; ; {
		err := s.cfg.DB.View(s.claim, func(tx *store.Tx) error {
			pending, held, dead, err := tx.DeliveryCounts(countedUpTo)
			if err != nil {
				return err
			}
			s.metrics.waiting(pending, held, dead)
			nodes, err := tx.Nodes()
			if err == nil {
				s.gate.share(len(nodes))
			}
			return err
		})
		if err != nil && !failed && s.claim.Err() == nil {
			s.log.Warn("counting deliveries failed", "error", err)
		}
		failed = err != nil
		s.gate.forget()
		if !s.sleep(every, nil) {
			return
		}
	}
}

// sleep waits for d, or for the bell, and reports false when claiming has ended.
func (s *Dispatcher) sleep(d time.Duration, bell <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-bell:
	case <-s.claim.Done():
	}
	return s.claim.Err() == nil
}
