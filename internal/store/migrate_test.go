package store_test

import (
	"context"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What the first version of the schema holds reads as before under the newest: each
// generation of one part, each of its outputs published in its place.
func TestRowsOfTheFirstSchemaAreCarriedOver(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		if err := db.MigrateDown(ctx, 1); err != nil {
			t.Fatal(err)
		}
		err := db.Update(ctx, func(tx *store.Tx) error {
			for _, text := range []string{
				`INSERT INTO generations (id, organisation_id, surface, model, kind, state, input, created_at, updated_at, completed_at, deadline_at)
					VALUES ('task_old', 'org_1', 'submit', 'm', 'image', 'succeeded', '{"prompt":"a kite"}', 1000, 2000, 2000, 9000)`,
				`INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, account, state, created_at, finished_at, deadline_at)
					VALUES ('task_old', 0, 'org_1', 'fake', 'm', 'fake', 'main', 'succeeded', 1000, 2000, 9000)`,
				`INSERT INTO outputs (id, generation_id, ordinal, blob_key, kind, content_type, bytes, sha256, width, height, duration_us, created_at, expires_at)
					VALUES ('out_2', 'task_old', 1, 'outputs/b.png', 'image', 'image/png', 2, 'cd', 4, 3, 0, 2000, 5000),
					('out_1', 'task_old', 0, 'outputs/a.png', 'image', 'image/png', 1, 'ab', 4, 3, 0, 2000, 5000)`,
				`INSERT INTO events (id, organisation_id, generation_id, type, created_at) VALUES ('evt_1', 'org_1', 'task_old', 'generation.completed', 2000)`,
			} {
				if _, err := tx.Exec(text); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // there, back and there again
			if err := db.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			readCarriedOver(t, db)
			if err := db.MigrateDown(ctx, 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func readCarriedOver(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.View(context.Background(), func(tx *store.Tx) error {
		g, err := tx.Generation("org_1", "task_old")
		if err != nil {
			return err
		}
		if g.Plan != (kinora.Plan{}) || g.Input.Prompt != "a kite" {
			t.Errorf("the generation: %+v", g)
		}
		attempts, err := tx.Attempts(g.ID)
		if err != nil {
			return err
		}
		if a := attempts[0]; a.Part != 0 || a.Parts != 1 || a.Round != 0 || a.RoutesLeft != nil || !a.MoveAt.IsZero() || a.Failure != nil {
			t.Errorf("the attempt: %+v", a)
		}
		outputs, err := tx.Outputs(g.ID)
		if err != nil {
			return err
		}
		content, err := tx.EventContents([]string{"evt_1"})
		if err != nil {
			return err
		}
		for _, list := range [][]kinora.Output{outputs, content["evt_1"].Outputs} {
			if len(list) != 2 || list[0].ID != "out_1" || list[0].Role != "primary" || list[1].ID != "out_2" || list[1].Ordinal != 1 || list[1].BlobKey != "outputs/b.png" {
				t.Errorf("the outputs: %+v", list)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
