package lifecycle_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

func TestCancel(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		t.Run("before the submit", func(t *testing.T) {
			up := newFake(t)
			h := build(t, db, t.TempDir(), up)
			g := h.accept(t, submission("x"))
			h.cancelled(t, g.ID)
			second := h.accept(t, submission("z"))
			asAda := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: "per_ada"})
			for range 2 { // the second time nothing is left to do
				if _, err := h.Cancel(asAda, organisation, second.ID); err != nil {
					t.Fatal(err)
				}
			}
			wantAudited(t, db, "per_ada", kinora.AuditGenerationCancel, second.ID)
			h.start(t)
			other, _ := h.await(t, h.accept(t, submission("y")).ID)
			if other.State != kinora.GenerationSucceeded || up.submits[g.ID+"_0"] != 0 {
				t.Errorf("the other ended as %s; %d submits of the cancelled one", other.State, up.submits[g.ID+"_0"])
			}
			h.stop()
		})
		t.Run("during the submit call", func(t *testing.T) {
			up := newFake(t)
			up.hang = make(chan struct{})
			up.name = func(provider.Request) string { return "up_late" } // no job of the cases before
			h := build(t, db, t.TempDir(), up).start(t)
			g := h.accept(t, submission("x"))
			<-up.reached
			h.cancelled(t, g.ID)
			close(up.hang)
			eventually(t, "whoever submits cancels what came of it", func() bool { return up.cancels() == 1 })
			if a := h.attempts(t, g.ID)[0]; a.State != kinora.AttemptCancelled || a.UpstreamID == "" || a.AcceptedAt.IsZero() {
				t.Errorf("the attempt keeps %q of %v as %s", a.UpstreamID, a.AcceptedAt, a.State)
			}
			h.stop()
		})
		t.Run("while it runs upstream", func(t *testing.T) {
			up := newFake(t)
			up.took = time.Hour
			h := build(t, db, t.TempDir(), up).start(t)
			g := h.accept(t, submission("x"))
			eventually(t, "it runs", func() bool {
				now, _, err := h.Generation(t.Context(), organisation, g.ID)
				return err == nil && now.State == kinora.GenerationRunning
			})
			h.cancelled(t, g.ID)
			eventually(t, "the upstream is told", func() bool { return up.cancels() == 1 })
			h.cancelled(t, g.ID) // again: the same answer, nothing new
			if ev, usage, deliveries := h.ledger(t, g.ID); ev != 1 || usage != 0 || deliveries != 1 {
				t.Errorf("events %d, usage %d, deliveries %d", ev, usage, deliveries)
			}
			h.stop()
		})
		t.Run("when it has ended, and its result is lost", func(t *testing.T) {
			up := newFake(t)
			up.took = time.Hour
			up.name = func(provider.Request) string { return "up_destroyed" }
			var mu sync.Mutex
			var lines bytes.Buffer
			h := build(t, db, t.TempDir(), destroying{up}, func(c *lifecycle.Config) { c.Logger = slog.New(slog.NewTextHandler(&locked{&mu, &lines}, nil)) }).start(t)
			g := h.accept(t, submission("x"))
			eventually(t, "it runs", func() bool {
				now, _, err := h.Generation(t.Context(), organisation, g.ID)
				return err == nil && now.State == kinora.GenerationRunning
			})
			h.cancelled(t, g.ID)
			eventually(t, "an operator is told", func() bool {
				mu.Lock()
				defer mu.Unlock()
				for line := range strings.Lines(lines.String()) {
					if strings.Contains(line, "level=ERROR") && strings.Contains(line, "deleted its result") && strings.Contains(line, g.ID+"_0") {
						return true
					}
				}
				return false
			})
			h.stop()
		})
		t.Run("after the end, and of another organisation", func(t *testing.T) {
			h := build(t, db, t.TempDir(), newFake(t)).start(t)
			g, _ := h.await(t, h.accept(t, submission("x")).ID)
			if _, err := h.Cancel(t.Context(), organisation, g.ID); kinora.CodeOf(err) != kinora.ErrConflict {
				t.Errorf("after the end: %v", err)
			}
			waiting := h.accept(t, submission("x"))
			for _, id := range []string{waiting.ID, "task_00000000000000000000000000"} {
				if _, err := h.Cancel(t.Context(), "org_other", id); kinora.CodeOf(err) != kinora.ErrNotFound {
					t.Errorf("%s: %v", id, err)
				}
			}
			h.stop()
		})
	})
}

// A cancel and the upstream's own end race; whatever wins, there is one end and one event.
func TestCancelRacesWithTheEnd(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = 30 * time.Millisecond
		h := build(t, db, t.TempDir(), up).start(t)
		const jobs = 60
		ids := make([]string, jobs)
		for i := range ids {
			ids[i] = h.accept(t, submission("x")).ID
		}
		var wg sync.WaitGroup
		won := make([]atomic.Bool, jobs)
		for i, id := range ids {
			for range 2 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 2 * time.Millisecond) // spread over the jobs' whole life
					switch _, err := h.Cancel(t.Context(), organisation, id); kinora.CodeOf(err) {
					case "":
						won[i].Store(true)
					case kinora.ErrConflict:
					default:
						t.Errorf("cancel: %v", err)
					}
				})
			}
		}
		wg.Wait()
		cancelled := 0
		for i, id := range ids {
			g, outputs := h.await(t, id)
			if (g.State == kinora.GenerationCancelled) != won[i].Load() {
				t.Errorf("ended as %s, and the cancel won: %v", g.State, won[i].Load())
			}
			ev, usage, deliveries := h.ledger(t, id)
			if ev != 1 || deliveries != 1 || (usage == 1) != (g.State == kinora.GenerationSucceeded) || won[i].Load() && len(outputs) > 0 {
				t.Errorf("%s: events %d, usage %d, deliveries %d, outputs %d", g.State, ev, usage, deliveries, len(outputs))
			}
			if won[i].Load() {
				cancelled++
			}
		}
		t.Logf("%d of %d were cancelled", cancelled, jobs)
		for ref, n := range up.created() {
			if n != 1 {
				t.Errorf("%s created %d times", ref, n)
			}
		}
	})
}

// cancelled cancels a generation and wants it to have been.
func (h *house) cancelled(t *testing.T, id string) {
	t.Helper()
	g, err := h.Cancel(t.Context(), organisation, id)
	if err != nil {
		t.Fatal(err)
	}
	if g.State != kinora.GenerationCancelled || g.Failure == nil || g.Failure.Code != kinora.FailureCancelled || g.CompletedAt.IsZero() {
		t.Fatalf("cancelled as %+v, failure %+v", g, g.Failure)
	}
}

func (f *fake) cancels() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.canceled)
}

var _ provider.Canceler = (*fake)(nil)

// destroying is a fake whose jobs have always ended when they are to be cancelled, and are deleted by it.
type destroying struct{ *fake }

func (destroying) Cancel(context.Context, provider.Upstream, provider.Job) error {
	return &provider.Error{Class: provider.Gone, Message: "it was deleted", Err: provider.ErrResultLost}
}

// locked is a writer that a test may read from meanwhile.
type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
