package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/webhook"
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
}

// documentedWebhooks knows one of everything, as documentedAdmin does.
type documentedWebhooks struct{ documentedAdmin }

func (w documentedWebhooks) Search(context.Context, webhook.Search, string, int) ([]*kinora.Delivery, string, error) {
	return []*kinora.Delivery{w.delivery()}, w.delivery().ID, w.err
}

func (w documentedWebhooks) Log(_ context.Context, _, id string) (*kinora.Delivery, []webhook.Logged, error) {
	a := webhook.Logged{RequestBody: "{}", RequestHeaders: []webhook.HeaderLine{{Name: "host", Value: "a.example"}}, DeliveryAttempt: kinora.DeliveryAttempt{
		Number: 1, StartedAt: testTime, Status: 500, Fault: kinora.FaultHTTP, ResponseHead: "content-type: text/plain\n", Sent: kinora.SentRequest{UserAgent: "Kinora/1", BodyBytes: 2}}}
	return w.delivery(), []webhook.Logged{a}, w.known(id, documentedIDs["delivery_id"])
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
