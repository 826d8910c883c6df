package queue_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What the steps of a generation would cost as River jobs on SQLite, beside the due index
// that they use. docs/architecture.md draws the conclusion; `make bench-river` repeats it.

const batch = 64

type nothing struct {
	ID string `json:"id"`
}

func (nothing) Kind() string { return "nothing" }

type nothingWorker struct {
	river.WorkerDefaults[nothing]
	done atomic.Int64
}

func (w *nothingWorker) Work(context.Context, *river.Job[nothing]) error {
	w.done.Add(1)
	return nil
}

func riverClient(b *testing.B, db *store.DB) (*river.Client[*sql.Tx], *nothingWorker) {
	b.Helper()
	w := &nothingWorker{}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	c, err := river.NewClient(riversqlite.New(db.RiverSQLite()), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}},
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	return c, w
}

func insertJobs(b *testing.B, db *store.DB, c *river.Client[*sql.Tx], n int) {
	b.Helper()
	for done := 0; done < n; {
		tx, err := db.RiverSQLite().BeginTx(context.Background(), nil)
		if err != nil {
			b.Fatal(err)
		}
		params := make([]river.InsertManyParams, min(batch, n-done))
		for i := range params {
			params[i] = river.InsertManyParams{Args: nothing{ID: fmt.Sprintf("task_%d", done+i)}}
		}
		if _, err := c.InsertManyFastTx(context.Background(), tx, params); err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
		done += len(params)
	}
}

func BenchmarkRiverInsert(b *testing.B) {
	db := storetest.SQLite(b)
	c, _ := riverClient(b, db)
	b.ResetTimer()
	insertJobs(b, db, c, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}

func BenchmarkRiverWork(b *testing.B) {
	db := storetest.SQLite(b)
	c, w := riverClient(b, db)
	insertJobs(b, db, c, b.N)
	b.ResetTimer()
	if err := c.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	for w.done.Load() < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	b.StopTimer()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = c.Stop(ctx)
}

func BenchmarkDueIndexInsert(b *testing.B) {
	db := storetest.SQLite(b)
	b.ResetTimer()
	insertAttempts(b, db, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
}

// BenchmarkDueIndexWork claims attempts by lease and writes each one's end, as a step does.
func BenchmarkDueIndexWork(b *testing.B) {
	db := storetest.SQLite(b)
	insertAttempts(b, db, b.N)
	now := time.Now().Add(time.Minute)
	b.ResetTimer()
	for done := 0; done < b.N; {
		var list []*kinora.Attempt
		err := db.Update(context.Background(), func(tx *store.Tx) (err error) {
			list, err = tx.ClaimAttempts("lane", kinora.AttemptQueued, "node", now, batch)
			return err
		})
		if err != nil || len(list) == 0 {
			b.Fatal(len(list), err)
		}
		saves := make([]store.AttemptSave, len(list))
		for i, a := range list {
			a.State, a.LeaseOwner, a.FinishedAt = kinora.AttemptFailed, "", now
			saves[i] = store.AttemptSave{Attempt: a, From: kinora.AttemptQueued}
		}
		err = db.Update(context.Background(), func(tx *store.Tx) error {
			_, err := tx.SaveAttempts(saves)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		done += len(list)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
}

func insertAttempts(b *testing.B, db *store.DB, n int) {
	b.Helper()
	now := time.Now()
	for done := 0; done < n; {
		size := min(batch, n-done)
		err := db.Update(context.Background(), func(tx *store.Tx) error {
			for i := range size {
				a := &kinora.Attempt{GenerationID: fmt.Sprintf("task_%d", done+i), Lane: "lane", DueAt: now, CreatedAt: now, DeadlineAt: now.Add(time.Hour)}
				if err := tx.InsertAttempts(a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		done += size
	}
}
