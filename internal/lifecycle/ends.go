package lifecycle

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// ends tells whoever waits for a generation that it has ended. Ends on this node are told at once; those that other
// nodes commit are found by one look for all that are waited for, which costs nothing while nobody waits.
type ends struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{} // by generation
	some    bell                                  // somebody has begun to wait
}

// Ended returns a channel that is closed when the generation ends, or soon after. It tells of ends to come: whoever
// has called it must look once whether the generation has ended already. leave must be called in the end.
func (e *Engine) Ended(generationID string) (ended <-chan struct{}, leave func()) {
	ch := make(chan struct{})
	s := &e.ends
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[generationID] == nil {
		s.waiting[generationID] = map[chan struct{}]struct{}{}
	}
	s.waiting[generationID][ch] = struct{}{}
	s.some.ring()
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.waiting[generationID], ch); len(s.waiting[generationID]) == 0 {
			delete(s.waiting, generationID)
		}
	}
}

// tell wakes those who wait for a generation.
func (s *ends) tell(generationID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.waiting[generationID] {
		close(ch)
	}
	delete(s.waiting, generationID)
}

func (s *ends) awaited() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.waiting))
	for id := range s.waiting {
		ids = append(ids, id)
	}
	return ids
}

// announce says that a generation's end and its event were committed.
func (e *Engine) announce(g *kinora.Generation) {
	e.ends.tell(g.ID)
	e.cfg.Events.Nudge(g.OrganisationID)
}

const (
	// endsLook is how far apart the looks for ends on other nodes are.
	endsLook = time.Second
	// endsBatch is how many generations are looked up in one transaction.
	endsBatch = 500
	// endsTime bounds one look.
	endsTime = 5 * time.Second
)

// watchEnds finds the ends that other nodes have committed.
func (e *Engine) watchEnds() {
	for {
		select {
		case <-e.run.Done():
			return
		case <-e.ends.some:
		}
		for ids := e.ends.awaited(); len(ids) > 0; ids = e.ends.awaited() {
			select {
			case <-e.run.Done():
				return
			case <-time.After(endsLook):
			}
			if err := e.tellEnded(ids); err != nil && e.run.Err() == nil {
				e.log.Warn("looking for ends that are waited for failed; it comes round again", "error", err)
			}
		}
	}
}

func (e *Engine) tellEnded(ids []string) error {
	ctx, cancel := context.WithTimeout(e.run, endsTime)
	defer cancel()
	for batch := range slices.Chunk(ids, endsBatch) {
		var ended []string
		err := e.db.View(ctx, func(tx *store.Tx) (err error) {
			ended, err = tx.EndedOf(batch)
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range ended {
			e.ends.tell(id)
		}
	}
	return nil
}
