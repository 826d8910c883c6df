package tenancy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// Each change by an actor is in the audit log once, what changes nothing is not, and no secret is.
func TestChangesAreAudited(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		ctx := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Name: "ada@example.com"})
		must := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		n.organisation(t, "made by nobody")
		org, secret, err := n.CreateOrganisation(ctx, OrganisationChange{Name: ptr("acme")})
		must(nil, err)
		must(n.UpdateOrganisation(ctx, org.ID, OrganisationChange{Name: ptr("Acme"), DefaultWebhook: ptr("https://a.example/in?token=hidden"), Allowance: &kinora.AllowanceChange{JobsInFlight: ptr(7)}}))
		must(n.UpdateOrganisation(ctx, org.ID, OrganisationChange{Name: ptr("Acme")}))
		key, text, err := n.CreateKey(ctx, org.ID, "ci", KeySK, time.Time{})
		must(nil, err)
		imported := "kat_live_abc.hidden-hidden-hidden"
		must(n.ImportKey(ctx, org.ID, "old", imported, time.Time{}))
		_, next, err := n.RotateKey(ctx, org.ID, key.ID, time.Hour)
		must(nil, err)
		must(nil, n.RevokeKey(ctx, org.ID, key.ID))
		must(nil, n.RevokeKey(ctx, org.ID, key.ID))
		rotated, err := n.RotateWebhookSecret(ctx, org.ID, time.Hour)
		must(nil, err)
		must(n.ImportWebhookSecret(ctx, org.ID, "hidden-hidden-hidden", 0))
		change := endpointChange("crm", "https://b.example/x?token=hidden")
		change.Headers = map[string]*string{"Authorization": ptr("Bearer hidden")}
		e, err := n.CreateEndpoint(ctx, org.ID, change)
		must(nil, err)
		must(n.UpdateEndpoint(ctx, org.ID, e.ID, kinora.EndpointChange{Rate: ptr(5), Enabled: ptr(false)}))
		must(n.UpdateEndpoint(ctx, org.ID, e.ID, kinora.EndpointChange{Enabled: ptr(false)}))
		must(n.UpdateEndpoint(ctx, org.ID, e.ID, kinora.EndpointChange{Enabled: ptr(true), ReplayMissed: true}))
		must(nil, n.DeleteEndpoint(ctx, org.ID, e.ID))
		if err := n.DeleteEndpoint(ctx, org.ID, e.ID); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Error(err)
		}

		var list []kinora.AuditEntry
		must(nil, db.View(context.Background(), func(tx *store.Tx) (err error) {
			list, _, err = tx.AuditEntries(kinora.AuditFilter{}, store.SearchPage{Limit: 100, Reach: 10_000})
			return err
		}))
		got := map[kinora.AuditAction]int{}
		for _, e := range list {
			got[e.Action]++
			if e.OrganisationID != org.ID || e.Actor.ID != "per_1" {
				t.Errorf("%+v", e)
			}
			for _, hidden := range []string{"hidden", text, next, secret.Text, rotated.Text} {
				if strings.Contains(string(e.Detail), hidden) {
					t.Errorf("%s tells a secret: %s", e.Action, e.Detail)
				}
			}
		}
		want := map[kinora.AuditAction]int{
			kinora.AuditOrganisationCreate: 1, kinora.AuditOrganisationUpdate: 1, kinora.AuditKeyCreate: 1, kinora.AuditKeyImport: 1, kinora.AuditKeyRevoke: 1, kinora.AuditKeyRotate: 1,
			kinora.AuditSecretRotate: 1, kinora.AuditSecretImport: 1, kinora.AuditEndpointCreate: 1, kinora.AuditEndpointUpdate: 1, kinora.AuditEndpointDisable: 1,
			kinora.AuditEndpointEnable: 1, kinora.AuditEndpointDelete: 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for _, e := range list {
			if e.Action != kinora.AuditOrganisationUpdate {
				continue
			}
			var detail map[string]any
			must(nil, json.Unmarshal(e.Detail, &detail))
			if detail["name"] != "Acme" || detail["old_name"] != "acme" || detail["default_webhook"] != kinora.AuditURL("https://a.example/in?token=hidden") || detail["webhook_hosts"] != nil {
				t.Errorf("%s", e.Detail)
			}
		}
	})
}
