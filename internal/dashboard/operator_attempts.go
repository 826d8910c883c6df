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

const (
	// attemptPage is how many attempts that need an eye are looked for where only the newest count.
	attemptPage = 100
	// maxTroubled is how far into the attempts that need an eye the list reaches.
	maxTroubled = 1000
)

// Attempts that need a person's eye, and what one may do about them.
func (d *Dashboard) attemptRoutes() []route {
	const list, one = operatorPath + "/attempts", operatorPath + "/attempts/{attempt_id}"
	return []route{
		{method: http.MethodGet, pattern: list, who: operator, handler: d.troubledPage},
		{method: http.MethodGet, pattern: one, who: operator, handler: d.attemptPage},
	}
}

// troubleMeaning says what each trouble means.
var troubleMeaning = map[kinora.Trouble]string{
	kinora.TroubleLate:       "runs for several times as long as others of its model",
	kinora.TroubleUnsettled:  "whether the upstream has taken it is not known yet",
	kinora.TroubleUnreadable: "looks or downloads failed several times in a row",
	kinora.TroubleWaiting:    "no account takes it",
	kinora.TroubleDeadline:   "its deadline is near, or over",
	kinora.TroubleUnknown:    "ended without its outcome being known; money may be spent",
	kinora.TroubleContested:  "a job was named for it that another attempt has",
}

// troubledView is the list page.
type troubledView struct {
	Action string // where the filter leads
	Chosen kinora.Trouble
	Rows   []troubledRow
	More   bool // there are others, which the list does not reach
	Turns  turns
}

// troubledRow is one line of it.
type troubledRow struct {
	kinora.TroubledAttempt
	Age          time.Duration // until its end where it has ended
	Organisation string        // its name
	Href, Look   string        // Look is where looking now is posted to; "" = it has ended
}

func (d *Dashboard) troubledPage(ctx context.Context, v *visit) error {
	chosen := kinora.Trouble(v.query("trouble"))
	if !slices.Contains(kinora.Troubles(), chosen) {
		chosen = ""
	}
	reach := min(v.from()+listPage+1, maxTroubled)
	found, err := v.cfg.Operating.TroubledAttempts(ctx, kinora.TroubleSearch{Trouble: chosen, Limit: reach})
	if err != nil {
		return err
	}
	view := troubledView{Action: v.link("operator", "attempts"), Chosen: chosen}
	page, around := pageOf(v, found.List, view.Action, url.Values{"trouble": {string(chosen)}})
	view.Turns, view.More = around, found.More && around.Next == ""
	var ids []string
	for _, t := range page {
		ids = append(ids, t.OrganisationID)
	}
	names, err := v.organisationNames(ctx, ids...)
	if err != nil {
		return err
	}
	for _, t := range page {
		row := troubledRow{TroubledAttempt: t, Age: ageOf(&t.Attempt, v.now()), Organisation: names[t.OrganisationID], Href: v.link("operator", "attempts", t.ID())}
		if !t.State.Terminal() {
			row.Look = v.link("operator", "attempts", t.ID(), "look")
		}
		view.Rows = append(view.Rows, row)
	}
	return v.show(ctx, "Attempts", troubledBody(view))
}

// ageOf is how old an attempt is, or became.
func ageOf(a *kinora.Attempt, now time.Time) time.Duration {
	if !a.FinishedAt.IsZero() {
		now = a.FinishedAt
	}
	return max(now.Sub(a.CreatedAt), 0)
}

// operatedAttempt is the page about one attempt.
type operatedAttempt struct {
	*kinora.Attempt
	Age          time.Duration
	Organisation string
	Area         string // the organisation's generations
	Generation   string // page of the generation; "" = there is none
	Trail        []ui.Link
	Others       []attemptLink // further attempts of the generation
	Handle       string        // JSON, over several lines; "" = nothing
	// Where changes are posted to; "" = it cannot be done to an attempt in this state.
	Look, Cancel, GiveUp, Settle string
	Settled                      settleForm
}

// attemptLink is another attempt of the same generation.
type attemptLink struct {
	*kinora.Attempt
	Href string
}

// settleForm is the form by which an attempt's job is named.
type settleForm struct {
	ID, Error string
}

func (d *Dashboard) attemptPage(ctx context.Context, v *visit) error {
	return d.showAttempt(ctx, v, http.StatusOK, settleForm{})
}

func (d *Dashboard) showAttempt(ctx context.Context, v *visit, status int, form settleForm) error {
	a, all, err := v.askedAttempt(ctx)
	if err != nil {
		return err
	}
	names, err := v.organisationNames(ctx, a.OrganisationID)
	if err != nil {
		return err
	}
	at := func(what string) string { return v.link("operator", "attempts", a.ID(), what) }
	view := operatedAttempt{Attempt: a, Age: ageOf(a, v.now()), Organisation: names[a.OrganisationID], Area: v.link("o", a.OrganisationID, "generations"),
		Generation: v.generationPlace(a.OrganisationID, a.GenerationID), Handle: indented(a.Handle), Settled: form,
		Trail: []ui.Link{{Label: "Attempts", Href: v.link("operator", "attempts")}, {Label: a.ID()}}}
	if !a.State.Terminal() {
		view.Look, view.Cancel, view.GiveUp = at("look"), at("cancel"), at("give-up")
	}
	if outcomeUnknown(a) {
		view.Settle = at("settle")
	}
	for _, other := range all {
		if other.Ordinal != a.Ordinal {
			view.Others = append(view.Others, attemptLink{other, v.link("operator", "attempts", other.ID())})
		}
	}
	return v.showAs(ctx, status, "Attempt "+a.ID(), attemptBody(view))
}

// askedAttempt reads the attempt of the path, and all of its generation's.
func (v *visit) askedAttempt(ctx context.Context) (a *kinora.Attempt, all []*kinora.Attempt, err error) {
	id := v.path("attempt_id")
	if cut := strings.LastIndexByte(id, '_'); cut > 0 {
		if all, err = v.cfg.Operating.Attempts(ctx, id[:cut]); err != nil && kinora.CodeOf(err) != kinora.ErrNotFound {
			return nil, nil, err
		}
	}
	for _, one := range all {
		if one.ID() == id {
			return one, all, nil
		}
	}
	return nil, nil, kinora.Errorf(kinora.ErrNotFound, "there is no such attempt")
}

// outcomeUnknown tells whether naming the upstream's job can settle something: see lifecycle's SettleByHand, which decides.
func outcomeUnknown(a *kinora.Attempt) bool {
	switch {
	case a.UpstreamID != "":
		return false
	case a.State == kinora.AttemptUnsettled:
		return true
	case a.State == kinora.AttemptCancelled:
		return !a.SubmittedAt.IsZero()
	}
	return a.Failure != nil && a.Failure.Code == kinora.FailureOutcomeUnknown
}
