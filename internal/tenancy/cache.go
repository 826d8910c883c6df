package tenancy

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// cache keeps what was read for a short time. Many who ask for one key at once cost one
// read. Errors are not kept.
type cache[V any] struct {
	most int
	life time.Duration
	now  func() time.Time

	mu      sync.Mutex
	entries map[string]cached[V]
	// epoch counts the calls of forget. A read that began in an earlier epoch is neither
	// kept nor waited for: it may not have seen the change.
	epoch uint64

	reads singleflight.Group
}

type cached[V any] struct {
	value V
	until time.Time
}

func newCache[V any](most int, life time.Duration, now func() time.Time) *cache[V] {
	return &cache[V]{most: most, life: life, now: now, entries: make(map[string]cached[V])}
}

// get returns the value of key, reading it with read when it is not kept. read's context
// does not end with ctx, because others may wait for the same read.
func (c *cache[V]) get(ctx context.Context, key string, read func(ctx context.Context) (V, error)) (V, error) {
	c.mu.Lock()
	e, found := c.entries[key]
	epoch := c.epoch
	c.mu.Unlock()
	if found && c.now().Before(e.until) {
		return e.value, nil
	}
	answer := c.reads.DoChan(strconv.FormatUint(epoch, 36)+"/"+key, func() (any, error) {
		// The life starts before the read: afterwards the value may already be old.
		until := c.now().Add(c.life)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		value, err := read(ctx)
		if err == nil {
			c.keep(key, cached[V]{value, until}, epoch)
		}
		return value, err
	})
	var none V
	select {
	case a := <-answer:
		if a.Err != nil {
			return none, a.Err
		}
		return a.Val.(V), nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (c *cache[V]) keep(key string, e cached[V], epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	if _, found := c.entries[key]; !found && len(c.entries) >= c.most {
		c.evict()
	}
	c.entries[key] = e
}

// evict makes room: for a few entries in the map's own random order it drops those that are
// over, and at least one.
func (c *cache[V]) evict() {
	const look = 16
	now, seen := c.now(), 0
	for key, e := range c.entries {
		if seen == 0 || !now.Before(e.until) {
			delete(c.entries, key)
		}
		if seen++; seen == look {
			return
		}
	}
}

func (c *cache[V]) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	clear(c.entries)
}
