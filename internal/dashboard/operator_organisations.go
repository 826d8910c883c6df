package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Tenants makes and changes organisations. Errors of all methods: kinora.ErrUnavailable; kinora.ErrInvalid with what is wrong;
// kinora.ErrNotFound for an organisation that there is not.
type Tenants interface {
	// NewOrganisation makes an organisation and its first webhook secret.
	NewOrganisation(ctx context.Context, name string) (*kinora.Organisation, *kinora.WebhookSecret, error)
	// FirstKey makes a key for an organisation that has none yet, and returns its text this once.
	FirstKey(ctx context.Context, organisationID string) (text string, err error)
	SetAllowance(ctx context.Context, organisationID string, c kinora.AllowanceChange) error
	// SetDisabled switches an organisation's API access off, or on again.
	SetDisabled(ctx context.Context, organisationID string, disabled bool) error
	// Usage sums up the billing period that an instant lies in.
	Usage(ctx context.Context, organisationID string, at time.Time) (kinora.Usage, error)
}

// All organisations, and what only operators may do with them.
func (d *Dashboard) tenantRoutes() []route {
	const list, one = operatorPath + "/organisations", operatorPath + "/organisations/{organisation_id}"
	return []route{
		{method: http.MethodGet, pattern: list, who: operator, handler: d.tenantsPage},
		{method: http.MethodGet, pattern: list + "/new", who: operator, handler: d.newTenantPage},
		{method: http.MethodPost, pattern: list + "/new", who: operator, handler: d.newTenant},
		{method: http.MethodGet, pattern: one, who: operator, handler: d.tenantPage},
		{method: http.MethodPost, pattern: one + "/allowance", who: operator, handler: d.setAllowance},
		{method: http.MethodPost, pattern: one + "/disable", who: operator, handler: d.disableTenant},
		{method: http.MethodPost, pattern: one + "/enable", who: operator, handler: d.enableTenant},
	}
}

// tenantList is the list page.
type tenantList struct {
	Action, New string
	Find        string
	Rows        []tenantRow
	Turns       turns
}

// tenantRow is one line of it.
type tenantRow struct {
	*kinora.Organisation
	Href, Area string
}

func (d *Dashboard) tenantsPage(ctx context.Context, v *visit) error {
	all, err := v.cfg.Organisations.ListOrganisations(ctx)
	if err != nil {
		return err
	}
	list := tenantList{Action: v.link("operator", "organisations"), New: v.link("operator", "organisations", "new"), Find: strings.TrimSpace(v.query("find"))}
	find := strings.ToLower(list.Find)
	all = slices.DeleteFunc(slices.Clone(all), func(o *kinora.Organisation) bool {
		return !strings.Contains(strings.ToLower(o.Name), find) && o.ID != list.Find
	})
	all, list.Turns = pageOf(v, all, list.Action, url.Values{"find": {list.Find}})
	for _, o := range all {
		list.Rows = append(list.Rows, tenantRow{o, v.link("operator", "organisations", o.ID), v.link("o", o.ID, "generations")})
	}
	return v.show(ctx, "Organisations", tenantsBody(list))
}

// newTenantForm is the form by which an organisation is made.
type newTenantForm struct {
	Action, Name string
	Errors       map[string]string
	Trail        []ui.Link
}

func (v *visit) newTenantForm(name string, err error) newTenantForm {
	return newTenantForm{Action: v.link("operator", "organisations", "new"), Name: name, Errors: errorsAt(err, "name"),
		Trail: []ui.Link{{Label: "Organisations", Href: v.link("operator", "organisations")}, {Label: "New"}}}
}

func (d *Dashboard) newTenantPage(ctx context.Context, v *visit) error {
	return v.show(ctx, "New organisation", newTenantBody(v.newTenantForm("", nil)))
}

// madeTenant is the page that shows an organisation's first secrets, this once.
type madeTenant struct {
	Organisation        *kinora.Organisation
	Key, Secret         string // Key is empty where none could be made
	Curl                string
	Page, Area, Members string
	Trail               []ui.Link
}

func (d *Dashboard) newTenant(ctx context.Context, v *visit) error {
	name := strings.TrimSpace(v.form("name"))
	o, secret, err := d.cfg.Tenants.NewOrganisation(ctx, name)
	if kinora.CodeOf(err) == kinora.ErrInvalid {
		return v.showAs(ctx, http.StatusUnprocessableEntity, "New organisation", newTenantBody(v.newTenantForm(name, err)))
	}
	if err != nil {
		return err
	}
	key, err := d.cfg.Tenants.FirstKey(ctx, o.ID)
	if err != nil { // there is the organisation all the same, and its secret is shown only now
		v.logFailure(ctx, http.StatusOK, err)
	}
	made := madeTenant{Organisation: o, Key: key, Secret: secret.Text, Curl: v.firstCall(key), Page: v.link("operator", "organisations", o.ID),
		Area: v.link("o", o.ID, "generations"), Members: v.link("o", o.ID, "members"),
		Trail: []ui.Link{{Label: "Organisations", Href: v.link("operator", "organisations")}, {Label: o.Name}}}
	return v.showOnce(ctx, "Organisation made", madeTenantBody(made))
}

// firstCall is a command that lists what a key may ask for: it costs nothing.
func (v *visit) firstCall(key string) string {
	return "curl " + v.absolute(v.base) + "/v1/models \\\n  -H 'Authorization: Bearer " + key + "'"
}

// tenantView is the page about one organisation.
type tenantView struct {
	*kinora.Organisation
	Usage             kinora.Usage
	Period            string // the month, in words
	Members           []kinora.Membership
	Form              allowanceForm
	Area, MembersPage string
	Settings          string
	Disable, Enable   string
	Trail             []ui.Link
}

// allowanceForm is the form of limits and budget, as it is or as somebody has filled it in.
type allowanceForm struct {
	Action string
	Shown  shownValues // what the fields stood at
	Fields []ui.Field
	Error  string // of the whole
}

func (d *Dashboard) tenantPage(ctx context.Context, v *visit) error {
	return d.showTenant(ctx, v, http.StatusOK, nil, nil, nil)
}

// showTenant shows the page; shown, sent and errs are what its form stood at, what somebody has filled in, and what is wrong with it.
func (d *Dashboard) showTenant(ctx context.Context, v *visit, status int, shown, sent shownValues, errs map[string]string) error {
	o, err := d.cfg.Organisations.Organisation(ctx, v.path("organisation_id"))
	if err != nil {
		return err
	}
	view := tenantView{Organisation: o, Area: v.link("o", o.ID, "generations"), MembersPage: v.link("o", o.ID, "members"), Settings: v.link("o", o.ID, "settings"),
		Trail: []ui.Link{{Label: "Organisations", Href: v.link("operator", "organisations")}, {Label: o.Name}}}
	if view.Usage, err = d.cfg.Tenants.Usage(ctx, o.ID, v.now()); err != nil {
		return err
	}
	if view.Members, err = d.cfg.Members.Members(ctx, o.ID); err != nil {
		return err
	}
	at := func(what string) string { return v.link("operator", "organisations", o.ID, what) }
	view.Period, view.Disable, view.Enable = v.now().UTC().Format("January 2006"), at("disable"), at("enable")
	if sent == nil {
		sent = allowanceTexts(o.Allowance)
		shown = sent
	}
	view.Form = allowanceForm{Shown: shown, Action: at("allowance"), Fields: allowanceFields(sent, errs, d.cfg.RateLimits(&kinora.Organisation{})), Error: errs[""]}
	return v.showAs(ctx, status, o.Name, tenantBody(view))
}

func (d *Dashboard) setAllowance(ctx context.Context, v *visit) error {
	o, err := d.cfg.Organisations.Organisation(ctx, v.path("organisation_id"))
	if err != nil {
		return err
	}
	shown, now, sent := v.shown(), allowanceTexts(o.Allowance), shownValues{}
	for _, name := range allowanceNames() {
		sent[name] = strings.TrimSpace(v.form(name))
	}
	change, errs := allowanceChange(shown, sent)
	if errs == nil {
		if errs = shown.overtaken(sent, now); len(errs) > 0 {
			shown = now
		}
	}
	if len(errs) > 0 {
		return d.showTenant(ctx, v, http.StatusUnprocessableEntity, shown, sent, errs)
	}
	err = d.cfg.Tenants.SetAllowance(ctx, v.path("organisation_id"), change)
	if kinora.CodeOf(err) == kinora.ErrInvalid {
		return d.showTenant(ctx, v, http.StatusUnprocessableEntity, shown, sent, errorsAt(err, allowanceNames()...))
	}
	if err != nil {
		return err
	}
	return v.done(v.link("operator", "organisations", v.path("organisation_id")), "Limits and budget have been set.")
}

func (d *Dashboard) disableTenant(ctx context.Context, v *visit) error {
	return d.switchTenant(ctx, v, true)
}
func (d *Dashboard) enableTenant(ctx context.Context, v *visit) error {
	return d.switchTenant(ctx, v, false)
}

func (d *Dashboard) switchTenant(ctx context.Context, v *visit, off bool) error {
	if err := d.cfg.Tenants.SetDisabled(ctx, v.path("organisation_id"), off); err != nil {
		return err
	}
	text := "API access is on again."
	if off {
		text = "API access has been switched off."
	}
	return v.done(v.link("operator", "organisations", v.path("organisation_id")), text)
}

// The names of the form's fields are those that errors of kinora.Allowance begin with.
const (
	fieldJobs     = "allowance.in_flight_jobs"
	fieldBudget   = "allowance.budget_usd"
	fieldIncluded = "allowance.included"
	fieldLimit    = "allowance.limits."
)

func allowanceNames() []string {
	names := []string{fieldBudget, fieldIncluded, fieldJobs}
	for _, kind := range kinora.RateKinds() {
		names = append(names, fieldLimit+kind)
	}
	return names
}

// allowanceTexts are an allowance as the form shows it; an empty field is the server's own number, or no budget.
func allowanceTexts(a kinora.Allowance) shownValues {
	texts := shownValues{}
	for _, name := range allowanceNames() {
		texts[name] = ""
	}
	if a.Budget != nil {
		texts[fieldBudget] = a.Budget.String()
	}
	if a.Included > 0 {
		texts[fieldIncluded] = strconv.FormatInt(a.Included, 10)
	}
	if a.JobsInFlight != nil {
		texts[fieldJobs] = strconv.Itoa(*a.JobsInFlight)
	}
	for kind, n := range a.Limits {
		texts[fieldLimit+kind] = strconv.Itoa(n)
	}
	return texts
}

// allowanceChange reads what was filled in otherwise than it was shown; errs are what is wrong, by field, and nil where nothing is.
func allowanceChange(shown, sent shownValues) (c kinora.AllowanceChange, errs map[string]string) {
	wrong := func(name, text string) {
		if errs == nil {
			errs = map[string]string{}
		}
		errs[name] = text
	}
	number := func(name string, empty int) int {
		if sent[name] == "" {
			return empty
		}
		n, err := strconv.Atoi(sent[name])
		if err != nil || n < 0 {
			wrong(name, "write a whole number, or leave it empty")
		}
		return n
	}
	changed := func(name string) bool { return shown.changed(name, sent[name]) }
	if changed(fieldBudget) {
		if c.NoBudget = sent[fieldBudget] == ""; !c.NoBudget {
			budget, err := kinora.ParseMoney(sent[fieldBudget])
			if err != nil {
				wrong(fieldBudget, "write US dollars such as 250 or 99.50, or leave it empty")
			}
			c.Budget = &budget
		}
	}
	if changed(fieldIncluded) {
		included := int64(number(fieldIncluded, 0))
		c.Included = &included
	}
	if changed(fieldJobs) {
		jobs := number(fieldJobs, -1)
		c.JobsInFlight = &jobs
	}
	c.Limits = map[string]int{}
	for _, kind := range kinora.RateKinds() {
		if changed(fieldLimit + kind) {
			c.Limits[kind] = number(fieldLimit+kind, -1)
		}
	}
	return c, errs
}

// allowanceFields are the form's fields; server has the limits that hold for whoever has none of his own.
func allowanceFields(texts, errs map[string]string, server map[string]int) []ui.Field {
	own := func(n int, unit string) string {
		if n == 0 {
			return "The server’s: no limit."
		}
		return "The server’s: " + groups(int64(n)) + unit + "."
	}
	fields := []ui.Field{
		{Name: fieldBudget, Label: "Budget a calendar month, in US dollars", Help: "Empty is none. What would go beyond it is refused."},
		{Name: fieldIncluded, Label: "Included billable generations a month", Help: "Only told in the usage summary."},
		{Name: fieldJobs, Label: "Jobs in flight at once", Help: own(server[jobsInFlight], "")},
	}
	for _, kind := range kinora.RateKinds() {
		label := limitNames[kind]
		if label == "" {
			label = kind
		}
		fields = append(fields, ui.Field{Name: fieldLimit + kind, Label: label + " a minute", Help: own(server[kind], "")})
	}
	for i := range fields {
		f := &fields[i]
		f.Value, f.Error, f.Autocomplete = texts[f.Name], errs[f.Name], "off"
	}
	return fields
}

func budgetNote(t tenantView) string {
	if b := t.Allowance.Budget; b != nil {
		return "of a budget of " + dollars(*b)
	}
	return "no budget"
}
