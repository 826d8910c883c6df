package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Webhooks looks at what was sent to an organisation's destinations, and sends again. An id of another organisation is
// kinora.ErrNotFound in every method, like one that there is not; kinora.ErrUnavailable says that the database is out of reach.
type Webhooks interface {
	// Search reads a page of deliveries, newest first. before is what the page before returned as next; next is "" on the last
	// page. Errors: kinora.ErrInvalid for a filter that nothing can match.
	Search(ctx context.Context, q kinora.DeliverySearch, before string, limit int) (page []*kinora.Delivery, next string, err error)
	// Deliveries reads some by their ids; those that are not there, and foreign ones, are left out.
	Deliveries(ctx context.Context, organisationID string, ids []string) (map[string]*kinora.Delivery, error)
	// Log reads a delivery with its newest hundred attempts, oldest first, and what each of them sent.
	Log(ctx context.Context, organisationID, deliveryID string) (*kinora.Delivery, []kinora.LoggedAttempt, error)
	// Version tells which version of a delivery there is, in a small part of what Log costs.
	Version(ctx context.Context, organisationID, deliveryID string) (int64, error)
	// Redeliver makes a delivery due now that has ended. Errors: kinora.ErrConflict.
	Redeliver(ctx context.Context, organisationID, deliveryID string) (*kinora.Delivery, error)
	// Revive gives a dead delivery its whole schedule once more. Errors: kinora.ErrConflict.
	Revive(ctx context.Context, organisationID, deliveryID string) (*kinora.Delivery, error)

	// StartReplay begins to revive what has failed. Errors: kinora.ErrInvalid, kinora.ErrConflict.
	StartReplay(ctx context.Context, q kinora.ReplayRequest) (*kinora.Replay, error)
	Replay(ctx context.Context, organisationID, replayID string) (*kinora.ReplayProgress, error)
	// Replays lists the newest hundred.
	Replays(ctx context.Context, organisationID string) ([]*kinora.Replay, error)
	// CancelReplay ends one. Errors: kinora.ErrConflict when it has ended.
	CancelReplay(ctx context.Context, organisationID, replayID string) (*kinora.Replay, error)

	// SendTrial sends a test event and waits for the receiver's answer. Errors: kinora.ErrInvalid, kinora.ErrRateLimited.
	SendTrial(ctx context.Context, q kinora.TrialRequest) (*kinora.Trial, error)
	// Trials lists the newest hundred test events.
	Trials(ctx context.Context, organisationID string) ([]*kinora.Trial, error)

	// Destinations tells how what was made within the last span fared, hour by hour.
	Destinations(ctx context.Context, organisationID string, span time.Duration) (*kinora.DestinationReport, error)
	// EndpointHealth is Destinations for one endpoint; nil = nothing was made for it.
	EndpointHealth(ctx context.Context, organisationID, endpointID string, span time.Duration) (*kinora.DestinationHealth, error)
}

// WebhookSettings says where an organisation's events go and what signs them. Ids are as in Webhooks.
type WebhookSettings interface {
	// Endpoints lists the endpoints, the default callback URL first.
	Endpoints(ctx context.Context, organisationID string) ([]*kinora.Endpoint, error)
	Endpoint(ctx context.Context, organisationID, endpointID string) (*kinora.Endpoint, error)
	// CreateEndpoint registers a destination. Errors: kinora.ErrInvalid, kinora.ErrConflict.
	CreateEndpoint(ctx context.Context, organisationID string, c kinora.EndpointChange) (*kinora.Endpoint, error)
	// UpdateEndpoint changes what c sets. Errors: kinora.ErrInvalid, kinora.ErrConflict.
	UpdateEndpoint(ctx context.Context, organisationID, endpointID string, c kinora.EndpointChange) (*kinora.Endpoint, error)
	// DeleteEndpoint removes one. Errors: kinora.ErrInvalid for the default callback URL.
	DeleteEndpoint(ctx context.Context, organisationID, endpointID string) error

	// WebhookSecrets lists the secrets that sign now, the current one first.
	WebhookSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error)
	// RotateWebhookSecret makes a new secret, or takes text where it is not empty; the one before signs beside it for overlap.
	// Errors: kinora.ErrInvalid.
	RotateWebhookSecret(ctx context.Context, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error)

	// ChangeWebhooks changes what c sets. Errors: kinora.ErrInvalid.
	ChangeWebhooks(ctx context.Context, organisationID string, c WebhookChange) (*kinora.Organisation, error)
}

// WebhookChange says what is to be set of where an organisation's events go; nil leaves it as it is.
type WebhookChange struct {
	DefaultWebhook *string   // "" = none
	WebhookHosts   *[]string // empty = any public host
	OperatorHook   *string   // "" = none
}

// shownURL is how many characters of a URL a list has room for.
const shownURL = 90

const webhooksPath = organisationPath + "/webhooks"

func (d *Dashboard) webhookRoutes() []route {
	return slices.Concat(
		[]route{{method: http.MethodGet, pattern: webhooksPath, who: member, handler: d.webhookOverview}},
		d.endpointRoutes(),
		d.deliveryRoutes(),
		d.replayRoutes(),
		d.trialRoutes(),
		d.signingRoutes(),
		d.webhookSettingRoutes(),
	)
}

// hooks is a page of the area.
func (v *visit) hooks(segments ...string) string {
	return v.here(append([]string{"webhooks"}, segments...)...)
}

// urlText is a webhook's URL as who asks may see it: whoever may change it sees its path, others only how that begins, because it
// may be all that a receiver asks for.
func (v *visit) urlText(text string) string {
	if v.changes() {
		return kinora.ShownURL(text)
	}
	return kinora.BriefURL(text)
}

// changes tells whether the visitor may change the area's settings and send again.
func (v *visit) changes() bool { return v.role.Covers(kinora.RoleAdmin) }

// hookTabs are the parts of the area.
func (v *visit) hookTabs(current string) []ui.Link {
	tabs := []ui.Link{
		{Label: "Overview", Href: v.hooks()},
		{Label: "Endpoints", Href: v.hooks("endpoints")},
		{Label: "Deliveries", Href: v.hooks("deliveries")},
		{Label: "Dead", Href: v.hooks("dead")},
		{Label: "Replays", Href: v.hooks("replays")},
		{Label: "Send test", Href: v.hooks("test")},
		{Label: "Signing", Href: v.hooks("signing")},
		{Label: "Settings", Href: v.hooks("settings")},
	}
	for i := range tabs {
		tabs[i].Current = tabs[i].Label == current
	}
	return tabs
}

// pathID is an id of the path; one that cannot be any is refused as one that there is not.
func (v *visit) pathID(name, prefix string) (string, error) {
	text := v.path(name)
	if !strings.HasPrefix(text, prefix) {
		return "", errNoPage()
	}
	return text, nil
}

// destinationNames are how pages call destinations: endpoints by their names, all else by what it is.
type destinationNames map[string]string

func namesOf(list []*kinora.Endpoint) destinationNames {
	names := destinationNames{}
	for _, e := range list {
		names[e.ID] = endpointTitle(e)
	}
	return names
}

func endpointTitle(e *kinora.Endpoint) string {
	if e.Default() {
		return "Default callback URL"
	}
	return e.Name
}

func (n destinationNames) of(endpointID string, t kinora.EventType) string {
	switch {
	case n[endpointID] != "":
		return n[endpointID]
	case endpointID != "":
		return "Removed endpoint"
	case t == kinora.EventEndpointDisabled:
		return "Operator hook"
	}
	return "The request's own URL"
}

// webhookOverview is the area's first page.
type webhookOverview struct {
	Tabs         []ui.Link
	Spans        []ui.Link
	Hours        int
	Report       *kinora.DestinationReport
	Sums         destinationSums
	Destinations []destinationCard
	Troubled     []endpointRow // disabled or failing
	Nowhere      bool          // events go nowhere but to requests' own URLs
	Changes      bool
	Dead         string
	Settings     string
	NewEndpoint  string
	SendTest     string
}

// destinationSums are over all destinations.
type destinationSums struct{ Delivered, Pending, Held, Dead, Attempts, Failed int }

// FailedShare is how many of a hundred attempts failed.
func (s destinationSums) FailedShare() string {
	if s.Attempts == 0 {
		return "–"
	}
	return shareOf(s.Failed, s.Attempts)
}

// destinationCard is the health of one destination.
type destinationCard struct {
	kinora.DestinationHealth
	Title, Href string // Href of its endpoint; "" = it is none, or removed
	URL         string
	State       string
	Tone        ui.Tone
	Failure     string // page of the delivery that failed last
	Log         string // its deliveries
}

// healthHours are the spans that an overview can show.
var healthHours = []int{24, 48, 72}

func (d *Dashboard) webhookOverview(ctx context.Context, v *visit) error {
	hours := healthHours[0]
	for _, h := range healthHours {
		if v.query("hours") == grouped(h) {
			hours = h
		}
	}
	report, err := v.cfg.Webhooks.Destinations(ctx, v.organisation.ID, time.Duration(hours)*time.Hour)
	if err != nil {
		return err
	}
	endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	o := webhookOverview{Tabs: v.hookTabs("Overview"), Hours: hours, Report: report, Nowhere: len(endpoints) == 0, Changes: v.changes(),
		Dead: v.hooks("dead"), Settings: v.hooks("settings"), NewEndpoint: v.hooks("endpoints", "new"), SendTest: v.hooks("test")}
	for _, h := range healthHours {
		o.Spans = append(o.Spans, ui.Link{Label: grouped(h) + " h", Href: address(v.hooks(), url.Values{"hours": {grouped(h)}}), Current: h == hours})
	}
	for _, e := range endpoints {
		if row := v.endpointRow(e); row.Tone != ui.Good {
			o.Troubled = append(o.Troubled, row)
		}
	}
	for i := range report.Destinations {
		card := v.destinationCard(report.Destinations[i], endpoints)
		o.Destinations = append(o.Destinations, card)
		o.Sums.add(card.DestinationHealth)
	}
	return v.show(ctx, "Webhooks", webhooksBody(o))
}

func (s *destinationSums) add(h kinora.DestinationHealth) {
	s.Delivered += h.Delivered
	s.Pending += h.Pending
	s.Held += h.Backlog
	s.Dead += h.Dead
	for _, hour := range h.Hours {
		s.Attempts += hour.Delivered + hour.Failed
		s.Failed += hour.Failed
	}
}

func (v *visit) destinationCard(h kinora.DestinationHealth, endpoints []*kinora.Endpoint) destinationCard {
	c := destinationCard{DestinationHealth: h, Title: h.Destination, State: "healthy", Tone: ui.Good,
		Log: address(v.hooks("deliveries"), url.Values{"endpoint": {h.EndpointID}, "destination": {h.Destination}})}
	if h.EndpointID != "" {
		c.Title, c.Log = "Removed endpoint", address(v.hooks("deliveries"), url.Values{"endpoint": {h.EndpointID}})
		c.URL = h.Destination
	}
	if f := h.LastFailed; f != nil {
		c.Failure = v.hooks("deliveries", f.DeliveryID)
	}
	var one *kinora.Endpoint
	for _, e := range endpoints {
		if e.ID == h.EndpointID {
			one = e
		}
	}
	if one != nil {
		c.Title, c.URL, c.Href = endpointTitle(one), v.urlText(one.URL), v.hooks("endpoints", one.ID)
	}
	switch {
	case one != nil && !one.Enabled():
		c.State, c.Tone = "disabled", ui.Danger
	case h.Breaker == "open":
		c.State, c.Tone = "paused", ui.Danger
	case h.Breaker == "half-open":
		c.State, c.Tone = "trying again", ui.Warning
	case h.Backlog > 0:
		c.State, c.Tone = "behind", ui.Warning
	case one != nil && !one.FailingSince.IsZero():
		c.State, c.Tone = "failing", ui.Warning
	case h.Delivered+h.Dead == 0:
		c.State, c.Tone = "quiet", ui.Neutral
	case h.Delivered == 0:
		c.State, c.Tone = "failing", ui.Warning
	}
	return c
}

// attemptChart is how many attempts went well and badly in each hour.
func attemptChart(h kinora.DestinationHealth) ui.Chart {
	c := ui.Chart{Label: "Attempts per hour", Step: "Hour (UTC)", Series: []ui.Series{{Name: "Delivered", Tone: ui.Good}, {Name: "Failed", Tone: ui.Danger}}}
	for _, hour := range h.Hours {
		c.Steps = append(c.Steps, hour.At.UTC().Format("2 Jan 15:04"))
		c.Series[0].Values = append(c.Series[0].Values, int64(hour.Delivered))
		c.Series[1].Values = append(c.Series[1].Values, int64(hour.Failed))
	}
	return c
}

// answerChart is how long all but one in twenty answers took in each hour.
func answerChart(h kinora.DestinationHealth) ui.Chart {
	c := ui.Chart{Label: "Time to answer per hour, 95th percentile", Step: "Hour (UTC)", Series: []ui.Series{{Name: "p95"}},
		Format: func(us int64) string { return span(time.Duration(us) * time.Microsecond) }}
	for _, hour := range h.Hours {
		c.Steps = append(c.Steps, hour.At.UTC().Format("2 Jan 15:04"))
		c.Series[0].Values = append(c.Series[0].Values, hour.Answers.P95.Microseconds())
	}
	return c
}
