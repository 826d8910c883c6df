package webhook

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

const (
	// destinationsReach is how many of an organisation's deliveries a report looks at, the newest: some hundred
	// milliseconds.
	destinationsReach = 10_000
	// maxDestinations is how many destinations a report tells of, those with the most deliveries.
	maxDestinations = 50
	// MaxHealthSpan is how far back a report goes at most.
	MaxHealthSpan = 72 * time.Hour
)

// Destinations tells how an organisation's destinations took what was made for them within the last span, hour by hour, and how this
// node treats them. span is 24 hours where it is 0, and MaxHealthSpan at most. Of an organisation that is not there it tells nothing.
// What it tells may be as old as Config.HealthLife.
//
// Errors (*kinora.Error): ErrUnavailable.
func (s *Dispatcher) Destinations(ctx context.Context, organisation string, span time.Duration) (*kinora.DestinationReport, error) {
	return s.health.of(ctx, healthQuestion{organisation: organisation, span: span}, s)
}

// EndpointHealth is Destinations for one endpoint, of which it reads the deliveries alone; nil = nothing was made for it lately.
func (s *Dispatcher) EndpointHealth(ctx context.Context, organisation, endpoint string, span time.Duration) (*kinora.DestinationHealth, error) {
	report, err := s.health.of(ctx, healthQuestion{organisation, endpoint, span}, s)
	if err != nil || len(report.Destinations) == 0 {
		return nil, err
	}
	made := func(h kinora.DestinationHealth) int { return h.Pending + h.Held + h.Delivered + h.Dead }
	// The default callback URL has another destination for each host that it was at.
	most := slices.MaxFunc(report.Destinations, func(a, b kinora.DestinationHealth) int { return cmp.Compare(made(a), made(b)) })
	return &most, nil
}

// readHealth makes a report.
func (s *Dispatcher) readHealth(ctx context.Context, q healthQuestion) (*kinora.DestinationReport, error) {
	if q.span <= 0 {
		q.span = 24 * time.Hour
	}
	now := s.cfg.Now()
	report := &kinora.DestinationReport{}
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) error {
		*report = kinora.DestinationReport{Span: kinora.Span{From: now.Add(-min(q.span, MaxHealthSpan)), To: now}, Node: s.cfg.Node}
		deliveries, next, err := tx.SearchDeliveries(store.DeliveryFilter{Organisation: q.organisation, Endpoint: q.endpoint, From: id.Least(id.Delivery, report.From)},
			store.SearchPage{Limit: destinationsReach, Reach: destinationsReach})
		if err != nil {
			return err
		}
		if next != "" {
			report.More = true
			if len(deliveries) > 0 {
				report.From = deliveries[len(deliveries)-1].CreatedAt
			}
		}
		report.Deliveries = len(deliveries)
		known := s.gate.standings(q.organisation)
		sent := map[string]*sending{}
		ids := make([]string, len(deliveries))
		of := make(map[string]*sending, len(deliveries))
		for i, d := range deliveries {
			ids[i], of[d.ID] = d.ID, at(sent, d.Destination)
			of[d.ID].made(d)
		}
		for key, standing := range known {
			if standing.backlog && (q.endpoint == "" || strings.HasSuffix(key, " "+q.endpoint)) {
				at(sent, key)
			}
		}
		attempts, err := tx.BriefAttempts(ids)
		if err != nil {
			return err
		}
		for i := range attempts {
			of[attempts[i].DeliveryID].attempted(&attempts[i], report.Span)
		}
		report.Destinations, err = healthOf(tx, sent, known, report)
		return err
	})
	return report, err
}

// at returns the entry of a destination, making it where there is none.
func at(sent map[string]*sending, key string) *sending {
	if sent[key] == nil {
		sent[key] = &sending{key: key, hours: map[time.Time]*hour{}}
	}
	return sent[key]
}

// sending is a destination's health that is being counted.
type sending struct {
	kinora.DestinationHealth
	key     string
	answers []time.Duration
	hours   map[time.Time]*hour
}

type hour struct {
	kinora.DestinationHour
	answers []time.Duration
}

// made counts a delivery. The newest comes first, and says where it all goes now.
func (d *sending) made(one *kinora.Delivery) {
	if d.Destination == "" {
		d.EndpointID, d.Destination = one.EndpointID, strings.TrimPrefix(Destination("", one.URL), " ")
	}
	switch one.State {
	case kinora.DeliveryPending:
		d.Pending++
	case kinora.DeliveryHeld:
		d.Held++
	case kinora.DeliveryDelivered:
		d.Delivered++
	case kinora.DeliveryDead:
		d.Dead++
	}
}

func (d *sending) attempted(a *kinora.DeliveryAttempt, span kinora.Span) {
	if a.StartedAt.Before(span.From) || a.StartedAt.After(span.To) {
		return
	}
	start := a.StartedAt.UTC().Truncate(time.Hour)
	h := d.hours[start]
	if h == nil {
		h = &hour{}
		d.hours[start] = h
	}
	if a.Status > 0 {
		d.answers, h.answers = append(d.answers, a.Duration), append(h.answers, a.Duration)
	}
	if a.Status >= 200 && a.Status < 300 {
		h.Delivered++
		return
	}
	h.Failed++
	if d.LastFailed == nil || a.StartedAt.After(d.LastFailed.At) {
		d.LastFailed = &kinora.DestinationFailure{DeliveryID: a.DeliveryID, At: a.StartedAt, Status: a.Status, Fault: a.Fault, Error: a.Error}
	}
}

// healthOf completes what was counted, for the destinations with the most deliveries.
func healthOf(tx *store.Tx, sent map[string]*sending, known map[string]standing, report *kinora.DestinationReport) ([]kinora.DestinationHealth, error) {
	all := make([]*sending, 0, len(sent))
	for _, d := range sent {
		all = append(all, d)
	}
	made := func(d *sending) int { return d.Pending + d.Held + d.Delivered + d.Dead }
	slices.SortFunc(all, func(a, b *sending) int { return cmp.Or(cmp.Compare(made(b), made(a)), cmp.Compare(a.key, b.key)) })
	if len(all) > maxDestinations {
		all, report.More = all[:maxDestinations], true
	}
	list := make([]kinora.DestinationHealth, len(all))
	for i, d := range all {
		if d.Destination == "" { // nothing was made for it lately, and something is held
			_, where, _ := strings.Cut(d.key, " ")
			if d.Destination = where; !strings.Contains(where, "://") {
				d.EndpointID = where
			}
		}
		var err error
		if d.Backlog, err = tx.HeldFor(d.key, kinora.CountedUpTo); err != nil {
			return nil, err
		}
		if is, ok := known[d.key]; ok {
			d.Breaker, d.Until, d.Room = is.breaker.String(), is.until, is.room
		}
		d.Answers = kinora.PercentilesOf(d.answers)
		for start := report.From.UTC().Truncate(time.Hour); !start.After(report.To); start = start.Add(time.Hour) {
			h := d.hours[start]
			if h == nil {
				h = &hour{}
			}
			h.At, h.Answers = start, kinora.PercentilesOf(h.answers)
			d.Hours = append(d.Hours, h.DestinationHour)
		}
		list[i] = d.DestinationHealth
	}
	slices.SortFunc(list, func(a, b kinora.DestinationHealth) int {
		return cmp.Or(cmp.Compare(a.EndpointID, b.EndpointID), cmp.Compare(a.Destination, b.Destination))
	})
	return list, nil
}

// standing is how a node treats a destination.
type standing struct {
	breaker breaker
	until   time.Time // when an open breaker half-opens
	room    int
	backlog bool
}

func (b breaker) String() string { return [...]string{"closed", "open", "half-open"}[b] }

// standings tells how an organisation's destinations are treated, by their keys.
func (g *gate) standings(organisation string) map[string]standing {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := map[string]standing{}
	now := g.now()
	for key, d := range g.dests {
		if d.organisation != organisation {
			continue
		}
		d.wake(now)
		s := standing{breaker: d.breaker, room: d.width(), backlog: d.backlog}
		if d.breaker == open {
			s.until = d.reopen
		}
		list[key] = s
	}
	return list
}
