package dashboard

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// fakePeople knows a few persons by their session's token.
type fakePeople struct {
	mu         sync.Mutex
	sessions   map[string]*kinora.SignedIn
	uses       atomic.Int64       // that move a session's end on
	invitation *kinora.Invitation // behind the token "right"; nil = there is none
	done       []string
	used       []string  // organisations, by who used them
	refuse     error     // of every answer
	deadline   time.Time // of the last renaming
}

var _ People = (*fakePeople)(nil)

func (p *fakePeople) Session(ctx context.Context, session string) (*kinora.SignedIn, error) {
	p.uses.Add(1)
	return p.PeekSession(ctx, session)
}

func (p *fakePeople) PeekSession(_ context.Context, session string) (*kinora.SignedIn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[session]; s != nil {
		return s, nil
	}
	return nil, kinora.Errorf(kinora.ErrUnauthorized, "no such session")
}

func (p *fakePeople) SignIn(_ context.Context, email, password string, _ kinora.Visitor) (string, error) {
	if p.sessions[email] == nil || password != "correct horse battery" {
		return "", kinora.Errorf(kinora.ErrUnauthorized, "e-mail address and password do not belong together")
	}
	return email, nil
}

func (p *fakePeople) SignOut(_ context.Context, session string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, session)
	return nil
}

func (p *fakePeople) Setup(context.Context, string, kinora.NewPerson, kinora.Visitor) (string, error) {
	return "", kinora.Errorf(kinora.ErrNotFound, "no such link")
}
func (p *fakePeople) Sessions(context.Context, string) ([]kinora.Session, error) { return nil, nil }
func (p *fakePeople) EndSession(context.Context, string, string) error           { return nil }
func (p *fakePeople) EndOtherSessions(context.Context, string, string) error     { return nil }
func (p *fakePeople) ChangePassword(context.Context, string, string, string, string) error {
	return nil
}
func (p *fakePeople) Rename(ctx context.Context, _, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline, _ = ctx.Deadline()
	return nil
}
func (p *fakePeople) Invitation(_ context.Context, token string) (*kinora.Invitation, error) {
	if token != "right" || p.invitation == nil {
		return nil, kinora.Errorf(kinora.ErrNotFound, "no such link")
	}
	return p.invitation, nil
}

func (p *fakePeople) AcceptInvitation(ctx context.Context, token string, given kinora.NewPerson, _ kinora.Visitor) (string, error) {
	i, err := p.Invitation(ctx, token)
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(i.Email, "@")
	switch {
	case len(given.Password) < kinora.MinPassword:
		return "", &kinora.Error{Code: kinora.ErrInvalid, Message: "password is too short", Details: []kinora.FieldError{{Field: "password", Message: "password is too short"}}}
	case p.sessions[name] != nil && i.OrganisationID != "":
		return "", kinora.Errorf(kinora.ErrConflict, "there is an account of this e-mail address already")
	}
	return "member", nil
}

func (p *fakePeople) act(words ...string) error {
	if p.refuse != nil {
		return p.refuse
	}
	p.done = append(p.done, strings.Join(words, " "))
	return nil
}

func (p *fakePeople) JoinByLink(_ context.Context, personID, token string) error {
	return p.act("join by link", personID, token)
}
func (p *fakePeople) Join(_ context.Context, personID, organisationID string) error {
	return p.act("join", personID, organisationID)
}
func (p *fakePeople) Decline(_ context.Context, personID, organisationID string) error {
	return p.act("decline", personID, organisationID)
}
func (p *fakePeople) Leave(_ context.Context, personID, organisationID string) error {
	return p.act("leave", personID, organisationID)
}

func (p *fakePeople) UseOrganisation(_ context.Context, personID, organisationID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = append(p.used, personID+" "+organisationID)
}

type fakeOrganisations []*kinora.Organisation

func (o fakeOrganisations) Organisation(_ context.Context, id string) (*kinora.Organisation, error) {
	for _, one := range o {
		if one.ID == id {
			return one, nil
		}
	}
	return nil, kinora.Errorf(kinora.ErrNotFound, "no such organisation")
}

func (o fakeOrganisations) ListOrganisations(context.Context) ([]*kinora.Organisation, error) {
	return o, nil
}

func (o fakeOrganisations) NewestOrganisations(_ context.Context, limit int) ([]*kinora.Organisation, error) {
	list := slices.Clone(o)
	slices.Reverse(list)
	return list[:min(limit, len(list))], nil
}

func (o fakeOrganisations) OrganisationNames(_ context.Context, ids []string) (map[string]string, error) {
	names := map[string]string{}
	for _, one := range o {
		if slices.Contains(ids, one.ID) {
			names[one.ID] = one.Name
		}
	}
	return names, nil
}

// fakeGenerations is a list that tests change.
type fakeGenerations struct {
	mu   sync.Mutex
	list []kinora.Listed // newest first
	read chan struct{}   // takes one for each search, as far as there is room; nil = nobody wants to know

	next   string                  // of each page
	search kinora.GenerationSearch // the last one
}

func (g *fakeGenerations) Search(_ context.Context, _ string, q kinora.GenerationSearch, _ string, _ int) ([]kinora.Listed, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.search = q
	select {
	case g.read <- struct{}{}:
	default:
	}
	return append([]kinora.Listed(nil), g.list...), g.next, nil
}

func (g *fakeGenerations) Generation(_ context.Context, _, id string) (*kinora.Generation, []kinora.Output, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.list {
		if one.Generation.ID == id {
			return one.Generation, nil, nil
		}
	}
	return nil, nil, kinora.Errorf(kinora.ErrNotFound, "no such generation")
}

func (g *fakeGenerations) Standings(_ context.Context, ids []string) (map[string]kinora.Standing, error) {
	found := map[string]kinora.Standing{}
	for _, id := range ids {
		if one, _, err := g.Generation(context.Background(), "", id); err == nil {
			found[id] = kinora.Standing{State: one.State, Progress: one.Progress}
		}
	}
	return found, nil
}

func (g *fakeGenerations) set(list ...kinora.Generation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list = nil
	for _, one := range list {
		g.list = append(g.list, kinora.Listed{Generation: &one})
	}
}

// stand is a dashboard with two organisations, north and south, and persons who are called by what they are in north; the
// stranger owns south.
type stand struct {
	*Dashboard
	people      *fakePeople
	generations *fakeGenerations
	tenant      *fakeTenant
	webhooks    *fakeWebhooks
	histories   *fakeHistories
	reviews     *fakeReviews
	api         *fakeAPI
	instance    *fakeInstance
}

const north, south = "org_01J00000000000000000000001", "org_01J00000000000000000000002"

func newStand(t *testing.T, change func(*Config)) *stand {
	t.Helper()
	s := &stand{people: &fakePeople{sessions: map[string]*kinora.SignedIn{}}, generations: &fakeGenerations{}, tenant: newFakeTenant(), histories: &fakeHistories{}, reviews: &fakeReviews{}, api: &fakeAPI{}}
	add := func(name string, operator bool, organisation string, role kinora.Role) {
		in := &kinora.SignedIn{Session: kinora.Session{ID: "ses_" + name}, FormToken: "form-of-" + name,
			Person: kinora.Person{ID: "per_" + name, Email: name + "@example.com", Operator: operator, HasPassword: true}}
		if organisation != "" {
			in.Memberships = []kinora.Membership{{OrganisationID: organisation, OrganisationName: organisation, Role: role}}
		}
		s.people.sessions[name] = in
	}
	add("member", false, north, kinora.RoleMember)
	add("admin", false, north, kinora.RoleAdmin)
	add("owner", false, north, kinora.RoleOwner)
	add("stranger", false, south, kinora.RoleOwner)
	add("operator", true, "", "")
	cfg := Config{People: s.people, Organisations: fakeOrganisations{{ID: north, Name: "North"}, {ID: south, Name: "South"}},
		Generations: s.generations, Histories: s.histories, Inputs: fakeInputs{}, Reviews: s.reviews, Offers: fakeOffers, API: s.api, FileURL: fakeFileURL,
		Members: s.tenant, Settings: s.tenant, Audit: s.tenant, RateLimits: s.tenant.limits, URL: "http://kinora.test", Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	s.webhooks = newFakeWebhooks()
	cfg.Keys, cfg.Usage, cfg.Assets = s.tenant, s.tenant, s.tenant
	cfg.PreviewURL = func(key string, _, _ int) string { return "http://kinora.test/files/previews/" + key }
	cfg.Webhooks, cfg.WebhookSettings = s.webhooks, s.webhooks
	s.instance = newFakeInstance()
	cfg.Operating, cfg.Installation, cfg.Tenants, cfg.Persons = s.instance, s.instance, s.instance, fakePersons{s.instance}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Drain)
	s.Dashboard = d
	return s
}

// hasNot fails for what must not be on a page.
func hasNot(t *testing.T, body string, forbidden ...string) {
	t.Helper()
	for _, text := range forbidden {
		if strings.Contains(body, text) {
			t.Errorf("the page shows %q:\n%s", text, body)
		}
	}
}

// ask sends a request in somebody's session; "" = nobody's. A form makes it a POST.
func (s *stand) ask(who, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://kinora.test"+path, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, "http://kinora.test"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if who != "" {
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: who})
	}
	return s.send(r)
}

func (s *stand) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	w.Header().Set("X-Request-Id", "req_test")
	s.Handler().ServeHTTP(w, r)
	return w
}

func (s *stand) token(who string) string { return s.people.sessions[who].FormToken }
