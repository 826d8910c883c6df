package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// BenchmarkAttemptsWay measures the writes of attempts from the claim over acceptance and four looks to the end, 50 to a transaction, with the
// indexes that keep a job to one attempt and without.
func BenchmarkAttemptsWay(b *testing.B) {
	const together = 50
	for name, open := range map[string]func(testing.TB) *store.DB{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		for _, indexes := range []string{"with", "without"} {
			b.Run(name+"/"+indexes, func(b *testing.B) {
				db := open(b)
				write := func(fn func(tx *store.Tx) error) {
					if err := db.Update(context.Background(), fn); err != nil {
						b.Fatal(err)
					}
				}
				if indexes == "without" {
					for _, index := range []string{"attempts_jobs", "attempts_ended_jobs", "attempts_contested"} {
						write(func(tx *store.Tx) error { _, err := tx.Exec(`DROP INDEX ` + index); return err })
					}
				}
				wal := func() (bytes float64) { // of the whole server: nobody else is to write meanwhile
					if pool := db.Postgres(); pool != nil {
						if err := pool.QueryRow(context.Background(), `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn`).Scan(&bytes); err != nil {
							b.Fatal(err)
						}
					}
					return bytes
				}
				before := wal()
				for n := 0; b.Loop(); n++ {
					list := make([]*kinora.Attempt, together)
					for i := range list {
						id := fmt.Sprintf("task_%d_%d", n, i)
						list[i] = &kinora.Attempt{GenerationID: id, OrganisationID: "org_1", Lane: "fake", Model: "m", Provider: "fake", Account: "main",
							UpstreamModel: "m", CallbackMode: kinora.CallbackManaged, DueAt: t0, CreatedAt: t0, DeadlineAt: t0.Add(time.Hour), State: kinora.AttemptQueued}
					}
					write(func(tx *store.Tx) error {
						for _, a := range list {
							if err := tx.InsertGeneration(&kinora.Generation{ID: a.GenerationID, OrganisationID: "org_1", State: kinora.GenerationRunning, CreatedAt: t0, UpdatedAt: t0, DeadlineAt: t0}); err != nil {
								return err
							}
						}
						return tx.InsertAttempts(list...)
					})
					for step := range 7 {
						saves := make([]store.AttemptSave, together)
						for i, a := range list {
							from := a.State
							switch step {
							case 0:
								a.State, a.CallbackHash, a.DueAt = kinora.AttemptSubmitting, "h"+a.GenerationID, time.Time{}
							case 6:
								a.State, a.DueAt, a.FinishedAt = kinora.AttemptSucceeded, time.Time{}, t0
							default:
								a.State, a.UpstreamID, a.DueAt = kinora.AttemptOpen, fmt.Sprintf("%016x", uint64(n*together+i)*0x9e3779b97f4a7c15), t0.Add(time.Duration(step)*time.Second)
							}
							saves[i] = store.AttemptSave{Attempt: a, From: from}
						}
						write(func(tx *store.Tx) error {
							stale, err := tx.SaveAttempts(saves)
							if len(stale) > 0 {
								b.Error("stale")
							}
							return err
						})
						for _, a := range list {
							a.Version++
						}
					}
				}
				b.ReportMetric((wal()-before)/float64(b.N*together), "WAL-B/attempt")
				b.ReportMetric(float64(b.N*together)/b.Elapsed().Seconds(), "attempts/s")
			})
		}
	}
}
