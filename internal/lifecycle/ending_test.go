package lifecycle_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// fates are what may become of an attempt. Which one does follows from its id and the
// campaign's seed, whoever works on it and how often.
type fates uint64

// of draws a number below n for an attempt, another one for each question.
func (f fates) of(ref, question string, n uint32) uint32 {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%d %s %s", f, question, ref)
	return (h.Sum32() >> 7) % n
}

// upstream gives a fake the fates of its attempts.
func (f fates) upstream(up *fake) {
	up.took = 30 * time.Millisecond
	up.submit = func(n int, req provider.Request) (bool, error) {
		switch f.of(req.ClientRef, "submit", 12) {
		case 0:
			return false, provider.Errorf(provider.ModelGone, "no such model")
		case 1:
			return true, provider.Errorf(provider.OutcomeUnknown, "the line was cut")
		case 2:
			if n == 1 {
				return false, provider.Errorf(provider.Unavailable, "overloaded")
			}
		}
		return true, nil
	}
	up.report = func(j *fakeJob) *provider.Report {
		switch f.of(j.ref, "job", 8) {
		case 0:
			return &provider.Report{State: provider.StateFailed, Err: provider.Errorf(provider.Generation, "no picture")}
		case 1:
			return &provider.Report{State: provider.StateFailed, Err: provider.Errorf(provider.Moderation, "no")}
		}
		return nil
	}
}

func (f fates) verdict(o *kinora.Output) kinora.Verdict {
	ref := fmt.Sprintf("%s %d", o.GenerationID, o.Attempt)
	return kinora.Verdict{Passed: f.of(ref, "gate", 2) == 0, Score: float64(f.of(ref, "score", 1000)) / 1000}
}

// submission draws a plan.
func (f fates) submission(i int) *kinora.Submission {
	draw := func(question string, n uint32) int { return int(f.of(fmt.Sprint(i), question, n)) }
	s := submission(fmt.Sprint(i))
	s.Plan = kinora.Plan{Parts: draw("parts", 4), Publish: draw("publish", 3)}
	if draw("gated", 3) > 0 {
		s.Plan.Gate, s.Plan.Rounds, s.Plan.Review = &kinora.Gate{NotBlank: true}, draw("rounds", 4), draw("review", 3) == 0
	}
	return s
}

// TestEveryGenerationEndsOnce lets upstreams fail, people decide, callers cancel and nodes go away
// at random, and then looks at what must hold however that went.
func TestEveryGenerationEndsOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		seed := fates(rand.Uint64())
		t.Logf("seed %d", seed)
		first, second := newFake(t), newFake(t)
		seed.upstream(first)
		seed.upstream(second)
		dir, j := t.TempDir(), &judge{scores: seed.verdict, away: 5}
		node := func() *house {
			return build(t, db, dir, first, judgedBy(j), twoRoutes(other{fake: second}, func(m *kinora.Model) { m.RetryElsewhere = true }),
				func(c *lifecycle.Config) { c.Timing.Submit = time.Second })
		}
		nodes := []*house{node().start(t)}
		if db.Shared() {
			nodes = append(nodes, node().start(t))
		}
		const generations = 60
		ids := make([]string, generations)
		for i := range ids {
			ids[i] = nodes[i%len(nodes)].accept(t, seed.submission(i)).ID
		}
		// Nodes come and go: what they had in hand is broken off, and taken up by others.
		ctx, enough := context.WithCancel(t.Context())
		var people sync.WaitGroup
		door := &door{open: nodes[0]}
		people.Go(func() { door.cancelSome(ctx, seed, ids) })
		for who := range 2 {
			people.Go(func() { door.decideAll(ctx, seed, fmt.Sprint("person ", who)) })
		}
		for range 4 {
			time.Sleep(150 * time.Millisecond)
			broken, cancel := context.WithCancel(t.Context())
			cancel()
			if err := nodes[0].Stop(broken); err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes[1:], node().start(t))
			door.move(nodes[0])
		}
		for _, id := range ids {
			nodes[0].await(t, id)
		}
		enough()
		people.Wait()
		for _, up := range []*fake{first, second} {
			for ref, n := range up.created() {
				if n > 1 {
					t.Errorf("%s was made %d times", ref, n)
				}
			}
		}
		ends := map[string]int{}
		for i, id := range ids {
			ends[nodes[0].sound(t, id, seed.submission(i).Plan)]++
		}
		t.Logf("ends: %v", ends)
	})
}

// door is the node that people come to.
type door struct {
	mu   sync.Mutex
	open *house
}

func (d *door) move(to *house) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = to
}

func (d *door) node() *house {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

func (d *door) cancelSome(ctx context.Context, seed fates, ids []string) {
	for _, id := range ids {
		if seed.of(id, "cancel", 6) == 0 {
			_, _ = d.node().Cancel(ctx, organisation, id)
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// decideAll decides on what waits; two people may do so on the same, and one of them comes late.
func (d *door) decideAll(ctx context.Context, seed fates, who string) {
	for ctx.Err() == nil {
		list, _ := d.node().PendingReviews(ctx, "", kinora.ReviewPosition{}, 10)
		for _, r := range list {
			_, _, _ = d.node().Decide(ctx, r.GenerationID, kinora.ReviewDecision{Reject: seed.of(r.GenerationID, who, 2) == 0, By: who})
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// sound checks an ended generation and all that belongs to it, and says how it ended.
func (h *house) sound(t *testing.T, generationID string, plan kinora.Plan) string {
	t.Helper()
	g, published, err := h.Generation(t.Context(), organisation, generationID)
	if err != nil {
		t.Fatal(err)
	}
	h.endsOnce(t, g)
	wrong := func(format string, args ...any) {
		t.Errorf("%s (%s %+v, plan %+v): %s", g.ID, g.State, g.Failure, plan, fmt.Sprintf(format, args...))
	}
	attempts := h.attempts(t, g.ID)
	rounds := h.soundAttempts(g, attempts, wrong)
	if rounds > max(1, plan.Rounds) {
		wrong("%d rounds", rounds)
	}
	all, err := h.Candidates(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	lastPassed := 0
	for _, o := range all {
		file, err := h.blob.Open(t.Context(), o.BlobKey)
		if err != nil {
			wrong("output %s has no file: %v", o.ID, err)
		} else {
			_ = file.Close()
		}
		if a := attempts[o.Attempt]; a.State != kinora.AttemptSucceeded {
			wrong("attempt %d made an output and is %s", o.Attempt, a.State)
		}
		if plan.Gate != nil && (o.Verdict == nil || !o.Verdict.Passed && o.State != kinora.OutputRejected) {
			wrong("output %+v was not judged, or in vain", o)
		}
		if o.State != kinora.OutputRejected && attempts[o.Attempt].Round == rounds-1 {
			lastPassed++
		}
	}
	if (len(published) > 0) != (g.State == kinora.GenerationSucceeded) || plan.Publish > 0 && len(published) > plan.Publish {
		wrong("%d outputs are published", len(published))
	}
	for i, o := range published {
		if o.Ordinal != i || plan.Gate != nil && i > 0 && published[i-1].Verdict.Score < o.Verdict.Score {
			wrong("published in the order %+v", published)
		}
	}
	code := ""
	if g.Failure != nil {
		code = string(g.Failure.Code)
	}
	if g.State == kinora.GenerationFailed && lastPassed > 0 || code == string(kinora.FailureQualityRejected) && len(all) == 0 {
		wrong("it failed with %d good outputs of %d", lastPassed, len(all))
	}
	reviews, err := h.Reviews(t.Context(), g.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reviews {
		if r.State == kinora.ReviewPending || (r.State == kinora.ReviewApproved) != (g.State == kinora.GenerationSucceeded && r.Round == rounds-1) {
			wrong("review %+v", r)
		}
	}
	if plan.Review && len(reviews) == 0 && g.State == kinora.GenerationSucceeded {
		wrong("nobody was asked")
	}
	return string(g.State) + " " + code
}

// soundAttempts checks the attempts of an ended generation and returns how many rounds there were.
func (h *house) soundAttempts(g *kinora.Generation, attempts []*kinora.Attempt, wrong func(string, ...any)) (rounds int) {
	type part struct{ round, part int }
	went := map[part][]int{}
	for i, a := range attempts {
		if !a.State.Terminal() || a.LeaseOwner != "" || !a.DueAt.IsZero() || a.FinishedAt.IsZero() || a.Ordinal != i {
			wrong("attempt %d is not ended: %+v", i, a)
		}
		if a.CreatedAt.After(g.CompletedAt) || a.FinishedAt.After(g.CompletedAt) {
			wrong("attempt %d outlived it: %s, %s", i, a.FinishedAt, g.CompletedAt)
		}
		at := part{a.Round, a.Part}
		if slices.Contains(went[at], a.Route) {
			wrong("part %d took route %d twice", a.Part, a.Route)
		}
		went[at] = append(went[at], a.Route)
		rounds = max(rounds, a.Round+1)
	}
	for at := range went {
		if n := attempts[0].Parts; at.part >= n || len(went) != rounds*n {
			wrong("%d rounds of %d parts have %v", rounds, n, went)
		}
	}
	return rounds
}
