package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// The log of deliveries, and those of them that are dead.
func (d *Dashboard) deliveryRoutes() []route {
	const (
		all = webhooksPath + "/deliveries"
		one = all + "/{delivery_id}"
	)
	return []route{
		{method: http.MethodGet, pattern: all, who: member, handler: d.listDeliveries},
		{method: http.MethodGet, pattern: all + "/live", who: member, handler: d.liveDeliveries, streams: true},
		{method: http.MethodGet, pattern: webhooksPath + "/dead", who: member, handler: d.listDead},
		{method: http.MethodGet, pattern: webhooksPath + "/dead/live", who: member, handler: d.liveDead, streams: true},
		{method: http.MethodGet, pattern: one, who: member, handler: d.showDelivery},
		{method: http.MethodGet, pattern: one + "/live", who: member, handler: d.liveDelivery, streams: true},
		{method: http.MethodPost, pattern: one + "/redeliver", who: admin, handler: d.redeliver},
		{method: http.MethodPost, pattern: one + "/revive", who: admin, handler: d.revive},
	}
}

const deliveryPage = 50

// defaultReplayRate is what forms for a replay begin with.
var defaultReplayRate = strconv.Itoa(kinora.DefaultReplayRate)

// deliveryFilter is what the log is narrowed by, as the address says it.
type deliveryFilter struct {
	State, Endpoint, Destination, Event, Generation, Status string
	Since, Until                                            string // UTC, to the minute
	Before                                                  string // position of the page; "" = the newest
	search                                                  kinora.DeliverySearch
}

var deliveryStates = []kinora.DeliveryState{kinora.DeliveryPending, kinora.DeliveryHeld, kinora.DeliveryDelivered, kinora.DeliveryDead}

var eventTypes = []kinora.EventType{kinora.EventCompleted, kinora.EventFailed, kinora.EventEndpointDisabled}

// statusClasses are the classes of the last answer that can be asked for.
var statusClasses = map[string]int{"1xx": 1, "2xx": 2, "3xx": 3, "4xx": 4, "5xx": 5, "none": kinora.StatusNone}

// deliveryFilterOf reads the filter. What cannot be understood narrows nothing, and the form shows that it is not set.
func deliveryFilterOf(q url.Values, organisationID string) deliveryFilter {
	text := func(name string) string { return plainText(q.Get(name)) }
	f := deliveryFilter{State: text("state"), Endpoint: text("endpoint"), Destination: text("destination"), Event: text("event"),
		Generation: text("generation"), Status: text("status"), Since: text("since"), Until: text("until"), Before: text("before")}
	if !slices.Contains(deliveryStates, kinora.DeliveryState(f.State)) {
		f.State = ""
	}
	if !slices.Contains(eventTypes, kinora.EventType(f.Event)) {
		f.Event = ""
	}
	if statusClasses[f.Status] == 0 {
		f.Status = ""
	}
	f.search = kinora.DeliverySearch{Organisation: organisationID, State: kinora.DeliveryState(f.State), Endpoint: f.Endpoint, Destination: f.Destination,
		EventType: kinora.EventType(f.Event), Generation: f.Generation, Status: statusClasses[f.Status]}
	f.search.Since, f.Since = minuteOf(f.Since)
	f.search.Until, f.Until = minuteOf(f.Until)
	return f
}

// params are the filter as an address has it, for the page at before.
func (f deliveryFilter) params(before string) url.Values {
	return url.Values{"state": {f.State}, "endpoint": {f.Endpoint}, "destination": {f.Destination}, "event": {f.Event}, "generation": {f.Generation},
		"status": {f.Status}, "since": {f.Since}, "until": {f.Until}, "before": {before}}
}

// empty tells that nothing is narrowed, besides the state in a list that has one of its own.
func (f deliveryFilter) empty() bool {
	s := f.search
	s.State = ""
	return s == (kinora.DeliverySearch{Organisation: s.Organisation})
}

// deliveryList is the log, or those of it that are dead.
type deliveryList struct {
	Tabs         []ui.Link
	Filter       deliveryFilter
	Dead         bool
	Endpoints    []ui.Option
	Rows         []deliveryRow
	Action       string
	Live         string // the page's stream; "" = the filter cannot be asked for
	Newest, Next string
	Wrong        string // why the filter cannot be asked for
	Changes      bool
	Replays      string // where replays are started
	Rate         string
}

// deliveryRow is one delivery in a list.
type deliveryRow struct {
	ID, Href   string
	Event      kinora.EventType
	Generation string
	Subject    string // page of the generation; "" = there is none
	To, URL    string
	State      kinora.DeliveryState
	Last       string // what came of the last attempt; "" = none was made
	Attempts   int
	CreatedAt  time.Time
}

func (v *visit) deliveryRow(d *kinora.Delivery, names destinationNames) deliveryRow {
	r := deliveryRow{ID: d.ID, Href: v.hooks("deliveries", d.ID), Event: d.EventType, Generation: d.GenerationID, To: names.of(d.EndpointID, d.EventType),
		URL: v.urlText(d.URL), State: d.State, Attempts: d.Attempts, CreatedAt: d.CreatedAt}
	if d.Attempts > 0 || d.LastError != "" {
		r.Last = failureWords(d.LastStatus, "", d.LastError)
	}
	if d.GenerationID != "" && v.has(generationPattern) {
		r.Subject = v.here("generations", d.GenerationID)
	}
	return r
}

// deliveryStateTone is how a delivery's state looks.
func deliveryStateTone(s kinora.DeliveryState) ui.Tone {
	switch s {
	case kinora.DeliveryDelivered:
		return ui.Good
	case kinora.DeliveryDead:
		return ui.Danger
	case kinora.DeliveryHeld:
		return ui.Warning
	}
	return ui.Info
}

var faultWords = map[kinora.Fault]string{
	kinora.FaultOurs:   "a fault of this server's",
	kinora.FaultDNS:    "the name was not found",
	kinora.FaultTCP:    "no connection",
	kinora.FaultTLS:    "TLS failed",
	kinora.FaultHTTP:   "the answer broke off",
	kinora.FaultPolicy: "not allowed to be sent there",
}

// failureWords tell what came of an attempt: a status, or why there was none.
func failureWords(status int, fault kinora.Fault, text string) string {
	switch {
	case status != 0:
		return fmt.Sprintf("%d %s", status, http.StatusText(status))
	case faultWords[fault] != "":
		return faultWords[fault]
	case text != "":
		return beginning(text, 80)
	}
	return "no answer"
}

func (d *Dashboard) listDeliveries(ctx context.Context, v *visit) error {
	f := deliveryFilterOf(v.r.URL.Query(), v.organisation.ID)
	return v.deliveryList(ctx, deliveryList{Tabs: v.hookTabs("Deliveries"), Filter: f, Action: v.hooks("deliveries")}, "Deliveries")
}

func (d *Dashboard) listDead(ctx context.Context, v *visit) error {
	f := deadFilterOf(v.r.URL.Query(), v.organisation.ID)
	return v.deliveryList(ctx, deliveryList{Tabs: v.hookTabs("Dead"), Filter: f, Dead: true, Action: v.hooks("dead"), Replays: v.hooks("replays"),
		Rate: defaultReplayRate}, "Dead deliveries")
}

// deadFilterOf reads the filter of the list of dead deliveries.
func deadFilterOf(q url.Values, organisationID string) deliveryFilter {
	for _, name := range []string{"state", "status", "generation"} { // by which a replay cannot choose
		q.Del(name)
	}
	f := deliveryFilterOf(q, organisationID)
	f.search.State = kinora.DeliveryDead
	return f
}

func (v *visit) deliveryList(ctx context.Context, l deliveryList, title string) error {
	endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	l.Changes, l.Endpoints = v.changes(), endpointOptions(endpoints, l.Filter.Endpoint)
	page, next, err := v.cfg.Webhooks.Search(ctx, l.Filter.search, l.Filter.Before, deliveryPage)
	if kinora.CodeOf(err) == kinora.ErrInvalid {
		l.Wrong = messageOf(err)
		return v.showAs(ctx, http.StatusUnprocessableEntity, title, deliveriesBody(l))
	}
	if err != nil {
		return err
	}
	names := namesOf(endpoints)
	for _, one := range page {
		l.Rows = append(l.Rows, v.deliveryRow(one, names))
	}
	live := l.Filter.params(l.Filter.Before)
	live.Set("seen", digest(l.Rows))
	l.Live = address(l.Action+"/live", live)
	if l.Filter.Before != "" {
		l.Newest = address(l.Action, l.Filter.params(""))
	}
	if next != "" {
		l.Next = address(l.Action, l.Filter.params(next))
	}
	return v.show(ctx, title, deliveriesBody(l))
}

// endpointOptions are the endpoints to choose from; one that was removed stays where it is chosen.
func endpointOptions(list []*kinora.Endpoint, chosen string) []ui.Option {
	options := []ui.Option{{Value: "", Label: "Any"}}
	known := chosen == ""
	for _, e := range list {
		options = append(options, ui.Option{Value: e.ID, Label: endpointTitle(e)})
		known = known || e.ID == chosen
	}
	if !known {
		options = append(options, ui.Option{Value: chosen, Label: "Removed: " + chosen})
	}
	return options
}
