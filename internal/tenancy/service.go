// Package tenancy keeps organisations, their API keys, webhook secrets and endpoints, and tells
// whose key a request carries.
//
// Every change goes through a [Service], because it also keeps what each request and each
// delivery asks for in memory. A change takes effect on this node before its method
// returns, and on other nodes that share the database within [DefaultCacheFor] at most:
// nothing in memory is believed for longer. A key that is not known is looked up again
// each time, so that a new key works everywhere at once.
//
// Not its duty: rate limits, HTTP, signing with the secrets that it hands out, and
// enforcing an organisation's allowlist (it only checks its spelling, and that the default
// callback URL passes the check that it was given).
package tenancy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
)

const (
	// DefaultCacheFor is how long what was read may be believed: the longest time for which a
	// key revoked on another node still works on this one.
	DefaultCacheFor = time.Second
	// DefaultFlushEvery is how often the times of last use are written.
	DefaultFlushEvery = time.Minute

	cachedKeys          = 10_000
	cachedOrganisations = 10_000
	cachedSecrets       = 10_000

	// readTimeout bounds a read that several requests wait for; it does not end with any of them.
	readTimeout = 10 * time.Second
)

// Options are a Service's choices; the zero value is fit for production but for CheckWebhook.
type Options struct {
	// CheckWebhook says whether an organisation may have url as its default callback URL; its
	// error is shown to whoever sets it. nil refuses every URL.
	CheckWebhook func(org *kinora.Organisation, url string) error
	// MaxEndpoints is how many endpoints an organisation may have; 0 = DefaultMaxEndpoints.
	MaxEndpoints int
	// Now is the clock; nil = time.Now.
	Now func() time.Time
	// CacheFor is how long what was read is believed; 0 = DefaultCacheFor.
	CacheFor time.Duration
	// FlushEvery is how often times of last use are written; 0 = DefaultFlushEvery.
	FlushEvery time.Duration
	// Log takes failures of the background writer; nil = nowhere.
	Log *slog.Logger
}

// Service is safe for concurrent use. Start begins its background work.
type Service struct {
	db    *store.DB
	ring  *seal.Ring
	check func(org *kinora.Organisation, url string) error
	now   func() time.Time
	log   *slog.Logger

	maxEndpoints int

	callers *cache[caller]
	orgs    *cache[*kinora.Organisation]
	secrets *cache[[]kinora.WebhookSecret]

	used       lastUse
	flushEvery time.Duration
	mu         sync.Mutex // covers what follows
	halt       context.CancelFunc
	done       chan struct{}
}

// New makes a service over db; ring seals the webhook secrets.
func New(db *store.DB, ring *seal.Ring, o Options) *Service {
	s := &Service{db: db, ring: ring, check: o.CheckWebhook, now: o.Now, log: o.Log, flushEvery: o.FlushEvery}
	if s.check == nil {
		s.check = func(*kinora.Organisation, string) error {
			return errors.New("callback URLs cannot be checked here")
		}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.maxEndpoints = o.MaxEndpoints; s.maxEndpoints <= 0 {
		s.maxEndpoints = DefaultMaxEndpoints
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.flushEvery == 0 {
		s.flushEvery = DefaultFlushEvery
	}
	if o.CacheFor == 0 {
		o.CacheFor = DefaultCacheFor
	}
	s.callers = newCache[caller](cachedKeys, o.CacheFor, s.now)
	s.orgs = newCache[*kinora.Organisation](cachedOrganisations, o.CacheFor, s.now)
	s.secrets = newCache[[]kinora.WebhookSecret](cachedSecrets, o.CacheFor, s.now)
	return s
}

// Start begins to write times of last use in the background. It does not block; a second
// call does nothing.
func (s *Service) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != nil {
		return
	}
	ctx, halt := context.WithCancel(context.Background())
	s.halt, s.done = halt, make(chan struct{})
	go s.flushLoop(ctx, s.done)
}

// Stop ends the background work and writes what is left, as far as ctx lets it. It may be
// called more than once, and without Start.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	halt, done := s.halt, s.done
	s.mu.Unlock()
	if done != nil {
		halt()
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.Flush(ctx)
}

// change runs fn in a transaction and then forgets all that is kept in memory, whatever
// came of it: a commit whose answer was lost may have happened.
func (s *Service) change(ctx context.Context, fn func(tx *store.Tx) error) error {
	err := s.db.Update(ctx, fn)
	s.callers.forget()
	s.orgs.forget()
	s.secrets.forget()
	return err
}

// instant is the time as the database keeps it, so that what is returned now equals what
// is read later.
func (s *Service) instant() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// lock reads an organisation and keeps other transactions from changing it, or anything
// of it that is changed under this lock, until tx ends.
func lock(tx *store.Tx, organisationID string) (*kinora.Organisation, error) {
	var one int
	err := tx.QueryRow(`SELECT 1 FROM organisations WHERE id = ? {for update}`, organisationID).Scan(&one)
	if err != nil {
		return nil, absent(err, noOrganisation)
	}
	org, err := tx.Organisation(organisationID)
	return org, absent(err, noOrganisation)
}

const noOrganisation = "organisation not found"

// absent turns the store's "not found" into one with a message for the caller.
func absent(err error, message string) error {
	if errors.Is(err, store.ErrNotFound) {
		return kinora.Errorf(kinora.ErrNotFound, "%s", message)
	}
	return err
}
