package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Test events, and what receivers answered to them.
func (d *Dashboard) trialRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: webhooksPath + "/test", who: member, handler: d.showTrials},
		{method: http.MethodPost, pattern: webhooksPath + "/test", who: admin, handler: d.sendTrial, time: d.cfg.WebhookTimeout + patience},
	}
}

const (
	toURL     = "url" // the target that is none of the organisation's
	trialList = 20    // test events that are listed
)

// trialPage is the form for test events, with those that were sent.
type trialPage struct {
	Tabs    []ui.Link
	Changes bool
	Action  string
	To, URL string // target: an endpoint's id, or toURL
	Sample  string // event type and sample with a blank between
	Targets []ui.Option
	Errors  map[string]string
	Rows    []trialRow
	Chosen  *trialView // nil = none was sent
}

type trialRow struct {
	ID, Href string
	Current  bool
	To, URL  string
	Event    string
	Sample   string
	attemptRow
}

// trialView is one test event with what was sent and answered.
type trialView struct {
	trialRow
	attemptView
	EventID, JobID string
}

func sampleOptions() (options []ui.Option) {
	for _, t := range kinora.EndpointEventTypes() {
		for _, sample := range kinora.TrialSamples(t) {
			options = append(options, ui.Option{Value: string(t) + " " + sample, Label: string(t) + " · " + sampleWords(sample)})
		}
	}
	return options
}

func sampleWords(sample string) string {
	switch sample {
	case "image":
		return "one image"
	case "images":
		return "two images"
	case "video":
		return "a video"
	}
	return sample
}

func (d *Dashboard) showTrials(ctx context.Context, v *visit) error {
	p, err := v.trialPage(ctx, trialPage{To: plainText(v.query("to"))})
	if err != nil {
		return err
	}
	return v.show(ctx, "Send a test event", trialsBody(*p))
}

func (v *visit) trialPage(ctx context.Context, p trialPage) (*trialPage, error) {
	endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	list, err := v.cfg.Webhooks.Trials(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	p.Tabs, p.Changes, p.Action = v.hookTabs("Send test"), v.changes(), v.hooks("test")
	for _, e := range endpoints {
		p.Targets = append(p.Targets, ui.Option{Value: e.ID, Label: endpointTitle(e)})
	}
	p.Targets = append(p.Targets, ui.Option{Value: toURL, Label: "Another URL"})
	names, chosen := namesOf(endpoints), 0
	list = list[:min(len(list), trialList)]
	for i, t := range list {
		if t.ID == v.query("test") {
			chosen = i
		}
	}
	for i, t := range list {
		row := v.trialRow(t, names)
		row.Current = i == chosen
		p.Rows = append(p.Rows, row)
	}
	if len(list) > 0 {
		t := list[chosen]
		p.Chosen = &trialView{trialRow: p.Rows[chosen], attemptView: v.attemptView(&t.Attempt, t.URL), EventID: t.EventID, JobID: t.JobID}
		p.Chosen.Title = "What was sent and answered"
	}
	return &p, nil
}

func (v *visit) trialRow(t *kinora.Trial, names destinationNames) trialRow {
	r := trialRow{ID: t.ID, Href: address(v.hooks("test"), url.Values{"test": {t.ID}}) + "#attempt", To: names[t.EndpointID], URL: v.urlText(t.URL),
		Event: string(t.EventType), Sample: sampleWords(t.Sample), attemptRow: attemptRowOf(&t.Attempt)}
	if t.EndpointID != "" && r.To == "" {
		r.To = "Removed endpoint"
	}
	return r
}

// trialFields are the form's fields, by the names that they have in the API.
var trialFields = map[string]string{"webhook.url": "url", "url": "url", "endpoint_id": "to", "sample": "sample", "event_type": "sample"}

func (d *Dashboard) sendTrial(ctx context.Context, v *visit) error {
	p := trialPage{To: plainText(v.form("to")), URL: plainText(v.form("url")), Sample: plainText(v.form("sample"))}
	eventType, sample, _ := strings.Cut(p.Sample, " ")
	q := kinora.TrialRequest{Organisation: v.organisation.ID, Endpoint: p.To, EventType: kinora.EventType(eventType), Sample: sample}
	if p.To == toURL {
		q.Endpoint, q.URL = "", p.URL
	}
	var (
		t   *kinora.Trial
		err error
	)
	if p.To == toURL && p.URL == "" {
		p.Errors = map[string]string{"url": "give the URL"}
	} else if t, err = v.cfg.Webhooks.SendTrial(ctx, q); err == nil {
		if t.Delivered {
			return v.done(address(v.hooks("test"), url.Values{"test": {t.ID}}), "The test event was delivered.")
		}
		v.note(ui.Danger, "The test event was not delivered: "+failureWords(t.Attempt.Status, t.Attempt.Fault, t.Attempt.Error)+".")
		return v.redirect(address(v.hooks("test"), url.Values{"test": {t.ID}}))
	}
	switch kinora.CodeOf(err) {
	case "":
	case kinora.ErrInvalid, kinora.ErrNotFound, kinora.ErrRateLimited:
		p.Errors = errorsBeside(err, trialFields)
	default:
		return err
	}
	shown, err := v.trialPage(ctx, p)
	if err != nil {
		return err
	}
	return v.showAs(ctx, http.StatusUnprocessableEntity, "Send a test event", trialsBody(*shown))
}
