package webhook

import (
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Route returns the destinations of a generation's event: its own URL, else the
// organisation's default, else none.
func Route(org *kinora.Organisation, g *kinora.Generation) []string {
	switch {
	case g.WebhookURL != "":
		return []string{g.WebhookURL}
	case org != nil && org.DefaultWebhook != "":
		return []string{org.DefaultWebhook}
	}
	return nil
}

// Deliveries returns the deliveries of an event, pending and due at once, to be committed
// with it. It reads and writes nothing.
func Deliveries(e *kinora.Event, g *kinora.Generation, org *kinora.Organisation, now time.Time) []*kinora.Delivery {
	urls := Route(org, g)
	list := make([]*kinora.Delivery, 0, len(urls))
	for _, u := range urls {
		list = append(list, &kinora.Delivery{
			ID: id.New(id.Delivery, now), EventID: e.ID, EventType: e.Type, OrganisationID: e.OrganisationID, GenerationID: e.GenerationID,
			URL: u, Destination: Destination(e.OrganisationID, u), State: kinora.DeliveryPending, DueAt: now, CreatedAt: now,
		})
	}
	return list
}

// Destination names what breaker, concurrency and waiting hang on: the organisation and the
// scheme, host and port of the URL. Two spellings of one host (case, trailing dot, default
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
