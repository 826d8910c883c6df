package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

const actingAsOwn = "/admin/v1/organisations/" + ownID + "/as"

// brokenOrganisations cannot be read.
type brokenOrganisations struct{ err error }

func (b brokenOrganisations) Organisation(context.Context, string) (*kinora.Organisation, error) {
	return nil, b.err
}

// addActingExchanges are the requests that bring about the answers of what operators do for an organisation.
func addActingExchanges(add func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase) {
	add(200, "GET", actingAsOwn+"/api/v1/generations?limit=2", "")
	add(202, "POST", actingAsOwn+createPath, `{`+ofAsset+cleanPhoto+`}`, header("Idempotency-Key", "k")).before = func(f *fixture) {
		f.generations.accept = f.generations.make
	}
	add(200, "DELETE", actingAsOwn+"/v1/videos/"+videoOne, "")
	add(404, "GET", "/admin/v1/organisations/org_none/as/api/v1/generations", "")
	add(404, "GET", actingAsOwn+"/healthz", "")
}

// What an operator does for an organisation is checked and limited as what its keys do, and is the operator's in the audit log.
func TestOperatorsActForOrganisations(t *testing.T) {
	f := newFixture(t, withOrganisations)
	var actor kinora.Actor
	places := int64(-1)
	f.generations.accept = func(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
		actor, _ = kinora.ActorOf(ctx)
		places = f.operators.inside.Load()
		return &kinora.Accepted{Generation: &kinora.Generation{ID: taskOne, CreatedAt: testTime}}, nil
	}
	w := f.do("POST", actingAsOwn+submitPath, input(""), key(adminToken), header("Idempotency-Key", "k"), header("X-Request-Id", "r1"))
	is(t, w, 200, accepted)
	if got := w.Header().Get("X-Request-Id"); got != "r1" {
		t.Errorf("request id %q", got)
	}
	if actor != (kinora.Actor{Kind: kinora.ActorOperator, Address: "192.0.2.1"}) {
		t.Errorf("the change is %+v's", actor)
	}
	if places != 0 {
		t.Errorf("it held %d of the operators' places while the submit API worked", places)
	}
	sub := f.generations.only(t)
	if sub.OrganisationID != ownID || sub.IdempotencyKey != "k" || sub.IdempotencyScope != "POST "+submitPath {
		t.Errorf("submitted %+v", sub)
	}
	is(t, f.do("POST", actingAsOwn+submitPath, `{}`, key(adminToken)), 400, badRequest("model is required"))
	if w := f.do("GET", actingAsOwn+"/v1/models/org%2Fkling-v1", "", key(adminToken)); w.Code != 404 || !strings.Contains(w.Body.String(), "the model org/kling-v1 does not exist") {
		t.Errorf("an escaped slash: %d %s", w.Code, w.Body)
	}
}

// An operator who acts for one organisation sees nothing of another one's.
func TestActingReachesOneOrganisation(t *testing.T) {
	f := newFixture(t, withOrganisations)
	f.generations.store(&kinora.Generation{ID: jobOne, OrganisationID: otherID, State: kinora.GenerationQueued, CreatedAt: testTime})
	path := createPath + "/" + jobOne
	if w := f.do("GET", "/admin/v1/organisations/"+otherID+"/as"+path, "", key(adminToken)); w.Code != 200 {
		t.Fatalf("its own: %d %s", w.Code, w.Body)
	}
	foreign := f.do("GET", actingAsOwn+path, "", key(adminToken))
	unknown := f.do("GET", actingAsOwn+createPath+"/job_00000000000000000000000000", "", key(adminToken))
	if foreign.Code != 404 || foreign.Body.String() != unknown.Body.String() {
		t.Errorf("foreign: %d %s, unknown: %s", foreign.Code, foreign.Body, unknown.Body)
	}
	if w := f.do("GET", "/admin/v1/organisations/"+switchedOffID+"/as"+path, "", key(adminToken)); w.Code != 403 {
		t.Errorf("an organisation that is switched off: %d %s", w.Code, w.Body)
	}
	is(t, f.do("GET", "/admin/v1/organisations/org_none/as"+path, "", key(adminToken)), 404, `{"error":{"code":"not_found","message":"organisation not found"}}`)
	if w := f.do("GET", actingAsOwn+path, ""); w.Code != 401 {
		t.Errorf("with an organisation's key: %d", w.Code)
	}
}

// Every route that wants a key can be had, and no other one.
func TestActingReachesTheRoutesOfKeysAlone(t *testing.T) {
	f := newDocumented(t)
	var methods []string
	for _, rt := range f.actingRoutes() {
		methods = append(methods, rt.method)
	}
	none := func(err error) *fixture {
		return newDocumented(t, func(c *Config) { c.Organisations = brokenOrganisations{err} })
	}
	for _, rt := range f.routes {
		path := target(rt.pattern, documentedIDs)
		if rt.auth == keyed {
			if !slices.Contains(methods, rt.method) {
				t.Errorf("%s %s cannot be had: no method %s", rt.method, rt.pattern, rt.method)
			}
			if _, ok := actedURL(&url.URL{Path: actingAsOwn + path}); !ok {
				t.Errorf("%s %s cannot be had", rt.method, rt.pattern)
			}
			continue
		}
		if !slices.Contains(methods, rt.method) {
			continue
		}
		if w := f.do(rt.method, actingAsOwn+path, "{}", key(adminToken)); w.Code != 404 {
			t.Errorf("%s %s answered %d %s", rt.method, rt.pattern, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/dashboard", "/api", "/api/v1", "/api/v1/organisations"} {
		if w := f.do("GET", actingAsOwn+path, "", key(adminToken)); w.Code != 404 {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
	}
	if w := none(errors.New("x")).do("GET", actingAsOwn+createPath, "", key(adminToken)); w.Code != 500 {
		t.Errorf("without the database: %d", w.Code)
	}
}

func TestActingIsLimited(t *testing.T) {
	f := newFixture(t, withOrganisations, func(c *Config) { c.Limits.Submit = Limit{PerMinute: 60, Burst: 1} })
	submit := func(organisationID string) int {
		return f.do("POST", "/admin/v1/organisations/"+organisationID+"/as"+submitPath, input(""), key(adminToken)).Code
	}
	if first, second, another := submit(ownID), submit(ownID), submit(otherID); first != 200 || second != 429 || another != 200 {
		t.Errorf("answered %d, then %d, and %d for another organisation", first, second, another)
	}
	is(t, f.do("POST", submitPath, input("")), 200, accepted) // a key has its own
}
