package dashboard

import (
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// deliveryPattern is the page of the webhooks' area about one delivery.
const deliveryPattern = webhooksPath + "/deliveries/{delivery_id}"

// events are the generation's event and its deliveries.
type events struct {
	ID         string // empty until it has ended
	Type       string
	CreatedAt  time.Time
	Deliveries []delivery
	Ended      bool
	Settings   string // path of the webhooks' area; empty = there is none, or it is not for who asks
}

type delivery struct {
	ID, Href string // no Href = there is no page about it
	To       string
	Means    string // how it came to go there
	State    kinora.DeliveryState
	Tone     ui.Tone
	Attempts int
	Last     string // how the last attempt ended; empty = none was made
	DueAt    time.Time
	EndedAt  time.Time
	Log      []deliveryAttempt
	Earlier  int // attempts before those of Log
}

type deliveryAttempt struct {
	Number int
	At     time.Time
	Took   string
	Result string
	Good   bool
}

func (v *visit) events(h *kinora.History) events {
	e := events{Ended: h.Generation.State.Terminal()}
	if v.mayOpen(webhooksPath) {
		e.Settings = v.hooks()
	}
	if h.Event != nil {
		e.ID, e.Type, e.CreatedAt = h.Event.ID, string(h.Event.Type), h.Event.CreatedAt
	}
	for _, d := range h.Deliveries {
		e.Deliveries = append(e.Deliveries, v.delivery(d))
	}
	return e
}

func (v *visit) delivery(h kinora.DeliveryHistory) delivery {
	d := delivery{ID: h.ID, To: v.urlText(h.URL), Means: "this generation's own", State: h.State, Tone: deliveryStateTone(h.State), Attempts: h.Attempts, EndedAt: h.FinishedAt}
	switch h.EndpointID {
	case "":
	case kinora.DefaultEndpointID(h.OrganisationID):
		d.Means = "default callback URL"
	default:
		d.Means = "endpoint " + h.EndpointID
	}
	if v.mayOpen(deliveryPattern) {
		d.Href = v.hooks("deliveries", h.ID)
	}
	if h.State == kinora.DeliveryPending {
		d.DueAt = h.DueAt
	}
	if h.Attempts > 0 {
		d.Last = lastWords(h)
	}
	for _, a := range h.Log {
		d.Log = append(d.Log, deliveryAttempt{Number: a.Number, At: a.StartedAt, Took: span(a.Duration), Result: failureWords(a.Status, a.Fault, a.Error),
			Good: a.Fault == kinora.FaultNone && a.Status/100 == 2})
	}
	d.Earlier = max(h.Attempts-len(d.Log), 0)
	return d
}

// lastWords tell how the last attempt ended.
func lastWords(h kinora.DeliveryHistory) string {
	fault := kinora.FaultNone
	if n := len(h.Log); n > 0 {
		fault = h.Log[n-1].Fault
	}
	return failureWords(h.LastStatus, fault, h.LastError)
}
