package dashboard

import (
	"context"
	"net/http"
	"strings"

	"github.com/kinora/kinora"
)

// Settings changes what owners may change of their organisation.
type Settings interface {
	// RenameOrganisation gives an organisation another name. Errors: kinora.ErrInvalid, kinora.ErrNotFound, kinora.ErrUnavailable.
	RenameOrganisation(ctx context.Context, organisationID, name string) error
}

// The settings of an organisation. What concerns its webhooks is in their own area.
func (d *Dashboard) settingRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: organisationPath + "/settings", who: owner, handler: d.settingsPage},
		{method: http.MethodPost, pattern: organisationPath + "/settings/name", who: owner, handler: d.renameOrganisation},
	}
}

// settingsView is the settings page.
type settingsView struct {
	Organisation *kinora.Organisation
	Name         string // as it stands in the form
	Errors       map[string]string
	Rename       string
	Usage        string // page about usage
	Operator     bool   // is told how limits are changed
	Limits       []limitRow
}

// limitRow is one limit as it holds.
type limitRow struct {
	Name  string
	Value int // 0 = no limit
	Unit  string
	Own   bool // set for this organisation, and not the server's
}

// limitNames are the limits in words, by the kind of route.
var limitNames = map[string]string{
	"source_assets_create": "Source assets sent", "source_assets_read": "Source assets read", "generations_create": "Generations created",
	"generations_read": "Generations read", "generations_regenerate": "Generations made again", "usage_summary": "Usage read",
	"billing_events": "Ledger read", "source_url_fetches": "Sources fetched by URL",
}

// jobsInFlight is the name of that limit among those that the server tells.
const jobsInFlight = "in_flight_jobs"

// limitRows are the limits that hold for an organisation.
func (d *Dashboard) limitRows(o *kinora.Organisation) []limitRow {
	holds := d.cfg.RateLimits(o)
	rows := []limitRow{{Name: "Jobs in flight at once", Value: holds[jobsInFlight], Own: o.Allowance.JobsInFlight != nil}}
	for _, kind := range kinora.RateKinds() {
		_, own := o.Allowance.Limits[kind]
		name := limitNames[kind]
		if name == "" {
			name = kind
		}
		rows = append(rows, limitRow{Name: name, Value: holds[kind], Unit: "a minute", Own: own})
	}
	return rows
}

func (d *Dashboard) settingsPage(ctx context.Context, v *visit) error {
	return d.showSettings(ctx, v, http.StatusOK, v.organisation.Name, nil)
}

func (d *Dashboard) showSettings(ctx context.Context, v *visit, status int, name string, err error) error {
	s := settingsView{Organisation: v.organisation, Name: name, Errors: errorsAt(err, "name"), Rename: v.here("settings", "name"),
		Operator: v.who.Person.Operator, Limits: d.limitRows(v.organisation)}
	if v.has(organisationPath + "/usage") {
		s.Usage = v.here("usage")
	}
	return v.showAs(ctx, status, "Settings", settingsBody(s))
}

func (d *Dashboard) renameOrganisation(ctx context.Context, v *visit) error {
	name := strings.TrimSpace(v.form("name"))
	err := d.cfg.Settings.RenameOrganisation(ctx, v.organisation.ID, name)
	if kinora.CodeOf(err) == kinora.ErrInvalid {
		return d.showSettings(ctx, v, http.StatusUnprocessableEntity, name, err)
	}
	if err != nil {
		return v.refused(v.here("settings"), err)
	}
	return v.done(v.here("settings"), "The organisation is called "+name+" now.")
}
