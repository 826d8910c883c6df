package tenancy

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/store"
)

// touchBatch is how many times of last use go into one transaction.
const touchBatch = 500

// lastUse collects when keys were used, until it is written. It holds one entry per key
// that was used since.
type lastUse struct {
	mu   sync.Mutex
	keys map[string]time.Time
}

func (l *lastUse) note(keyID string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		l.keys = make(map[string]time.Time)
	}
	if at.After(l.keys[keyID]) {
		l.keys[keyID] = at
	}
}

func (l *lastUse) take() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.keys
	l.keys = nil
	return taken
}

// Flush writes the times of last use that are only in memory. What could not be written
// is kept for the next time.
func (s *Service) Flush(ctx context.Context) error {
	used := s.used.take()
	// In order of ids, so that two nodes that write the same keys rarely wait for each other crosswise.
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(used)), touchBatch) {
		batch := make(map[string]time.Time, len(ids))
		for _, keyID := range ids {
			batch[keyID] = used[keyID]
		}
		if err := s.db.Update(ctx, func(tx *store.Tx) error { return tx.TouchKeys(batch) }); err != nil {
			for keyID, at := range used {
				s.used.note(keyID, at)
			}
			return err
		}
	}
	return nil
}

func (s *Service) flushLoop(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(s.flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "times of last use of API keys could not be written", slog.Any("error", err))
			}
		}
	}
}
