package webhook_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

func (w *world) audited(f kinora.AuditFilter) (list []kinora.AuditEntry) {
	w.t.Helper()
	err := w.db.View(context.Background(), func(tx *store.Tx) (err error) {
		list, _, err = tx.AuditEntries(f, store.SearchPage{Limit: 100, Reach: 10_000})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// What a person does by hand is in the audit log, and what the server does on its own in its own name.
func TestWhatIsDoneByHandIsAudited(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(410))
		org := w.organisation("org_1", "")
		e := w.endpoint(org, rcv.url()+"/in?token=hidden")
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond) })
		delivery := w.event(org)
		d.Nudge(org)
		w.disabled(t, e.ID)
		w.until(t, delivery.ID, kinora.DeliveryDead)
		own := w.audited(kinora.AuditFilter{})
		if len(own) != 1 || own[0].Actor != (kinora.Actor{Kind: kinora.ActorSystem}) || own[0].Action != kinora.AuditEndpointDisable || own[0].OrganisationID != org || own[0].Target != e.ID ||
			!strings.Contains(string(own[0].Detail), `"reason":"gone"`) {
			t.Errorf("%+v", own)
		}

		ctx := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1"})
		if _, err := d.Redeliver(t.Context(), org, delivery.ID); err != nil { // by a program
			t.Fatal(err)
		}
		w.until(t, delivery.ID, kinora.DeliveryDead)
		if _, err := d.Revive(ctx, org, delivery.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := d.SendTrial(ctx, kinora.TrialRequest{Organisation: org, Endpoint: e.ID}); err != nil {
			t.Fatal(err)
		}
		r, err := d.StartReplay(ctx, kinora.ReplayRequest{Organisation: org, Destination: rcv.url(), Rate: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.CancelReplay(ctx, org, r.ID); err != nil && kinora.CodeOf(err) != kinora.ErrConflict { // it may have ended
			t.Fatal(err)
		}
		got := map[kinora.AuditAction]string{}
		for _, entry := range w.audited(kinora.AuditFilter{ActorID: "per_1"}) {
			got[entry.Action] = entry.Target
			if entry.OrganisationID != org || strings.Contains(string(entry.Detail), "hidden") {
				t.Errorf("%+v %s", entry, entry.Detail)
			}
		}
		if got[kinora.AuditDeliveryRedeliver] != delivery.ID || got[kinora.AuditEndpointTest] != e.ID || got[kinora.AuditReplayStart] != r.ID {
			t.Errorf("%v", got)
		}
	})
}
