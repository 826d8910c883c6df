package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Replays: what failed is sent again, as one durable job.
func (d *Dashboard) replayRoutes() []route {
	const (
		all = webhooksPath + "/replays"
		one = all + "/{replay_id}"
	)
	return []route{
		{method: http.MethodGet, pattern: all, who: member, handler: d.listReplays},
		{method: http.MethodPost, pattern: all, who: admin, handler: d.startReplay},
		{method: http.MethodGet, pattern: one, who: member, handler: d.showReplay},
		{method: http.MethodGet, pattern: one + "/live", who: member, handler: d.liveReplay, streams: true},
		{method: http.MethodPost, pattern: one + "/cancel", who: admin, handler: d.cancelReplay},
	}
}

// replayForm says what is to be sent again.
type replayForm struct {
	Action                       string
	Endpoint, Destination, Event string
	Since, Until                 string // UTC, to the minute
	Delivered                    bool
	Rate                         string
	Endpoints                    []ui.Option
	Errors                       map[string]string
}

// request is what the form asks for. What cannot be read stands beside its field.
func (f *replayForm) request(organisationID string) (q kinora.ReplayRequest, ok bool) {
	f.Errors = map[string]string{}
	at := func(field, text string) time.Time {
		t, kept := minuteOf(text)
		if text != "" && kept == "" {
			f.Errors[field] = "must be a time such as 2026-06-14T10:30"
		}
		return t
	}
	q = kinora.ReplayRequest{Organisation: organisationID, Endpoint: f.Endpoint, Destination: f.Destination, EventType: kinora.EventType(f.Event),
		Since: at("since", f.Since), Until: at("until", f.Until), Delivered: f.Delivered}
	var err error
	if q.Rate, err = strconv.Atoi(f.Rate); err != nil || q.Rate < 1 || q.Rate > kinora.MaxReplayRate {
		f.Errors["rate"] = fmt.Sprintf("must be a number from 1 to %d", kinora.MaxReplayRate)
	}
	return q, len(f.Errors) == 0
}

type replayList struct {
	Tabs    []ui.Link
	Rows    []replayRow
	Form    replayForm
	Changes bool
	Open    bool // the form is shown at once
}

// replayRow is one replay in a list.
type replayRow struct {
	ID, Href  string
	State     kinora.ReplayState
	What      string
	Revived   int
	Total     string
	Percent   int
	CreatedAt time.Time
}

func (v *visit) replayRow(r *kinora.Replay, names destinationNames) replayRow {
	row := replayRow{ID: r.ID, Href: v.hooks("replays", r.ID), State: r.State, What: replayWords(r.Filter, names), Revived: r.Revived, Total: "–",
		Percent: replayPercent(r), CreatedAt: r.CreatedAt}
	if r.Total >= 0 {
		row.Total = grouped(r.Total)
	}
	return row
}

// replayPercent is how far a replay has come. What was not there when it was counted may come on top.
func replayPercent(r *kinora.Replay) int {
	switch {
	case r.State == kinora.ReplayFinished:
		return 100
	case r.Total <= 0:
		return 0
	}
	return min(99, 100*(r.Revived+r.Passed)/r.Total)
}

// replayWords tell which deliveries a replay takes.
func replayWords(f kinora.ReplayFilter, names destinationNames) string {
	words := []string{"dead deliveries"}
	if f.Delivered {
		words[0] = "dead and delivered ones alike"
	}
	if f.EndpointID != "" {
		words = append(words, "to "+names.of(f.EndpointID, ""))
	}
	if f.Destination != "" {
		_, where, _ := strings.Cut(f.Destination, " ")
		words = append(words, "to "+where)
	}
	if f.EventType != "" {
		words = append(words, "of "+string(f.EventType))
	}
	if !f.Since.IsZero() {
		words = append(words, "since "+f.Since.UTC().Format("2006-01-02 15:04"))
	}
	if !f.Until.IsZero() {
		words = append(words, "until "+f.Until.UTC().Format("2006-01-02 15:04"))
	}
	return strings.Join(words, ", ")
}

func replayTone(s kinora.ReplayState) ui.Tone {
	switch s {
	case kinora.ReplayFinished:
		return ui.Good
	case kinora.ReplayRunning:
		return ui.Info
	}
	return ui.Neutral
}

func (d *Dashboard) listReplays(ctx context.Context, v *visit) error {
	l, err := v.replayList(ctx, replayForm{Rate: strconv.Itoa(kinora.DefaultReplayRate)})
	if err != nil {
		return err
	}
	return v.show(ctx, "Replays", replaysBody(*l))
}

func (v *visit) replayList(ctx context.Context, f replayForm) (*replayList, error) {
	list, err := v.cfg.Webhooks.Replays(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	f.Action, f.Endpoints = v.hooks("replays"), endpointOptions(endpoints, f.Endpoint)
	l := &replayList{Tabs: v.hookTabs("Replays"), Form: f, Changes: v.changes(), Open: len(f.Errors) > 0}
	for _, r := range list {
		l.Rows = append(l.Rows, v.replayRow(r, namesOf(endpoints)))
	}
	return l, nil
}

// replayFields are the form's fields, by the names that they have in the API.
var replayFields = map[string]string{"since": "since", "destination": "destination", "event_type": "event", "rate": "rate", "endpoint_id": "endpoint"}

func (d *Dashboard) startReplay(ctx context.Context, v *visit) error {
	f := replayForm{Endpoint: plainText(v.form("endpoint")), Destination: plainText(v.form("destination")), Event: plainText(v.form("event")),
		Since: v.form("since"), Until: v.form("until"), Delivered: v.form("delivered") != "", Rate: strings.TrimSpace(v.form("rate"))}
	q, ok := f.request(v.organisation.ID)
	if ok {
		r, err := v.cfg.Webhooks.StartReplay(ctx, q)
		switch kinora.CodeOf(err) {
		case "":
			return v.redirect(v.hooks("replays", r.ID))
		case kinora.ErrInvalid, kinora.ErrConflict, kinora.ErrNotFound:
			f.Errors = errorsBeside(err, replayFields)
		default:
			return err
		}
	}
	l, err := v.replayList(ctx, f)
	if err != nil {
		return err
	}
	return v.showAs(ctx, http.StatusUnprocessableEntity, "Replays", replaysBody(*l))
}

// replayPage is the page about one replay.
type replayPage struct {
	Trail    []ui.Link
	Row      replayRow
	Is       *kinora.ReplayProgress
	OnTheWay int
	Changes  bool
	Cancel   string
	Live     string
	Dead     string // those that died again
}

// settled tells that nothing changes by itself any more.
func (p replayPage) settled() bool { return p.Is.State != kinora.ReplayRunning && p.OnTheWay == 0 }

// digest names what of a replay a page shows.
func (p replayPage) digest() string {
	return fmt.Sprintf("%s-%d-%d-%d-%d-%d-%d", p.Is.State, p.Is.Total, p.Is.Revived, p.Is.Passed, p.OnTheWay, p.Is.Outcomes[kinora.DeliveryDelivered],
		p.Is.Outcomes[kinora.DeliveryDead])
}

func (v *visit) replayPage(ctx context.Context) (*replayPage, error) {
	id, err := v.pathID("replay_id", "rpl_")
	if err != nil {
		return nil, err
	}
	is, err := v.cfg.Webhooks.Replay(ctx, v.organisation.ID, id)
	if err != nil {
		return nil, err
	}
	endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	p := &replayPage{Trail: []ui.Link{{Label: "Webhooks", Href: v.hooks()}, {Label: "Replays", Href: v.hooks("replays")}, {Label: id}},
		Row: v.replayRow(is.Replay, namesOf(endpoints)), Is: is, OnTheWay: is.Outcomes[kinora.DeliveryPending] + is.Outcomes[kinora.DeliveryHeld],
		Changes: v.changes(), Cancel: v.hooks("replays", id, "cancel"), Dead: address(v.hooks("dead"), url.Values{"endpoint": {is.Filter.EndpointID}})}
	p.Live = address(v.hooks("replays", id, "live"), url.Values{"seen": {p.digest()}})
	return p, nil
}

func (d *Dashboard) showReplay(ctx context.Context, v *visit) error {
	p, err := v.replayPage(ctx)
	if err != nil {
		return err
	}
	return v.show(ctx, "Replay", replayBody(*p))
}

// liveReplay shows how a replay comes along.
func (d *Dashboard) liveReplay(ctx context.Context, v *visit) error {
	if _, err := atPlace(ctx, v, v.replayPage); err != nil {
		return err
	}
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		known := out.told()
		if known == "" {
			known = v.query("seen")
		}
		for {
			p, err := look(ctx, out, v.replayPage)
			if err != nil {
				return err
			}
			if now := p.digest(); now != known {
				if err := out.send(ctx, now, replayChanged(*p)); err != nil {
					return err
				}
				known = now
			}
			pace := livePace
			if p.settled() {
				pace *= endedPace
			}
			if err := out.rest(ctx, pace); err != nil {
				return err
			}
		}
	})
}

func (d *Dashboard) cancelReplay(ctx context.Context, v *visit) error {
	id, err := v.pathID("replay_id", "rpl_")
	if err != nil {
		return err
	}
	page := v.hooks("replays", id)
	if _, err := v.cfg.Webhooks.CancelReplay(ctx, v.organisation.ID, id); err != nil {
		return v.refused(page, err)
	}
	return v.done(page, "The replay has been ended. What it had revived goes on.")
}
