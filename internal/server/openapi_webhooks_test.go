package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// The requests that bring about every answer that the document tells of deliveries.
func addWebhookExchanges(add func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase) {
	const deliveries = "/admin/v1/deliveries"
	one, other := deliveries+"/"+documentedIDs["delivery_id"], deliveries+"/dlv_00000000000000000000000000"
	add(200, "GET", deliveries+"?organisation_id="+ownID+"&state=dead&status=5xx&since=2026-06-14T10:30:00Z&limit=1", "")
	add(200, "GET", deliveries, "")
	add(400, "GET", deliveries+"?state=lost", "")
	add(200, "GET", one, "")
	add(404, "GET", other, "")
	for _, again := range []string{"/redeliver", "/revive"} {
		add(202, "POST", one+again, "")
		add(404, "POST", deliveries+"/x"+again, "")
		add(409, "POST", other+again, "")
	}
	const replays = "/admin/v1/replays"
	large := `{"url":"` + strings.Repeat("x", 1<<20) + `"}`
	replay, unknown := replays+"/"+documentedIDs["replay_id"], replays+"/rpl_00000000000000000000000000"
	add(200, "GET", replays+"?organisation_id="+ownID, "")
	add(400, "GET", replays+"?organisation=x", "")
	add(202, "POST", replays, `{"organisation_id":"`+ownID+`","since":"2026-06-14T00:00:00Z","rate":100}`)
	add(400, "POST", replays, `{"rate":0}`)
	add(404, "POST", replays, `{"organisation_id":"`+otherID+`"}`)
	add(409, "POST", replays, `{"organisation_id":"`+ownID+`","endpoint_id":"ep_busy"}`)
	add(413, "POST", replays, large)
	add(200, "GET", replay, "")
	add(404, "GET", unknown, "")
	add(200, "POST", replay+"/cancel", "")
	add(404, "POST", replays+"/x/cancel", "")
	add(409, "POST", unknown+"/cancel", "")
	own, gone := "/admin/v1/organisations/"+ownID+"/webhook-test", "/admin/v1/organisations/"+otherID+"/webhook-test"
	add(200, "GET", own, "")
	add(404, "GET", gone, "")
	add(200, "POST", own, `{"url":"https://hooks.studio.example/"}`)
	add(400, "POST", own, `{"to":"x"}`)
	add(404, "POST", gone, `{}`)
	add(413, "POST", own, large)
	add(429, "POST", own, `{"url":"again"}`)
}

// documentedWebhooks knows one of everything, as documentedAdmin does.
type documentedWebhooks struct{ documentedAdmin }

func (w documentedWebhooks) Search(context.Context, kinora.DeliverySearch, string, int) ([]*kinora.Delivery, string, error) {
	return []*kinora.Delivery{w.delivery()}, w.delivery().ID, w.err
}

func (w documentedWebhooks) Log(_ context.Context, _, id string) (*kinora.Delivery, []kinora.LoggedAttempt, error) {
	a := kinora.LoggedAttempt{RequestBody: "{}", RequestHeaders: []kinora.HeaderLine{{Name: "host", Value: "a.example"}}, DeliveryAttempt: kinora.DeliveryAttempt{
		Number: 1, StartedAt: testTime, Status: 500, Fault: kinora.FaultHTTP, ResponseHead: "content-type: text/plain\n", Sent: kinora.SentRequest{UserAgent: "Kinora/1", BodyBytes: 2}}}
	return w.delivery(), []kinora.LoggedAttempt{a}, w.known(id, documentedIDs["delivery_id"])
}

func (w documentedWebhooks) Redeliver(_ context.Context, _, id string) (*kinora.Delivery, error) {
	if id != documentedIDs["delivery_id"] && w.err == nil {
		return nil, kinora.Errorf(kinora.ErrConflict, "the delivery has not ended yet")
	}
	return w.delivery(), w.err
}

func (w documentedWebhooks) Revive(ctx context.Context, organisation, id string) (*kinora.Delivery, error) {
	return w.Redeliver(ctx, organisation, id)
}

func (w documentedWebhooks) replay() *kinora.Replay {
	return &kinora.Replay{ID: documentedIDs["replay_id"], OrganisationID: ownID, State: kinora.ReplayRunning, Rate: 50, Total: -1, CreatedAt: testTime, UpdatedAt: testTime}
}

func (w documentedWebhooks) StartReplay(_ context.Context, q kinora.ReplayRequest) (*kinora.Replay, error) {
	if q.Endpoint == "ep_busy" {
		return nil, kinora.Errorf(kinora.ErrConflict, "too many replays")
	}
	return w.replay(), w.known(q.Organisation, ownID)
}

func (w documentedWebhooks) Replay(_ context.Context, _, id string) (*kinora.ReplayProgress, error) {
	r := w.replay()
	r.Total, r.State, r.FinishedAt = 3, kinora.ReplayFinished, testTime
	return &kinora.ReplayProgress{Replay: r}, w.known(id, documentedIDs["replay_id"])
}

func (w documentedWebhooks) Replays(context.Context, string) ([]*kinora.Replay, error) {
	return []*kinora.Replay{w.replay()}, w.err
}

func (w documentedWebhooks) CancelReplay(_ context.Context, _, id string) (*kinora.Replay, error) {
	if id != documentedIDs["replay_id"] && w.err == nil {
		return nil, kinora.Errorf(kinora.ErrConflict, "the replay has ended already")
	}
	return w.replay(), w.err
}

func (w documentedWebhooks) trial() *kinora.Trial {
	return &kinora.Trial{ID: documentedIDs["delivery_id"], OrganisationID: ownID, URL: "https://hooks.studio.example/", EventID: "evt_1", EventType: kinora.EventCompleted, Sample: "image", JobID: "task_TEST",
		Attempt: kinora.LoggedAttempt{DeliveryAttempt: kinora.DeliveryAttempt{Number: 1, StartedAt: testTime, Status: 200, Sent: kinora.SentRequest{UserAgent: "Kinora/1"}}, RequestHeaders: []kinora.HeaderLine{}}}
}

func (w documentedWebhooks) SendTrial(_ context.Context, q kinora.TrialRequest) (*kinora.Trial, error) {
	if q.URL == "again" {
		return nil, &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many test events", RetryAfter: time.Second}
	}
	return w.trial(), w.known(q.Organisation, ownID)
}

func (w documentedWebhooks) Trials(_ context.Context, id string) ([]*kinora.Trial, error) {
	return []*kinora.Trial{w.trial()}, w.known(id, ownID)
}
