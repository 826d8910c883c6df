package bench

import (
	"context"
	"path/filepath"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/webhook"
)

// waiting is a delivery that is there when the program starts.
type waiting struct {
	url      string
	attempts int       // made already; more than none makes it a retry
	due      time.Time // zero = at once
	note     func(job string)
}

// stopped starts the program once, for its organisation and key, and stops it again: the database is free then.
func (r *run) stopped(ctx context.Context, w *rig.Rig) error {
	p, err := w.Start(ctx)
	if err != nil {
		return err
	}
	return stop(ctx, p)
}

func stop(ctx context.Context, p *rig.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p.Stop(ctx)
}

// seed writes finished generations with their events and deliveries. The program must not run.
func (r *run) seed(ctx context.Context, dir string, n int, of func(i int) waiting) error {
	return r.database(ctx, dir, func(db *store.DB) error {
		for from := 0; from < n; from += 500 {
			err := db.Update(ctx, func(tx *store.Tx) error {
				orgs, err := tx.Organisations()
				if err != nil {
					return err
				}
				for i := from; i < min(n, from+500); i++ {
					if err := seedOne(tx, orgs[0], of(i)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func seedOne(tx *store.Tx, org *kinora.Organisation, x waiting) error {
	now := time.Now().UTC()
	g := &kinora.Generation{ID: id.New(id.Task, now), OrganisationID: org.ID, Surface: kinora.SurfaceSubmit, Model: "sandbox-image",
		Kind: kinora.KindImage, State: kinora.GenerationRunning, Input: kinora.Input{Prompt: "x"}, WebhookURL: x.url,
		CreatedAt: now, UpdatedAt: now, DeadlineAt: now.Add(time.Hour)}
	if err := tx.InsertGeneration(g); err != nil {
		return err
	}
	if err := g.Finish(kinora.GenerationFailed, kinora.NewFailure(kinora.FailureUpstream, "the upstream failed"), now); err != nil {
		return err
	}
	if err := tx.FinishGeneration(g); err != nil {
		return err
	}
	e := &kinora.Event{ID: id.New(id.Event, now), OrganisationID: org.ID, GenerationID: g.ID, Type: kinora.EventFailed, CreatedAt: now}
	if err := tx.InsertEvent(e); err != nil {
		return err
	}
	d := &kinora.Delivery{ID: id.New(id.Delivery, now), EventID: e.ID, OrganisationID: org.ID, GenerationID: g.ID, URL: x.url,
		Destination: webhook.Destination(org.ID, x.url), State: kinora.DeliveryPending, DueAt: now, CreatedAt: now}
	if !x.due.IsZero() {
		d.DueAt = x.due
	}
	if err := tx.InsertDeliveries([]*kinora.Delivery{d}); err != nil {
		return err
	}
	if x.note != nil {
		x.note(g.ID)
	}
	if x.attempts == 0 {
		return nil
	}
	d.Attempts = x.attempts
	_, err := tx.SaveDeliveries([]store.DeliveryResult{{Delivery: d}})
	return err
}

// database opens the database of a program that does not run.
func (r *run) database(ctx context.Context, dir string, do func(*store.DB) error) error {
	dsn := r.o.DSN
	if dsn == "" {
		dsn = filepath.Join(dir, "kinora.db")
	}
	db, err := store.Open(ctx, store.Options{DSN: dsn})
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}
