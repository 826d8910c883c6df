package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
)

const replayOne = "rpl_01HF8Z3KQX2A6Y4N3R8M5W7V9P"

func (f fakeWebhooks) replay() *kinora.Replay {
	return &kinora.Replay{ID: replayOne, OrganisationID: ownID, State: kinora.ReplayRunning, Rate: 50, Total: -1, Revived: 7, Passed: 1, LeaseOwner: "node_1",
		Filter: kinora.ReplayFilter{Destination: "d", Since: testTime}, CreatedAt: testTime, UpdatedAt: testTime}
}

func (f fakeWebhooks) StartReplay(_ context.Context, q kinora.ReplayRequest) (*kinora.Replay, error) {
	f.replays = append(f.replays, q)
	return f.replay(), f.call("start")
}

func (f fakeWebhooks) Replay(_ context.Context, organisation, id string) (*kinora.ReplayProgress, error) {
	r := f.replay()
	r.Total = 9
	return &kinora.ReplayProgress{Replay: r, Outcomes: map[kinora.DeliveryState]int{"pending": 1, "held": 2, "delivered": 3, "dead": 4}}, f.call("replay %q %s", organisation, id)
}

func (f fakeWebhooks) Replays(_ context.Context, organisation string) ([]*kinora.Replay, error) {
	return []*kinora.Replay{f.replay()}, f.call("replays %q", organisation)
}

func (f fakeWebhooks) CancelReplay(_ context.Context, organisation, id string) (*kinora.Replay, error) {
	return f.replay(), f.call("cancel %q %s", organisation, id)
}

func (f fakeWebhooks) SendTrial(_ context.Context, q kinora.TrialRequest) (*kinora.Trial, error) {
	return f.trial(), f.call("trial %s %s %s%s", q.Organisation, q.Endpoint, q.URL, strings.TrimRight(" "+string(q.EventType)+" "+q.Sample, " "))
}

func (f fakeWebhooks) Trials(_ context.Context, organisation string) ([]*kinora.Trial, error) {
	return []*kinora.Trial{f.trial()}, f.call("trials %s", organisation)
}

func (f fakeWebhooks) trial() *kinora.Trial {
	return &kinora.Trial{ID: deliveryOne, OrganisationID: ownID, URL: "https://a.example/?token=hush", EventID: "evt_1", EventType: kinora.EventCompleted, Sample: "image", JobID: "task_TEST", Delivered: true,
		Attempt: kinora.LoggedAttempt{DeliveryAttempt: kinora.DeliveryAttempt{Number: 1, StartedAt: testTime, Status: 204}}}
}

const replayText = `{"id":"` + replayOne + `","organisation_id":"` + ownID + `","state":"running","endpoint_id":"","destination":"d","event_type":"","since":"2026-06-14T10:30:00Z","until":null,` +
	`"delivered":false,"rate":50,"total":null,"revived":7,"passed":1,"node":"node_1","created_at":"2026-06-14T10:30:00Z","updated_at":"2026-06-14T10:30:00Z","finished_at":null}`

func TestAdminReplays(t *testing.T) {
	const path = "/admin/v1/replays"
	f, a := adminFixture(t)
	status, answer := f.admin("POST", path, `{"organisation_id":"o","endpoint_id":"e","destination":"d","event_type":"t","since":"2026-06-14T10:30:00Z","until":"2026-06-14T11:30:00Z","delivered":true,"rate":9}`)
	want := []kinora.ReplayRequest{{Organisation: "o", Endpoint: "e", Destination: "d", EventType: "t", Since: testTime, Until: testTime.Add(time.Hour), Delivered: true, Rate: 9}}
	if diff := cmp.Diff(want, a.replays); status != 202 || answer != replayText || diff != "" {
		t.Errorf("answered %d %s\n%s", status, answer, diff)
	}
	if status, answer := f.admin("GET", path+"/"+replayOne, ""); status != 200 || !strings.Contains(answer, `"total":9`) || !strings.HasSuffix(answer, `"outcomes":{"on_the_way":3,"delivered":3,"dead":4}}`) {
		t.Errorf("answered %d %s", status, answer)
	}
	if status, answer := f.admin("GET", path+"?organisation_id=o", ""); status != 200 || answer != `{"replays":[`+replayText+`]}` {
		t.Errorf("answered %d %s", status, answer)
	}
	if status, answer := f.admin("POST", path+"/"+replayOne+"/cancel", ""); status != 200 || answer != replayText {
		t.Errorf("answered %d %s", status, answer)
	}
	calls := []string{"start", `replay "" ` + replayOne, `replays "o"`, `cancel "" ` + replayOne}
	for body, message := range map[string]string{
		`{}`: "organisation_id is required", `{"organisation_id":"o","rate":0}`: "rate must be", `{"organisation_id":"o","since":"x"}`: "cannot be read", `{"org":"o"}`: "org is not a known field",
	} {
		if status, answer := f.admin("POST", path, body); status != 400 || !strings.Contains(answer, message) {
			t.Errorf("%s: answered %d %s", body, status, answer)
		}
	}
	if status, _ := f.admin("GET", path+"/x", ""); status != 404 || !slices.Equal(a.calls, calls) {
		t.Errorf("answered %d; asked for %q", status, a.calls)
	}
}

func TestAdminTrials(t *testing.T) {
	f, a := adminFixture(t)
	status, answer := f.admin("POST", orgPath+"/webhook-test", `{"endpoint_id":"ep_1","url":"u","event_type":"generation.failed","sample":"timeout"}`)
	var v trialView
	if err := json.Unmarshal([]byte(answer), &v); err != nil || status != 200 || !v.Delivered || v.Attempt.Status != 204 || v.JobID != "task_TEST" || strings.Contains(answer, "hush") {
		t.Errorf("answered %d %s: %v", status, answer, err)
	}
	status, list := f.admin("GET", orgPath+"/webhook-test", "")
	if status != 200 || list != `{"tests":[`+answer+`]}` || !slices.Equal(a.calls, []string{"trial " + ownID + " ep_1 u generation.failed timeout", "trials " + ownID}) {
		t.Errorf("answered %d %s; asked for %q", status, list, a.calls)
	}
}
