package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Audit reads the audit log.
type Audit interface {
	// Audit reads a page, newest first. before is what the page before returned as next; next is "" behind the last entry.
	// Errors: kinora.ErrInvalid, kinora.ErrUnavailable.
	Audit(ctx context.Context, f kinora.AuditFilter, before string, limit int) (page []kinora.AuditEntry, next string, err error)
}

// auditPage is how many entries a page of the audit log has.
const auditPage = 50

// The audit log of an organisation.
func (d *Dashboard) auditRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: organisationPath + "/audit", who: owner, handler: d.organisationAudit},
	}
}

// auditFilter is what the log is narrowed by, as the address says it.
type auditFilter struct {
	Actor          string // a person's id, or a kind of actor
	Action, Target string
	Since, Until   string // UTC, to the minute
	Organisation   string // in the operator's log
	Before         string // position of the page; "" = the newest
	filter         kinora.AuditFilter
}

// auditFilterOf reads the filter. What cannot be understood narrows nothing, and the form shows that it is not set.
func auditFilterOf(q url.Values) auditFilter {
	text := func(name string) string { return plainText(q.Get(name)) }
	f := auditFilter{Actor: text("actor"), Action: text("action"), Target: text("target"), Since: text("since"), Until: text("until"), Before: text("before")}
	if !auditActionKnown(f.Action) {
		f.Action = ""
	}
	f.filter = kinora.AuditFilter{Action: f.Action, Target: f.Target}
	if kind := kinora.ActorKind(f.Actor); slices.Contains(kinora.ActorKinds(), kind) {
		f.filter.ActorKind = kind
	} else {
		f.filter.ActorID = f.Actor
	}
	f.filter.Since, f.Since = minuteOf(f.Since)
	f.filter.Until, f.Until = minuteOf(f.Until)
	return f
}

func (f auditFilter) params(before string) url.Values {
	return url.Values{"actor": {f.Actor}, "action": {f.Action}, "target": {f.Target}, "since": {f.Since}, "until": {f.Until}, "organisation": {f.Organisation},
		"before": {before}}
}

// empty tells whether the log is shown whole.
func (f auditFilter) empty() bool {
	whole := kinora.AuditFilter{OrganisationID: f.filter.OrganisationID}
	return f.filter == whole
}

// auditNouns are the nouns of actions, in the order of the list.
func auditNouns() (nouns []string) {
	for _, a := range kinora.AuditActions() {
		noun, _, _ := strings.Cut(string(a), ".")
		if len(nouns) == 0 || nouns[len(nouns)-1] != noun {
			nouns = append(nouns, noun)
		}
	}
	return nouns
}

// auditActionKnown tells whether a filter is an action, or a noun with a dot behind it.
func auditActionKnown(action string) bool {
	for _, a := range kinora.AuditActions() {
		noun, _, _ := strings.Cut(string(a), ".")
		if action == string(a) || action == noun+"." {
			return true
		}
	}
	return false
}

// auditView is a page of the log.
type auditView struct {
	Lead   string
	Filter auditFilter
	Actors []ui.Option
	// Organisations are those to choose from; nil = the log is one organisation's.
	Organisations []ui.Option
	Rows          []auditRow
	Action        string // where filters lead
	Newest, Next  string // other pages; "" = none
	Empty         string // what to do where there is nothing at all
}

// auditRow is one entry, in words.
type auditRow struct {
	kinora.AuditEntry
	Who     string
	Mine    string // the log of who did it alone; "" = there is none
	Words   string // what was done
	Changes []string
	Of      string // the log of the target alone; "" = there is none
	Raw     string // the detail as it is stored
}

func (d *Dashboard) organisationAudit(ctx context.Context, v *visit) error {
	members, err := d.cfg.Members.Members(ctx, v.organisation.ID)
	if err != nil {
		return err
	}
	f := auditFilterOf(v.r.URL.Query())
	f.filter.OrganisationID = v.organisation.ID
	if f.filter.ActorID != "" && !v.who.Person.Operator {
		f.filter.ActorKind = kinora.ActorPerson // what somebody did as an operator is not told of them
	}
	view := auditView{Lead: "Every change in " + v.organisation.Name + ": who made it, of what, and when.", Filter: f, Actors: actorOptions(members, f.Actor),
		Action: v.here("audit"), Empty: "What people change here by the dashboard, and operators by the command line, is written down from now on."}
	return d.showAudit(ctx, v, view)
}

// showAudit reads and shows the page of the log that a view's filter describes.
func (d *Dashboard) showAudit(ctx context.Context, v *visit, view auditView) error {
	f := view.Filter
	page, next, err := d.cfg.Audit.Audit(ctx, f.filter, f.Before, auditPage)
	if kinora.CodeOf(err) == kinora.ErrInvalid { // a place in the log that there is not
		return v.redirect(address(view.Action, f.params("")))
	}
	if err != nil {
		return err
	}
	for _, e := range page {
		if !v.who.Person.Operator {
			e = forOwners(e)
		}
		view.Rows = append(view.Rows, auditRowOf(e, view))
	}
	if f.Before != "" {
		view.Newest = address(view.Action, f.params(""))
	}
	if next != "" {
		view.Next = address(view.Action, f.params(next))
	}
	return v.show(ctx, "Audit log", auditBody(view))
}

// forOwners leaves out of an entry what is for operators alone: which of them it was and where they work, and upstreams' ids.
func forOwners(e kinora.AuditEntry) kinora.AuditEntry {
	if e.Actor.Kind == kinora.ActorOperator {
		e.Actor = kinora.Actor{Kind: kinora.ActorOperator}
	}
	if strings.HasPrefix(string(e.Action), "attempt.") {
		e.Detail = nil
	}
	return e
}

func auditRowOf(e kinora.AuditEntry, view auditView) auditRow {
	detail := auditDetail(e.Detail)
	row := auditRow{AuditEntry: e, Who: actorName(e.Actor), Words: auditWords(e.Action, detail), Changes: auditChanges(detail), Raw: auditText(e.Detail)}
	switch {
	case e.Actor.ID != "":
		row.Mine = address(view.Action, url.Values{"actor": {e.Actor.ID}})
	case e.Actor.Kind == kinora.ActorOperator, e.Actor.Kind == kinora.ActorSystem:
		row.Mine = address(view.Action, url.Values{"actor": {string(e.Actor.Kind)}})
	}
	if e.Target != "" {
		row.Of = address(view.Action, url.Values{"target": {e.Target}})
	}
	return row
}

// actorOptions are whom the log can be narrowed to: members, and whoever the address says.
func actorOptions(members []kinora.Membership, chosen string) []ui.Option {
	options := []ui.Option{{Value: "", Label: "Anybody"}, {Value: string(kinora.ActorOperator), Label: "Operators"}, {Value: string(kinora.ActorSystem), Label: "The server"}}
	known := chosen == "" || slices.Contains(kinora.ActorKinds(), kinora.ActorKind(chosen))
	for _, m := range members {
		options = append(options, ui.Option{Value: m.PersonID, Label: m.Email})
		known = known || m.PersonID == chosen
	}
	if !known {
		options = append(options, ui.Option{Value: chosen, Label: chosen})
	}
	return options
}

// operatorName is how an operator is called wherever it is not said which one.
const operatorName = "an operator"

// actorName is how an actor is called.
func actorName(a kinora.Actor) string {
	switch {
	case a.Name != "":
		return a.Name
	case a.Kind == kinora.ActorOperator:
		return "An operator"
	case a.Kind == kinora.ActorSystem:
		return "The server"
	case a.ID != "":
		return a.ID
	}
	return string(a.Kind)
}
