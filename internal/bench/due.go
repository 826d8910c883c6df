package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/store"
)

// due measures what finding due work costs beside a growing number of finished rows.
func (r *run) due(ctx context.Context) error {
	dsn := r.o.DSN
	if dsn == "" {
		dir, err := os.MkdirTemp("", "kinora-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		dsn = filepath.Join(dir, "due.db")
	} else if err := r.clear(ctx); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Options{DSN: dsn})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	var first time.Duration
	finished := 0
	for _, target := range []int{0, 100_000, 1_000_000} {
		r.o.Progress(fmt.Sprintf("due query beside %d finished rows", target))
		if err := addFinished(ctx, db, finished, target); err != nil {
			return err
		}
		finished = target
		took, err := claimCost(ctx, db)
		if err != nil {
			return err
		}
		f := Figure{Measurement: "due query", Name: fmt.Sprintf("claim of 10 beside %d finished", target), Value: float64(took.Microseconds()), Unit: "µs"}
		r.add(f)
		if target == 0 {
			first = took
			continue
		}
		r.add(Figure{Measurement: "due query", Name: fmt.Sprintf("ratio to none, %d finished", target), Value: float64(took) / float64(first), Unit: "×", Wanted: 1.2})
	}
	return nil
}

func addFinished(ctx context.Context, db *store.DB, from, to int) error {
	now := time.Now()
	for i := from; i < to; {
		n := min(5000, to-i)
		err := db.Update(ctx, func(tx *store.Tx) error {
			sets := make([][]any, n)
			for j := range n {
				sets[j] = []any{fmt.Sprintf("task_%08d", i+j), store.Micros(now), store.Micros(now), store.Micros(now)}
			}
			_, err := tx.ExecMany(`INSERT INTO attempts (generation_id, ordinal, organisation_id, lane, model, provider, account, state, created_at, finished_at, deadline_at)
				VALUES (?, 0, 'org', 'sandbox', 'm', 'sandbox', 'up', 'succeeded', ?, ?, ?)`, sets)
			return err
		})
		if err != nil {
			return err
		}
		i += n
	}
	return nil
}

// claimCost is the median cost of claiming ten due attempts and giving them back.
func claimCost(ctx context.Context, db *store.DB) (time.Duration, error) {
	now := time.Now()
	err := db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM attempts WHERE generation_id LIKE 'live_%'`); err != nil {
			return err
		}
		for i := range 1000 {
			a := &kinora.Attempt{GenerationID: fmt.Sprintf("live_%04d", i), Lane: "sandbox", DueAt: now, CreatedAt: now, DeadlineAt: now.Add(time.Hour)}
			if err := tx.InsertAttempts(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var took []time.Duration
	for range 300 {
		started := time.Now()
		err := db.Update(ctx, func(tx *store.Tx) error {
			list, err := tx.ClaimAttempts("sandbox", kinora.AttemptQueued, "bench", now, 10)
			if err != nil {
				return err
			}
			if len(list) != 10 {
				return fmt.Errorf("claimed %d of 10", len(list))
			}
			_, err = tx.ReleaseAttempts("bench", now)
			return err
		})
		if err != nil {
			return 0, err
		}
		took = append(took, time.Since(started))
	}
	return quantile(took, .5), nil
}

// newStuckUpstream takes requests and never answers.
func newStuckUpstream() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
		<-r.Context().Done()
	}))
}

func (r *run) submitOne(ctx context.Context, c *http.Client, w *rig.Rig, model, webhookURL string, i int) (string, error) {
	hook := ""
	if webhookURL != "" {
		hook = fmt.Sprintf(`,"webhook":{"url":%q}`, webhookURL)
	}
	text := fmt.Sprintf(`{"model":%q,"input":{"prompt":"job %d","size":"64x64"}%s}`, model, i, hook)
	var task string
	err := post(ctx, c, w.URL+"/api/generate/submit", w.Key, text, func(b []byte) {
		var a struct {
			Data struct {
				TaskID string `json:"task_id"`
			} `json:"data"`
		}
		if json.Unmarshal(b, &a) == nil {
			task = a.Data.TaskID
		}
	})
	return task, err
}
