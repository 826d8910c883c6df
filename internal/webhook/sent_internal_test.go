package webhook

import (
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
)

// Of an endpoint's own headers the names are kept and shown, the values neither.
func TestSentRequestKeepsNamesOfOwnHeaders(t *testing.T) {
	secrets := []kinora.WebhookSecret{{Text: "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="}, {Text: "an-imported-secret"}}
	header, err := signature{delivery: "dlv_1", event: "evt_1", eventType: kinora.EventFailed, attempt: 1, at: time.Unix(1790000000, 0), secrets: secrets, userAgent: "Kinora/1"}.headers([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if sent := sentRequest(header, secrets, Notice{}, []byte("{}")); sent.Custom != nil || sent.Secrets != 2 || sent.Standard != 1 {
		t.Errorf("%+v", sent)
	}
	header.Set("x-tenant", "hush")
	header.Set("authorization", "hush")
	sent := sentRequest(header, secrets, Notice{}, []byte("{}"))
	if !slices.Equal(sent.Custom, []string{"authorization", "x-tenant"}) {
		t.Errorf("%+v", sent)
	}
	lines := SentHeaders(&kinora.Delivery{ID: "dlv_1", EventID: "evt_1", EventType: kinora.EventFailed, URL: "https://a.example/"},
		&kinora.DeliveryAttempt{Number: 1, StartedAt: time.Unix(1790000000, 0), Sent: sent})
	if want := (HeaderLine{Name: "x-tenant", Value: masked}); !slices.Contains(lines, want) || !slices.Contains(lines, HeaderLine{Name: webhook.HeaderID, Value: "evt_1"}) {
		t.Errorf("%+v", lines)
	}
}
