package server

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

const (
	endpointOne   = "ep_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	endpointsPath = orgPath + "/endpoints"
	endpointText  = `"id":"ep_01HF8Z3KQX2A6Y4N3R8M5W7V9P","organisation_id":"org_00000000000000000000000001","name":"ledger","default":false,"url":"https://a.example/hook",` +
		`"description":"books it","event_types":["generation.failed"],"headers":{"Authorization":"[hidden]"},"rate_per_second":5,"enabled":false,` +
		`"disabled_at":"2026-06-14T11:30:00Z","disabled_reason":"gone","failing_since":"2026-06-14T10:30:00Z","failures":3,"missed_since":"2026-06-14T10:30:00Z","replaying":false,` +
		`"created_at":"2026-06-14T10:30:00Z","updated_at":"2026-06-14T10:30:00Z"`
	presetText = `"id":"ep_00000000000000000000000001","organisation_id":"org_00000000000000000000000001","name":"default","default":true,"url":"https://d.example",` +
		`"description":"","event_types":[],"headers":{},"rate_per_second":0,"enabled":true,"disabled_at":null,"disabled_reason":null,"failing_since":null,"failures":0,` +
		`"missed_since":null,"replaying":true,"created_at":"2026-06-14T10:30:00Z","updated_at":"2026-06-14T10:30:00Z"`
)

func (f *fakeAdmin) endpoint() *kinora.Endpoint {
	return &kinora.Endpoint{ID: endpointOne, OrganisationID: ownID, Name: "ledger", URL: "https://a.example/hook", Description: "books it",
		EventTypes: []kinora.EventType{kinora.EventFailed}, HeaderNames: []string{"Authorization"}, SealedHeaders: "hush", Rate: 5,
		CreatedAt: testTime, UpdatedAt: testTime, EndpointHealth: kinora.EndpointHealth{FailingSince: testTime, Failures: 3,
			DisabledAt: testTime.Add(time.Hour), Reason: kinora.DisabledGone, MissedSince: testTime}}
}

func (f *fakeAdmin) Endpoints(_ context.Context, org string) ([]*kinora.Endpoint, error) {
	preset := &kinora.Endpoint{ID: kinora.DefaultEndpointID(ownID), OrganisationID: ownID, Name: kinora.DefaultEndpointName, URL: "https://d.example",
		CreatedAt: testTime, UpdatedAt: testTime, EndpointHealth: kinora.EndpointHealth{ReplayFrom: testTime, ReplayUntil: testTime}}
	return []*kinora.Endpoint{preset, f.endpoint()}, f.call("endpoints %s", org)
}

func (f *fakeAdmin) Endpoint(_ context.Context, org, endpoint string) (*kinora.Endpoint, error) {
	return f.endpoint(), f.call("endpoint %s %s", org, endpoint)
}

func describedEndpoint(c kinora.EndpointChange) string {
	b, _ := json.Marshal(c)
	return string(b)
}

func (f *fakeAdmin) CreateEndpoint(_ context.Context, org string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	return f.endpoint(), f.call("create endpoint %s %s", org, describedEndpoint(c))
}

func (f *fakeAdmin) UpdateEndpoint(_ context.Context, org, endpoint string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	return f.endpoint(), f.call("update endpoint %s %s %s", org, endpoint, describedEndpoint(c))
}

func (f *fakeAdmin) DeleteEndpoint(_ context.Context, org, endpoint string) error {
	return f.call("delete endpoint %s %s", org, endpoint)
}

func TestAdminEndpoints(t *testing.T) {
	const one = endpointsPath + "/" + endpointOne
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		answer             string
		calls              []string
	}{
		"list": {"GET", endpointsPath, "", 200, `{"endpoints":[{` + presetText + `},{` + endpointText + `}],"truncated":false}`, []string{"endpoints " + ownID}},
		"create": {"POST", endpointsPath, `{"name":"ledger","url":"https://a.example/hook","event_types":["generation.failed"],"headers":{"Authorization":"x"},"rate_per_second":5}`, 201, `{` + endpointText + `}`,
			[]string{"create endpoint " + ownID + ` {"name":"ledger","url":"https://a.example/hook","description":null,"event_types":["generation.failed"],"headers":{"Authorization":"x"},"rate_per_second":5,"enabled":null,"replay_missed":false}`}},
		"get": {"GET", one, "", 200, `{` + endpointText + `}`, []string{"endpoint " + ownID + " " + endpointOne}},
		"patch": {"PATCH", one, `{"enabled":true,"replay_missed":true,"headers":{"X-Old":null}}`, 200, `{` + endpointText + `}`,
			[]string{"update endpoint " + ownID + " " + endpointOne + ` {"name":null,"url":null,"description":null,"event_types":null,"headers":{"X-Old":null},"rate_per_second":null,"enabled":true,"replay_missed":true}`}},
		"delete":        {"DELETE", one, "", 204, "", []string{"delete endpoint " + ownID + " " + endpointOne}},
		"empty patch":   {"PATCH", one, `{}`, 400, `{"error":{"code":"invalid","message":"the body sets nothing; give name, url, description, event_types, headers, rate_per_second, enabled or replay_missed"}}`, nil},
		"unknown field": {"PATCH", one, `{"disabled":true}`, 400, `{"error":{"code":"invalid","message":"disabled is not a known field"}}`, nil},
		"wrong type":    {"POST", endpointsPath, `{"headers":{"A":1}}`, 400, `{"error":{"code":"invalid","message":"headers must not be a JSON number"}}`, nil},
	} {
		f, a := adminFixture(t)
		status, answer := f.admin(tc.method, tc.path, tc.body)
		if status != tc.status || answer != tc.answer {
			t.Errorf("%s: answered %d\n%s\nwant %d\n%s", name, status, answer, tc.status, tc.answer)
		}
		if !slices.Equal(a.calls, tc.calls) {
			t.Errorf("%s: asked for %q, want %q", name, a.calls, tc.calls)
		}
	}
}
