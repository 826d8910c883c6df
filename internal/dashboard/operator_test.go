package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// operate is what the operator gets at a page of his area; a form makes it a POST.
func (s *stand) operate(t *testing.T, path string, pairs ...string) *httptest.ResponseRecorder {
	t.Helper()
	var form url.Values
	if len(pairs) > 0 {
		form = url.Values{"form_token": {s.token("operator")}}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return s.ask("operator", "/dashboard/operator"+path, form)
}

// shows fails the test unless the operator sees a page with all of these.
func (s *stand) shows(t *testing.T, path string, pieces ...string) string {
	t.Helper()
	got := s.operate(t, path)
	if got.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, got.Code, got.Body)
	}
	has(t, got.Body.String(), pieces...)
	return got.Body.String()
}

func TestOthersDoNotKnowOfTheOperatorsArea(t *testing.T) {
	s := newStand(t, nil)
	for _, who := range []string{"member", "owner", "stranger"} {
		area, nowhere := s.ask(who, "/dashboard/operator", nil), s.ask(who, "/dashboard/no-such-page", nil)
		if area.Code != http.StatusNotFound || strings.ReplaceAll(alike(area), "/dashboard/operator", "/dashboard/no-such-page") != alike(nowhere) {
			t.Errorf("%s: the area is another page than one that there is not", who)
		}
	}
	if strings.Contains(s.page(t, "owner", "/generations"), "/dashboard/operator") {
		t.Error("an owner is shown the way to the area")
	}
}

func TestOverviewSaysWhatNeedsSomebody(t *testing.T) {
	now := time.Now()
	s := newStand(t, func(c *Config) { c.Now = func() time.Time { return now } })
	s.shows(t, "", "Nothing needs you now", "Nothing waits")
	s.instance.health = kinora.Health{Accounts: []kinora.AccountHealth{{Name: "kling-1", State: kinora.AccountRefused, InFlight: 3}, {Name: "ok", State: kinora.AccountReady, InFlight: 4}},
		Hour: kinora.UpstreamReport{Attempts: 9, Upstreams: []kinora.UpstreamHealth{{Failed: 2}, {Failed: 1}}}}
	s.instance.queues = kinora.Queues{DeadDeliveries: kinora.CountedUpTo, Nodes: []kinora.Node{{ID: "nod_1", BeatAt: now.Add(-time.Hour)}, {ID: "nod_2", BeatAt: now, Silent: 12 * time.Second}},
		Lanes: []kinora.LaneDepth{{Lane: "kling", State: kinora.AttemptOpen, Due: 7, OldestDue: now.Add(-time.Hour)}, {Lane: "kling", State: kinora.AttemptQueued, Due: 1200, OldestDue: now.Add(-time.Hour)}}}
	s.instance.troubled = []kinora.TroubledAttempt{{}}
	body := s.shows(t, "", "refuses the account kling-1", "nod_2 has given no sign of life for 12 s", "no node takes it up", "One attempt needs", "1,200", "10,000+", "of 9 attempts that ended")
	if strings.Count(body, "no node takes it up") != 1 || strings.Contains(body, "nod_1 has given") {
		t.Error("what is as it should be is told of")
	}
}

// A page that is looked at is told of what has changed, and of nothing else.
func TestOverviewTellsWhatChanges(t *testing.T) {
	s := newStand(t, nil)
	v := &visit{Dashboard: s.Dashboard}
	before, err := v.overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.instance.queues.Reviews = 4
	after, err := v.overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.digest() == after.digest() {
		t.Error("two pages have one digest")
	}
	var drawn, whole strings.Builder
	if err := errors.Join(overviewChanged(after, &before).Render(context.Background(), &drawn), overviewChanged(after, nil).Render(context.Background(), &whole)); err != nil {
		t.Fatal(err)
	}
	if text := drawn.String(); strings.Count(text, `hx-swap-oob="true"`) != 1 || !strings.Contains(text, `id="overview-numbers"`) {
		t.Errorf("told: %s", text)
	}
	if n := strings.Count(whole.String(), `hx-swap-oob="true"`); n != 6 {
		t.Errorf("a page of which nothing is known gets %d parts", n)
	}
}

func TestAccountsAndHowTheirAttemptsGo(t *testing.T) {
	s := newStand(t, nil)
	s.shows(t, "/accounts", "No accounts yet", "None ended")
	s.instance.health = kinora.Health{Node: "nod_1", Accounts: []kinora.AccountHealth{{Name: "kling-1", Provider: "kling", State: kinora.AccountResting, InFlight: 3, MaxInFlight: 5, Today: 40, PerDay: 100, LastClass: "unavailable", LastCode: "<1303>"}},
		Hour: kinora.UpstreamReport{Upstreams: []kinora.UpstreamHealth{{Provider: "kling", Account: "kling-1", Model: "kite-1", Failed: 3, Errors: map[string]int{"moderation": 1, "unavailable": 2},
			Submits: kinora.Percentiles{P50: 340 * time.Millisecond, P95: 2400 * time.Millisecond, Of: 3}, Jobs: kinora.Percentiles{P50: 185 * time.Second, P95: 3 * time.Hour, Of: 1}}}},
		Day: kinora.UpstreamReport{More: true, Upstreams: []kinora.UpstreamHealth{{Model: "of-the-day"}}}}
	body := s.shows(t, "/accounts", "resting", "3 of 5", "40 of 100", "&lt;1303&gt;", "340 ms / 2.4 s", "3 min 5 s / 3 h", "unavailable × 2")
	if strings.Index(body, "unavailable × 2") > strings.Index(body, "moderation × 1") {
		t.Error("the rarer error stands first")
	}
	s.shows(t, "/accounts?span=day", "of-the-day", "none took it", "More ended than are counted")
}

func stuck(state kinora.AttemptState, change func(*kinora.Attempt)) *kinora.Attempt {
	a := &kinora.Attempt{GenerationID: "task_01J00000000000000000000009", OrganisationID: north, Model: "kite-1", Provider: "kling", Account: "kling-1", State: state,
		ErrorClass: "unavailable", ErrorMessage: "<b>gone</b>", CreatedAt: time.Now().Add(-time.Hour)}
	if change != nil {
		change(a)
	}
	return a
}

func TestTroubledAttemptsAreListed(t *testing.T) {
	s := newStand(t, nil)
	s.shows(t, "/attempts", "Nothing is stuck")
	s.shows(t, "/attempts?trouble=late", "Nothing matches")
	if s.instance.search.Trouble != kinora.TroubleLate {
		t.Errorf("looked for %+v", s.instance.search)
	}
	s.instance.troubled = []kinora.TroubledAttempt{{Attempt: *stuck(kinora.AttemptOpen, nil), Troubles: []kinora.Trouble{kinora.TroubleLate, kinora.TroubleDeadline}, Expected: 90 * time.Second}}
	s.shows(t, "/attempts?trouble=nonsense", "task_01J00000000000000000000009_0", "North", "usually up to 1 min 30 s", "1 h", "&lt;b&gt;gone", "/look")
	if s.instance.search.Trouble != "" {
		t.Errorf("looked for %+v", s.instance.search)
	}
	s.instance.troubled[0].State = kinora.AttemptFailed
	if strings.Contains(s.shows(t, "/attempts"), "/look") {
		t.Error("an attempt that has ended can be looked at")
	}
}

// What is offered follows from the attempt's state, and says what it means for money.
func TestAttemptsOfferWhatCanBeDone(t *testing.T) {
	const look, cancel, giveUp, settle = "/look", "/cancel", "/give-up", "/settle"
	for name, c := range map[string]struct {
		a     *kinora.Attempt
		want  []string
		money string
	}{
		"queued":    {stuck(kinora.AttemptQueued, nil), []string{look, cancel, giveUp}, "nothing is billed"},
		"unsettled": {stuck(kinora.AttemptUnsettled, nil), []string{look, cancel, giveUp, settle}, "No second job is paid for"},
		"open":      {stuck(kinora.AttemptOpen, func(a *kinora.Attempt) { a.UpstreamID = "up-1" }), []string{look, cancel, giveUp}, "may bill it all the same"},
		"unknown":   {stuck(kinora.AttemptFailed, func(a *kinora.Attempt) { a.Failure = &kinora.Failure{Code: kinora.FailureOutcomeUnknown} }), []string{settle}, "kept for the bill"},
		"known": {stuck(kinora.AttemptFailed, func(a *kinora.Attempt) {
			a.UpstreamID, a.Failure = "up-1", &kinora.Failure{Code: kinora.FailureOutcomeUnknown}
		}), nil, ""},
		"cancelled": {stuck(kinora.AttemptCancelled, func(a *kinora.Attempt) { a.SubmittedAt = time.Now() }), []string{settle}, ""},
		"succeeded": {stuck(kinora.AttemptSucceeded, nil), nil, ""},
	} {
		s := newStand(t, nil)
		s.instance.attempts = []*kinora.Attempt{c.a}
		body := s.shows(t, "/attempts/"+c.a.ID(), c.money, "North")
		for _, action := range []string{look, cancel, giveUp, settle} {
			if strings.Contains(body, c.a.ID()+action+`"`) != slices.Contains(c.want, action) {
				t.Errorf("%s: %s is offered, or is not, wrongly", name, action)
			}
		}
	}
	s := newStand(t, nil)
	s.instance.attempts = []*kinora.Attempt{stuck(kinora.AttemptOpen, nil)}
	for _, id := range []string{"task_01J00000000000000000000009_1", "nonsense", "_0"} {
		if got := s.operate(t, "/attempts/"+id); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", id, got.Code)
		}
	}
}

func TestActionsAreDoneInThePersonsName(t *testing.T) {
	s := newStand(t, nil)
	s.instance.attempts = []*kinora.Attempt{stuck(kinora.AttemptUnsettled, nil)}
	page := "/dashboard/operator/attempts/" + s.instance.attempts[0].ID()
	at := strings.TrimPrefix(page, "/dashboard/operator")
	for _, tt := range []struct{ path, field, value, leads string }{
		{"/look", "list", "", page},
		{"/look", "list", "1", "/dashboard/operator/attempts"},
		{"/cancel", "x", "", page},
		{"/give-up", "reason", " an hour ", page},
		{"/settle", "upstream_id", " up-1 ", page},
	} {
		if got := s.operate(t, at+tt.path, tt.field, tt.value); got.Code != http.StatusSeeOther || got.Header().Get("Location") != tt.leads {
			t.Errorf("%s: %d %s", tt.path, got.Code, got.Header().Get("Location"))
		}
	}
	id, by := s.instance.attempts[0].ID(), "operator@example.com: "
	if want := []string{by + "look " + id, by + "look " + id, by + "cancel " + id, by + "give up " + id + " an hour", by + "settle " + id + " up-1"}; !slices.Equal(s.instance.done, want) {
		t.Errorf("done: %q", s.instance.done)
	}
	if got := s.operate(t, at+"/give-up", "reason", strings.Repeat("x", maxReason+1)); got.Code != http.StatusSeeOther || len(s.instance.done) != 5 {
		t.Errorf("a reason that is too long: %d, %q", got.Code, s.instance.done)
	}
	s.instance.refuse = kinora.Errorf(kinora.ErrInvalid, "the upstream does not know a job <up-2>")
	got := s.operate(t, at+"/settle", "upstream_id", "up-2")
	if got.Code != http.StatusUnprocessableEntity {
		t.Errorf("an id that the upstream does not know: %d", got.Code)
	}
	has(t, got.Body.String(), "does not know a job &lt;up-2&gt;", `value="up-2"`, `aria-invalid="true"`)
	s.instance.refuse = kinora.Errorf(kinora.ErrConflict, "the attempt has ended")
	if got := s.operate(t, at+"/look", "list", ""); got.Code != http.StatusSeeOther {
		t.Errorf("too late: %d", got.Code)
	}
}

func TestConfigurationIsShownWithoutSecrets(t *testing.T) {
	s := newStand(t, nil)
	s.instance.settings = []kinora.Setting{{Key: "listen", Value: ":8080", Origin: kinora.OriginFile, Variable: "KINORA_LISTEN"}, {Key: "master_key", Value: "set", Secret: true, Origin: kinora.OriginEnvironment},
		{Key: "accounts[0].name", Value: "<kling>", Origin: kinora.OriginFile}, {Key: "metrics", Value: "true", Origin: kinora.OriginDefault}}
	s.shows(t, "/configuration", "KINORA_LISTEN", ":8080", "&lt;kling&gt;", "master_key", ">set<")
	if body := s.shows(t, "/configuration?origin=file&find=KLING", "accounts[0].name"); strings.Contains(body, "KINORA_LISTEN") || strings.Contains(body, ">metrics<") {
		t.Error("the filter narrows nothing")
	}
	s.shows(t, "/configuration?find=nothing", "Nothing matches")
	s.shows(t, "/configuration/offer", "kite-one", "on north, south", "1 h 30 min", "$0.35", "A &lt;room&gt;", "reviewed", "the model’s")
	s.shows(t, "/configuration/installation", "v1.2.3", "1 of 2 changes applied", "changes 1 are not applied", "41ab0c6e", "missing here", "forget-old")
}

func TestInstanceAuditIsOfAllOrganisations(t *testing.T) {
	s := newStand(t, nil)
	s.tenant.entries = []kinora.AuditEntry{{ID: "aud_1", OrganisationID: south, Action: kinora.AuditKeyCreate, Actor: kinora.Actor{Kind: kinora.ActorPerson, ID: "per_x", Name: "x@example.com"}}}
	s.shows(t, "/audit", "x@example.com", south, ">South</option>")
	s.shows(t, "/audit?organisation="+north+"&action=key.&before=aud_2", "organisation="+north)
	if got := s.tenant.filters; got[0].OrganisationID != "" || got[1].OrganisationID != north || got[1].Action != "key." {
		t.Errorf("filters: %+v", got)
	}
}

func TestLengthsAreWritten(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ms", -time.Second: "0 ms", 40 * time.Microsecond: "0 ms", 4250 * time.Microsecond: "4.2 ms", 12*time.Millisecond + 700*time.Microsecond: "12 ms", 999 * time.Millisecond: "999 ms", time.Second: "1 s", 1250 * time.Millisecond: "1.2 s", 59*time.Second + 900*time.Millisecond: "59 s",
		time.Minute: "1 min", 61 * time.Second: "1 min 1 s", 47*time.Hour + 59*time.Minute: "47 h 59 min", 50 * time.Hour: "2 d 2 h", 1500 * 24 * time.Hour: "1,500 d"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestOrganisationsAreMadeWithTheirFirstSecrets(t *testing.T) {
	s := newStand(t, nil)
	body := s.shows(t, "/organisations", "North", "South", north, "New organisation")
	if !strings.Contains(body, "/dashboard/operator/organisations/"+north) || !strings.Contains(body, "/dashboard/o/"+north+"/generations") {
		t.Error("an organisation has no links")
	}
	if body := s.shows(t, "/organisations?find=SOU", ">South<"); strings.Contains(body, ">North</a>\n") || strings.Contains(body, "<code>"+north) {
		t.Error("the filter narrows nothing")
	}
	s.shows(t, "/organisations?find=west", "Nothing matches")
	if got := s.operate(t, "/organisations/new", "name", " "); got.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Body.String(), "name is required") {
		t.Errorf("no name: %d", got.Code)
	}
	got := s.operate(t, "/organisations/new", "name", " West ")
	has(t, got.Body.String(), "sk-first", "whsec_first", "curl http://kinora.test/v1/models", "Invite its members")
	s.instance.refuse = kinora.Errorf(kinora.ErrUnavailable, "the database is out of reach")
	got = s.operate(t, "/organisations/new", "name", "West")
	has(t, got.Body.String(), "whsec_first", "No API key could be made")
	if by := "operator@example.com: "; !slices.Equal(s.instance.done, []string{by + "organisation West", by + "key " + south, by + "organisation West"}) {
		t.Errorf("done: %q", s.instance.done)
	}
}

func TestLimitsAndBudgetAreSet(t *testing.T) {
	s := newStand(t, nil)
	page := "/organisations/" + north
	s.shows(t, page, "1,234", "$12.50", "no budget", "owner@example.com", "The server’s: 50.", "The server’s: 1,200.", "The server’s: no limit.")
	if got := s.operate(t, page+"/allowance", "allowance.budget_usd", "99.5", "allowance.included", "10", "allowance.in_flight_jobs", "", "allowance.limits.generations_create", "0"); got.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	c := s.instance.allowance
	if c.NoBudget || *c.Budget != 99_500_000 || *c.Included != 10 || *c.JobsInFlight != -1 || c.Limits["generations_create"] != 0 || c.Limits["generations_read"] != -1 || len(c.Limits) != len(kinora.RateKinds()) {
		t.Errorf("set: %+v", c)
	}
	if got := s.operate(t, page+"/allowance", "allowance.budget_usd", ""); got.Code != http.StatusSeeOther || !s.instance.allowance.NoBudget || s.instance.allowance.Budget != nil {
		t.Errorf("no budget: %d %+v", got.Code, s.instance.allowance)
	}
	for field, wrong := range map[string]struct{ value, want string }{
		"allowance.budget_usd":            {"much", "write US dollars"},
		"allowance.in_flight_jobs":        {"-1", "write a whole number"},
		"allowance.included":              {"1.5", "write a whole number"},
		"allowance.limits.usage_summary":  {"9999999999", "must be between 0"},
		"allowance.limits.billing_events": {"<b>", "write a whole number"},
	} {
		got := s.operate(t, page+"/allowance", field, wrong.value)
		if got.Code != http.StatusUnprocessableEntity || strings.Count(got.Body.String(), `class="field-error"`) != 1 {
			t.Errorf("%s: %d", field, got.Code)
		}
		has(t, got.Body.String(), wrong.want, templValue(wrong.value))
	}
	for _, path := range []string{"/disable", "/enable"} {
		if got := s.operate(t, page+path, "x", ""); got.Code != http.StatusSeeOther {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	if n := len(s.instance.done); s.instance.done[n-2] != "operator@example.com: disabled "+north+" true" || s.instance.done[n-1] != "operator@example.com: disabled "+north+" false" {
		t.Errorf("done: %q", s.instance.done)
	}
	if got := s.operate(t, "/organisations/org_none"); got.Code != http.StatusNotFound {
		t.Errorf("an organisation that there is not: %d", got.Code)
	}
}

// templValue is an attribute's value as a page has it.
func templValue(text string) string {
	return `value="` + strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(text) + `"`
}

func TestPersonsAndWhatIsDoneToThem(t *testing.T) {
	s := newStand(t, nil)
	s.instance.persons = []kinora.Person{{ID: "per_ada", Email: "ada@example.com", Name: "Ada <b>", HasPassword: true}, {ID: "per_operator", Email: "operator@example.com", Operator: true, HasPassword: true}, {ID: "per_out", Email: "out@example.com", Disabled: true}}
	s.shows(t, "/persons", "Ada &lt;b&gt;", "you", "disabled", "no password", "never")
	if body := s.shows(t, "/persons?find=ADA", "per_ada"); strings.Contains(body, "per_out") {
		t.Error("the filter narrows nothing")
	}
	s.shows(t, "/persons/per_ada", "North", "invited", "Make an operator", "Disable", "actor=per_ada")
	s.shows(t, "/persons/per_out", "Let them in again")
	has(t, s.operate(t, "/persons/per_ada/reset", "x", "").Body.String(), "http://kinora.test/dashboard/invitation?token=kinv_secret%26more", "New password for ada@example.com")
	for _, tt := range []struct{ path, leads string }{
		{"/per_ada/operator", "/dashboard/operator/persons/per_ada"}, {"/per_ada/no-operator", "/dashboard/operator/persons/per_ada"}, {"/per_operator/no-operator", "/dashboard"},
		{"/per_ada/disable", "/dashboard/operator/persons/per_ada"}, {"/per_ada/enable", "/dashboard/operator/persons/per_ada"},
	} {
		if got := s.operate(t, "/persons"+tt.path, "x", ""); got.Code != http.StatusSeeOther || got.Header().Get("Location") != tt.leads {
			t.Errorf("%s: %d %s", tt.path, got.Code, got.Header().Get("Location"))
		}
	}
	by := "operator@example.com: "
	if want := []string{by + "reset per_ada", by + "operator per_ada true", by + "operator per_ada false", by + "operator per_operator false", by + "disabled per_ada true", by + "disabled per_ada false"}; !slices.Equal(s.instance.done, want) {
		t.Errorf("done: %q", s.instance.done)
	}
	s.instance.refuse = kinora.Errorf(kinora.ErrConflict, "this is the last operator who can sign in")
	if got := s.operate(t, "/persons/per_operator/no-operator", "x", ""); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/dashboard/operator/persons/per_operator" {
		t.Errorf("the last operator: %d %s", got.Code, got.Header().Get("Location"))
	}
}

func TestPersonsAreInvited(t *testing.T) {
	s := newStand(t, nil)
	s.shows(t, "/persons/invite", ">North</option>", "Operator of this server too")
	got := s.operate(t, "/persons/invite", "email", " ada@example.com ", "organisation", north, "role", "admin", "operator", "on")
	has(t, got.Body.String(), "kinv_secret%26more", "ada@example.com")
	if len(s.tenant.done) != 1 || len(s.instance.done) != 1 || s.instance.done[0] != "operator@example.com: operator per_x true" {
		t.Errorf("done: %q, %q", s.tenant.done, s.instance.done)
	}
	if got := s.operate(t, "/persons/invite", "email", "known@example.com", "organisation", north, "role", "member"); got.Code != http.StatusSeeOther || len(s.instance.done) != 1 {
		t.Errorf("somebody who needs no link: %d, %q", got.Code, s.instance.done)
	}
	s.instance.refuse = kinora.Errorf(kinora.ErrUnavailable, "the database is away")
	got = s.operate(t, "/persons/invite", "email", "ada@example.com", "organisation", north, "role", "admin", "operator", "on")
	has(t, got.Body.String(), "token=kinv_secret", "could not be made an operator just now")
	got = s.operate(t, "/persons/invite", "email", "known@example.com", "organisation", north, "role", "admin", "operator", "on")
	if to := got.Header().Get("Location"); got.Code != http.StatusSeeOther || !strings.HasSuffix(to, "/persons/per_x") {
		t.Errorf("somebody who is a member already: %d to %s", got.Code, to)
	}
	s.instance.refuse = nil
	got = s.operate(t, "/persons/invite", "email", "ada", "organisation", north, "role", "admin", "operator", "on")
	if got.Code != http.StatusUnprocessableEntity {
		t.Errorf("no address: %d", got.Code)
	}
	has(t, got.Body.String(), "email is not an address", `value="ada"`, `<option value="admin" selected`, "checked")
}

// Whoever disables the last owner is told what that leaves, and so is who looks at the overview.
func TestOrganisationsWithoutAnOwnerAreTold(t *testing.T) {
	s := newStand(t, nil)
	s.instance.ownerless = []kinora.Ownerless{{OrganisationID: north, OrganisationName: "North <b>"}}
	flash := func(path string) string {
		t.Helper()
		got := s.operate(t, path, "x", "")
		r := httptest.NewRequest(http.MethodGet, "http://kinora.test"+Prefix+"/operator/persons", nil)
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "operator"})
		for _, c := range got.Result().Cookies() {
			r.AddCookie(c)
		}
		return s.send(r).Body.String()
	}
	has(t, flash("/persons/per_ada/disable"), "No owner who can sign in is left in: North &lt;b&gt;.", "alert-warning")
	if body := flash("/persons/per_ada/enable"); strings.Contains(body, "No owner") {
		t.Error("letting somebody in takes an owner away")
	}
	s.shows(t, "", "North &lt;b&gt; has no owner who can sign in.", "/dashboard/operator/organisations/"+north)
	for range 7 {
		s.instance.ownerless = append(s.instance.ownerless, kinora.Ownerless{OrganisationID: south, OrganisationName: "South"})
	}
	s.shows(t, "", "No owner who can sign in is left in: North &lt;b&gt;, South, South, South, South, 3 more.")
}
