package webhook

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// Emit writes an event and its deliveries: one to the request's own URL or else to the
// organisation's default, and one to each endpoint that takes events of this type. All of
// them carry the same webhook-id. It is to be called in the transaction that ends the
// generation; an organisation that no longer exists has nobody to tell.
func Emit(tx *store.Tx, e *kinora.Event, g *kinora.Generation, now time.Time) ([]*kinora.Delivery, error) {
	if err := tx.InsertEvent(e); err != nil {
		return nil, err
	}
	org, endpoints, err := tx.Audience(e.OrganisationID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := Deliveries(e, g, org, endpoints, now)
	for _, d := range list {
		if d.State != kinora.DeliveryDead {
			continue
		}
		since, err := tx.DisabledSince(d.EndpointID)
		if err != nil {
			return nil, err
		}
		missOrDue(d, since, now)
	}
	return list, tx.InsertDeliveries(list)
}

// Deliveries returns the deliveries of an event, to be committed with it. They are pending and
// due at once, but for those to a disabled endpoint, which have ended as dead: missed, and kept
// for a replay. It reads and writes nothing.
func Deliveries(e *kinora.Event, g *kinora.Generation, org *kinora.Organisation, endpoints []*kinora.Endpoint, now time.Time) []*kinora.Delivery {
	list := make([]*kinora.Delivery, 0, 1+len(endpoints))
	add := func(url, destination, endpointID string, health kinora.EndpointHealth) {
		d := &kinora.Delivery{ID: id.New(id.Delivery, now), EventID: e.ID, EventType: e.Type, OrganisationID: e.OrganisationID, GenerationID: e.GenerationID,
			EndpointID: endpointID, URL: url, Destination: destination, CreatedAt: now}
		missOrDue(d, health.DisabledAt, now)
		list = append(list, d)
	}
	switch {
	case g.WebhookURL != "":
		add(g.WebhookURL, Destination(org.ID, g.WebhookURL), "", kinora.EndpointHealth{})
	case org.DefaultWebhook != "":
		add(org.DefaultWebhook, Destination(org.ID, org.DefaultWebhook), kinora.DefaultEndpointID(org.ID), defaultHealth(endpoints))
	}
	for _, x := range endpoints {
		if !x.Default() && x.Takes(e.Type) {
			add(x.URL, endpointDestination(x), x.ID, x.EndpointHealth)
		}
	}
	return list
}

// missOrDue ends a delivery without an attempt, as missed, if its endpoint is disabled since then;
// else it is due now. It ends no earlier than the endpoint was disabled, whatever the clock of
// this node says: from then on a replay looks.
func missOrDue(d *kinora.Delivery, disabledSince, now time.Time) {
	if disabledSince.IsZero() {
		d.State, d.DueAt, d.FinishedAt, d.LastError = kinora.DeliveryPending, now, time.Time{}, ""
		return
	}
	ended := now
	if ended.Before(disabledSince) {
		ended = disabledSince
	}
	d.State, d.DueAt, d.FinishedAt, d.LastError = kinora.DeliveryDead, time.Time{}, ended, missedText
}

// missedText is what the log says of a delivery that ended because its endpoint is disabled.
const missedText = "the endpoint is disabled"

// defaultHealth is the health of the default callback URL: none is known of one that is new.
func defaultHealth(endpoints []*kinora.Endpoint) kinora.EndpointHealth {
	for _, x := range endpoints {
		if x.Default() {
			return x.EndpointHealth
		}
	}
	return kinora.EndpointHealth{}
}

// endpointDestination is a destination of the endpoint's own: its rate limit and its troubles
// hold up nobody else, whatever host it shares, and what waits for it follows it when its URL
// is changed.
func endpointDestination(x *kinora.Endpoint) string { return x.OrganisationID + " " + x.ID }

// Destination names what breaker, concurrency and waiting hang on where a delivery does not go
// to a registered endpoint: the organisation and the scheme, host and port of the URL. Two spellings of one host (case, trailing dot, default
// port) are one destination; path and query do not matter. A URL that cannot be read has
// the organisation's "invalid" destination, and is refused when it is to be delivered.
func Destination(organisation, rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return organisation + " invalid"
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return organisation + " " + u.Scheme + "://" + host + ":" + port
}

// organisationOf is the reverse of Destination, as far as the gate needs it.
func organisationOf(destination string) string {
	organisation, _, _ := strings.Cut(destination, " ")
	return organisation
}
