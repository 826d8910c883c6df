package lifecycle_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
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

// splitting is a fake whose upstream makes one output in a call: a request asks for as many
// as its duration says.
type splitting struct{ *fake }

func (splitting) Parts(req provider.Request) int { return max(1, req.Duration) }

// judge is a gate whose every verdict a test decides, by attempt.
type judge struct {
	mu     sync.Mutex
	asked  int
	away   int      // how many of the first questions fail
	about  []string // the outputs that were asked about, in order
	scores func(o *kinora.Output) kinora.Verdict
}

func (j *judge) Judge(ctx context.Context, g *kinora.Generation, o *kinora.Output, open func(context.Context) (io.ReadSeekCloser, error)) (kinora.Verdict, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.about = append(j.about, o.ID)
	if j.asked++; j.asked <= j.away {
		return kinora.Verdict{Passed: true, Score: 1}, errors.New("the hook is down")
	}
	file, err := open(ctx)
	if err != nil {
		return kinora.Verdict{}, err
	}
	if n, err := io.Copy(io.Discard, file); err != nil || n != o.Bytes {
		return kinora.Verdict{}, errors.New("the file is not what the output says")
	}
	return j.scores(o), file.Close()
}

func judgedBy(j *judge) options { return func(c *lifecycle.Config) { c.Judge = j } }

func parts(n int, change func(*kinora.Plan)) *kinora.Submission {
	s := submission("parts")
	s.Plan.Parts = n
	if change != nil {
		change(&s.Plan)
	}
	return s
}

func (h *house) attempts(t *testing.T, generationID string) []*kinora.Attempt {
	t.Helper()
	list, err := h.Attempts(context.Background(), generationID)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// states are what has become of a generation's attempts, in order.
func (h *house) states(t *testing.T, generationID string) []kinora.AttemptState {
	t.Helper()
	var list []kinora.AttemptState
	for _, a := range h.attempts(t, generationID) {
		list = append(list, a.State)
	}
	return list
}

// endsOnce asserts what holds for every ended generation: one event, and an entry in the
// ledger only for success.
func (h *house) endsOnce(t *testing.T, g *kinora.Generation) {
	t.Helper()
	events, usage, _ := h.ledger(t, g.ID)
	want := 0
	if g.State == kinora.GenerationSucceeded {
		want = 1
	}
	if events != 1 || usage != want {
		t.Errorf("%s: %d events, %d ledger entries", g.State, events, usage)
	}
}

func TestARequestIsSplitIntoAsManyCallsAsItTakes(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := splitting{newFake(t)}
		h := build(t, db, t.TempDir(), f).start(t)
		s := submission("three kites")
		s.Input.Duration = 3
		g, outputs := h.await(t, h.accept(t, s).ID)
		if g.State != kinora.GenerationSucceeded || len(outputs) != 3 {
			t.Fatalf("%+v with %d outputs", g, len(outputs))
		}
		for i, o := range outputs {
			if o.Ordinal != i || o.Attempt != i || o.State != kinora.OutputPublished || (o.Role == "primary") != (i == 0) {
				t.Errorf("output %d: %+v", i, o)
			}
		}
		seen := map[int]int{}
		for _, j := range f.jobs {
			seen[j.request.Part]++
			if j.request.Parts != 3 {
				t.Errorf("a call was told to be one of %d", j.request.Parts)
			}
		}
		if len(seen) != 3 || len(f.jobs) != 3 {
			t.Errorf("shares asked for: %v", seen)
		}
		h.endsOnce(t, g)
	})
}

// A part that fails costs its own outputs and nobody else's.
func TestAGenerationSucceedsWithThePartsThatDo(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := newFake(t)
		f.report = func(j *fakeJob) *provider.Report {
			if j.ref[len(j.ref)-1] == '1' {
				return &provider.Report{State: provider.StateFailed, Err: provider.Errorf(provider.Moderation, "no")}
			}
			return nil
		}
		h := build(t, db, t.TempDir(), f).start(t)
		g, outputs := h.await(t, h.accept(t, parts(3, nil)).ID)
		if g.State != kinora.GenerationSucceeded || len(outputs) != 2 || outputs[0].Attempt != 0 || outputs[1].Attempt != 2 || outputs[1].Ordinal != 1 {
			t.Fatalf("%+v with %+v", g, outputs)
		}
		if a := h.attempts(t, g.ID)[1]; a.State != kinora.AttemptFailed || a.ErrorClass != "moderation" || a.Failure == nil || a.Failure.Code != kinora.FailureContentRejected {
			t.Errorf("the failed part: %+v", a)
		}
		h.endsOnce(t, g)
	})
}

// Of several failures the caller reads the one that tells most.
func TestAllPartsFailing(t *testing.T) {
	for name, tc := range map[string]struct {
		classes []provider.Class
		want    kinora.FailureCode
	}{
		"moderation before faults": {[]provider.Class{provider.Generation, provider.Moderation, provider.OutcomeUnknown}, kinora.FailureContentRejected},
		"money before retries":     {[]provider.Class{provider.Generation, provider.OutcomeUnknown}, kinora.FailureOutcomeUnknown},
		"a fault":                  {[]provider.Class{provider.Generation, provider.Generation}, kinora.FailureUpstream},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, db *store.DB) {
				organise(t, db)
				f := newFake(t)
				class := func(ref string) provider.Class { return tc.classes[ref[len(ref)-1]-'0'] }
				f.submit = func(_ int, req provider.Request) (bool, error) {
					if class(req.ClientRef) == provider.OutcomeUnknown {
						return true, provider.Errorf(provider.OutcomeUnknown, "the line was cut")
					}
					return true, nil
				}
				f.report = func(j *fakeJob) *provider.Report {
					return &provider.Report{State: provider.StateFailed, Err: provider.Errorf(class(j.ref), "no")}
				}
				h := build(t, db, t.TempDir(), f).start(t)
				g, outputs := h.await(t, h.accept(t, parts(len(tc.classes), nil)).ID)
				if g.State != kinora.GenerationFailed || g.Failure.Code != tc.want || len(outputs) != 0 {
					t.Errorf("%s %+v", g.State, g.Failure)
				}
				h.endsOnce(t, g)
				for ref, n := range f.created() {
					if n != 1 {
						t.Errorf("%s was made %d times", ref, n)
					}
				}
			})
		})
	}
}

func TestProgressIsTheMeanOfTheParts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := newFake(t)
		f.took = time.Hour
		f.report = nil
		h := build(t, db, t.TempDir(), f).start(t)
		g := h.accept(t, parts(2, nil))
		h.until(t, "both run", func() bool { return slices.Equal(h.states(t, g.ID), []kinora.AttemptState{"open", "open"}) })
		h.progress(t, g.ID, 10)
		f.mu.Lock()
		for _, j := range f.jobs {
			if j.ref == g.ID+"_0" {
				j.at = time.Time{}
			}
		}
		f.mu.Unlock()
		h.progress(t, g.ID, 55)
		if _, err := h.Cancel(t.Context(), organisation, g.ID); err != nil {
			t.Fatal(err)
		}
	})
}

func (h *house) progress(t *testing.T, generationID string, want int) {
	t.Helper()
	h.until(t, "progress", func() bool {
		g, _, err := h.Generation(context.Background(), organisation, generationID)
		return err == nil && g.Progress == want
	})
}

// until polls a condition; the time only bounds a failure.
func (h *house) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to this: %s", what)
		}
	}
}

func TestACancelEndsAllParts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := newFake(t)
		f.took = time.Hour
		h := build(t, db, t.TempDir(), f, withAccounts(lifecycle.Account{Account: provider.Account{Name: "main", Provider: "fake"}, MaxInFlight: 2})).start(t)
		g := h.accept(t, parts(3, nil))
		h.until(t, "two run and one waits", func() bool {
			s := h.states(t, g.ID)
			slices.Sort(s)
			return slices.Equal(s, []kinora.AttemptState{"open", "open", "queued"})
		})
		if got, err := h.Cancel(t.Context(), organisation, g.ID); err != nil || got.State != kinora.GenerationCancelled {
			t.Fatalf("%+v, %v", got, err)
		}
		if s := h.states(t, g.ID); !slices.Equal(s, []kinora.AttemptState{"cancelled", "cancelled", "cancelled"}) {
			t.Errorf("the attempts are %v", s)
		}
		h.until(t, "both are cancelled upstream", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.canceled) == 2 })
		got, _, err := h.Generation(t.Context(), organisation, g.ID)
		if err != nil {
			t.Fatal(err)
		}
		h.endsOnce(t, got)
		if len(f.created()) != 2 {
			t.Errorf("%d jobs were made", len(f.created()))
		}
	})
}

// Parts that end at once wait for the generation's row in turn: whoever writes outputs has it for himself, and not a share that others
// have too, each of whom would wait for the others.
func TestPartsThatEndAtOnceKeepTheOrderOfLocks(t *testing.T) {
	db := storetest.Postgres(t)
	organise(t, db)
	run(t, db, `CREATE SEQUENCE shared`) // which keeps its count when a transaction is undone
	run(t, db, `CREATE FUNCTION alone() RETURNS trigger AS $$ BEGIN
		PERFORM 1 FROM generations WHERE id = NEW.generation_id FOR UPDATE NOWAIT;
		RETURN NEW;
	EXCEPTION WHEN lock_not_available THEN
		PERFORM nextval('shared');
		RETURN NEW;
	END $$ LANGUAGE plpgsql`)
	run(t, db, `CREATE TRIGGER alone BEFORE INSERT ON outputs FOR EACH ROW EXECUTE FUNCTION alone()`)
	f := newFake(t)
	made := make(chan struct{})
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-made
		f.outputs.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(files.Close)
	f.report = func(j *fakeJob) *provider.Report {
		return &provider.Report{State: provider.StateSucceeded, Outputs: []provider.Output{{URL: files.URL + "/" + j.id + ".png", Kind: kinora.KindImage}}}
	}
	h := build(t, db, t.TempDir(), f).start(t)
	finish := sync.OnceFunc(func() { close(made) })
	t.Cleanup(finish) // or a stop would wait for the downloads
	g := h.accept(t, parts(2, nil))
	h.until(t, "both are collected", func() bool { return slices.Equal(h.states(t, g.ID), []kinora.AttemptState{"collecting", "collecting"}) })
	other, err := db.Postgres().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback(context.Background()) }()
	if _, err := other.Exec(t.Context(), `SELECT 1 FROM generations WHERE id = $1 FOR KEY SHARE`, g.ID); err != nil {
		t.Fatal(err)
	}
	finish()
	h.until(t, "both ends wait", func() bool {
		waiting := 0
		if err := other.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		return waiting == 2
	})
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, outputs := h.await(t, g.ID)
	if g.State != kinora.GenerationSucceeded || len(outputs) != 2 {
		t.Errorf("%+v with %+v", g, outputs)
	}
	h.endsOnce(t, g)
	var shared bool
	if err := db.Postgres().QueryRow(t.Context(), `SELECT is_called FROM shared`).Scan(&shared); err != nil || shared {
		t.Errorf("outputs were written by somebody who did not have the generation's row for himself (%v)", err)
	}
	h.stop()
}

// The deadline ends what is late and nothing that is there.
func TestTheDeadlineEndsOnlyTheLateParts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := newFake(t)
		f.report = func(j *fakeJob) *provider.Report {
			if j.ref[len(j.ref)-1] == '1' {
				return &provider.Report{State: provider.StateRunning, Progress: -1}
			}
			return nil
		}
		h := build(t, db, t.TempDir(), f).start(t)
		g := h.accept(t, parts(2, nil))
		h.until(t, "the first part is there", func() bool { return h.states(t, g.ID)[0] == kinora.AttemptSucceeded })
		if now, outputs, err := h.Generation(t.Context(), organisation, g.ID); err != nil || now.State != kinora.GenerationRunning || len(outputs) != 0 {
			t.Errorf("half of it is shown as %+v with %v, %v", now, outputs, err)
		}
		h.late(t, g.ID)
		end, outputs := h.await(t, g.ID)
		if end.State != kinora.GenerationSucceeded || len(outputs) != 1 {
			t.Errorf("%+v with %+v", end, outputs)
		}
		if a := h.attempts(t, g.ID)[1]; a.Failure == nil || a.Failure.Code != kinora.FailureTimeout {
			t.Errorf("the late part: %+v", a)
		}
		h.endsOnce(t, end)
	})
}

func gated(plan *kinora.Plan) { plan.Gate = &kinora.Gate{NotBlank: true} }

func TestTheBestThatPassArePublished(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := newFake(t)
		scores := []float64{0.5, 0.9, 0.95, 0.7}
		j := &judge{away: 3, scores: func(o *kinora.Output) kinora.Verdict {
			return kinora.Verdict{Passed: o.Attempt != 2, Score: scores[o.Attempt]}
		}}
		h := build(t, db, t.TempDir(), f, judgedBy(j)).start(t)
		g, outputs := h.await(t, h.accept(t, parts(4, func(p *kinora.Plan) { gated(p); p.Publish = 2 })).ID)
		if g.State != kinora.GenerationSucceeded || len(outputs) != 2 || outputs[0].Attempt != 1 || outputs[1].Attempt != 3 {
			t.Fatalf("%+v with %+v", g, outputs)
		}
		all, err := h.Candidates(t.Context(), g.ID)
		if err != nil || len(all) != 4 {
			t.Fatalf("%+v, %v", all, err)
		}
		want := []kinora.OutputState{kinora.OutputCandidate, kinora.OutputPublished, kinora.OutputRejected, kinora.OutputPublished}
		for i, o := range all {
			if o.State != want[i] || o.Verdict == nil || o.Verdict.Score != scores[i] || (o.Ordinal >= 0) != (o.State == kinora.OutputPublished) {
				t.Errorf("candidate %d: %+v", i, o)
			}
		}
		if n := len(f.created()); n != 4 {
			t.Errorf("%d jobs", n)
		}
		h.endsOnce(t, g)
	})
}

func TestRoundsFollowUntilSomethingPasses(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		f := newFake(t)
		j := &judge{}
		h := build(t, db, t.TempDir(), f, judgedBy(j)).start(t)
		for _, n := range []int{1, 2} {
			j.mu.Lock()
			j.scores = func(o *kinora.Output) kinora.Verdict { return kinora.Verdict{Passed: o.Attempt >= n, Score: 0.5} }
			j.mu.Unlock()
			g, outputs := h.await(t, h.accept(t, parts(n, func(p *kinora.Plan) { gated(p); p.Rounds = 3; p.Publish = 1 })).ID)
			if g.State != kinora.GenerationSucceeded || len(outputs) != 1 || outputs[0].Ordinal != 0 || outputs[0].Attempt != n {
				t.Fatalf("%d parts: %+v with %+v", n, g, outputs)
			}
			if list := h.attempts(t, g.ID); len(list) != 2*n || list[n].Round != 1 || list[n].Part != 0 || list[n].ID() == list[0].ID() {
				t.Errorf("%d parts: attempts %+v", n, list)
			}
			h.endsOnce(t, g)

			j.mu.Lock()
			j.scores = func(*kinora.Output) kinora.Verdict { return kinora.Verdict{} }
			j.mu.Unlock()
			g, outputs = h.await(t, h.accept(t, parts(n, func(p *kinora.Plan) { gated(p); p.Rounds = 3 })).ID)
			if g.State != kinora.GenerationFailed || g.Failure.Code != kinora.FailureQualityRejected || len(outputs) != 0 {
				t.Fatalf("%d parts: %+v with %+v", n, g, outputs)
			}
			all, err := h.Candidates(t.Context(), g.ID)
			if err != nil || len(all) != 3*n || len(h.attempts(t, g.ID)) != 3*n {
				t.Errorf("%d parts: %d candidates, %v", n, len(all), err)
			}
			for _, o := range all {
				if obj, err := h.blob.Open(t.Context(), o.BlobKey); err != nil {
					t.Errorf("a rejected candidate is not kept for operators: %v", err)
				} else {
					_ = obj.Close()
				}
			}
			h.endsOnce(t, g)
		}
	})
}

// A gate that is asked again is asked about the same output, whatever came between: a checker tells repeats by its id.
func TestAnOutputThatIsJudgedAgainKeepsItsID(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		j := &judge{away: 2, scores: func(o *kinora.Output) kinora.Verdict { return kinora.Verdict{Passed: o.Attempt > 0, Score: 1} }}
		h := build(t, db, t.TempDir(), newFake(t), judgedBy(j)).start(t)
		s := parts(1, func(p *kinora.Plan) { p.Rounds = 2; gated(p) })
		g, outputs := h.await(t, h.accept(t, s).ID)
		all, err := h.Candidates(t.Context(), g.ID)
		if err != nil || len(all) != 2 || len(outputs) != 1 {
			t.Fatalf("%s with %+v, %v", g.State, all, err)
		}
		if want := []string{all[0].ID, all[0].ID, all[0].ID, outputs[0].ID}; !slices.Equal(j.about, want) || all[0].ID == outputs[0].ID {
			t.Errorf("asked about %v, want %v", j.about, want)
		}
		h.stop()
	})
}
