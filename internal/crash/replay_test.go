package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

var (
	replayed    = flag.Int("replayed", 600, "how many dead deliveries are replayed, on each database")
	replayKills = flag.Int("replay-kills", 4, "how often the program is killed meanwhile")
)

// TestReplaySurvivesKills replays dead deliveries with a program that is killed again and
// again. Every one is revived once, and arrives.
func TestReplaySurvivesKills(t *testing.T) {
	t.Parallel()
	bin := program(t)
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			dsn := ""
			if database == "postgres" {
				dsn = storetest.PostgresDSN(t)
			}
			replayCampaign(t, bin, dsn)
		})
	}
}

// replayView is the part of the admin API's replay that is looked at.
type replayView struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Total   int    `json:"total"`
	Revived int    `json:"revived"`
	Passed  int    `json:"passed"`
}

func replayCampaign(t *testing.T, bin, dsn string) {
	w := newWorld(t, bin, dsn)
	p := w.start(t) // makes the schema and the organisation
	stop(t, p)
	organisation := w.seedDead(t, dsn, *replayed)

	p = w.start(t)
	var r replayView
	// The rate leaves time for the kills, each of which costs a start.
	body := fmt.Sprintf(`{"organisation_id":%q,"rate":%d}`, organisation, max(min(*replayed/5, kinora.MaxReplayRate), 1))
	if err := w.Admin(context.Background(), http.MethodPost, "/admin/v1/replays", body, &r); err != nil {
		t.Fatal(err)
	}
	midway := 0
	for range *replayKills {
		time.Sleep(time.Duration(rand.IntN(900)) * time.Millisecond)
		kill(t, p)
		p = w.start(t)
		if w.look(t, &r); r.State == "running" && r.Revived > 0 {
			midway++
		}
	}
	for end := time.Now().Add(3 * time.Minute); r.State == "running"; w.look(t, &r) {
		if time.Now().After(end) {
			t.Fatalf("the replay does not end: %+v", r)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if r.State != "finished" || r.Total != *replayed || r.Revived != *replayed || r.Passed != 0 {
		t.Errorf("%+v", r)
	}
	w.awaitDelivered(t, p, dsn)
	told := w.told()
	if len(told) != *replayed {
		t.Errorf("%d of %d events arrived", len(told), *replayed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for job, ids := range w.events {
		if len(ids) != 1 {
			t.Errorf("%s came under %d webhook-ids", job, len(ids))
		}
	}
	t.Logf("killed %d times, %d of them in the middle; %d revived and delivered", *replayKills, midway, r.Revived)
}

func (w *world) look(t *testing.T, r *replayView) {
	t.Helper()
	if err := w.Admin(context.Background(), http.MethodGet, "/admin/v1/replays/"+r.ID, "", r); err != nil {
		t.Fatal(err)
	}
}

func (w *world) open(t *testing.T, dsn string) *store.DB {
	t.Helper()
	if dsn == "" {
		dsn = filepath.Join(w.dir, "kinora.db")
	}
	db, err := store.Open(context.Background(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// seedDead makes n generations of the one organisation whose deliveries have failed for good,
// and returns its id.
func (w *world) seedDead(t *testing.T, dsn string, n int) (organisation string) {
	t.Helper()
	db := w.open(t, dsn)
	defer db.Close()
	err := db.Update(context.Background(), func(tx *store.Tx) error {
		orgs, err := tx.Organisations()
		if err != nil || len(orgs) != 1 {
			return fmt.Errorf("%d organisations: %w", len(orgs), err)
		}
		organisation = orgs[0].ID
		now := time.Now().Add(-time.Hour)
		for range n {
			g := &kinora.Generation{ID: id.New(id.Task, now), OrganisationID: organisation, Surface: kinora.SurfaceSubmit, Model: "m", Kind: kinora.KindImage,
				State: kinora.GenerationRunning, WebhookURL: w.receiver.URL, CreatedAt: now, UpdatedAt: now, DeadlineAt: now.Add(time.Hour)}
			if err := tx.InsertGeneration(g); err != nil {
				return err
			}
			if err := g.Finish(kinora.GenerationFailed, kinora.NewFailure(kinora.FailureUpstream, "the upstream failed"), now); err != nil {
				return err
			}
			if err := tx.FinishGeneration(g); err != nil {
				return err
			}
			e := &kinora.Event{ID: id.New(id.Event, now), OrganisationID: organisation, GenerationID: g.ID, Type: kinora.EventFailed, CreatedAt: now}
			if err := tx.InsertEvent(e); err != nil {
				return err
			}
			err := tx.InsertDeliveries([]*kinora.Delivery{{ID: id.New(id.Delivery, now), EventID: e.ID, EventType: e.Type, OrganisationID: organisation, GenerationID: g.ID,
				URL: w.receiver.URL, Destination: webhook.Destination(organisation, w.receiver.URL), State: kinora.DeliveryDead, CreatedAt: now, FinishedAt: now}})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return organisation
}

// awaitDelivered waits until no delivery is left, and stops the program.
func (w *world) awaitDelivered(t *testing.T, p *rig.Process, dsn string) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); w.busy(t); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Error("deliveries are left")
			break
		}
	}
	stop(t, p)
	db := w.open(t, dsn)
	defer db.Close()
	var all, delivered, replayedOnes, leases int
	err := db.View(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*), coalesce(sum(CASE WHEN state = 'delivered' THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN replay_id <> '' THEN 1 ELSE 0 END), 0),
			(SELECT count(*) FROM replays WHERE lease_owner <> '') FROM deliveries`).Scan(&all, &delivered, &replayedOnes, &leases)
	})
	if err != nil || all != *replayed || delivered != all || replayedOnes != all || leases != 0 {
		t.Errorf("%d deliveries, %d delivered, %d revived, %d leases left, %v", all, delivered, replayedOnes, leases, err)
	}
}
