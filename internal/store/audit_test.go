package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func auditEntries(t *testing.T, db *store.DB, f kinora.AuditFilter, before string, limit int) []kinora.AuditEntry {
	t.Helper()
	var list []kinora.AuditEntry
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		list, _, err = tx.AuditEntries(f, store.SearchPage{Before: before, Limit: limit, Reach: 10_000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAuditTellsTheActorOfTheContext(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		update(t, db, func(tx *store.Tx) error { return tx.Audit(kinora.AuditKeyCreate, "org_1", "key_1", nil) })
		if list := auditEntries(t, db, kinora.AuditFilter{}, "", 10); len(list) != 0 {
			t.Fatalf("without an actor: %+v", list)
		}
		before := time.Now().Truncate(time.Microsecond)
		ada := kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Name: "ada@example.com", Address: "192.0.2.7"}
		err := db.Update(kinora.WithActor(t.Context(), ada), func(tx *store.Tx) error {
			return tx.Audit(kinora.AuditKeyCreate, "org_1", "key_1", map[string]any{"name": "ci"})
		})
		if err != nil {
			t.Fatal(err)
		}
		list := auditEntries(t, db, kinora.AuditFilter{}, "", 10)
		if len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		e := list[0]
		if e.Actor != ada || e.Action != kinora.AuditKeyCreate || e.OrganisationID != "org_1" || e.Target != "key_1" || string(e.Detail) != `{"name":"ci"}` ||
			e.CreatedAt.Before(before) || e.CreatedAt.After(time.Now()) {
			t.Errorf("%+v %s", e, e.Detail)
		}
	})
}

// Writes that share a commit must not share their actors, and an entry goes when its change does.
func TestAuditStandsOrFallsWithItsChange(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		wrong := errors.New("wrong")
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				who := kinora.Actor{Kind: kinora.ActorPerson, ID: fmt.Sprint("per_", i)}
				err := db.Update(kinora.WithActor(t.Context(), who), func(tx *store.Tx) error {
					if err := tx.Audit(kinora.AuditKeyRevoke, "org_1", fmt.Sprint("key_", i), nil); err != nil {
						return err
					}
					if i%2 == 1 {
						return wrong
					}
					return nil
				})
				if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, wrong) {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		wg.Wait()
		list := auditEntries(t, db, kinora.AuditFilter{}, "", 100)
		if len(list) != 20 {
			t.Errorf("%d entries, want 20", len(list))
		}
		for _, e := range list {
			if e.Actor.ID[len("per_"):] != e.Target[len("key_"):] {
				t.Errorf("%s is said to have ended %s", e.Actor.ID, e.Target)
			}
		}
	})
}

func TestAuditFilters(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ada, system := kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1"}, kinora.Actor{Kind: kinora.ActorSystem}
		for i := range 6 {
			update(t, db, func(tx *store.Tx) error {
				if err := tx.AuditBy(ada, kinora.AuditKeyCreate, "org_1", fmt.Sprint("key_", i), nil); err != nil {
					return err
				}
				if err := tx.AuditBy(system, kinora.AuditEndpointDisable, "org_2", "ep_1", nil); err != nil {
					return err
				}
				return tx.AuditBy(ada, kinora.AuditKeyRevoke, "", fmt.Sprint("key_", i), nil)
			})
		}
		all := auditEntries(t, db, kinora.AuditFilter{}, "", 100)
		for i, e := range all { // the newest first, also within a transaction
			if want := []kinora.AuditAction{kinora.AuditKeyRevoke, kinora.AuditEndpointDisable, kinora.AuditKeyCreate}[i%3]; e.Action != want {
				t.Errorf("entry %d is %s, want %s", i, e.Action, want)
			}
		}
		for what, tt := range map[string]struct {
			filter kinora.AuditFilter
			want   int
		}{
			"all":          {kinora.AuditFilter{}, 18},
			"organisation": {kinora.AuditFilter{OrganisationID: "org_1"}, 6},
			"actor":        {kinora.AuditFilter{ActorID: "per_1"}, 12},
			"kind":         {kinora.AuditFilter{ActorKind: kinora.ActorSystem}, 6},
			"actor's kind": {kinora.AuditFilter{ActorID: "per_1", ActorKind: kinora.ActorOperator}, 0},
			"action":       {kinora.AuditFilter{Action: "key.revoke"}, 6},
			"noun":         {kinora.AuditFilter{Action: "key."}, 12},
			"half a noun":  {kinora.AuditFilter{Action: "ke."}, 0},
			"target":       {kinora.AuditFilter{Target: "key_3"}, 2},
			"both":         {kinora.AuditFilter{Target: "key_3", OrganisationID: "org_1"}, 1},
			"later":        {kinora.AuditFilter{Since: time.Now().Add(time.Hour)}, 0},
			"earlier":      {kinora.AuditFilter{Until: all[len(all)-1].CreatedAt.Add(-time.Hour)}, 0},
			"since":        {kinora.AuditFilter{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)}, 18},
		} {
			if got := len(auditEntries(t, db, tt.filter, "", 100)); got != tt.want {
				t.Errorf("%s: %d entries, want %d", what, got, tt.want)
			}
		}
		var paged []string
		for before := ""; ; {
			page := auditEntries(t, db, kinora.AuditFilter{}, before, 4)
			for _, e := range page {
				paged, before = append(paged, e.ID), e.ID
			}
			if len(page) < 4 {
				break
			}
		}
		for i, e := range all {
			if i >= len(paged) || paged[i] != e.ID || i > 0 && all[i-1].ID <= e.ID {
				t.Fatalf("page by page %v, at once %v", paged, all)
			}
		}
		update(t, db, func(tx *store.Tx) error {
			n, err := tx.TrimAudit(time.Now().Add(-time.Minute), 100)
			if n != 0 {
				t.Errorf("%d young entries are gone", n)
			}
			return err
		})
		update(t, db, func(tx *store.Tx) error {
			n, err := tx.TrimAudit(time.Now().Add(time.Minute), 10)
			if n != 10 {
				t.Errorf("%d entries are gone, want 10", n)
			}
			return err
		})
	})
}
