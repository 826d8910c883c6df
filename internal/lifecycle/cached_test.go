package lifecycle_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func staged(fingerprint string) *kinora.Submission {
	s := job("a staged room")
	s.Request, s.Fingerprint = &kinora.WorkflowRequest{Workflow: "staging"}, fingerprint
	return s
}

func TestApprovedOutputsAreReused(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		oneMonth()
		organise(t, db)
		up := newFake(t)
		up.took = 10 * time.Millisecond
		h := build(t, db, t.TempDir(), up, priced(db, 400_000, 1)).start(t)
		if got, err := h.AcceptCached(t.Context(), staged("fp")); got != nil || err != nil {
			t.Fatalf("an empty cache gave %+v, %v", got, err)
		}
		first, originals := h.await(t, h.accept(t, staged("fp")).ID)
		// In flight, to show that a hit needs no place: the cap is one.
		up.took = time.Hour
		h.accept(t, staged("other"))

		hit := staged("fp")
		hit.Source.AssetID = "src_01JXSRC0000000000000000001"
		hit.IdempotencyKey, hit.IdempotencyScope, hit.RequestHash = "k", "POST /api/v1/generations", "h"
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			ids = map[string]int{}
		)
		for range 8 { // all at once are one
			wg.Go(func() {
				got, err := h.AcceptCached(context.Background(), hit)
				if err != nil || got == nil {
					t.Errorf("%+v, %v", got, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[got.Generation.ID]++
			})
		}
		wg.Wait()
		if len(ids) != 1 {
			t.Fatalf("made %v", ids)
		}
		for hitID := range ids {
			g, outputs, err := h.Generation(t.Context(), organisation, hitID)
			if err != nil || hitID == first.ID || g.State != kinora.GenerationSucceeded || g.UsageType != kinora.UsageCacheHit || g.Progress != 100 || g.SourceAssetID != hit.Source.AssetID {
				t.Fatalf("%+v, %v", g, err)
			}
			if len(outputs) != 1 || outputs[0].ID == originals[0].ID || outputs[0].BlobKey != originals[0].BlobKey || outputs[0].Role != "primary" || outputs[0].Width != 8 {
				t.Errorf("outputs %+v", outputs)
			}
			if ev, usage, deliveries := h.ledger(t, hitID); ev != 1 || usage != 1 || deliveries != 1 {
				t.Errorf("events %d, usage %d, deliveries %d; want one of each", ev, usage, deliveries)
			}
		}
		list, err := h.Ledger(t.Context(), organisation, "", 10)
		if err != nil || len(list) != 2 || list[0].Type != kinora.UsageCacheHit || list[0].Billable || list[0].Amount != 0 || list[0].UnitPrice != 400_000 || list[0].Outputs != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		u, err := h.Usage(t.Context(), organisation, time.Now())
		if err != nil || u.Succeeded != 2 || u.CacheHits != 1 || u.Billable != 1 || u.Amount != 400_000 {
			t.Errorf("%+v, %v", u, err)
		}
		for name, s := range map[string]*kinora.Submission{"another configuration": staged("nothing"), "no fingerprint": staged(""), "a regenerate": staged("fp")} {
			if name == "a regenerate" {
				s.ParentID = first.ID
			}
			if got, err := h.AcceptCached(t.Context(), s); got != nil || err != nil {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		foreign := staged("fp")
		foreign.OrganisationID = "org_01JXJ0A0000000000000000002"
		if got, _ := h.AcceptCached(t.Context(), foreign); got != nil {
			t.Error("another organisation's outputs were given out")
		}
	})
}

// A shared file goes with the last output that has it, in whatever order they go; after that the cache has nothing.
func TestSharedFilesGoLast(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		h := build(t, db, t.TempDir(), up).start(t)
		for round, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
			fingerprint := fmt.Sprint("fp", round)
			var outputs []kinora.Output
			_, first := h.await(t, h.accept(t, staged(fingerprint)).ID)
			outputs = append(outputs, first...)
			for range 2 {
				got, err := h.AcceptCached(t.Context(), staged(fingerprint))
				if err != nil || got == nil {
					t.Fatalf("%+v, %v", got, err)
				}
				_, shared := h.await(t, got.Generation.ID)
				outputs = append(outputs, shared...)
			}
			for n, i := range order {
				err := db.Update(t.Context(), func(tx *store.Tx) error {
					last, err := tx.RemoveOutput(outputs[i], time.Now())
					if last != (n == len(order)-1) {
						t.Errorf("order %v: removing %d says last %v", order, i, last)
					}
					if err != nil {
						return err
					}
					known, err := tx.KnownOutput(outputs[0].GenerationID, outputs[0].BlobKey)
					if known == last {
						t.Errorf("order %v: after %d the file is known: %v", order, i, known)
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if got, err := h.AcceptCached(t.Context(), staged(fingerprint)); got != nil || err != nil {
				t.Errorf("outputs without files were given out: %+v, %v", got, err)
			}
		}
	})
}

// A generation whose source came with the request has the fingerprint that a later one, made from the kept source, is
// found by.
func TestASourceThatComesLaterIsFingerprinted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = 10 * time.Millisecond
		i := &ingests{}
		h := build(t, db, t.TempDir(), up, withIngests(i)).start(t)
		request := kinora.WorkflowRequest{Workflow: "staging", Mode: "clean"}
		inline := fromSource(kinora.Source{Received: received()})
		inline.Request = &request
		g := h.accept(t, inline)
		if got, err := h.AcceptCached(t.Context(), inline); got != nil || err != nil {
			t.Fatalf("a source that is not known was looked up: %+v, %v", got, err)
		}
		a := ingestOf(t, db, g.ID)
		mustEndIngest(t, h, a, nil)
		if done, _ := h.await(t, g.ID); done.State != kinora.GenerationSucceeded || done.Fingerprint != kinora.Fingerprint(request, a.ID) {
			t.Fatalf("%+v", done)
		}
		again := fromSource(kinora.Source{AssetID: a.ID})
		again.Request, again.Fingerprint = &request, kinora.Fingerprint(request, a.ID)
		hit, err := h.AcceptCached(t.Context(), again)
		if err != nil || hit == nil || hit.Generation.SourceAssetID != a.ID {
			t.Fatalf("%+v, %v", hit, err)
		}
		list, err := h.Ledger(t.Context(), organisation, "", 10)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, e := range list {
			if e.Fingerprint != again.Fingerprint || e.SourceAssetID != a.ID {
				t.Errorf("%+v", e)
			}
		}
	})
}

// Outputs from before a workflow changed do not answer what it means now, though callers send the same words and the
// fingerprint is the same; changed back they do.
func TestAChangedWorkflowIsNotAnsweredFromTheCache(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), judgedBy(&judge{scores: func(*kinora.Output) kinora.Verdict { return kinora.Verdict{Passed: true, Score: 1} }}), func(c *lifecycle.Config) {
			c.Models = append(c.Models, kinora.Model{Name: "fake-image-2", Kind: kinora.KindImage, Provider: "fake"})
		}).start(t)
		gated := func() *kinora.Submission {
			s := staged("fp")
			s.Plan = kinora.Plan{Rounds: 2, Gate: &kinora.Gate{NotBlank: true, Structure: 0.4}}
			s.Input.Size, s.Input.Metadata = "1024x768", map[string]json.RawMessage{"b": json.RawMessage(`{"x":1}`), "a": json.RawMessage(`"<é>"`)}
			return s
		}
		if g, _ := h.await(t, h.accept(t, gated()).ID); g.State != kinora.GenerationSucceeded {
			t.Fatalf("%+v", g.Failure)
		}
		for name, change := range map[string]func(*kinora.Submission){
			"a tightened gate":    func(s *kinora.Submission) { s.Plan.Gate.Structure = 0.6 },
			"a checker":           func(s *kinora.Submission) { s.Plan.Gate.Hook.URL = "https://checks.example/" },
			"no gate":             func(s *kinora.Submission) { s.Plan = kinora.Plan{} },
			"a review":            func(s *kinora.Submission) { s.Plan.Review = true },
			"more candidates":     func(s *kinora.Submission) { s.Plan.Parts = 2 },
			"another model":       func(s *kinora.Submission) { s.Model = "fake-image-2" },
			"another prompt":      func(s *kinora.Submission) { s.Input.Prompt = "a staged room, in daylight" },
			"another size":        func(s *kinora.Submission) { s.Input.Size = "2048x1536" },
			"another parameter":   func(s *kinora.Submission) { s.Input.Metadata["a"] = json.RawMessage(`"c"`) },
			"another reference":   func(s *kinora.Submission) { s.Input.Images = []string{"https://img.example/a.png"} },
			"another fingerprint": func(s *kinora.Submission) { s.Fingerprint = "fp2" },
		} {
			s := gated()
			change(s)
			if got, err := h.AcceptCached(t.Context(), s); got != nil || err != nil {
				t.Errorf("%s is answered with old outputs: %+v, %v", name, got, err)
			}
		}
		if got, err := h.AcceptCached(t.Context(), gated()); got == nil || err != nil {
			t.Errorf("the same again is not answered: %v", err)
		}
		h.stop()
	})
}
