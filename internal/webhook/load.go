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

	disabledToo bool // what goes to disabled endpoints is sent as well
}

// sender is an organisation as its deliveries need it.
type sender struct {
	org       *kinora.Organisation
	endpoints map[string]*target
	secrets   []kinora.WebhookSecret
	err       error // its secrets could not be had
}

// target is an endpoint as its deliveries need it.
type target struct {
	*kinora.Endpoint
	headers map[string]string // in clear
	err     error             // its headers could not be had
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
			org, endpoints, err := tx.Audience(organisation)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			from := &sender{org: org, endpoints: make(map[string]*target, len(endpoints))}
			for _, x := range endpoints {
				from.endpoints[x.ID] = &target{Endpoint: x}
			}
			b.senders[organisation] = from
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
	for _, j := range jobs {
		if from := b.senders[j.delivery.OrganisationID]; from != nil {
			s.openHeaders(from.endpoints[j.delivery.EndpointID])
		}
	}
}

// openHeaders reads the headers of an endpoint that a delivery is about to go to.
func (s *Dispatcher) openHeaders(x *target) {
	if x == nil || x.SealedHeaders == "" || x.headers != nil || x.err != nil {
		return
	}
	if x.headers, x.err = s.cfg.Secrets.EndpointHeaders(x.Endpoint); isUnreadable(x.err) {
		s.noteUnreadable(x.OrganisationID, x.err)
	}
}

// parcel puts together what one attempt needs. unready: not now, and no fault of the delivery's.
// A non-nil outcome is the delivery's, without an attempt having been made.
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
	p = parcel{delivery: d, url: d.URL, content: content, allowed: from.org.WebhookHosts, secrets: from.secrets}
	unready, o = from.address(d, &p, b.disabledToo)
	return p, unready, o
}

// address says where a delivery to an endpoint goes, and with what headers. An endpoint, and the
// organisation for its default, is asked for its URL as it is now: whoever corrects it wants what
// waits to follow.
func (f *sender) address(d *kinora.Delivery, p *parcel, disabledToo bool) (unready bool, o *outcome) {
	if d.EndpointID == "" {
		return false, nil
	}
	x, preset := f.endpoints[d.EndpointID], d.EndpointID == kinora.DefaultEndpointID(d.OrganisationID)
	switch {
	case preset && f.org.DefaultWebhook == "":
		return false, &outcome{verdict: missed, err: "the default callback URL was removed"}
	case preset && !f.health(d).Enabled() && !disabledToo:
		return false, &outcome{verdict: missed, err: missedText}
	case preset:
		p.url = f.org.DefaultWebhook // of its row, which it may not have, the health alone is used
		return false, nil
	case x == nil:
		return false, &outcome{verdict: missed, err: "the endpoint was removed"}
	case !x.Enabled() && !disabledToo:
		return false, &outcome{verdict: missed, err: missedText}
	case x.err != nil:
		return true, nil
	case kinora.CheckEndpointHeaders(x.headers) != nil:
		failed := ours("the endpoint has headers that must not be sent")
		return false, &failed
	}
	p.url, p.headers = x.URL, x.headers
	return false, nil
}

// health is that of the endpoint that a delivery goes to. A default callback URL that has no
// row has none.
func (f *sender) health(d *kinora.Delivery) kinora.EndpointHealth {
	x := f.endpoints[d.EndpointID]
	if x == nil {
		return kinora.EndpointHealth{}
	}
	return x.EndpointHealth
}
