package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// news is what an attempt tells about its endpoint that is not known yet.
type news struct {
	endpoint     string
	organisation string
	url          string // where it was made; tells whether the endpoint is still there
	good         bool
	gone         bool
	started      time.Time
	status       int
	err          string
}

// news picks out what has to be noted. A success of an endpoint that does well is none, nor is
// a further failure of one that is known to fail: neither costs a statement.
func (s *Dispatcher) news(j *job, o outcome, log *kinora.DeliveryAttempt) *news {
	d := j.delivery
	from := j.batch.senders[d.OrganisationID]
	if d.EndpointID == "" || from == nil || o.fault == kinora.FaultOurs {
		return nil
	}
	known := from.health(d)
	n := &news{endpoint: d.EndpointID, organisation: d.OrganisationID, url: d.URL, started: log.StartedAt, status: o.status, err: o.err}
	switch {
	case o.verdict == delivered:
		n.good = true
		if known.FailingSince.IsZero() {
			return nil
		}
	case o.status == http.StatusGone:
		n.gone = true
	case known.Failed(log.StartedAt, s.cfg.Now(), s.cfg.Disable) == known:
		return nil
	}
	return n
}

// rows are results as they are to be written. A delivery that was missed because its endpoint
// is disabled is due now, should that have been enabled in the meantime: whoever replays what
// was missed may have looked already.
func (s *Dispatcher) rows(tx *store.Tx, list []result) ([]store.DeliveryResult, error) {
	rows := make([]store.DeliveryResult, len(list))
	disabled := map[string]time.Time{}
	for i, r := range list {
		rows[i] = r.DeliveryResult
		if r.news != nil && r.news.gone {
			if err := s.goOn(tx, r, &rows[i]); err != nil {
				return nil, err
			}
		}
		if !r.missed || r.Delivery.LastError != missedText {
			continue
		}
		endpoint := r.Delivery.EndpointID
		since, asked := disabled[endpoint]
		if !asked {
			var err error
			if since, err = tx.DisabledSince(endpoint); err != nil {
				return nil, err
			}
			disabled[endpoint] = since
		}
		d := *r.Delivery
		missOrDue(&d, since, s.cfg.Now())
		rows[i].Delivery = &d
	}
	return rows, nil
}

// goOn makes a delivery due that would end because of a 410 from where its endpoint no longer is: like what waits,
// it follows to the new URL.
func (s *Dispatcher) goOn(tx *store.Tx, r result, row *store.DeliveryResult) error {
	url, err := presentURL(tx, r.news)
	if err != nil || url == "" || url == r.news.url {
		return err
	}
	d, a := *r.Delivery, *r.Attempt
	d.State, d.DueAt, d.FinishedAt = kinora.DeliveryPending, s.cfg.Now(), time.Time{}
	a.NextAt = d.DueAt
	row.Delivery, row.Attempt = &d, &a
	return nil
}

// presentURL is the URL that an endpoint has now; empty where it is not to be asked any more.
func presentURL(tx *store.Tx, n *news) (string, error) {
	if n.endpoint == kinora.DefaultEndpointID(n.organisation) {
		org, err := tx.Organisation(n.organisation)
		if errors.Is(err, store.ErrNotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return org.DefaultWebhook, nil
	}
	x, err := tx.Endpoint(n.organisation, n.endpoint)
	if errors.Is(err, store.ErrNotFound) || err == nil && !x.Enabled() {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return x.URL, nil
}

// learn notes what results tell about their endpoints, and returns those that are disabled now.
func (s *Dispatcher) learn(tx *store.Tx, list []result) ([]*kinora.Endpoint, error) {
	if err := s.endHeld(tx, list); err != nil {
		return nil, err
	}
	heard := map[string][]*news{}
	var ids, defaults []string
	for _, r := range list {
		if r.news == nil {
			continue
		}
		if len(heard[r.news.endpoint]) == 0 {
			ids = append(ids, r.news.endpoint)
			if r.news.endpoint == kinora.DefaultEndpointID(r.news.organisation) {
				defaults = append(defaults, r.news.organisation)
			}
		}
		heard[r.news.endpoint] = append(heard[r.news.endpoint], r.news)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := tx.MakeDefaultEndpoints(defaults, s.cfg.Now()); err != nil {
		return nil, err
	}
	endpoints, err := tx.LockEndpoints(ids)
	if err != nil {
		return nil, err
	}
	var changed, disabled []*kinora.Endpoint
	for _, x := range endpoints {
		before := x.EndpointHealth
		last := s.observe(x, heard[x.ID])
		if x.EndpointHealth != before {
			changed = append(changed, x)
		}
		if before.Enabled() && !x.Enabled() {
			disabled = append(disabled, x)
			if err := s.tell(tx, x, last); err != nil {
				return nil, err
			}
			if err := auditDisabled(tx, x, last); err != nil {
				return nil, err
			}
		}
	}
	return disabled, tx.SaveEndpointHealth(changed...)
}

// observe lets an endpoint learn what was heard of it, and returns what disabled it or came last.
func (s *Dispatcher) observe(x *kinora.Endpoint, heard []*news) *news {
	now := s.cfg.Now()
	last := heard[0]
	for _, n := range heard {
		before := x.Enabled()
		switch {
		case x.URL != n.url && (x.Default() || x.Enabled()):
			continue // the answer of an earlier URL says nothing about this one
		case n.good:
			x.EndpointHealth = x.Succeeded()
		case n.gone:
			x.EndpointHealth = x.Gone(n.started, now)
		default:
			x.EndpointHealth = x.Failed(n.started, now, s.cfg.Disable)
		}
		if before {
			last = n
		}
	}
	return last
}

// endHeldAtOnce is how many held deliveries of an endpoint that nobody will ask are ended with
// one that was.
const endHeldAtOnce = 512

// endHeld ends deliveries that are held for endpoints whose deliveries were just missed: taken
// back one by one they would cost a claim each.
func (s *Dispatcher) endHeld(tx *store.Tx, list []result) error {
	ended := map[string]bool{}
	for _, r := range list {
		d := r.Delivery
		if !r.missed || ended[d.Destination] || d.EndpointID == kinora.DefaultEndpointID(d.OrganisationID) {
			continue
		}
		ended[d.Destination] = true
		end := *d
		if d.LastError == missedText {
			since, err := tx.DisabledSince(d.EndpointID)
			if err != nil {
				return err
			}
			if missOrDue(&end, since, s.cfg.Now()); since.IsZero() {
				continue
			}
		}
		if _, err := tx.EndHeld(d.Destination, end.LastError, end.FinishedAt, endHeldAtOnce); err != nil {
			return err
		}
	}
	return nil
}

// disabledNotice is the body of endpoint.disabled.
type disabledNotice struct {
	EventType      kinora.EventType     `json:"event_type"`
	OrganisationID string               `json:"organisation_id"`
	EndpointID     string               `json:"endpoint_id"`
	Name           string               `json:"name"`
	URL            string               `json:"url"` // without what may be a secret: see kinora.BriefURL
	Reason         kinora.DisableReason `json:"reason"`
	DisabledAt     time.Time            `json:"disabled_at"`
	FailingSince   *time.Time           `json:"failing_since"` // null = it did not fail before
	MissedSince    time.Time            `json:"missed_since"`
	LastStatus     int                  `json:"last_status"` // 0 = no answer
	LastError      string               `json:"last_error"`
}

// tell writes the event for the operator hook, if there is one. Its delivery goes to no
// endpoint, so that it cannot cause another.
func (s *Dispatcher) tell(tx *store.Tx, x *kinora.Endpoint, last *news) error {
	org, err := tx.Organisation(x.OrganisationID)
	if errors.Is(err, store.ErrNotFound) || err == nil && org.OperatorHook == "" {
		return nil
	}
	if err != nil {
		return err
	}
	notice := disabledNotice{EventType: kinora.EventEndpointDisabled, OrganisationID: org.ID, EndpointID: x.ID, Name: x.Name,
		URL: kinora.BriefURL(x.URL), Reason: x.Reason, DisabledAt: x.DisabledAt.Truncate(time.Second), MissedSince: x.MissedSince.Truncate(time.Second),
		LastStatus: last.status, LastError: last.err}
	if !x.FailingSince.IsZero() {
		since := x.FailingSince.Truncate(time.Second)
		notice.FailingSince = &since
	}
	body, err := json.Marshal(notice)
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	e := &kinora.Event{ID: id.New(id.Event, now), OrganisationID: org.ID, Type: kinora.EventEndpointDisabled, Body: string(body), CreatedAt: now}
	if err := tx.InsertEvent(e); err != nil {
		return err
	}
	return tx.InsertDeliveries([]*kinora.Delivery{{ID: id.New(id.Delivery, now), EventID: e.ID, EventType: e.Type, OrganisationID: org.ID, URL: org.OperatorHook,
		Destination: Destination(org.ID, org.OperatorHook), State: kinora.DeliveryPending, DueAt: now, CreatedAt: now}})
}

// auditDisabled writes that the server itself has disabled an endpoint.
func auditDisabled(tx *store.Tx, x *kinora.Endpoint, last *news) error {
	return tx.AuditBy(kinora.Actor{Kind: kinora.ActorSystem}, kinora.AuditEndpointDisable, x.OrganisationID, x.ID,
		map[string]any{"name": x.Name, "url": kinora.AuditURL(x.URL), "reason": x.Reason, "failures": x.Failures, "last_status": last.status})
}

// announce says that endpoints were disabled, once that is committed.
func (s *Dispatcher) announce(disabled []*kinora.Endpoint) {
	for _, x := range disabled {
		s.metrics.disabled.WithLabelValues(string(x.Reason)).Inc()
		s.log.Warn("a webhook endpoint was disabled; its events are kept", "organisation", x.OrganisationID, "endpoint", x.ID,
			"reason", string(x.Reason), "failures", x.Failures, "failing_since", x.FailingSince)
	}
	if len(disabled) > 0 {
		ring(s.claimers[trackFresh].bell) // the event goes to the operator hook, and over no stream
	}
}
