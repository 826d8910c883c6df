package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

const (
	attemptOne   = taskOne + "_0"
	settingsPath = "/admin/v1/operator/config"
)

// documentedOperator knows attemptOne, and fails with err where that is set.
type documentedOperator struct{ err error }

func (o documentedOperator) attempt(id string) (*kinora.Attempt, error) {
	if o.err == nil && id != attemptOne {
		return nil, kinora.Errorf(kinora.ErrNotFound, "attempt not found")
	}
	return &kinora.Attempt{GenerationID: taskOne, OrganisationID: ownID, Model: "kling-v1", Lane: "kling", Provider: "kling", State: kinora.AttemptUnsettled, CallbackMode: kinora.CallbackNone,
		CallbackToken: "hush", CallbackHash: "hush", Handle: []byte(`"hush"`), CreatedAt: testTime.Add(-time.Minute), DeadlineAt: testTime.Add(time.Hour)}, o.err
}

func (o documentedOperator) TroubledAttempts(_ context.Context, q kinora.TroubleSearch) (*kinora.TroubledAttempts, error) {
	a, _ := o.attempt(attemptOne)
	if q.Trouble == "" {
		q.Trouble = kinora.TroubleUnsettled
	}
	return &kinora.TroubledAttempts{More: q.Limit == 1, List: []kinora.TroubledAttempt{
		{Attempt: *a, Troubles: []kinora.Trouble{q.Trouble}, Expected: time.Minute}, {Attempt: *a, Troubles: []kinora.Trouble{kinora.TroubleLate}}}}, o.err
}

func (o documentedOperator) LookNow(_ context.Context, id string) (*kinora.Attempt, error) {
	if id == generationTwo+"_0" {
		return nil, kinora.Errorf(kinora.ErrConflict, "the attempt has ended as failed")
	}
	return o.attempt(id)
}

func (o documentedOperator) GiveUp(ctx context.Context, id, _ string) (*kinora.Attempt, error) {
	return o.LookNow(ctx, id)
}

func (o documentedOperator) SettleByHand(ctx context.Context, id, upstreamID string) (*kinora.SettledByHand, error) {
	if upstreamID == "unknown" {
		return nil, kinora.Errorf(kinora.ErrInvalid, "the upstream does not know the job")
	}
	a, err := o.LookNow(ctx, id)
	if err != nil {
		return nil, err
	}
	return &kinora.SettledByHand{Attempt: *a, Watched: true}, nil
}

func (o documentedOperator) CancelAttempt(ctx context.Context, id string) (*kinora.Generation, error) {
	if _, err := o.LookNow(ctx, id); err != nil {
		return nil, err
	}
	return &kinora.Generation{ID: taskOne, OrganisationID: ownID, State: kinora.GenerationCancelled, CompletedAt: testTime}, nil
}

func (o documentedOperator) Health(ctx context.Context) (*kinora.Health, error) {
	accounts, _ := fakeAccounts{}.AccountHealth(ctx)
	return &kinora.Health{Node: "node_1", Accounts: accounts, Hour: kinora.UpstreamReport{Span: kinora.Span{From: testTime, To: testTime}, Attempts: 3, Upstreams: []kinora.UpstreamHealth{
		{Provider: "kling", Account: "main", Model: "kling-v1", Succeeded: 2, Failed: 1, Errors: map[string]int{"moderation": 1}, Submits: kinora.Percentiles{P50: time.Second, P95: 2 * time.Second, Of: 3}}}}}, o.err
}

func (o documentedOperator) Queues(context.Context) (*kinora.Queues, error) {
	return &kinora.Queues{Lanes: []kinora.LaneDepth{{Lane: "kling", State: kinora.AttemptQueued, Due: 1, Waiting: 2, OldestDue: testTime}}, HeldDeliveries: 4, Reviews: 1, OldestReview: testTime,
		Upkeep: []kinora.UpkeepDepth{{State: "retryable", Jobs: 1}}, Nodes: []kinora.Node{{ID: "node_1", StartedAt: testTime, BeatAt: testTime, InHand: 2, Answers: true}}}, o.err
}

func (o documentedOperator) Storage(context.Context) (*kinora.StorageUse, error) {
	return &kinora.StorageUse{Outputs: kinora.FilesKept{Files: 2, Bytes: 10}, Folder: "files", Free: -1, Database: "sqlite", DatabaseBytes: 4096, At: testTime}, o.err
}

func (documentedOperator) Settings() []kinora.Setting {
	return []kinora.Setting{{Key: "admin_token", Value: "set", Secret: true, Origin: kinora.OriginFile, Variable: "KINORA_ADMIN_TOKEN"}}
}

func (w documentedWebhooks) Destinations(context.Context, string, time.Duration) (*kinora.DestinationReport, error) {
	return &kinora.DestinationReport{Span: kinora.Span{From: testTime, To: testTime}, Node: "node_1", Deliveries: 2, Destinations: []kinora.DestinationHealth{{
		Destination: "https://a.example:443", Delivered: 1, Dead: 1, Answers: kinora.Percentiles{P50: time.Millisecond, P95: time.Millisecond, Of: 1}, Breaker: "open", Until: testTime,
		LastFailed: &kinora.DestinationFailure{DeliveryID: "dlv_1", At: testTime, Status: 500, Fault: kinora.FaultHTTP, Error: "status 500"}, Hours: []kinora.DestinationHour{{At: testTime, Delivered: 1, Failed: 1}}}}}, w.err
}

// addOperatorExchanges are the requests that bring about the answers of the operator's routes.
func addOperatorExchanges(add func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase) {
	const operator = "/admin/v1/operator"
	const attempts, one, ended, none = operator + "/attempts", operator + "/attempts/" + attemptOne, operator + "/attempts/" + generationTwo + "_0", operator + "/attempts/x"
	add(200, "GET", attempts, "")
	add(200, "GET", attempts+"?trouble=outcome_unknown&since=2026-06-14T10:30:00Z&limit=1", "")
	add(400, "GET", attempts+"?trouble=sad", "")
	for _, action := range []struct {
		path, body string
		status     int
	}{{"/look", "", 202}, {"/cancel", "", 200}, {"/give-up", `{"reason":"lost"}`, 200}, {"/settle", `{"upstream_id":"up_1"}`, 200}} {
		add(action.status, "POST", one+action.path, action.body)
		add(409, "POST", ended+action.path, action.body)
		add(404, "POST", none+action.path, action.body)
	}
	add(400, "POST", one+"/give-up", `{"reason":"`+strings.Repeat("x", maxReason+1)+`"}`)
	add(413, "POST", one+"/give-up", `{"reason":"`+strings.Repeat("x", 1<<20)+`"}`)
	add(400, "POST", one+"/settle", `{"upstream_id":"unknown"}`)
	add(413, "POST", one+"/settle", `{"upstream_id":"`+strings.Repeat("x", 1<<20)+`"}`)
	for _, path := range []string{"/health", "/queues", "/storage", "/config"} {
		add(200, "GET", operator+path, "")
	}
	const own = "/admin/v1/organisations/"
	add(200, "GET", own+ownID+"/destinations?hours=72", "")
	add(400, "GET", own+ownID+"/destinations?hours=73", "")
	add(404, "GET", own+otherID+"/destinations", "")
}

// What operators are shown has no field for a callback's token or what finds a job again.
func TestOperatorsAreShownNoSecrets(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Operator = documentedOperator{} })
	for _, path := range []string{"/admin/v1/operator/attempts", "/admin/v1/operator/config", "/admin/v1/operator/health"} {
		status, answer := f.admin("GET", path, "")
		if status != 200 || strings.Contains(answer, "hush") {
			t.Errorf("%s: %d %s", path, status, answer)
		}
		if w := f.do("GET", path, "", key(testKey)); w.Code != 401 {
			t.Errorf("%s with an organisation's key: %d", path, w.Code)
		}
	}
	_, answer := f.admin("GET", "/admin/v1/operator/attempts", "")
	if !strings.Contains(answer, `"age_seconds":60`) || !strings.Contains(answer, `"expected_seconds":60`) || !strings.Contains(answer, `"expected_seconds":null`) {
		t.Error(answer)
	}
	if _, answer = f.admin("GET", "/admin/v1/operator/storage", ""); !strings.Contains(answer, `"free_bytes":null`) {
		t.Error(answer)
	}
}
