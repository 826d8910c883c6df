package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// ingests stands for the service of source assets: tests end ingests themselves, in the way in which that does.
type ingests struct {
	mu        sync.Mutex
	discarded []string
	nudged    int
}

func (i *ingests) CheckURL(rawURL string) error {
	if strings.Contains(rawURL, "127.0.0.1") {
		return kinora.Errorf(kinora.ErrInvalid, "source_url: destination is not a public address")
	}
	return nil
}

func (i *ingests) Nudge() { i.mu.Lock(); i.nudged++; i.mu.Unlock() }

func (i *ingests) Discard(_ context.Context, a *kinora.SourceAsset) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.discarded = append(i.discarded, a.IngestID)
}

func withIngests(i *ingests) options {
	return func(c *lifecycle.Config) {
		c.Ingests = i
		c.SourceURL = func(key string, expires time.Time) string {
			return fmt.Sprintf("https://kinora.example/files/%s?exp=%d", key, expires.Unix())
		}
	}
}

func fromSource(s kinora.Source) *kinora.Submission {
	sub := submission("x")
	sub.Surface, sub.Source = kinora.SurfaceGenerations, s
	return sub
}

func received() *kinora.SourceAsset {
	now := time.Now().UTC().Truncate(time.Microsecond)
	ingestID := id.New(id.Ingest, now)
	return &kinora.SourceAsset{IngestID: ingestID, ID: id.New(id.Asset, now), OrganisationID: organisation, State: kinora.AssetPending,
		ReceivedKey: "assets/received/" + ingestID, DueAt: now, CreatedAt: now, UpdatedAt: now}
}

// ingestOf finds the ingest that a generation waits for.
func ingestOf(t testing.TB, db *store.DB, generationID string) *kinora.SourceAsset {
	t.Helper()
	var a *kinora.SourceAsset
	err := db.View(context.Background(), func(tx *store.Tx) error {
		var assetID string
		err := tx.QueryRow(`SELECT source_asset_id FROM generations WHERE id = ?`, generationID).Scan(&assetID)
		if err == nil {
			a, err = tx.Asset(organisation, assetID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// endIngest ends an ingest, with a failure or without one, as the service of source assets does.
func (h *house) endIngest(a *kinora.SourceAsset, failure *kinora.Failure) error {
	var after func()
	err := h.db.Update(context.Background(), func(tx *store.Tx) (err error) {
		ended := *a
		ended.Finish(failure, time.Now().UTC().Truncate(time.Microsecond))
		tell := h.SourceFailed
		if failure == nil {
			tell = h.SourceReady
			ended.SHA256 = a.ID
			if ended.BlobKey, err = tx.ShareAssetFile(a.OrganisationID, a.ID, "assets/"+a.ID+".jpg"); err != nil {
				return err
			}
		}
		if err := tx.SaveIngest(&ended); err != nil {
			return err
		}
		after, err = tell(tx, &ended, ended.UpdatedAt)
		return err
	})
	if err == nil {
		after()
	}
	return err
}

func mustEndIngest(t testing.TB, h *house, a *kinora.SourceAsset, failure *kinora.Failure) {
	t.Helper()
	if err := h.endIngest(a, failure); err != nil {
		t.Fatal(err)
	}
}

func TestAGenerationWaitsForItsSource(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		brings := &ingests{}
		h := build(t, db, t.TempDir(), up, withIngests(brings)).start(t)
		for name, source := range map[string]kinora.Source{"by URL": {URL: "https://a.example/1.jpg"}, "a file": {Received: received()}} {
			sub := fromSource(source)
			sub.Input.Images = []string{"https://a.example/style.png"}
			sub.Plan.Parts = 2
			g := h.accept(t, sub)
			if g.State != kinora.GenerationIngesting || g.SourceAssetID != "" {
				t.Fatalf("%s: accepted as %s with %q", name, g.State, g.SourceAssetID)
			}
			other, _ := h.await(t, h.accept(t, submission("y")).ID) // whoever would have been submitted has been by now
			a := ingestOf(t, db, g.ID)
			if other.State != kinora.GenerationSucceeded || up.submits[g.ID+"_0"] != 0 || a.State != kinora.AssetPending || a.SourceURL != source.URL || a.DueAt.IsZero() {
				t.Fatalf("%s: %d submits; ingest %+v", name, up.submits[g.ID+"_0"], a)
			}
			mustEndIngest(t, h, a, nil)
			g, outputs := h.await(t, g.ID)
			if g.State != kinora.GenerationSucceeded || len(outputs) != 2 || g.SourceAssetID != a.ID {
				t.Fatalf("%s: ended as %+v with %d outputs", name, g, len(outputs))
			}
			for _, ordinal := range []string{"_0", "_1"} {
				job := up.jobs[up.byRef[g.ID+ordinal][0]]
				if len(job.request.Images) != 2 || !strings.HasPrefix(job.request.Images[0], "https://kinora.example/files/assets/"+a.ID+".jpg?exp=") || job.request.Images[1] != "https://a.example/style.png" {
					t.Errorf("%s: the upstream was given %v", name, job.request.Images)
				}
				var expires int64
				if _, err := fmt.Sscanf(job.request.Images[0][strings.Index(job.request.Images[0], "exp="):], "exp=%d", &expires); err != nil || expires < job.at.Add(time.Hour-time.Second).Unix() {
					t.Errorf("%s: the URL works until %d", name, expires)
				}
			}
			if ev, usage, _ := h.ledger(t, g.ID); ev != 1 || usage != 1 {
				t.Errorf("%s: %d events, %d usage entries", name, ev, usage)
			}
		}
		if brings.nudged != 2 || len(brings.discarded) != 0 {
			t.Errorf("%d nudges, discarded %v", brings.nudged, brings.discarded)
		}
	})
}

func TestAFailedSourceEndsItsGenerations(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		h := build(t, db, t.TempDir(), up, withIngests(&ingests{})).start(t)
		first := fromSource(kinora.Source{URL: "https://a.example/1.jpg"})
		first.Plan.Parts = 3
		g := h.accept(t, first)
		a := ingestOf(t, db, g.ID)
		second := h.accept(t, fromSource(kinora.Source{IngestID: a.IngestID}))
		failure := kinora.NewFailure(kinora.FailureSourceUnreachable, "source_url answered with status 404")
		mustEndIngest(t, h, a, failure)
		for _, one := range []string{g.ID, second.ID} {
			g, _ := h.await(t, one)
			if g.State != kinora.GenerationFailed || *g.Failure != *failure || g.SourceAssetID != "" {
				t.Errorf("ended as %+v", g)
			}
			if ev, usage, deliveries := h.ledger(t, g.ID); ev != 1 || usage != 0 || deliveries != 1 {
				t.Errorf("%d events, %d usage entries, %d deliveries", ev, usage, deliveries)
			}
			attempts, err := h.Attempts(t.Context(), g.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, attempt := range attempts {
				if attempt.State != kinora.AttemptFailed || attempt.FinishedAt.IsZero() || !attempt.DueAt.IsZero() {
					t.Errorf("attempt %+v", attempt)
				}
			}
		}
		if len(up.created()) != 0 {
			t.Errorf("the upstream was called: %v", up.created())
		}
	})
}

func TestWhichSourcesAreTaken(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		brings := &ingests{}
		h := build(t, db, t.TempDir(), newFake(t), withIngests(brings)).start(t)
		g := h.accept(t, fromSource(kinora.Source{URL: "https://a.example/1.jpg"}))
		ready := ingestOf(t, db, g.ID)
		refusedAs := func(name string, source kinora.Source, want kinora.ErrorCode) {
			t.Helper()
			if got, err := h.Accept(t.Context(), fromSource(source)); kinora.CodeOf(err) != want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		refusedAs("not ready", kinora.Source{AssetID: ready.ID}, kinora.ErrInvalid)
		mustEndIngest(t, h, ready, nil)
		h.await(t, g.ID)
		for name, source := range map[string]kinora.Source{"asset": {AssetID: ready.ID}, "ingest": {IngestID: ready.IngestID}} {
			if g, _ := h.await(t, h.accept(t, fromSource(source)).ID); g.State != kinora.GenerationSucceeded || g.SourceAssetID != ready.ID {
				t.Errorf("by %s: %+v", name, g)
			}
		}
		failed := ingestOf(t, db, h.accept(t, fromSource(kinora.Source{URL: "https://a.example/2.jpg"})).ID)
		mustEndIngest(t, h, failed, kinora.NewFailure(kinora.FailureSourceInvalid, "no image"))
		refusedAs("failed", kinora.Source{AssetID: failed.ID}, kinora.ErrInvalid)
		refusedAs("failed ingest", kinora.Source{IngestID: failed.IngestID}, kinora.ErrInvalid)
		refusedAs("unknown", kinora.Source{AssetID: id.New(id.Asset, time.Now())}, kinora.ErrNotFound)
		refusedAs("unknown ingest", kinora.Source{IngestID: id.New(id.Ingest, time.Now())}, kinora.ErrNotFound)
		refusedAs("not public", kinora.Source{URL: "http://127.0.0.1/"}, kinora.ErrInvalid)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			return tx.InsertOrganisation(&kinora.Organisation{ID: "org_other", Name: "other", CreatedAt: time.Now()})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range []kinora.Source{{AssetID: ready.ID}, {IngestID: ready.IngestID}} {
			foreign := fromSource(source)
			foreign.OrganisationID = "org_other"
			if _, err := h.Accept(t.Context(), foreign); kinora.CodeOf(err) != kinora.ErrNotFound {
				t.Errorf("another organisation's: %v", err)
			}
		}
	})
}

// What a request brings and does not use is not kept: one that is refused, and a repeat.
func TestAReceivedSourceThatIsNotUsedIsDiscarded(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		brings := &ingests{}
		h := build(t, db, t.TempDir(), newFake(t), withIngests(brings))
		send := func(change func(*kinora.Submission)) (*kinora.SourceAsset, *kinora.Accepted, error) {
			file := received()
			sub := fromSource(kinora.Source{Received: file})
			sub.IdempotencyKey, sub.IdempotencyScope, sub.RequestHash = "k", "POST /api/v1/generations", "h"
			if change != nil {
				change(sub)
			}
			got, err := h.Accept(t.Context(), sub)
			return file, got, err
		}
		used, first, err := send(nil)
		if err != nil {
			t.Fatal(err)
		}
		repeat, again, err := send(nil)
		if err != nil || !again.Replayed || again.Generation.ID != first.Generation.ID {
			t.Fatalf("the repeat: %+v, %v", again, err)
		}
		conflict, _, err := send(func(s *kinora.Submission) { s.RequestHash = "other" })
		if kinora.CodeOf(err) != kinora.ErrConflict {
			t.Fatalf("the conflict: %v", err)
		}
		refused, _, err := send(func(s *kinora.Submission) { s.Model = "unknown" })
		if kinora.CodeOf(err) != kinora.ErrInvalid {
			t.Fatalf("the refusal: %v", err)
		}
		want := []string{repeat.IngestID, conflict.IngestID, refused.IngestID}
		if !slices.Equal(brings.discarded, want) || slices.Contains(brings.discarded, used.IngestID) {
			t.Errorf("discarded %v, want %v", brings.discarded, want)
		}
		if got := ingestOf(t, db, first.Generation.ID); got.IngestID != used.IngestID {
			t.Errorf("it waits for %+v", got)
		}
	})
}

// Acceptances, ends of the ingest, cancels and deadlines meet in every order. Whatever wins: each generation ends once, with
// one event, and none is left waiting.
func TestSourcesRaceWithEverything(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		h := build(t, db, t.TempDir(), up, withIngests(&ingests{})).start(t)
		const rounds = 25
		var ids []string
		for i := range rounds {
			sub := fromSource(kinora.Source{URL: "https://a.example/1.jpg"})
			sub.Plan.Parts = 1 + i%2
			g := h.accept(t, sub)
			ids = append(ids, g.ID)
			a := ingestOf(t, db, g.ID)
			var failure *kinora.Failure
			if i%3 == 0 {
				failure = kinora.NewFailure(kinora.FailureSourceInvalid, "no image")
			}
			var (
				race sync.WaitGroup
				mu   sync.Mutex
			)
			race.Go(func() {
				if err := h.endIngest(a, failure); err != nil {
					t.Errorf("the end of the ingest: %v", err)
				}
			})
			race.Go(func() {
				got, err := h.Accept(t.Context(), fromSource(kinora.Source{IngestID: a.IngestID}))
				if err == nil {
					mu.Lock()
					ids = append(ids, got.Generation.ID)
					mu.Unlock()
				} else if kinora.CodeOf(err) != kinora.ErrInvalid {
					t.Errorf("a second generation: %v", err)
				}
			})
			if i%2 == 0 {
				race.Go(func() {
					if _, err := h.Cancel(t.Context(), organisation, g.ID); err != nil && kinora.CodeOf(err) != kinora.ErrConflict {
						t.Errorf("cancel: %v", err)
					}
				})
			}
			race.Wait()
		}
		for _, one := range ids {
			g, _ := h.await(t, one)
			ev, usage, _ := h.ledger(t, one)
			if ev != 1 || (usage == 1) != (g.State == kinora.GenerationSucceeded) {
				t.Errorf("%s: %d events, %d usage entries", g.State, ev, usage)
			}
			if g.State == kinora.GenerationFailed && g.SourceAssetID != "" {
				t.Errorf("%+v names an asset that never was", g)
			}
		}
		for ref, n := range up.created() {
			if n != 1 {
				t.Errorf("%s was submitted %d times", ref, n)
			}
		}
	})
}

func TestTheDeadlineRunsWhileTheSourceIsFetched(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), withIngests(&ingests{}), func(c *lifecycle.Config) { c.Models[0].Deadline = time.Millisecond }).start(t)
		g := h.accept(t, fromSource(kinora.Source{URL: "https://a.example/1.jpg"}))
		a := ingestOf(t, db, g.ID)
		g, _ = h.await(t, g.ID)
		if g.State != kinora.GenerationFailed || g.Failure.Code != kinora.FailureTimeout || !strings.Contains(g.Failure.Message, "source") || g.SourceAssetID != "" || g.AwaitedAssetID != a.ID {
			t.Errorf("ended as %+v, %+v", g, g.Failure)
		}
		if err := h.endIngest(a, nil); err != nil && !errors.Is(err, store.ErrStale) {
			t.Errorf("the ingest came to its end later: %v", err)
		}
		if ev, _, _ := h.ledger(t, g.ID); ev != 1 {
			t.Errorf("%d events", ev)
		}
	})
}

// The end of an ingest takes its locks in everybody's order: attempts, then generations.
// Whoever ends an attempt of a generation that waits makes it wait, and nobody is undone.
func TestTheEndOfAnIngestKeepsTheOrderOfLocks(t *testing.T) {
	db := storetest.Postgres(t)
	organise(t, db)
	h := build(t, db, t.TempDir(), newFake(t), withIngests(&ingests{}))
	sub := fromSource(kinora.Source{URL: "https://a.example/1.jpg"})
	sub.Request = &kinora.WorkflowRequest{}
	g := h.accept(t, sub)
	a := ingestOf(t, db, g.ID)
	a.SHA256 = "content"
	var released sync.WaitGroup
	defer released.Wait()
	runs, ends := 0, 0
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		runs++
		if _, err := tx.Exec(`UPDATE attempts SET progress = 1 WHERE generation_id = ?`, g.ID); err != nil {
			return err
		}
		if runs == 1 {
			released.Go(func() {
				if err := db.Update(t.Context(), func(tx *store.Tx) error {
					ends++
					_, err := h.SourceReady(tx, a, time.Now())
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		waits := 0
		for end := time.Now().Add(10 * time.Second); waits == 0; time.Sleep(5 * time.Millisecond) {
			if err := tx.QueryRow(`SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))`).Scan(&waits); err != nil {
				return err
			}
			if time.Now().After(end) {
				return errors.New("the end of the ingest does not wait for the attempts")
			}
		}
		_, err := tx.LockGeneration(g.ID)
		return err
	})
	released.Wait()
	if err != nil || runs != 1 || ends != 1 {
		t.Errorf("%v; %d and %d runs, want one of each", err, runs, ends)
	}
	if g, _, err := h.Generation(t.Context(), organisation, g.ID); err != nil || g.State != kinora.GenerationQueued || g.Fingerprint == "" {
		t.Errorf("%+v, %v", g, err)
	}
}
