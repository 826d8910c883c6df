package app_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// Playground and reviews over the real services, on both databases: a form that is sent twice makes one generation, what a workflow
// asks for is told at its field, a review is decided by the person who is signed in, both stand in the audit log, and nobody of
// another organisation sees or decides anything.
func TestDashboardMakesAndDecides(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte("name: shop\nextends: staging\nreview: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, func(c *config.Config) { c.WorkflowsDir = folder })
		organisation := a.Bootstrapped().Organisation.ID
		admin := newcomer(t, a, organisation, "admin@example.com", kinora.RoleAdmin)
		base := "/dashboard/o/" + organisation

		_, _, page := admin.get(base + "/playground?of=model:sandbox-image")
		form := []string{"of", "model:sandbox-image", "input.prompt", "a pier", "reference", "pier-1"}
		if once := onceField.FindStringSubmatch(page); once != nil {
			form = append(form, "once", once[1])
		}
		if status, _, body := admin.send(base+"/playground", append(form, "input.size", "odd")...); status != http.StatusUnprocessableEntity || !strings.Contains(body, `id="field-input-size-error"`) {
			t.Errorf("a size that there is not: %d\n%s", status, body)
		}
		for range 2 {
			if status, at, body := admin.send(base+"/playground", form...); status != http.StatusOK || !strings.HasPrefix(at, base+"/playground") {
				t.Fatalf("%d at %s\n%s", status, at, body)
			}
		}
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		made, err := c.Generations(t.Context(), client.GenerationFilter{Reference: "pier-1"}, "")
		if err != nil || len(made.Generations) != 1 {
			t.Fatalf("one form twice: %+v, %v", made, err)
		}

		held, err := c.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: "shop", CaptureType: "photo", Mode: "clean"}, "room.png", bytes.NewReader(photo(t, 800, 600)))
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the review is in the queue", func() bool {
			_, _, queue := admin.get(base + "/reviews")
			return strings.Contains(queue, held.JobID)
		})
		other, err := a.NewOrganisation(t.Context(), "Other")
		if err != nil {
			t.Fatal(err)
		}
		stranger := newcomer(t, a, other, "stranger@example.com", kinora.RoleOwner)
		_, _, own := stranger.get("/dashboard/o/" + other + "/reviews")
		if strings.Contains(own, held.JobID) {
			t.Error("another organisation's queue is shown")
		}
		for _, act := range []string{"/approve", "/reject"} {
			if status, _, _ := stranger.send("/dashboard/o/" + other + "/reviews/" + held.JobID + act); status != http.StatusNotFound {
				t.Errorf("a stranger's %s: %d", act, status)
			}
		}
		if status, at, body := admin.send(base+"/reviews/"+held.JobID+"/approve", "round", "1", "reason", "fine"); status != http.StatusOK || at != base+"/reviews" || !strings.Contains(body, "is approved") {
			t.Errorf("approved: %d at %s", status, at)
		}
		if _, _, body := admin.send(base+"/reviews/"+held.JobID+"/reject", "round", "1"); !strings.Contains(body, "admin@example.com has approved it") {
			t.Error("who comes too late is not told")
		}
		err = a.View(t.Context(), func(tx *store.Tx) error {
			for target, action := range map[string]kinora.AuditAction{held.JobID: kinora.AuditReviewApprove, made.Generations[0].JobID: kinora.AuditGenerationCreate} {
				list, _, err := tx.AuditEntries(kinora.AuditFilter{Target: target}, store.SearchPage{Limit: 10, Reach: 10_000})
				if err != nil || len(list) != 1 || list[0].Action != action || list[0].Actor.Name != "admin@example.com" {
					t.Errorf("the audit log of %s: %+v, %v", target, list, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
