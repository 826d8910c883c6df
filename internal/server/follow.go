package server

import (
	"context"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// follows looks at all generations that somebody follows here, together and once in a while, and rings for those that
// have changed. It works only while there are any.
type follows struct {
	// read tells how generations stand; one that is not there is left out.
	read  func(ctx context.Context, ids []string) (map[string]kinora.Standing, error)
	pace  time.Duration
	until context.Context // its end ends the looking

	mu      sync.Mutex
	by      map[string]map[chan struct{}]standing // what each follower knows
	looking bool
}

func newFollows(until context.Context, read func(context.Context, []string) (map[string]kinora.Standing, error)) *follows {
	return &follows{read: read, pace: followPace, until: until, by: map[string]map[chan struct{}]standing{}}
}

// join follows a generation that is known to stand so. The bell rings when it stands differently, or is there no more.
func (f *follows) join(id string, known standing) (bell <-chan struct{}, leave func()) {
	own := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[id] == nil {
		f.by[id] = map[chan struct{}]standing{}
	}
	f.by[id][own] = known
	if !f.looking {
		f.looking = true
		go f.look()
	}
	return own, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if delete(f.by[id], own); len(f.by[id]) == 0 {
			delete(f.by, id)
		}
	}
}

// look goes on until nobody follows anything.
func (f *follows) look() {
	tick := time.NewTicker(f.pace)
	defer tick.Stop()
	for {
		select {
		case <-f.until.Done():
			return
		case <-tick.C:
		}
		ids := f.followed()
		if ids == nil {
			return
		}
		now, err := f.read(f.until, ids)
		if err != nil {
			continue // the database is out of reach; whoever follows sees signs of life meanwhile
		}
		f.ring(ids, now)
	}
}

// followed lists what is followed; nil = nothing is, and the looking has ended.
func (f *follows) followed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.by) == 0 {
		f.looking = false
		return nil
	}
	ids := make([]string, 0, len(f.by))
	for id := range f.by {
		ids = append(ids, id)
	}
	return ids
}

func (f *follows) ring(ids []string, now map[string]kinora.Standing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		for bell, known := range f.by[id] {
			if standing(now[id]) == known {
				continue
			}
			f.by[id][bell] = standing(now[id])
			select {
			case bell <- struct{}{}:
			default:
			}
		}
	}
}
