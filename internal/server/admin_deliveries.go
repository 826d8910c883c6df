package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Webhooks is what operators look at and repair of webhooks; *webhook.Dispatcher is one, and
// its comments say what the methods do.
type Webhooks interface {
	Search(ctx context.Context, q kinora.DeliverySearch, before string, limit int) (page []*kinora.Delivery, next string, err error)
	Log(ctx context.Context, organisationID, deliveryID string) (*kinora.Delivery, []kinora.LoggedAttempt, error)
	Redeliver(ctx context.Context, organisationID, deliveryID string) (*kinora.Delivery, error)
	Revive(ctx context.Context, organisationID, deliveryID string) (*kinora.Delivery, error)

	StartReplay(ctx context.Context, q kinora.ReplayRequest) (*kinora.Replay, error)
	Replay(ctx context.Context, organisationID, replayID string) (*kinora.ReplayProgress, error)
	Replays(ctx context.Context, organisationID string) ([]*kinora.Replay, error)
	CancelReplay(ctx context.Context, organisationID, replayID string) (*kinora.Replay, error)

	SendTrial(ctx context.Context, q kinora.TrialRequest) (*kinora.Trial, error)
	Trials(ctx context.Context, organisationID string) ([]*kinora.Trial, error)

	Destinations(ctx context.Context, organisationID string, span time.Duration) (*kinora.DestinationReport, error)
}

const (
	defaultPage = 50
	maxPage     = 200
)

// webhookRoutes are the operator's routes for deliveries.
func (s *Server) webhookRoutes() []route {
	if s.cfg.Webhooks == nil || s.cfg.AdminToken == "" {
		return nil
	}
	const (
		deliveries = "/admin/v1/deliveries"
		delivery   = deliveries + "/{delivery_id}"
	)
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	return []route{
		on(http.MethodGet, deliveries, s.adminSearchDeliveries),
		on(http.MethodGet, delivery, s.adminDelivery),
		on(http.MethodPost, delivery+"/redeliver", s.adminRedeliver),
		on(http.MethodPost, delivery+"/revive", s.adminRevive),
	}
}

// adminSearchDeliveries lists deliveries, newest first, by filter and page.
func (s *Server) adminSearchDeliveries(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	q := kinora.DeliverySearch{
		Organisation: p.text("organisation_id"), Generation: p.text("generation_id"), Endpoint: p.text("endpoint_id"), Destination: p.text("destination"),
		EventType: kinora.EventType(p.text("event_type")),
		State: kinora.DeliveryState(p.one("state", string(kinora.DeliveryPending), string(kinora.DeliveryHeld),
			string(kinora.DeliveryDelivered), string(kinora.DeliveryDead))),
		Status: statusClass(p.one("status", "1xx", "2xx", "3xx", "4xx", "5xx", "none")),
		Since:  p.time("since"), Until: p.time("until"),
	}
	limit, cursor := p.number("limit", defaultPage, maxPage), p.text("cursor")
	if err := p.err(); err != nil {
		return err
	}
	question := p.question("limit", "cursor")
	before := ""
	if cursor != "" {
		var err error
		if before, err = s.cursors.take(question, cursor); err != nil {
			return err
		}
	}
	page, next, err := s.cfg.Webhooks.Search(ctx, q, before, limit)
	if err != nil {
		return err
	}
	answer := deliveryPage{Deliveries: make([]deliverySummary, len(page))}
	for i, d := range page {
		answer.Deliveries[i] = summariseDelivery(d)
	}
	if next != "" {
		text := s.cursors.give(question, next)
		answer.NextCursor = &text
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func statusClass(text string) int {
	if text == "" || text == "none" {
		return map[string]int{"none": kinora.StatusNone}[text]
	}
	return int(text[0] - '0')
}

// adminDelivery shows one delivery with what each attempt sent and got.
func (s *Server) adminDelivery(ctx context.Context, x *exchange, r *http.Request) error {
	deliveryID, err := deliveryOf(r)
	if err != nil {
		return err
	}
	d, log, err := s.cfg.Webhooks.Log(ctx, "", deliveryID)
	if err != nil {
		return err
	}
	attempts := make([]kinora.DeliveryAttempt, len(log))
	for i := range log {
		attempts[i] = log[i].DeliveryAttempt
	}
	view := viewDelivery(d, attempts)
	for i := range log {
		view.Attempts[i].Request = viewRequest(&log[i])
	}
	writeJSON(x, http.StatusOK, view)
	return nil
}

// adminRedeliver makes a delivery that has ended due again. It answers before the attempt is made.
func (s *Server) adminRedeliver(ctx context.Context, x *exchange, r *http.Request) error {
	return s.sendAgain(ctx, x, r, s.cfg.Webhooks.Redeliver)
}

// adminRevive gives a dead delivery its whole schedule once more.
func (s *Server) adminRevive(ctx context.Context, x *exchange, r *http.Request) error {
	return s.sendAgain(ctx, x, r, s.cfg.Webhooks.Revive)
}

func (s *Server) sendAgain(ctx context.Context, x *exchange, r *http.Request, do func(context.Context, string, string) (*kinora.Delivery, error)) error {
	deliveryID, err := deliveryOf(r)
	if err != nil {
		return err
	}
	d, err := do(ctx, "", deliveryID)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusAccepted, summariseDelivery(d))
	return nil
}

func deliveryOf(r *http.Request) (string, error) {
	deliveryID := r.PathValue("delivery_id")
	if !id.WellFormed(deliveryID, id.Delivery) {
		return "", refuse(kinora.ErrNotFound, "delivery not found")
	}
	return deliveryID, nil
}

// parameters reads a query strictly: each parameter once, none that nobody asked for.
type parameters struct {
	values url.Values
	asked  []string
	fault  error
}

func (p *parameters) text(name string) string {
	p.asked = append(p.asked, name)
	list := p.values[name]
	if len(list) > 1 {
		p.refuse("%s is given twice", name)
	}
	if len(list) == 1 && list[0] == "" {
		p.refuse("%s must not be empty; leave it out", name)
	}
	text := p.values.Get(name)
	if !storable(text) {
		p.refuse("%s must be UTF-8 without NUL", name)
		return ""
	}
	return text
}

// storable tells whether both databases can compare a text with theirs: PostgreSQL refuses NUL and
// what is no UTF-8, with an error that would pass for a fault of the server's.
func storable(text string) bool {
	return utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

func (p *parameters) one(name string, words ...string) string {
	text := p.text(name)
	if text != "" && !slices.Contains(words, text) {
		p.refuse("%s must be one of %s", name, strings.Join(words, ", "))
		return ""
	}
	return text
}

func (p *parameters) time(name string) time.Time {
	text := p.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		p.refuse("%s must be a time such as 2026-06-14T10:30:00Z", name)
	}
	return t
}

func (p *parameters) number(name string, absent, most int) int {
	text := p.text(name)
	if text == "" {
		return absent
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		p.refuse("%s must be a number from 1 to %d", name, most)
	}
	return n
}

func (p *parameters) refuse(format string, args ...any) {
	if p.fault == nil {
		p.fault = refuse(kinora.ErrInvalid, format, args...)
	}
}

// err is the first fault; a parameter that nobody asked for is one.
func (p *parameters) err() error {
	for name := range p.values {
		if !slices.Contains(p.asked, name) {
			p.refuse("%s is not a known parameter", shown(name))
		}
	}
	return p.fault
}

// badQuery makes a refused parameter a bad request: a dialect may have another answer for fields of a body.
func badQuery(err error) error {
	var e *kinora.Error
	if !errors.As(err, &e) || e.Code != kinora.ErrInvalid {
		return err
	}
	told := *e
	told.Code = errMalformed
	return &told
}

// question is the query without some of its parameters, in one spelling.
func (p *parameters) question(without ...string) string {
	rest := url.Values{}
	for name, list := range p.values {
		if !slices.Contains(without, name) {
			rest[name] = list
		}
	}
	return rest.Encode()
}
