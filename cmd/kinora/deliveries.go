package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/id"
)

type deliveriesCommand struct {
	List      deliveriesListCommand      `cmd:"" help:"List deliveries, newest first."`
	Show      deliveriesShowCommand      `cmd:"" help:"Show a delivery with what each attempt sent and got."`
	Redeliver deliveriesRedeliverCommand `cmd:"" help:"Send a delivery once more that was delivered or is dead."`
	Revive    deliveriesReviveCommand    `cmd:"" help:"Give dead deliveries their whole schedule once more."`
}

// moment is a point in time on the command line: a time, or how long ago it was.
type moment time.Time

func (m *moment) UnmarshalText(text []byte) error {
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		*m = moment(t)
		return nil
	}
	var ago config.Duration
	if err := ago.UnmarshalText(text); err != nil || ago < 0 {
		return fmt.Errorf("%q is neither a length of time such as 90m or 3d, nor a time such as 2026-06-14T10:30:00Z", text)
	}
	*m = moment(time.Now().Add(-ago.Std()))
	return nil
}

// put adds the moment to a query, unless it is absent.
func (m moment) put(q url.Values, name string) {
	if t := time.Time(m); !t.IsZero() {
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}

type deliveriesListCommand struct {
	Org         string `help:"Id or name of the organisation; all of them when absent." placeholder:"ORG"`
	Generation  string `help:"Those of one generation's event." placeholder:"ID"`
	Event       string `help:"Those of one event type, such as generation.failed." placeholder:"TYPE"`
	Endpoint    string `help:"Those to one endpoint: its id or name. Needs --org." placeholder:"ENDPOINT"`
	Destination string `help:"Those to the scheme, host and port of a URL. Needs --org." placeholder:"URL"`
	State       string `help:"Those that are pending, held, delivered or dead." enum:",pending,held,delivered,dead" default:"" placeholder:"STATE"`
	Status      string `help:"Those whose last attempt was answered with 1xx, 2xx, 3xx, 4xx or 5xx; none: it had no answer." enum:",1xx,2xx,3xx,4xx,5xx,none" default:"" placeholder:"CLASS"`
	Since       moment `help:"Those made since: how long ago (90m, 3d), or a time." placeholder:"WHEN"`
	Until       moment `help:"Those made before." placeholder:"WHEN"`
	Limit       int    `help:"How many to list." default:"50" placeholder:"N"`

	operator
}

const maxDeliveryPage = 200

func (l *deliveriesListCommand) Run(ctx context.Context, c *console) error {
	if l.Limit < 1 {
		return usage("--limit must be 1 at least", "")
	}
	api, err := l.api(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	q, err := l.query(ctx, api)
	if err != nil {
		return err
	}
	shape := struct {
		Deliveries []json.RawMessage `json:"deliveries"` // as the admin API gives them
		Truncated  bool              `json:"truncated"`  // there are more, or there may be
	}{Deliveries: []json.RawMessage{}}
	for more := true; more && len(shape.Deliveries) < l.Limit; {
		q.Set("limit", strconv.Itoa(min(l.Limit-len(shape.Deliveries), maxDeliveryPage)))
		var page struct {
			Deliveries []json.RawMessage `json:"deliveries"`
			NextCursor string            `json:"next_cursor"`
		}
		if err := api.call(ctx, http.MethodGet, "/deliveries?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		shape.Deliveries = append(shape.Deliveries, page.Deliveries...)
		q.Set("cursor", page.NextCursor)
		more = page.NextCursor != ""
		shape.Truncated = more
	}
	rows, err := deliveryRows(shape.Deliveries)
	if err != nil {
		return err
	}
	return c.result(shape, func() {
		c.table([]string{"ID", "CREATED", "STATE", "ATTEMPTS", "LAST", "EVENT", "GENERATION", "TO"}, rows)
		if shape.Truncated {
			c.say("There are more: raise --limit, or narrow the search.")
		}
	})
}

func (l *deliveriesListCommand) query(ctx context.Context, api *adminAPI) (url.Values, error) {
	q, endpoint := url.Values{}, l.Endpoint
	if l.Org != "" {
		org, err := findOrganisation(ctx, api, l.Org)
		if err != nil {
			return nil, err
		}
		q.Set("organisation_id", org.ID)
		if endpoint, err = listedEndpoint(ctx, api, org.ID, l.Endpoint); err != nil {
			return nil, err
		}
	}
	for name, value := range map[string]string{"generation_id": l.Generation, "event_type": l.Event, "endpoint_id": endpoint,
		"destination": l.Destination, "state": l.State, "status": l.Status} {
		if value != "" {
			q.Set(name, value)
		}
	}
	l.Since.put(q, "since")
	l.Until.put(q, "until")
	return q, nil
}

// listedEndpoint makes an endpoint's id of an id or a name. The id of one that was removed is taken
// too: its deliveries are still there.
func listedEndpoint(ctx context.Context, d directory, organisationID, ref string) (string, error) {
	endpoint, err := endpointFilter(ctx, d, organisationID, ref)
	var missing *failure
	if errors.As(err, &missing) && missing.exit == exitNotFound && id.WellFormed(ref, id.Endpoint) {
		return ref, nil
	}
	return endpoint, err
}

// listedDelivery is the part of a delivery that is shown in tables.
type listedDelivery struct {
	ID           string    `json:"id"`
	EventType    string    `json:"event_type"`
	GenerationID string    `json:"generation_id"`
	URL          string    `json:"url"`
	State        string    `json:"state"`
	AttemptCount int       `json:"attempt_count"`
	LastStatus   int       `json:"last_status"`
	LastError    string    `json:"last_error"`
	DueAt        time.Time `json:"due_at"`
	CreatedAt    time.Time `json:"created_at"`
}

func deliveryRows(list []json.RawMessage) ([][]string, error) {
	rows := make([][]string, len(list))
	for i, text := range list {
		var d listedDelivery
		if json.Unmarshal(text, &d) != nil {
			return nil, notAdmin()
		}
		last := d.LastError
		if d.LastStatus != 0 {
			last = strconv.Itoa(d.LastStatus)
		}
		rows[i] = []string{d.ID, stamp(d.CreatedAt), d.State, strconv.Itoa(d.AttemptCount), orDash(last), d.EventType, orDash(d.GenerationID), d.URL}
	}
	return rows, nil
}

type deliveriesShowCommand struct {
	ID string `arg:"" help:"The delivery's id, dlv_…"`

	operator
}

// shownDelivery is a delivery with its log.
type shownDelivery struct {
	listedDelivery
	OrganisationID string         `json:"organisation_id"`
	EventID        string         `json:"event_id"`
	EndpointID     string         `json:"endpoint_id"`
	FinishedAt     time.Time      `json:"finished_at"`
	Attempts       []shownAttempt `json:"attempts"`
}

type shownAttempt struct {
	Number       int       `json:"number"`
	StartedAt    time.Time `json:"started_at"`
	DurationMS   float64   `json:"duration_ms"`
	Status       int       `json:"status"`
	Fault        string    `json:"fault"`
	Error        string    `json:"error"`
	Address      string    `json:"address"`
	DNSMS        float64   `json:"dns_ms"`
	ConnectMS    float64   `json:"connect_ms"`
	TLSMS        float64   `json:"tls_ms"`
	FirstByteMS  float64   `json:"first_byte_ms"`
	ResponseHead string    `json:"response_head"`
	Response     string    `json:"response"`
	NextAt       time.Time `json:"next_at"`
	Request      *struct {
		Headers []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"headers"`
		Body      string `json:"body"`
		BodyBytes int    `json:"body_bytes"`
	} `json:"request"`
}

func (s *deliveriesShowCommand) Run(ctx context.Context, c *console) error {
	var (
		shape json.RawMessage
		d     shownDelivery
	)
	err := s.onAPI(ctx, func(api *adminAPI) error {
		return api.call(ctx, http.MethodGet, "/deliveries/"+url.PathEscape(s.ID), nil, &shape)
	})
	if err != nil {
		return err
	}
	if json.Unmarshal(shape, &d) != nil {
		return notAdmin()
	}
	return c.result(shape, func() { c.showLog(d) })
}

func (c *console) showLog(d shownDelivery) {
	c.say("%s  %s", c.outStyle.bold(printable(d.ID)), printable(d.State))
	for _, line := range [][2]string{
		{"event", d.EventType + "  " + d.EventID}, {"generation", orDash(d.GenerationID)}, {"organisation", d.OrganisationID},
		{"endpoint", orDash(d.EndpointID)}, {"to", d.URL}, {"created", stamp(d.CreatedAt)},
	} {
		c.say("  %-13s %s", line[0], printable(line[1]))
	}
	if !d.DueAt.IsZero() {
		c.say("  %-13s %s", "due", stamp(d.DueAt))
	}
	if !d.FinishedAt.IsZero() {
		c.say("  %-13s %s", "ended", stamp(d.FinishedAt))
	}
	for _, a := range d.Attempts {
		c.say("")
		c.showDeliveryAttempt(a)
	}
}

func (c *console) showDeliveryAttempt(a shownAttempt) {
	outcome := strconv.Itoa(a.Status)
	if a.Status == 0 {
		outcome = "no answer"
	}
	c.say("%s  %s", c.outStyle.bold(fmt.Sprintf("Attempt %d", a.Number)), outcome)
	c.say("  %-13s %s, %.1f ms", "at", stamp(a.StartedAt), a.DurationMS)
	if a.Fault != "" {
		c.say("  %-13s %s: %s", "fault", printable(a.Fault), printable(a.Error))
	}
	if a.Address != "" {
		c.say("  %-13s %s", "dialled", printable(a.Address))
		c.say("  %-13s look-up %.1f ms, connect %.1f ms, TLS %.1f ms, first byte %.1f ms", "times", a.DNSMS, a.ConnectMS, a.TLSMS, a.FirstByteMS)
	}
	if !a.NextAt.IsZero() {
		c.say("  %-13s %s", "next", stamp(a.NextAt))
	}
	if r := a.Request; r != nil {
		c.say("  %-13s %d bytes", "sent", r.BodyBytes)
		for _, h := range r.Headers {
			c.say("    %s: %s", printable(h.Name), printable(h.Value))
		}
		c.quote(cmp.Or(r.Body, "(the body is no longer known)"))
	}
	if a.ResponseHead != "" || a.Response != "" {
		c.say("  %-13s", "answer")
		for line := range strings.Lines(a.ResponseHead) {
			c.say("    %s", printable(strings.TrimRight(line, "\n")))
		}
		c.quote(a.Response)
	}
}

// quote shows a body, indented.
func (c *console) quote(body string) {
	if body == "" {
		return
	}
	c.say("")
	for line := range strings.Lines(body) {
		c.say("    %s", printable(strings.TrimRight(line, "\r\n")))
	}
}

type deliveriesRedeliverCommand struct {
	ID []string `arg:"" help:"Ids of deliveries, dlv_…"`

	operator
}

func (r *deliveriesRedeliverCommand) Run(ctx context.Context, c *console) error {
	return r.sendAgain(ctx, c, r.ID, "redeliver")
}

type deliveriesReviveCommand struct {
	ID []string `arg:"" help:"Ids of dead deliveries, dlv_…"`

	operator
}

func (r *deliveriesReviveCommand) Run(ctx context.Context, c *console) error {
	return r.sendAgain(ctx, c, r.ID, "revive")
}

// sendAgain stops at the first delivery that is refused.
func (o operator) sendAgain(ctx context.Context, c *console, ids []string, how string) error {
	shape := struct {
		Deliveries []json.RawMessage `json:"deliveries"`
	}{Deliveries: []json.RawMessage{}}
	err := o.onAPI(ctx, func(api *adminAPI) error {
		for _, id := range ids {
			var d json.RawMessage
			if err := api.call(ctx, http.MethodPost, "/deliveries/"+url.PathEscape(id)+"/"+how, nil, &d); err != nil {
				return err
			}
			shape.Deliveries = append(shape.Deliveries, d)
			c.note("%s is due.", printable(id))
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows, err := deliveryRows(shape.Deliveries)
	if err != nil {
		return err
	}
	return c.result(shape, func() {
		c.table([]string{"ID", "CREATED", "STATE", "ATTEMPTS", "LAST", "EVENT", "GENERATION", "TO"}, rows)
	})
}
