// Package asset keeps source images: it fetches or takes them, makes them upright and private, and keeps them for reuse
// (generations API contract, section 4).
//
// An ingest is a row with a due time, as an attempt is. What a caller has sent lies in storage before the row is
// committed; what it named by URL is fetched into storage first and looked at then, two steps that never wait for each
// other. A node leases what it works on; every write names the version that it claimed, so that a late worker writes
// nothing. Whatever dies, and whenever: the ingest is done again from the step it stood at, and comes to an end.
//
// Equal files of an organisation are kept once. What waits for an ingest moves on in the transaction that ends it.
//
// Not its duty: HTTP and its limits, what generations do with a source, and what makes an image fit (package media).
package asset

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

// Defaults of Config (generations API contract, section 4.1).
const (
	DefaultMaxSize      = 25 << 20
	DefaultMinSide      = 512
	DefaultMaxSide      = 12000
	DefaultMemory       = 768 << 20
	DefaultFetchTimeout = 30 * time.Second
)

// Waiting is what waits for an ingest: generations that were accepted before their source was there. Both methods are
// called in the transaction that ends the ingest, which may run again; the function that they return is called once it
// is committed, and never is nil.
type Waiting interface {
	SourceReady(tx *store.Tx, a *kinora.SourceAsset, now time.Time) (after func(), err error)
	SourceFailed(tx *store.Tx, a *kinora.SourceAsset, now time.Time) (after func(), err error)
}

// Fetcher reads what a caller names by URL. A *netguard.Guard is one.
type Fetcher interface {
	CheckFetch(rawURL string) error
	DownloadVia(ctx context.Context, redirects int, rawURL string, limit int64, w io.Writer) (netguard.Downloaded, error)
}

// Files is where the bytes go. Every blob.Store is one.
type Files interface {
	Put(ctx context.Context, key string, r io.Reader, opts blob.PutOptions) (blob.Attributes, error)
	Open(ctx context.Context, key string) (blob.Object, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string, fn func(blob.Attributes) error) error
}

// Config is what a Service works with. DB, Files, Fetch and Node are needed.
type Config struct {
	DB      *store.DB
	Files   Files
	Fetch   Fetcher
	Node    string  // this process's name among those that share the database
	Waiting Waiting // nil = nothing waits

	MaxSize          int64         // largest file, in bytes; 0 = DefaultMaxSize
	MinSide, MaxSide int           // of an image as it is shown, in pixels; 0 = the defaults
	Memory           int64         // that decoding takes at most, on this node; 0 = DefaultMemory
	FetchTimeout     time.Duration // of one fetch; 0 = DefaultFetchTimeout
	MaxRedirects     int           // that a fetch follows; 0 = none

	Poll    time.Duration // longest sleep of a loop that finds nothing; 0 = 1 s
	Backoff float64       // scales the waits between tries; 0 = 1
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil = none
	Now     func() time.Time
}

// Service is safe for concurrent use. Receive, Record and what reads work without Start; Start begins to ingest.
type Service struct {
	cfg     Config
	limits  media.SourceLimits
	log     *slog.Logger
	memory  *semaphore.Weighted
	metrics *metrics

	fetch, prepare *lane

	mu      sync.Mutex
	running bool
	claim   context.Context // ends when nothing new may be claimed
	halt    context.CancelFunc
	work    context.Context // ends when work in hand must break off
	abort   context.CancelFunc
	loops   sync.WaitGroup
}

// New returns a Service that does nothing yet.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil || cfg.Files == nil || cfg.Fetch == nil || cfg.Node == "" {
		return nil, errors.New("asset: config: DB, Files, Fetch and Node are needed")
	}
	if cfg.MaxSize < 0 || cfg.MinSide < 0 || cfg.MaxSide < 0 || cfg.Memory < 0 || cfg.FetchTimeout < 0 || cfg.MaxRedirects < 0 {
		return nil, errors.New("asset: config: limits must not be negative")
	}
	setDefault(&cfg.MaxSize, DefaultMaxSize)
	setDefault(&cfg.MinSide, DefaultMinSide)
	setDefault(&cfg.MaxSide, DefaultMaxSide)
	setDefault(&cfg.Memory, DefaultMemory)
	setDefault(&cfg.FetchTimeout, DefaultFetchTimeout)
	setDefault(&cfg.Poll, time.Second)
	setDefault(&cfg.Backoff, 1)
	if cfg.Waiting == nil {
		cfg.Waiting = nobody{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{
		cfg: cfg, log: cfg.Logger, memory: semaphore.NewWeighted(cfg.Memory), metrics: newMetrics(cfg.Metrics),
		limits: media.SourceLimits{MinSide: cfg.MinSide, MaxSide: cfg.MaxSide, MaxMemory: cfg.Memory},
	}
	s.fetch = newLane(true, fetchesAtOnce, fetchesOfOne, s.fetchFile)
	s.prepare = newLane(false, preparedAtOnce, preparedOfOne, s.prepareFile)
	return s, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

type nobody struct{}

func (nobody) SourceReady(*store.Tx, *kinora.SourceAsset, time.Time) (func(), error) {
	return func() {}, nil
}

func (nobody) SourceFailed(*store.Tx, *kinora.SourceAsset, time.Time) (func(), error) {
	return func() {}, nil
}

func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

// MaxSize is the largest file that is taken, in bytes.
func (s *Service) MaxSize() int64 { return s.cfg.MaxSize }

// Ingest reads an ingest of an organisation. An empty organisation reads anybody's.
//
// Errors (*kinora.Error): ErrNotFound, for a foreign one too; ErrUnavailable.
func (s *Service) Ingest(ctx context.Context, organisationID, ingestID string) (*kinora.SourceAsset, error) {
	return s.read(ctx, func(tx *store.Tx) (*kinora.SourceAsset, error) { return tx.Ingest(organisationID, ingestID) })
}

// Ingests is Ingest for several, in one round trip. Those that are not there are left out, and so are other organisations'.
func (s *Service) Ingests(ctx context.Context, organisationID string, ingestIDs []string) ([]*kinora.SourceAsset, error) {
	var list []*kinora.SourceAsset
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Ingests(organisationID, ingestIDs)
		return err
	})
	return list, err
}

// Asset is Ingest by the asset's own id, in whatever state it is.
func (s *Service) Asset(ctx context.Context, organisationID, assetID string) (*kinora.SourceAsset, error) {
	return s.read(ctx, func(tx *store.Tx) (*kinora.SourceAsset, error) { return tx.Asset(organisationID, assetID) })
}

func (s *Service) read(ctx context.Context, find func(*store.Tx) (*kinora.SourceAsset, error)) (*kinora.SourceAsset, error) {
	var a *kinora.SourceAsset
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		a, err = find(tx)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "source asset not found", Err: err}
	}
	return a, err
}

// List reads an organisation's assets, newest first: those whose ingest is older than before ("" = all), in a state ("" =
// any), at most limit. For operators.
func (s *Service) List(ctx context.Context, organisationID string, state kinora.AssetState, before string, limit int) ([]*kinora.SourceAsset, error) {
	var list []*kinora.SourceAsset
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Assets(organisationID, state, before, limit)
		return err
	})
	return list, err
}

// Prefix starts the key of every file of this package. Kept files lie in folders by date, and what was received and is
// not looked at yet in a folder beside them.
const (
	Prefix         = "assets/"
	receivedPrefix = Prefix + "received/"
)

func receivedKey(ingestID string, at time.Time, name string) string {
	return receivedPrefix + at.UTC().Format("2006/01/02/") + ingestID + "-" + name
}

// keptKey holds the version that a worker claimed, so that it is no other worker's.
func keptKey(a *kinora.SourceAsset, at time.Time, version string, t media.Type) string {
	return path.Join(Prefix, at.UTC().Format("2006/01/02"), a.ID+"-"+version+t.Extension())
}
