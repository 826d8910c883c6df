package webhook

import (
	"errors"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// batch is what deliveries that were claimed together need for their attempts, read together.
type batch struct {
	done     chan struct{} // closed when all below is set
	err      error         // nothing could be read
	contents map[string]*store.EventContent
	senders  map[string]*sender
}

// sender is an organisation as its deliveries need it.
type sender struct {
	allowed []string
	secrets []kinora.WebhookSecret
	err     error // its secrets could not be had
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// load reads what jobs need.
func (s *Dispatcher) load(b *batch, jobs []*job) {
	defer close(b.done)
	b.senders = map[string]*sender{}
	events := make([]string, len(jobs))
	for i, j := range jobs {
		events[i] = j.delivery.EventID
		b.senders[j.delivery.OrganisationID] = nil
	}
	b.err = s.cfg.DB.View(s.post, func(tx *store.Tx) (err error) {
		if b.contents, err = tx.EventContents(events); err != nil {
			return err
		}
		for organisation := range b.senders {
			org, err := tx.Organisation(organisation)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			b.senders[organisation] = &sender{allowed: org.WebhookHosts}
		}
		return nil
	})
	if b.err != nil {
		return
	}
	for organisation, from := range b.senders {
		if from != nil {
			from.secrets, from.err = s.cfg.Secrets.WebhookSecrets(s.post, organisation)
			if isUnreadable(from.err) {
				s.noteUnreadable(organisation, from.err)
			}
		}
	}
}

// parcel puts together what one attempt needs. unready: not now, and no fault of the delivery's.
// A non-nil outcome is the attempt's, without one having been made.
func (b *batch) parcel(d *kinora.Delivery) (p parcel, unready bool, o *outcome) {
	if b.err != nil {
		return p, true, nil
	}
	content, from := b.contents[d.EventID], b.senders[d.OrganisationID]
	switch {
	case content == nil, from == nil:
		gone := ours("the event, its generation or its organisation no longer exists")
		gone.verdict = final
		return p, false, &gone
	case from.err != nil:
		return p, true, nil
	}
	return parcel{delivery: d, content: content, allowed: from.allowed, secrets: from.secrets}, false, nil
}
