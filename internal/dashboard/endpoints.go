package dashboard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// The destinations that an organisation has registered.
func (d *Dashboard) endpointRoutes() []route {
	const (
		all = webhooksPath + "/endpoints"
		one = all + "/{endpoint_id}"
	)
	return []route{
		{method: http.MethodGet, pattern: all, who: member, handler: d.listEndpoints},
		{method: http.MethodGet, pattern: all + "/new", who: admin, handler: d.newEndpoint},
		{method: http.MethodPost, pattern: all, who: admin, handler: d.createEndpoint},
		{method: http.MethodGet, pattern: one, who: member, handler: d.showEndpoint},
		{method: http.MethodGet, pattern: one + "/edit", who: admin, handler: d.editEndpoint},
		{method: http.MethodPost, pattern: one, who: admin, handler: d.updateEndpoint},
		{method: http.MethodPost, pattern: one + "/enable", who: admin, handler: d.enableEndpoint},
		{method: http.MethodPost, pattern: one + "/disable", who: admin, handler: d.disableEndpoint},
		{method: http.MethodPost, pattern: one + "/delete", who: admin, handler: d.deleteEndpoint},
	}
}

// endpointRow is one endpoint in a list.
type endpointRow struct {
	ID, Title, Href string
	URL             string // without what may be a secret
	Description     string
	Events          string
	Rate            string
	State           string
	Tone            ui.Tone
	Trouble         string // a sentence about what is wrong; "" = nothing
	Since           time.Time
}

func (v *visit) endpointRow(e *kinora.Endpoint) endpointRow {
	r := endpointRow{ID: e.ID, Title: endpointTitle(e), Href: v.hooks("endpoints", e.ID), URL: v.urlText(e.URL), Description: e.Description,
		Events: eventWords(e.EventTypes), Rate: rateWords(e.Rate), State: "enabled", Tone: ui.Good}
	switch {
	case !e.Enabled():
		r.State, r.Tone, r.Since = "disabled", ui.Danger, e.DisabledAt
		if e.Reason == kinora.DisabledByOperator {
			r.Tone = ui.Warning
		}
		r.Trouble = "is disabled: " + disableWords[e.Reason] + ". What it misses is kept and can be sent again."
	case !e.ReplayFrom.IsZero():
		r.State, r.Tone = "catching up", ui.Info
		r.Trouble = "is being sent what it has missed."
	case !e.FailingSince.IsZero():
		r.State, r.Tone, r.Since = "failing", ui.Warning, e.FailingSince
		r.Trouble = "has failed every time since " + e.FailingSince.UTC().Format("2006-01-02 15:04 UTC") + "."
	}
	return r
}

var disableWords = map[kinora.DisableReason]string{
	kinora.DisabledByOperator: "switched off by hand",
	kinora.DisabledGone:       "it answered 410 Gone",
	kinora.DisabledFailing:    "it has only failed for days",
}

func eventWords(types []kinora.EventType) string {
	if len(types) == 0 || len(types) == len(kinora.EndpointEventTypes()) {
		return "all events"
	}
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return strings.Join(words, ", ")
}

func rateWords(rate int) string {
	if rate == 0 {
		return "no limit"
	}
	return grouped(rate) + " a second"
}

type endpointList struct {
	Tabs    []ui.Link
	Rows    []endpointRow
	New     string
	Setting string
	Changes bool
}

func (d *Dashboard) listEndpoints(ctx context.Context, v *visit) error {
	list, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	l := endpointList{Tabs: v.hookTabs("Endpoints"), New: v.hooks("endpoints", "new"), Setting: v.hooks("settings"), Changes: v.changes()}
	for _, e := range list {
		l.Rows = append(l.Rows, v.endpointRow(e))
	}
	return v.show(ctx, "Endpoints", endpointsBody(l))
}

// endpointPage is the page about one endpoint.
type endpointPage struct {
	Trail   []ui.Link
	Row     endpointRow
	Is      *kinora.Endpoint
	Changes bool
	Edit    string // where its settings are changed; of the default callback URL, those of the organisation
	Log     string
	Dead    string
	Test    string
	Enable  string
	Disable string
	Delete  string // "" = it cannot be
	Health  *destinationCard
	Rows    []deliveryRow // the newest
}

// missedFrom is since when there is something to send again; zero = there is nothing.
func (p endpointPage) missedFrom() time.Time {
	if !p.Is.MissedSince.IsZero() {
		return p.Is.MissedSince
	}
	return p.Is.FailingSince
}

const endpointDeliveries = 10

func (d *Dashboard) showEndpoint(ctx context.Context, v *visit) error {
	e, err := v.endpoint(ctx)
	if err != nil {
		return err
	}
	p := endpointPage{Trail: v.endpointTrail(ui.Link{Label: endpointTitle(e)}), Row: v.endpointRow(e), Is: e, Changes: v.changes(),
		Edit: v.hooks("endpoints", e.ID, "edit"), Delete: v.hooks("endpoints", e.ID, "delete"), Enable: v.hooks("endpoints", e.ID, "enable"),
		Disable: v.hooks("endpoints", e.ID, "disable"), Test: address(v.hooks("test"), url.Values{"to": {e.ID}}),
		Log: address(v.hooks("deliveries"), url.Values{"endpoint": {e.ID}}), Dead: address(v.hooks("dead"), url.Values{"endpoint": {e.ID}})}
	if e.Default() {
		p.Edit, p.Delete = v.hooks("settings"), ""
	}
	health, err := v.cfg.Webhooks.EndpointHealth(ctx, v.organisation.ID, e.ID, 72*time.Hour)
	if err != nil {
		return err
	}
	if health != nil {
		card := v.destinationCard(*health, []*kinora.Endpoint{e})
		p.Health = &card
	}
	page, _, err := v.cfg.Webhooks.Search(ctx, kinora.DeliverySearch{Organisation: v.organisation.ID, Endpoint: e.ID}, "", endpointDeliveries)
	if err != nil {
		return err
	}
	for _, one := range page {
		p.Rows = append(p.Rows, v.deliveryRow(one, namesOf([]*kinora.Endpoint{e})))
	}
	return v.show(ctx, p.Row.Title, endpointBody(p))
}

func (v *visit) endpointTrail(last ...ui.Link) []ui.Link {
	return append([]ui.Link{{Label: "Webhooks", Href: v.hooks()}, {Label: "Endpoints", Href: v.hooks("endpoints")}}, last...)
}

// endpoint is the one that the path names.
func (v *visit) endpoint(ctx context.Context) (*kinora.Endpoint, error) {
	id, err := v.pathID("endpoint_id", "ep_")
	if err != nil {
		return nil, err
	}
	return v.cfg.WebhookSettings.Endpoint(ctx, v.organisation.ID, id)
}

// endpointForm is the form for a new endpoint, and for the settings of one that there is.
type endpointForm struct {
	Trail          []ui.Link
	Title          string
	Action, Cancel string
	Submit         string
	Name, URL      string
	Description    string
	Completed      bool
	Failed         bool
	Rate           string
	Headers        string   // lines that were typed; what is stored is never shown
	Kept           []string // names of headers that there are
	Removed        map[string]bool
	Shown          shownValues // what the fields stood at; nil = there is no endpoint yet
	Errors         map[string]string
}

// typed are the form's fields as shownValues have them. Of headers, what is stored is never shown, and what is typed is meant.
func (f *endpointForm) typed() shownValues {
	return shownValues{"name": f.Name, "url": f.URL, "description": f.Description, "completed": fmt.Sprint(f.Completed, f.Failed), "rate": f.Rate}
}

func (v *visit) newEndpointForm() endpointForm {
	return endpointForm{Trail: v.endpointTrail(ui.Link{Label: "New"}), Title: "Add an endpoint", Action: v.hooks("endpoints"), Cancel: v.hooks("endpoints"),
		Submit: "Add endpoint", Completed: true, Failed: true, Rate: "0"}
}

func (v *visit) endpointSettings(e *kinora.Endpoint) endpointForm {
	f := endpointForm{Trail: v.endpointTrail(ui.Link{Label: e.Name, Href: v.hooks("endpoints", e.ID)}, ui.Link{Label: "Edit"}), Title: "Edit " + e.Name,
		Action: v.hooks("endpoints", e.ID), Cancel: v.hooks("endpoints", e.ID), Submit: "Save", Name: e.Name, URL: e.URL, Description: e.Description,
		Completed: e.Takes(kinora.EventCompleted), Failed: e.Takes(kinora.EventFailed), Rate: strconv.Itoa(e.Rate), Kept: e.HeaderNames}
	f.Shown = f.typed()
	return f
}

// read takes what was typed.
func (f *endpointForm) read(v *visit) {
	f.Name, f.URL, f.Description = v.form("name"), strings.TrimSpace(v.form("url")), strings.ReplaceAll(v.form("description"), "\r\n", "\n")
	f.Completed, f.Failed = v.form("completed") != "", v.form("failed") != ""
	f.Rate, f.Headers = strings.TrimSpace(v.form("rate")), v.form("headers")
	f.Removed = map[string]bool{}
	for _, name := range v.r.PostForm["remove"] {
		f.Removed[name] = true
	}
}

// change is what the form sets: what was filled in otherwise than it was shown. Its errors stand beside the fields.
func (f *endpointForm) change() (c kinora.EndpointChange, ok bool) {
	f.Errors = map[string]string{}
	types := []string{}
	if f.Completed != f.Failed {
		types = append(types, string(map[bool]kinora.EventType{true: kinora.EventCompleted, false: kinora.EventFailed}[f.Completed]))
	}
	if !f.Completed && !f.Failed {
		f.Errors["completed"] = "choose at least one"
	}
	rate, err := strconv.Atoi(f.Rate)
	if f.Rate != "" && err != nil {
		f.Errors["rate"] = "must be a number; 0 is no limit"
	}
	headers, err := headerLines(f.Headers)
	if err != nil {
		f.Errors["headers"] = messageOf(err)
	}
	for name := range f.Removed {
		if headers[name] == nil {
			headers[name] = nil
		}
	}
	typed := f.typed()
	set := func(name string, do func()) {
		if f.Shown.changed(name, typed[name]) {
			do()
		}
	}
	set("name", func() { c.Name = &f.Name })
	set("url", func() { c.URL = &f.URL })
	set("description", func() { c.Description = &f.Description })
	set("completed", func() { c.EventTypes = &types })
	set("rate", func() { c.Rate = &rate })
	if len(headers) > 0 {
		c.Headers = headers
	}
	return c, len(f.Errors) == 0
}

// headerLines reads lines of the form "Name: value". No value is repeated in an error.
func headerLines(text string) (map[string]*string, error) {
	headers := map[string]*string{}
	n := 0
	for line := range strings.Lines(text) {
		if n++; strings.TrimSpace(line) == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !found || name == "" || value == "" {
			return map[string]*string{}, kinora.Errorf(kinora.ErrInvalid, "line %d is not in the form Name: value", n)
		}
		for other := range maps.Keys(headers) {
			if strings.EqualFold(other, name) {
				return map[string]*string{}, kinora.Errorf(kinora.ErrInvalid, "line %d sets %s again", n, name)
			}
		}
		headers[name] = &value
	}
	return headers, nil
}

// endpointFields are the form's fields, by the names that they have in the API.
var endpointFields = map[string]string{
	"name": "name", "url": "url", "description": "description", "event_types": "completed", "rate_per_second": "rate", "headers": "headers",
}

func (d *Dashboard) newEndpoint(ctx context.Context, v *visit) error {
	return v.show(ctx, "Add an endpoint", endpointFormBody(v.newEndpointForm()))
}

func (d *Dashboard) createEndpoint(ctx context.Context, v *visit) error {
	f := v.newEndpointForm()
	f.read(v)
	c, ok := f.change()
	if !ok {
		return v.showAs(ctx, http.StatusUnprocessableEntity, f.Title, endpointFormBody(f))
	}
	e, err := v.cfg.WebhookSettings.CreateEndpoint(ctx, v.organisation.ID, c)
	if err != nil {
		return v.endpointRefused(ctx, f, err)
	}
	return v.done(v.hooks("endpoints", e.ID), "The endpoint has been added. Send it a test event to see whether it takes them.")
}

// endpointRefused shows the form again, with what is wrong.
func (v *visit) endpointRefused(ctx context.Context, f endpointForm, err error) error {
	switch kinora.CodeOf(err) {
	case kinora.ErrInvalid, kinora.ErrConflict:
		f.Errors = errorsBeside(err, endpointFields)
		return v.showAs(ctx, http.StatusUnprocessableEntity, f.Title, endpointFormBody(f))
	}
	return err
}

func (d *Dashboard) editEndpoint(ctx context.Context, v *visit) error {
	e, err := v.endpoint(ctx)
	if err != nil {
		return err
	}
	if e.Default() {
		return v.redirect(v.hooks("settings"))
	}
	f := v.endpointSettings(e)
	return v.show(ctx, f.Title, endpointFormBody(f))
}

func (d *Dashboard) updateEndpoint(ctx context.Context, v *visit) error {
	e, err := v.endpoint(ctx)
	if err != nil {
		return err
	}
	f := v.endpointSettings(e)
	now := f.Shown
	f.Shown = v.shown()
	f.read(v)
	c, ok := f.change()
	if overtaken := f.Shown.overtaken(f.typed(), now); len(overtaken) > 0 {
		maps.Copy(f.Errors, overtaken)
		f.Shown, ok = now, false
	}
	if !ok {
		return v.showAs(ctx, http.StatusUnprocessableEntity, f.Title, endpointFormBody(f))
	}
	if _, err := v.cfg.WebhookSettings.UpdateEndpoint(ctx, v.organisation.ID, e.ID, c); err != nil {
		return v.endpointRefused(ctx, f, err)
	}
	return v.done(v.hooks("endpoints", e.ID), "The endpoint has been changed.")
}

func (d *Dashboard) enableEndpoint(ctx context.Context, v *visit) error {
	replay := v.form("replay") != ""
	text := "The endpoint is enabled."
	if replay {
		text = "The endpoint is enabled, and is being sent what it has missed."
	}
	return v.switchEndpoint(ctx, true, replay, text)
}

func (d *Dashboard) disableEndpoint(ctx context.Context, v *visit) error {
	return v.switchEndpoint(ctx, false, false, "The endpoint is disabled. What it misses is kept.")
}

func (v *visit) switchEndpoint(ctx context.Context, on, replay bool, text string) error {
	id, err := v.pathID("endpoint_id", "ep_")
	if err != nil {
		return err
	}
	page := v.hooks("endpoints", id)
	if _, err := v.cfg.WebhookSettings.UpdateEndpoint(ctx, v.organisation.ID, id, kinora.EndpointChange{Enabled: &on, ReplayMissed: replay}); err != nil {
		return v.refused(page, err)
	}
	return v.done(page, text)
}

func (d *Dashboard) deleteEndpoint(ctx context.Context, v *visit) error {
	e, err := v.endpoint(ctx)
	if err != nil {
		return err
	}
	if err := v.cfg.WebhookSettings.DeleteEndpoint(ctx, v.organisation.ID, e.ID); err != nil {
		return v.refused(v.hooks("endpoints", e.ID), err)
	}
	return v.done(v.hooks("endpoints"), fmt.Sprintf("The endpoint %s has been removed.", e.Name))
}
