package dashboard

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// The secrets that sign an organisation's deliveries.
func (d *Dashboard) signingRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: webhooksPath + "/signing", who: member, handler: d.showSigning},
		{method: http.MethodPost, pattern: webhooksPath + "/signing", who: admin, handler: d.rotateSecret},
	}
}

// signingPage shows secrets by their ids, and a new one this once.
type signingPage struct {
	Tabs    []ui.Link
	Secrets []kinora.WebhookSecret // without their texts
	New     string                 // a secret that was just made; "" = none
	Note    string                 // what to do with it
	Changes bool
	Rotate  string
	Overlap string
	Errors  map[string]string
}

const usualOverlap = 24 * time.Hour

func overlapOptions() []ui.Option {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return []ui.Option{
		{Value: seconds(usualOverlap), Label: "for 24 hours"},
		{Value: seconds(time.Hour), Label: "for an hour"},
		{Value: seconds(7 * usualOverlap), Label: "for 7 days"},
		{Value: seconds(30 * usualOverlap), Label: "for 30 days"},
		{Value: "0", Label: "not at all: the old one may be known to others"},
	}
}

func (v *visit) signingPage(ctx context.Context, p signingPage) (*signingPage, error) {
	list, err := v.cfg.WebhookSettings.WebhookSecrets(ctx, v.organisation.ID)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		s.Text = ""
		p.Secrets = append(p.Secrets, s)
	}
	v.signingFrame(&p)
	return &p, nil
}

// signingFrame sets what of the page is the same whatever is read.
func (v *visit) signingFrame(p *signingPage) {
	p.Tabs, p.Changes, p.Rotate = v.hookTabs("Signing"), v.changes(), v.hooks("signing")
}

func (d *Dashboard) showSigning(ctx context.Context, v *visit) error {
	p, err := v.signingPage(ctx, signingPage{})
	if err != nil {
		return err
	}
	return v.show(ctx, "Signing", signingBody(*p))
}

// rotateSecret shows the new secret at once: there is no other time.
func (d *Dashboard) rotateSecret(ctx context.Context, v *visit) error {
	p := signingPage{Overlap: v.form("overlap")}
	text := strings.TrimSpace(v.form("secret"))
	seconds, err := strconv.Atoi(p.Overlap)
	if err != nil || seconds < 0 || seconds > int(30*usualOverlap/time.Second) {
		return v.signingRefused(ctx, p, kinora.Errorf(kinora.ErrInvalid, "choose for how long the old secret signs as well"))
	}
	secret, err := v.cfg.WebhookSettings.RotateWebhookSecret(ctx, v.organisation.ID, text, time.Duration(seconds)*time.Second)
	if err != nil {
		return v.signingRefused(ctx, p, err)
	}
	if text != "" {
		return v.done(v.hooks("signing"), "The secret that you gave signs from now on.")
	}
	p.New, p.Note = secret.Text, "It is shown this once. Put it into your receivers; until the old one's end, both sign."
	if seconds == 0 {
		p.Note = "It is shown this once. It alone signs from now on: put it into your receivers at once."
	}
	shown, err := v.signingPage(ctx, p)
	if err != nil { // the new one is shown all the same, without the others
		v.logFailure(ctx, http.StatusOK, err)
		shown = &p
		shown.Secrets = []kinora.WebhookSecret{{ID: secret.ID, CreatedAt: secret.CreatedAt}}
		v.signingFrame(shown)
	}
	return v.showOnce(ctx, "Signing", signingBody(*shown))
}

func (v *visit) signingRefused(ctx context.Context, p signingPage, err error) error {
	if kinora.CodeOf(err) != kinora.ErrInvalid {
		return err
	}
	p.Errors = errorsAt(err, "secret")
	shown, failed := v.signingPage(ctx, p)
	if failed != nil {
		return failed
	}
	return v.showAs(ctx, http.StatusUnprocessableEntity, "Signing", signingBody(*shown))
}
