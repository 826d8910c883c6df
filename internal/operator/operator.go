// Package operator tells whoever runs a server what waits in it, what it stores and how it is configured.
//
// What it tells of is other packages' work. How attempts and upstreams are is told by package lifecycle, and how destinations
// are by package webhook: those know more of it than lies in the database.
package operator

import (
	"context"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

const (
	// storageLife is how long what was summed up is given out before it is summed up anew.
	storageLife = time.Minute
	// storageReach is how many rows of a kind are summed up at most.
	storageReach = 1_000_000
)

// Config is what a Service needs.
type Config struct {
	DB   *store.DB
	Node string // of this process
	// Folder is where files lie; empty where they lie in Bucket.
	Folder, Bucket string
	// Free tells how many bytes are left for a folder; false = not known.
	Free func(folder string) (bytes uint64, ok bool)
	// Settings are the configuration as it was loaded, without secrets.
	Settings []kinora.Setting
	// Silent tells for how long nodes have given no sign of life. nil = nobody watches.
	Silent func() map[string]time.Duration
	Now    func() time.Time // nil = time.Now
}

// Service answers operators. It is safe for concurrent use.
type Service struct {
	cfg Config

	mu      sync.Mutex
	storage *kinora.StorageUse // the last sums; nil = none yet
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg}
}

// Queues counts what waits, each number up to kinora.CountedUpTo. Errors (*kinora.Error): ErrUnavailable.
func (s *Service) Queues(ctx context.Context) (*kinora.Queues, error) {
	var q kinora.Queues
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		q, err = tx.Queues(s.cfg.Now(), kinora.CountedUpTo)
		return err
	})
	silent := map[string]time.Duration{}
	if s.cfg.Silent != nil {
		silent = s.cfg.Silent()
	}
	for i := range q.Nodes {
		n := &q.Nodes[i]
		n.Answers, n.Silent = n.ID == s.cfg.Node, silent[n.ID]
	}
	return &q, err
}

// Storage tells how much is stored, as of a minute ago at most. Errors (*kinora.Error): ErrUnavailable.
func (s *Service) Storage(ctx context.Context) (*kinora.StorageUse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if s.storage == nil || now.Sub(s.storage.At) >= storageLife {
		sums, err := s.sum(ctx, now)
		if err != nil {
			return nil, err
		}
		s.storage = sums
	}
	use := *s.storage
	use.Free = -1
	if s.cfg.Folder != "" && s.cfg.Free != nil {
		if free, ok := s.cfg.Free(s.cfg.Folder); ok {
			use.Free = int64(free)
		}
	}
	return &use, nil
}

func (s *Service) sum(ctx context.Context, now time.Time) (*kinora.StorageUse, error) {
	use := &kinora.StorageUse{Folder: s.cfg.Folder, Bucket: s.cfg.Bucket, Database: s.cfg.DB.Name(), At: now}
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		if use.Outputs, use.Assets, use.Uploads, err = tx.FilesKept(storageReach); err != nil {
			return err
		}
		use.DatabaseBytes, err = tx.Size()
		return err
	})
	return use, err
}

// Settings lists the configuration as it was loaded, without secrets.
func (s *Service) Settings() []kinora.Setting { return s.cfg.Settings }
