package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// somebody is a person who acts in tests.
var somebody = kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Name: "ada@example.com", Address: "203.0.113.9"}

// fakeOrganisations has the two of the tests and one that is disabled.
type fakeOrganisations struct{}

const switchedOffID = "org_00000000000000000000000003"

func (fakeOrganisations) Organisation(_ context.Context, id string) (*kinora.Organisation, error) {
	switch id {
	case ownID, otherID, switchedOffID:
		return &kinora.Organisation{ID: id, Disabled: id == switchedOffID}, nil
	}
	return nil, kinora.Errorf(kinora.ErrNotFound, "organisation not found")
}

func withOrganisations(c *Config) { c.Organisations = fakeOrganisations{} }

// call has somebody do a request for an organisation.
func (f *fixture) call(organisationID, method, target, body string, change ...func(*http.Request)) ([]byte, error) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	_, answer, err := f.Call(r, somebody, organisationID)
	return answer, err
}

func TestCallSubmitsAsAKeyDoes(t *testing.T) {
	f := newFixture(t, withOrganisations)
	var actor kinora.Actor
	f.generations.accept = func(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
		actor, _ = kinora.ActorOf(ctx)
		return &kinora.Accepted{Generation: &kinora.Generation{ID: taskOne, CreatedAt: testTime}, Replayed: true}, nil
	}
	r := httptest.NewRequest("POST", submitPath, strings.NewReader(input("")))
	r.Header.Set("Idempotency-Key", "form-1")
	r.Header.Set("Authorization", "Bearer "+otherKey) // counts for nothing
	h, body, err := f.Call(r, somebody, ownID)
	if err != nil || string(body) != accepted || h.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("answered %s %v, %v", body, h, err)
	}
	sub := f.generations.only(t)
	if sub.OrganisationID != ownID || sub.IdempotencyKey != "form-1" || sub.IdempotencyScope != "POST "+submitPath || sub.RequestHash == "" {
		t.Errorf("submitted %+v", sub)
	}
	if actor != somebody {
		t.Errorf("the change is %+v's", actor)
	}
}

func TestCallTellsRefusals(t *testing.T) {
	f, _ := createFixture(t, withOrganisations)
	f.generations.store(&kinora.Generation{ID: jobOne, OrganisationID: ownID, State: kinora.GenerationSucceeded, CreatedAt: testTime})
	for name, tc := range map[string]struct {
		organisation, method, path, body string
		change                           func(*http.Request)
		code                             kinora.ErrorCode
		field, message                   string
	}{
		"a field":               {ownID, "POST", submitPath, `{"model":"kling-v1","input":{"prompt":""}}`, once, kinora.ErrInvalid, "input.prompt", "input.prompt is required"},
		"a field of a workflow": {ownID, "POST", createPath, `{` + ofAsset + cleanPhoto + `,"reference":7}`, once, kinora.ErrInvalid, "reference", ""},
		"no JSON":               {ownID, "POST", submitPath, `{`, once, kinora.ErrInvalid, "", ""},
		"no idempotency key":    {ownID, "POST", createPath, `{}`, header("X-Other", ""), kinora.ErrInvalid, "", ""},
		"an end":                {ownID, "POST", createPath + "/" + jobOne + "/cancel", "", once, kinora.ErrConflict, "", "the generation has ended and cannot be cancelled"},
		"a foreign generation":  {otherID, "GET", createPath + "/" + jobOne, "", once, kinora.ErrNotFound, "", "generation not found"},
		"no such organisation":  {"org_none", "GET", createPath + "/" + jobOne, "", once, kinora.ErrNotFound, "", ""},
		"a disabled one":        {switchedOffID, "POST", submitPath, input(""), once, kinora.ErrForbidden, "", ""},
		"no such route":         {ownID, "GET", "/api/v1/none", "", once, kinora.ErrNotFound, "", ""},
	} {
		_, err := f.call(tc.organisation, tc.method, tc.path, tc.body, tc.change)
		var e *kinora.Error
		if !errors.As(err, &e) || e.Code != tc.code || tc.message != "" && e.Message != tc.message || e.Message == "" || e.Err != nil {
			t.Errorf("%s: refused with %+v", name, err)
			continue
		}
		if tc.field == "" != (len(e.Details) == 0) || tc.field != "" && e.Details[0].Field != tc.field {
			t.Errorf("%s: fields %v, want %q", name, e.Details, tc.field)
		}
	}
	// What is internal is logged, and not shown.
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		return nil, errors.New("secret cause")
	}
	_, err := f.call(ownID, "POST", submitPath, input(""))
	if kinora.CodeOf(err) != kinora.ErrInternal || strings.Contains(err.Error(), "secret") || !strings.Contains(f.log.String(), "secret cause") {
		t.Errorf("refused with %v, logged %s", err, f.log)
	}
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) { panic("oh") }
	if _, err = f.call(ownID, "POST", submitPath, input("")); kinora.CodeOf(err) != kinora.ErrInternal {
		t.Errorf("a panic is told as %v", err)
	}
}

// An actor has limits of his own beside those of his organisation, and his address's.
// What is passed on comes as it is, with the headers of its own; what is refused writes nothing.
func TestPassWritesAnswersAndReturnsRefusals(t *testing.T) {
	f := newFixture(t, withOrganisations, func(c *Config) { c.Usage = newLongLedger(3 * exportPage) })
	pass := func(path string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", "text/csv")
		w := httptest.NewRecorder()
		return w, f.Pass(w, r, somebody, ownID)
	}
	w, err := pass("/api/v1/billing/events?from=2026-01-01")
	if lines := strings.Count(w.Body.String(), "\n"); err != nil || lines != 3*exportPage+1 || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("passed on %d lines, %v, %v", lines, w.Header(), err)
	}
	w, err = pass("/api/v1/billing/events?from=yesterday")
	if kinora.CodeOf(err) != kinora.ErrInvalid || w.Body.Len() > 0 {
		t.Errorf("refused with %v, and wrote %s", err, w.Body)
	}
	w, err = pass("/admin/v1/organisations")
	if kinora.CodeOf(err) != kinora.ErrNotFound || w.Body.Len() > 0 {
		t.Errorf("an operator's route: %v, and wrote %s", err, w.Body)
	}
}

func TestCallIsLimited(t *testing.T) {
	f := newFixture(t, withOrganisations, func(c *Config) {
		c.Limits.Submit, c.Limits.Generation, c.Limits.PerAddress = Limit{PerMinute: 60, Burst: 1}, Limit{PerMinute: 60, Burst: 2}, 2
	})
	submit := func(who kinora.Actor) error {
		_, _, err := f.Call(httptest.NewRequest("POST", submitPath, strings.NewReader(input(""))), who, ownID)
		return err
	}
	var limited *kinora.Error
	if err := submit(somebody); err != nil {
		t.Fatal(err)
	}
	if err := submit(somebody); !errors.As(err, &limited) || limited.Code != kinora.ErrRateLimited || limited.RetryAfter != time.Second {
		t.Errorf("the second answered %+v", err)
	}
	another := somebody
	another.ID = "per_2"
	if err := submit(another); err != nil {
		t.Errorf("another person answered %v", err)
	}
	is(t, f.do("POST", submitPath, input("")), 200, accepted) // and so does a key

	path := generationPath(f)
	read := func(person, organisation string) error {
		_, _, err := f.Call(httptest.NewRequest("GET", path, nil), kinora.Actor{ID: person, Address: somebody.Address}, organisation)
		return err
	}
	if err := errors.Join(read("per_a", ownID), read("per_b", ownID)); err != nil {
		t.Fatal(err)
	}
	if err := read("per_c", ownID); kinora.CodeOf(err) != kinora.ErrRateLimited {
		t.Errorf("the organisation's limit answered %v", err)
	}
	if w := f.do("GET", path, ""); w.Code != 429 {
		t.Errorf("its keys have %d", w.Code)
	}
	for range 2 { // which the address has as well, of four
		if err := read("per_c", otherID); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Fatal(err)
		}
	}
	if err := read("per_d", "org_none"); kinora.CodeOf(err) != kinora.ErrNotFound {
		t.Fatal(err)
	}
	if err := read("per_d", otherID); kinora.CodeOf(err) != kinora.ErrRateLimited {
		t.Errorf("the address's limit answered %v", err)
	}
}

// As reaches what keys reach, for one organisation, and nothing else.
func TestAsReachesTheOrganisationsRoutesAlone(t *testing.T) {
	f := newDocumented(t, withOrganisations)
	for _, rt := range f.routes {
		r := httptest.NewRequest(rt.method, target(rt.pattern, documentedIDs), strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+adminToken)
		ctx, cancel := context.WithCancel(t.Context())
		if rt.load == streaming {
			cancel() // else it lasts
		}
		w := httptest.NewRecorder()
		f.As(somebody, "org_none").ServeHTTP(w, r.WithContext(ctx))
		cancel()
		if w.Code != http.StatusNotFound {
			t.Errorf("%s %s for nobody's organisation answered %d %s", rt.method, rt.pattern, w.Code, w.Body)
		}
		if rt.auth == keyed {
			continue
		}
		r = httptest.NewRequest(rt.method, target(rt.pattern, documentedIDs), strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+adminToken)
		if _, _, err := f.Call(r, somebody, ownID); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("%s %s answered %v", rt.method, rt.pattern, err)
		}
	}
	if _, _, err := f.Call(httptest.NewRequest("GET", "/v1/models", nil), kinora.Actor{}, ownID); kinora.CodeOf(err) != kinora.ErrUnauthorized {
		t.Errorf("nobody got %v", err)
	}
	// Nothing that comes from outside can pretend to.
	if w := f.do("GET", "/v1/models", "", func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("X-Organisation", ownID) }); w.Code != 401 {
		t.Errorf("without a key it answered %d", w.Code)
	}
}

// People at a dashboard have places of their own: they and programs do not shut each other out.
func TestAsHasPlacesOfItsOwn(t *testing.T) {
	f := newFixture(t, withOrganisations, func(c *Config) { c.MaxInFlight = 4 })
	inside, release := make(chan struct{}), make(chan struct{})
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		inside <- struct{}{}
		<-release
		return &kinora.Accepted{Generation: &kinora.Generation{ID: taskOne, CreatedAt: testTime}}, nil
	}
	first := make(chan error, 1)
	go func() {
		_, err := f.call(ownID, "POST", submitPath, input(""))
		first <- err
	}()
	<-inside
	f.generations.store(&kinora.Generation{ID: jobOne, OrganisationID: ownID, State: kinora.GenerationQueued, CreatedAt: testTime})
	if _, err := f.call(ownID, "GET", createPath+"/"+jobOne, ""); kinora.CodeOf(err) != kinora.ErrUnavailable {
		t.Errorf("beyond the places of actors it answered %v", err)
	}
	if w := f.do("GET", createPath+"/"+jobOne, ""); w.Code != 200 {
		t.Errorf("a key answered %d meanwhile", w.Code)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
