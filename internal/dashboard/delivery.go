package dashboard

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// deliveryPageView is the page about one delivery.
type deliveryPageView struct {
	Trail     []ui.Link
	Row       deliveryRow
	Is        *kinora.Delivery
	Endpoint  string // its page; "" = there is none
	Attempts  []attemptRow
	Cut       bool         // older attempts are not shown
	Chosen    *attemptView // nil = none was made
	Changes   bool
	Redeliver string
	Revive    string
	Live      string
}

// attemptRow is one attempt in the table.
type attemptRow struct {
	Number    int
	Href      string
	Current   bool
	Result    string
	Tone      ui.Tone
	Error     string
	StartedAt time.Time
	Took      string
	Address   string
}

// attemptView is what one attempt sent and got.
type attemptView struct {
	attemptRow
	Title        string
	Timings      []timing
	NextAt       time.Time
	Sent         bool
	Request      string // header lines
	Body         string // "" = it is no longer known
	BodyBytes    int
	BodySHA256   string
	ResponseHead string
	Response     string
	Curl         string
	CurlPartial  bool // its address is not whole
}

// timing is one phase of an attempt.
type timing struct {
	Name string
	Took string
}

// ended tells that nothing happens to the delivery by itself.
func ended(d *kinora.Delivery) bool {
	return d.State == kinora.DeliveryDelivered || d.State == kinora.DeliveryDead
}

const (
	loggedAttempts = 100
	// endedPace is how much more rarely a delivery or replay is looked at that changes only if somebody changes it.
	endedPace = 10
)

func (d *Dashboard) showDelivery(ctx context.Context, v *visit) error {
	p, err := v.deliveryPage(ctx)
	if err != nil {
		return err
	}
	return v.show(ctx, "Delivery", deliveryBody(*p))
}

// deliveryPage reads what the page about a delivery shows. The attempt is the one that the address names, else the newest.
func (v *visit) deliveryPage(ctx context.Context) (*deliveryPageView, error) {
	id, err := v.pathID("delivery_id", "dlv_")
	if err != nil {
		return nil, err
	}
	is, log, err := v.cfg.Webhooks.Log(ctx, v.organisation.ID, id)
	if err != nil {
		return nil, err
	}
	endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	names := namesOf(endpoints)
	p := &deliveryPageView{Trail: []ui.Link{{Label: "Webhooks", Href: v.hooks()}, {Label: "Deliveries", Href: v.hooks("deliveries")}, {Label: id}},
		Row: v.deliveryRow(is, names), Is: is, Cut: is.Attempts > len(log) && len(log) == loggedAttempts, Changes: v.changes(),
		Redeliver: v.hooks("deliveries", id, "redeliver"), Revive: v.hooks("deliveries", id, "revive")}
	if names[is.EndpointID] != "" {
		p.Endpoint = v.hooks("endpoints", is.EndpointID)
	}
	wanted, _ := strconv.Atoi(v.query("attempt"))
	chosen := len(log) - 1
	for i := range log {
		if log[i].Number == wanted {
			chosen = i
		}
	}
	for i := range slices.Backward(log) {
		row := attemptRowOf(&log[i])
		row.Href = address(v.hooks("deliveries", id), url.Values{"attempt": {strconv.Itoa(row.Number)}}) + "#attempt"
		row.Current = i == chosen
		p.Attempts = append(p.Attempts, row)
	}
	if chosen >= 0 {
		view := v.attemptView(&log[chosen], is.URL)
		p.Chosen = &view
	}
	if !ended(is) {
		live := url.Values{"attempt": {v.query("attempt")}, "seen": {deliveryDigest(is)}}
		p.Live = address(v.hooks("deliveries", id, "live"), live)
	}
	return p, nil
}

// deliveryDigest names what of a delivery a page shows.
func deliveryDigest(d *kinora.Delivery) string { return versionDigest(d.Version) }

func versionDigest(version int64) string { return strconv.FormatInt(version, 10) }

func attemptRowOf(a *kinora.LoggedAttempt) attemptRow {
	r := attemptRow{Number: a.Number, Result: failureWords(a.Status, a.Fault, a.Error), Tone: ui.Danger, Error: a.Error, StartedAt: a.StartedAt,
		Took: span(a.Duration), Address: a.Address}
	if a.Fault == kinora.FaultNone && a.Status/100 == 2 {
		r.Tone = ui.Good
	}
	return r
}

// attemptView is an attempt at an address, of which it holds no more than who asks may see.
func (v *visit) attemptView(a *kinora.LoggedAttempt, address string) attemptView {
	w := attemptView{attemptRow: attemptRowOf(a), Title: fmt.Sprintf("Attempt %d", a.Number), NextAt: a.NextAt, Sent: !a.Sent.IsZero(), Body: a.RequestBody, BodyBytes: a.Sent.BodyBytes,
		BodySHA256: hexadecimal(a.Sent.BodySHA256), ResponseHead: v.withoutPath(a.ResponseHead, address), Response: v.withoutPath(a.Response, address)}
	var lines strings.Builder
	for _, h := range a.RequestHeaders {
		fmt.Fprintf(&lines, "%s: %s\n", h.Name, h.Value)
	}
	w.Request = lines.String()
	for _, t := range []struct {
		name string
		took time.Duration
	}{{"Look-up", a.DNS}, {"Connection", a.Connect}, {"TLS", a.TLS}, {"First byte", a.FirstByte}} {
		if t.took > 0 {
			w.Timings = append(w.Timings, timing{t.name, span(t.took)})
		}
	}
	if w.Sent && w.Body != "" {
		shown := v.urlText(address)
		w.Curl, w.CurlPartial = deliveryCurl(shown, a), shown != address
	}
	return w
}

// withoutPath is what a receiver answered, without the path that it was asked for where who asks may not see it: many answers of
// errors repeat it.
func (v *visit) withoutPath(answer, address string) string {
	u, err := url.Parse(address)
	if v.changes() || err != nil || v.urlText(address) == address {
		return answer
	}
	for _, path := range []string{u.RequestURI(), u.EscapedPath(), u.Path} {
		if len(path) > 1 {
			answer = strings.ReplaceAll(answer, path, "/…")
		}
	}
	return answer
}

// hexadecimal is a digest as people compare it; "" where there is none.
func hexadecimal(encoded string) string {
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", raw)
}

// deliveryCurl sends the same body once more, without what is not shown: a receiver that checks signatures refuses it.
func deliveryCurl(address string, a *kinora.LoggedAttempt) string {
	var b strings.Builder
	b.WriteString("curl -X POST " + inShell(address))
	for _, h := range a.RequestHeaders {
		switch {
		case strings.Contains(h.Value, kinora.HiddenHeader), h.Name == "host", h.Name == "content-length":
		default:
			b.WriteString(" \\\n  -H " + inShell(h.Name+": "+h.Value))
		}
	}
	b.WriteString(" \\\n  --data-raw " + inShell(a.RequestBody))
	return b.String()
}

// inShell quotes a text so that no shell finds anything in it.
func inShell(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// liveDelivery shows what becomes of a delivery until it has ended.
func (d *Dashboard) liveDelivery(ctx context.Context, v *visit) error {
	first, err := atPlace(ctx, v, v.deliveryPage)
	if err != nil {
		return err
	}
	over := ended(first.Is)
	version := func(ctx context.Context) (int64, error) {
		return v.cfg.Webhooks.Version(ctx, v.organisation.ID, first.Is.ID)
	}
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		known := out.told()
		if known == "" {
			known = v.query("seen")
		}
		for {
			now, err := look(ctx, out, version)
			if err != nil {
				return err
			}
			if versionDigest(now) != known {
				p, err := look(ctx, out, v.deliveryPage)
				if err != nil {
					return err
				}
				known, over = deliveryDigest(p.Is), ended(p.Is)
				if err := out.send(ctx, known, deliveryChanged(*p, v.query("attempt") == "")); err != nil {
					return err
				}
			}
			pace := livePace
			if over {
				pace *= endedPace
			}
			if err := out.rest(ctx, pace); err != nil {
				return err
			}
		}
	})
}

func (d *Dashboard) redeliver(ctx context.Context, v *visit) error {
	return v.sendAgain(ctx, v.cfg.Webhooks.Redeliver, "It is being sent once more.")
}

func (d *Dashboard) revive(ctx context.Context, v *visit) error {
	return v.sendAgain(ctx, v.cfg.Webhooks.Revive, "It has its whole schedule again, beginning now.")
}

func (v *visit) sendAgain(ctx context.Context, do func(context.Context, string, string) (*kinora.Delivery, error), text string) error {
	id, err := v.pathID("delivery_id", "dlv_")
	if err != nil {
		return err
	}
	page := v.hooks("deliveries", id)
	if _, err := do(ctx, v.organisation.ID, id); err != nil {
		return v.refused(page, err)
	}
	return v.done(page, text)
}
