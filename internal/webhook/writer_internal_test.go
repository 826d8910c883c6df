package webhook

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// Nothing that came from outside is left of a result that the database refuses, and nothing that decides what follows
// is lost.
func TestAResultWithoutTexts(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := &kinora.DeliveryAttempt{DeliveryID: "dlv_1", Number: 2, StartedAt: now, Duration: 1, Status: 500, Fault: kinora.FaultHTTP, Error: "a", Address: "b",
		DNS: 2, Connect: 3, TLS: 4, FirstByte: 5, Sent: kinora.SentRequest{Host: "c", UserAgent: "d", Custom: []string{"e"}}, ResponseHead: "f", Response: "g", NextAt: now}
	d := &kinora.Delivery{ID: "dlv_1", LastStatus: 500, LastError: "h", DueAt: now}
	r := result{DeliveryResult: store.DeliveryResult{Delivery: d, Attempt: a}}
	r.withoutTexts()
	want := &kinora.DeliveryAttempt{DeliveryID: "dlv_1", Number: 2, StartedAt: now, Duration: 1, Status: 500, Fault: kinora.FaultHTTP,
		DNS: 2, Connect: 3, TLS: 4, FirstByte: 5, NextAt: now}
	if diff := cmp.Diff(want, r.Attempt); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&kinora.Delivery{ID: "dlv_1", LastStatus: 500, DueAt: now}, r.Delivery); diff != "" {
		t.Error(diff)
	}
	if a.Error != "a" || d.LastError != "h" {
		t.Error("the originals were changed, which others read")
	}
}
