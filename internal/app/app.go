// Package app puts the program together: New → Start → Addr → Stop. The command line, the
// demo and the end-to-end tests all run the same thing.
//
// It wires and orders; what the parts do is theirs.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/asset"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/masterkey"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/people"
	"github.com/kinora/kinora/internal/preview"
	"github.com/kinora/kinora/internal/queue"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/server"
	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/tenancy"
	"github.com/kinora/kinora/internal/upload"
	"github.com/kinora/kinora/internal/webhook"
	"github.com/kinora/kinora/internal/workflow"
)

// Options are what is not configuration.
type Options struct {
	Logger  *slog.Logger // nil = nothing is logged
	Version string       // shown to receivers and in metrics; empty = "dev"
	// Timing shortens the lifecycle's waits in tests.
	Timing lifecycle.Timing
	// Guard changes what the network guard is made of; nil = nothing. Tests put names and public addresses of their own
	// behind it.
	Guard func(*netguard.Config)
	// SandboxClock is the time of the built-in upstream's jobs, which a test moves on; nil = the machine's.
	SandboxClock simulator.Clock
	// WebhookLimits overrides the sizes of the delivery pools; zero = the defaults.
	WebhookLimits webhook.Limits
	// Origins tell operators where settings came from; nil = not known.
	Origins config.Origins
}

// App is a whole server. Make it with New, then Start; Stop it once.
type App struct {
	cfg  config.Config
	opts Options
	log  *slog.Logger

	listener net.Listener
	db       *store.DB
	files    blob.Store // previews, where it is made by New
	previews *preview.Store
	ring     *seal.Ring
	keys     *masterkey.Keeper
	signer   *blob.Signer
	guard    *netguard.Guard
	registry *prometheus.Registry

	tenancy    *tenancy.Service
	uploads    *upload.Service
	assets     *asset.Service
	engine     *lifecycle.Engine
	operating  operating
	workflows  *workflow.Set // those offered
	dispatcher *webhook.Dispatcher
	upkeep     *queue.Queue // nil until it runs
	people     *people.Service
	dashboard  *dashboard.Dashboard
	server     *server.Server
	http       *http.Server
	adminToken string
	keyFile    string // where the master keys are; empty = in the configuration
	made       *tenancy.Bootstrapped
	setUpLink  string // empty = somebody is in already

	cleanup []func(ctx context.Context) error // run last in, first out
	stop    sync.Once
	stopErr error
	failed  chan error
}

// New opens the database and the storage, binds the address, migrates if it may and wires
// everything; nothing runs yet. When it fails it has closed what it opened.
//
// Errors: kinora.ErrInvalid for a configuration that cannot be served, a missing master key
// included; kinora.ErrUnavailable when something that it needs is out of reach.
func New(ctx context.Context, cfg config.Config, o Options) (_ *App, err error) {
	a := &App{cfg: cfg, opts: o, log: o.Logger, registry: prometheus.NewRegistry(), failed: make(chan error, 1)}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.runCleanup(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, &kinora.Error{Code: kinora.ErrUnavailable, Op: "open data folder", Message: "the data folder cannot be made",
			Hint: "check data_dir and its permissions", Err: err}
	}
	if err := a.openDatabase(ctx); err != nil {
		return nil, err
	}
	if err := a.openStorage(); err != nil {
		return nil, err
	}
	if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, &kinora.Error{Code: kinora.ErrUnavailable, Op: "listen", Message: "the address " + cfg.Listen + " cannot be had",
			Hint: "is another server running on it? set listen", Err: err}
	}
	a.onStop(func(context.Context) error {
		if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	if a.guard, err = newGuard(cfg, o); err != nil {
		return nil, err
	}
	a.onStop(func(context.Context) error { a.guard.Close(); return nil })
	if err := a.openSchema(ctx); err != nil {
		return nil, err
	}
	if err := a.openKeys(ctx); err != nil {
		return nil, err
	}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := a.wire(); err != nil {
		return nil, err
	}
	return a, nil
}

// Start takes over what a crash left, and serves. It does not block.
func (a *App) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if a.made, err = a.tenancy.Bootstrap(ctx); err != nil {
		return fmt.Errorf("make the first organisation: %w", err)
	}
	if err := a.makeSetUpLink(ctx); err != nil {
		return err
	}
	// Of nodes that start together on an empty database, each may have made a key of its own.
	if err := a.checkSealed(ctx); err != nil {
		return err
	}
	a.tenancy.Start()
	a.onStop(a.tenancy.Stop)
	// The engine takes dead processes' leases back before anybody claims anything.
	if err := a.engine.Start(ctx); err != nil {
		return err
	}
	a.assets.Start()
	if err := a.dispatcher.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	upkeep, err := queue.New(a.db, a.tasks(), a.log, a.registry)
	if err != nil {
		return err
	}
	if err := upkeep.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	a.upkeep = upkeep
	go func() {
		if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- err
		}
	}()
	a.log.Info("serving", "address", a.Addr(), "database", a.db.Name(), "version", a.version())
	return nil
}

// Failed delivers the error that ended serving, if it ends by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Stop first says that it is stopping and goes on for the configured time, so that load
// balancers look elsewhere. Then it takes nothing new in hand, lets what is in hand finish
// within ctx and the configured grace, gives leases back and closes everything. Later calls
// return the first one's error.
func (a *App) Stop(ctx context.Context) error {
	a.stop.Do(func() {
		a.drain(ctx)
		grace, cancel := context.WithTimeout(ctx, max(a.cfg.ShutdownGrace.Std(), minGrace))
		defer cancel()
		a.stopErr = a.endWork(grace)
		// Work may have used up the grace; what is left to write and close gets a little of its own.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), minGrace)
		defer cancel()
		a.stopErr = errors.Join(a.stopErr, a.runCleanup(closing))
	})
	return a.stopErr
}

// drain makes /readyz fail and waits until those who ask it can be expected to have noticed.
func (a *App) drain(ctx context.Context) {
	a.server.Drain()
	if a.dashboard != nil {
		a.dashboard.Drain()
	}
	wait := a.cfg.DrainTime.Std()
	if wait <= 0 || a.upkeep == nil { // nobody has been told to come here
		return
	}
	a.log.Info("draining", "for", wait.String())
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// endWork first ends all claiming and then waits for everything at once, so that nothing
// slow, such as a download, takes the time of work that has been paid for. Parts that were
// not started have nothing to end.
func (a *App) endWork(ctx context.Context) error {
	a.engine.Halt()
	a.assets.Halt()
	// The engine's end gives back what this node still holds, so ingests come to theirs before it.
	work := func(ctx context.Context) error { return errors.Join(a.assets.Stop(ctx), a.engine.Stop(ctx)) }
	parts := []func(context.Context) error{a.dispatcher.Stop, work, a.endServing}
	if a.upkeep != nil {
		parts = append(parts, a.upkeep.Stop)
	}
	errs := make([]error, len(parts))
	var running sync.WaitGroup
	for i, end := range parts {
		running.Go(func() { errs[i] = end(ctx) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// endServing lets the requests in hand finish within half of what is left of ctx, and
// then cuts their connections: their clients can ask again, and a download goes on where
// it broke off.
func (a *App) endServing(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	patience, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
	defer cancel()
	err := a.http.Shutdown(patience)
	if err == nil || patience.Err() == nil {
		return err
	}
	a.log.Warn("requests that did not end in time were cut off")
	return a.http.Close()
}

func (a *App) onStop(fn func(ctx context.Context) error) { a.cleanup = append(a.cleanup, fn) }

func (a *App) runCleanup(ctx context.Context) error {
	var errs []error
	for i := len(a.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, a.cleanup[i](ctx))
	}
	a.cleanup = nil
	return errors.Join(errs...)
}

// Addr is the bound address, host:port.
func (a *App) Addr() string { return a.listener.Addr().String() }

// URL is where the server is reached: the configured public address, or the bound one.
func (a *App) URL() string {
	if a.cfg.PublicURL != "" {
		return a.cfg.PublicURL
	}
	return a.LocalURL()
}

// LocalURL is where the server is reached from this machine.
func (a *App) LocalURL() string {
	addr, ok := a.listener.Addr().(*net.TCPAddr)
	if !ok {
		return "http://" + a.Addr()
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// Tenancy is the service for organisations, keys and secrets.
func (a *App) Tenancy() *tenancy.Service { return a.tenancy }

// People is the service for persons and their sessions.
func (a *App) People() *people.Service { return a.people }

// Dashboard is what draws the pages for browsers; nil where they are left out.
func (a *App) Dashboard() *dashboard.Dashboard { return a.dashboard }

// MasterKeys rotates the master key.
func (a *App) MasterKeys() *masterkey.Keeper { return a.keys }

// Bootstrapped is what the first start on an empty database made; nil otherwise.
func (a *App) Bootstrapped() *tenancy.Bootstrapped { return a.made }

// AdminToken opens the admin API.
func (a *App) AdminToken() string { return a.adminToken }

// AdminTokenFile is where a token that was made here lies, and where the command line
// looks for it.
func AdminTokenFile(dataDir string) string { return filepath.Join(dataDir, "admin.token") }

// MasterKeyFile is where a master key that was made here lies.
func MasterKeyFile(dataDir string) string { return filepath.Join(dataDir, "master.key") }

func (a *App) version() string {
	if a.opts.Version == "" {
		return "dev"
	}
	return a.opts.Version
}

func (a *App) node() string { return id.New(id.Node, now()) }

var _ server.Generations = (*lifecycle.Engine)(nil)
