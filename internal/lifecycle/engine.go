// Package lifecycle drives a generation from acceptance to its end: accept, submit,
// settle, watch, collect, finish, one file per step.
//
// It owns retries, pace, deadlines, leases and the order of commits. It speaks no
// upstream's protocol (package provider), signs and sends no webhook (package webhook:
// it only commits the deliveries that package asks for), and serves no HTTP.
//
// Work is found through the due index on attempts. A step claims a few due attempts by
// lease in one commit, acts, and writes the result under the version it claimed, so
// that a worker which lost its lease changes nothing. Each lane (a set of accounts) has
// loops of its own: a stuck upstream delays nothing but its own lane.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// Config is what an Engine works with. Fields without a stated default are required.
type Config struct {
	DB   *store.DB
	Blob blob.Store
	// Node is this process's name among those that share the database, new at every start;
	// empty = made here.
	Node string
	// MasterKeys tells the ids of this process's master keys, the current one first: a rotation
	// asks whether all nodes have the new one. nil = none are told.
	MasterKeys func() []string
	Providers  []provider.Provider
	Accounts   []Account
	Models     []kinora.Model
	// Events says whom a terminal generation is told to.
	Events Events
	// Judge measures outputs of plans that have a gate; nil = such plans are refused.
	Judge Judge
	// PublicURL is where upstreams reach this server, without a trailing slash; empty = no
	// managed callbacks.
	PublicURL string
	// CallbackURLs are where the upstreams of some providers reach this server instead, by
	// provider.
	CallbackURLs map[string]string
	// Upstreams is the client for calls to configured upstream hosts. It must not follow redirects.
	Upstreams *http.Client
	// Downloads is the guarded client for output URLs, which upstreams choose.
	Downloads *http.Client
	// Sources opens callers' files for upstreams that want bytes; nil = such upstreams cannot be
	// given any.
	Sources provider.Sources
	// Organisation reads an organisation, perhaps as it was a moment ago; nil = nobody has a
	// budget.
	Organisation func(ctx context.Context, id string) (*kinora.Organisation, error)
	// Prices are what generations cost; what is not named is free.
	Prices kinora.Prices
	// JobsInFlight is how many jobs of the generations API an organisation may have in flight
	// where it has no number of its own; 0 = no limit.
	JobsInFlight int
	// ReviewsWaiting is how many generations of an organisation may wait for a review when another one of a plan with a review is
	// accepted; 0 = no limit. What is in flight then is held all the same.
	ReviewsWaiting int
	// Ingests brings source images; nil = sources have to be ready.
	Ingests Ingests
	// SourceURL makes the signed URL of a stored file that works until expires; nil = upstreams are not given sources.
	SourceURL func(key string, expires time.Time) string
	// OutputRetention is how long output files are kept; 0 = 72 hours.
	OutputRetention time.Duration
	// MaxOutput is the largest output stored, in bytes; 0 = 4 GiB.
	MaxOutput int64
	Timing    Timing
	// DayOf names the day that an instant counts to where an account has a limit per day, as its beginning; it lasts 24 hours. nil = the day of
	// UTC. Tests have one that does not turn.
	DayOf   func(t time.Time) time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil = none
}

// Timing are the engine's waits. Zero values take the defaults, which suit production;
// tests shorten them.
type Timing struct {
	Idle        time.Duration // longest sleep of a loop that finds nothing; default 1 s
	Submit      time.Duration // one submit call of an asynchronous upstream; default 90 s
	Synchronous time.Duration // one submit call of a synchronous upstream; default 10 min
	Poll        time.Duration // one poll call; default 30 s
	Collect     time.Duration // copying one output; default 1 h
	Stall       time.Duration // a download from which nothing comes; default 1 min
	Judge       time.Duration // having the outputs of an attempt judged; default 10 min
	// Quiet is the least time between the end of a lost submit call and believing an upstream
	// that says it has no such job; default 10 s.
	Quiet time.Duration
	// Beat is the time between two signs of life of this node; default 3 s. After five
	// missed ones other nodes take its leases.
	Beat time.Duration
	// CollectGrace is how long an output that exists upstream may take to be copied, even past
	// the generation's deadline, for it has been paid for; default 1 h.
	CollectGrace time.Duration
	// Repeat is the least time between two looks that callbacks in the same words cost; default 1 s.
	Repeat time.Duration
	// Progress is the least time between two writes of the progress that a submit call tells; default 1 s.
	Progress time.Duration
	// Backoff scales every retry wait; default 1. Tests use a small fraction.
	Backoff float64
	// Grace scales the two minutes that an upstream has to tell of a submit whose answer was lost; default Backoff. Tests
	// whose upstreams do tell need seconds for it.
	Grace float64
	// Pace scales the waits between looks that providers ask for; default 1. Tests against
	// upstreams that like to be asked every ten seconds use a small fraction.
	Pace float64
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Idle, time.Second)
	def(&t.Submit, 90*time.Second)
	def(&t.Synchronous, 10*time.Minute)
	def(&t.Poll, 30*time.Second)
	def(&t.Collect, time.Hour)
	def(&t.Stall, time.Minute)
	def(&t.Judge, 10*time.Minute)
	def(&t.Quiet, 10*time.Second)
	def(&t.Beat, 3*time.Second)
	def(&t.CollectGrace, time.Hour)
	def(&t.Repeat, time.Second)
	def(&t.Progress, time.Second)
	if t.Backoff == 0 {
		t.Backoff = 1
	}
	if t.Grace == 0 {
		t.Grace = t.Backoff
	}
	if t.Pace == 0 {
		t.Pace = 1
	}
	return t
}

// Events connects the lifecycle to the webhooks.
type Events interface {
	// Check refuses a destination that the URL itself or the organisation's allowlist rules
	// out, with a *kinora.Error of code ErrInvalid.
	Check(org *kinora.Organisation, url string) error
	// Emit writes the event of a generation that ends, and the deliveries that tell it.
	Emit(tx *store.Tx, e *kinora.Event, g *kinora.Generation, now time.Time) error
	// Nudge says that an event of an organisation and its deliveries were committed.
	Nudge(organisation string)
}

// Judge holds outputs against the gate of a plan. It is asked about each output once that is
// in storage, again after a crash, and never twice at once for one.
type Judge interface {
	// Judge measures an output of g against g.Plan.Gate, which is not nil. open reads the stored
	// file; it may be called more than once, and the caller closes what it gave. An error says
	// that nothing could be found out now: the output is judged again, and not published before.
	Judge(ctx context.Context, g *kinora.Generation, o *kinora.Output, open func(context.Context) (io.ReadSeekCloser, error)) (kinora.Verdict, error)
}

// Engine runs the lifecycle. Make it with New, then Start.
type Engine struct {
	cfg       Config
	timing    Timing
	db        *store.DB
	log       *slog.Logger
	node      node
	providers map[string]provider.Provider
	accounts  map[string]*account
	models    map[string]*kinora.Model     // along their first route
	routes    map[string][]*kinora.Model   // along each of them
	crews     map[*kinora.Model][]*account // of each route
	metrics   *metrics
	durations durations
	hints     callbackHints
	repeats   callbackRepeats
	ends      ends
	reports   reports
	fields    sync.Map // of models, by name, once somebody has asked: func() []kinora.Field

	held heldLeases

	mu    sync.Mutex
	lanes map[string]*lane
	stage stage

	run    context.Context // ends when no new work may be claimed
	work   context.Context // ends when work in hand must break off
	halt   context.CancelFunc
	abort  context.CancelFunc
	loops  sync.WaitGroup // loops that claim
	inHand sync.WaitGroup // work that was claimed
	pulse  sync.WaitGroup // the sign of life, which outlasts both
	silent chan struct{}  // closed to end it
}

// stage is where an engine stands in its one life.
type stage int

const (
	stageNew stage = iota
	stageRunning
	stageStopped
)

// New checks the configuration and makes an engine that does nothing yet.
func New(cfg Config) (*Engine, error) {
	e := &Engine{
		cfg: cfg, timing: cfg.Timing.withDefaults(), db: cfg.DB, log: cfg.Logger,
		providers: map[string]provider.Provider{}, accounts: map[string]*account{}, models: map[string]*kinora.Model{},
		routes: map[string][]*kinora.Model{}, crews: map[*kinora.Model][]*account{},
		lanes: map[string]*lane{}, metrics: newMetrics(cfg.Metrics),
		ends: ends{waiting: map[string]map[chan struct{}]struct{}{}, some: newBell()},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.cfg.OutputRetention == 0 {
		e.cfg.OutputRetention = 72 * time.Hour
	}
	if e.cfg.MaxOutput == 0 {
		e.cfg.MaxOutput = 4 << 30
	}
	if e.cfg.DayOf == nil {
		e.cfg.DayOf = dayOfUTC
	}
	var errs []error
	for _, p := range cfg.Providers {
		e.providers[p.Name()] = p
	}
	for _, a := range cfg.Accounts {
		if e.providers[a.Provider] == nil {
			errs = append(errs, fmt.Errorf("account %q: there is no provider %q", a.Name, a.Provider))
		}
		if e.accounts[a.Name] != nil {
			errs = append(errs, fmt.Errorf("account %q is configured twice", a.Name))
		}
		e.accounts[a.Name] = newAccount(a, e.timing.Backoff, e.cfg.DayOf)
	}
	for _, m := range cfg.Models {
		errs = append(errs, e.addRoutes(m)...)
	}
	return e, errors.Join(errs...)
}

// Models lists the public models, by name.
func (e *Engine) Models() []kinora.Model {
	list := make([]kinora.Model, 0, len(e.models))
	for _, m := range e.models {
		list = append(list, *m)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// Price is what a generation of a model costs that is accepted now; an empty workflow is none.
func (e *Engine) Price(model, workflow string) kinora.Money { return e.cfg.Prices.Of(model, workflow) }

// Start takes over what a crash left behind and begins to work. It does not block; an
// error means that nothing was started.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage != stageNew {
		return errors.New("lifecycle: an engine starts once")
	}
	if err := e.join(ctx); err != nil {
		return fmt.Errorf("lifecycle: %w", err)
	}
	if err := e.loadDurations(ctx); err != nil {
		return fmt.Errorf("lifecycle: %w", err)
	}
	e.stage = stageRunning
	e.run, e.halt = context.WithCancel(context.Background())
	e.work, e.abort = context.WithCancel(context.Background())
	e.silent = make(chan struct{})
	e.pulse.Go(func() { e.beat(e.silent) })
	several := false
	for _, routes := range e.routes {
		several = several || len(routes) > 1
		for _, m := range routes {
			e.startLane(e.laneOf(m), m.Provider)
		}
	}
	if several {
		e.loops.Go(e.moveLoop)
	}
	e.loops.Go(e.keepHouse)
	e.loops.Go(e.sweepDeadlines)
	e.loops.Go(e.watchEnds)
	return nil
}

// Halt ends claiming and returns at once; work in hand goes on. It is idempotent.
func (e *Engine) Halt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage == stageRunning {
		e.halt()
	}
}

// Stop ends claiming, lets work in hand finish until ctx ends, breaks off the rest and
// gives all leases back. It is idempotent.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	running := e.stage == stageRunning
	e.stage = stageStopped
	e.mu.Unlock()
	if !running {
		return nil
	}
	e.halt()
	finished := make(chan struct{})
	go func() { e.loops.Wait(); e.inHand.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-ctx.Done():
	}
	e.abort()
	<-finished
	// Until here everything in hand was this node's, and others had to know it.
	close(e.silent)
	e.pulse.Wait()
	return e.leave(context.WithoutCancel(ctx))
}

// synchronousLane ends the provider's part of a lane's name whose submit calls last as long as the
// generation: they would keep short calls waiting.
const synchronousLane = "!"

// callbackURL is where a provider's upstream calls back, without the path; empty = it cannot.
func (e *Engine) callbackURL(providerName string) string {
	if own, ok := e.cfg.CallbackURLs[providerName]; ok {
		return own
	}
	return e.cfg.PublicURL
}

// laneOf names the accounts that a model may run on, and whether its submit calls are long.
func (e *Engine) laneOf(m *kinora.Model) string {
	name := m.Provider
	if p := e.providers[m.Provider]; p != nil && p.Describe().Model(m.UpstreamModel).Synchronous {
		name += synchronousLane
	}
	if len(m.Accounts) == 0 {
		return name
	}
	names := append([]string(nil), m.Accounts...)
	sort.Strings(names)
	return name + ":" + strings.Join(names, ",")
}

// isSynchronous tells whether a lane's submit calls last as long as the generation.
func isSynchronous(lane string) bool {
	name, _, _ := strings.Cut(lane, ":")
	return strings.HasSuffix(name, synchronousLane)
}

// laneProvider is the provider's part of a lane's name.
func laneProvider(lane string) string {
	name, _, _ := strings.Cut(lane, ":")
	return strings.TrimSuffix(name, synchronousLane)
}

// laneAccounts is the reverse of laneOf, for lanes that an older configuration left in
// the database too.
func (e *Engine) laneAccounts(name string) []*account {
	_, list, some := strings.Cut(name, ":")
	providerName := laneProvider(name)
	var accounts []*account
	if some {
		for _, n := range strings.Split(list, ",") {
			if a := e.accounts[n]; a != nil && a.Provider == providerName {
				accounts = append(accounts, a)
			}
		}
		return accounts
	}
	for _, a := range e.accounts {
		if a.Provider == providerName {
			accounts = append(accounts, a)
		}
	}
	sort.Slice(accounts, func(i, j int) bool { return accounts[i].Name < accounts[j].Name })
	return accounts
}

func (e *Engine) accountsByName() []*account {
	list := make([]*account, 0, len(e.accounts))
	for _, a := range e.accounts {
		list = append(list, a)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// startLane starts the loops of a lane once; e.mu is held.
func (e *Engine) startLane(name, providerName string) {
	if e.lanes[name] != nil {
		return
	}
	l := &lane{
		name: name, provider: e.providers[providerName], accounts: e.laneAccounts(name), synchronous: isSynchronous(name),
		submit: newBell(), settle: newBell(), watch: newBell(), urgent: newBell(), collect: newBell(),
	}
	e.lanes[name] = l
	if l.provider == nil {
		// A provider that is configured no more: its attempts end at their deadlines.
		return
	}
	e.loops.Go(func() { e.submitLoop(l) })
	e.loops.Go(func() { e.settleLoop(l) })
	e.loops.Go(func() { e.watchLoop(l) })
	e.loops.Go(func() { e.collectLoop(l) })
}

// nudge rings the bell of a step in a lane, if this node runs the lane.
func (e *Engine) nudge(laneName string, of func(*lane) bell) {
	e.mu.Lock()
	l := e.lanes[laneName]
	e.mu.Unlock()
	if l != nil {
		of(l).ring()
	}
}

// nudgeProvider rings the submit bell of every lane of a provider: a slot at one of its
// accounts has become free.
func (e *Engine) nudgeProvider(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.lanes {
		if l.provider != nil && l.provider.Name() == name {
			l.submit.ring()
		}
	}
}

// lane is a set of accounts with the loops that serve it.
type lane struct {
	name     string
	provider provider.Provider
	accounts []*account
	// synchronous says that submit calls last as long as the generation.
	synchronous bool

	submit, settle, watch, collect bell
	urgent                         bell // a callback has come: gather less
}

// bell wakes a sleeping loop; ringing it twice wakes it once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// sleep waits for the bell, for the instant until (zero = the idle time), or for the
// end of claiming; it reports whether to go on. It never sleeps longer than the idle
// time, because other nodes insert work without ringing here.
func (e *Engine) sleep(b bell, until time.Time) bool {
	wait := e.timing.Idle
	if !until.IsZero() {
		wait = min(wait, max(time.Until(until), time.Millisecond))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-e.run.Done():
		return false
	case <-b:
	case <-timer.C:
	}
	return true
}

// persist repeats a write until the database takes it, for results that exist nowhere
// else yet. It gives up only when work in hand must break off: the lease is then given
// back, and the step is done again by its own rules.
func (e *Engine) persist(what string, fn func(tx *store.Tx) error) error {
	wait := 20 * time.Millisecond
	for {
		err := e.db.Update(context.Background(), fn)
		if kinora.CodeOf(err) != kinora.ErrUnavailable {
			return err
		}
		e.metrics.databaseErrors.Inc()
		e.log.Warn("the database is out of reach; the result is kept and written again", "what", what, "error", err)
		select {
		case <-e.work.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// backoff is the wait before try n (1-based) of something that failed: doubling from
// first to ceiling, with jitter, never less than what the upstream asked for.
func (e *Engine) backoff(n int, first, ceiling, asked time.Duration) time.Duration {
	d := ceiling
	if n < 20 {
		d = min(first<<(max(n, 1)-1), ceiling)
	}
	d = jitter(time.Duration(float64(d) * e.timing.Backoff))
	return max(d, min(asked, time.Hour))
}
