package lifecycle_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// other is a second upstream, under another name, which may refuse input.
type other struct {
	*fake
	refuses string
}

func (other) Name() string { return "other" }

func (o other) Validate(provider.Request) error {
	if o.refuses != "" {
		return provider.Errorf(provider.Invalid, "%s", o.refuses)
	}
	return nil
}

// picky is the first upstream, which may refuse input too.
type picky struct {
	*fake
	refuses string
}

func (p picky) Validate(provider.Request) error { return other(p).Validate(provider.Request{}) }

// twoRoutes leads fake-image to the first upstream, and to the second where that does not serve.
func twoRoutes(second provider.Provider, change func(*kinora.Model)) options {
	return func(c *lifecycle.Config) {
		c.Providers = append(c.Providers, second)
		c.Accounts = append(c.Accounts, lifecycle.Account{Account: provider.Account{Name: "spare", Provider: "other"}})
		m := kinora.Model{Name: "fake-image", Kind: kinora.KindImage, FailoverAfter: time.Hour, Routes: []kinora.Route{
			{Provider: "fake"}, {Provider: "other", UpstreamModel: "other-image"},
		}}
		if change != nil {
			change(&m)
		}
		c.Models = []kinora.Model{m}
	}
}

func failingWith(class provider.Class) func(int, provider.Request) (bool, error) {
	return func(int, provider.Request) (bool, error) { return false, provider.Errorf(class, "no") }
}

// What was refused before anything was created goes to the next route at once where waiting
// does not mend it, and nowhere where the caller is the reason.
func TestRefusalsGoToTheNextRoute(t *testing.T) {
	for class, want := range map[provider.Class]struct {
		moves bool
		code  kinora.FailureCode
	}{
		provider.Balance: {moves: true}, provider.Credential: {moves: true}, provider.Permission: {moves: true}, provider.ModelGone: {moves: true},
		provider.Unavailable: {moves: true}, // after as many tries as it gets
		provider.Invalid:     {code: kinora.FailureInvalidRequest}, provider.Moderation: {code: kinora.FailureContentRejected},
		provider.OutcomeUnknown: {code: kinora.FailureOutcomeUnknown}, provider.Generation: {code: kinora.FailureUpstream},
	} {
		t.Run(string(class), func(t *testing.T) {
			db := storetest.SQLite(t)
			organise(t, db)
			first, second := newFake(t), newFake(t)
			first.submit = failingWith(class)
			h := build(t, db, t.TempDir(), first, twoRoutes(other{fake: second}, nil)).start(t)
			g, outputs := h.await(t, h.accept(t, submission("a kite")).ID)
			list := h.attempts(t, g.ID)
			if !want.moves {
				if g.State != kinora.GenerationFailed || g.Failure.Code != want.code || len(list) != 1 || len(second.created()) != 0 {
					t.Fatalf("%+v after %d attempts, %d made elsewhere", g, len(list), len(second.created()))
				}
				h.endsOnce(t, g)
				return
			}
			if g.State != kinora.GenerationSucceeded || len(outputs) != 1 || len(list) != 2 {
				t.Fatalf("%+v %+v after %d attempts", g, g.Failure, len(list))
			}
			if a := list[0]; a.State != kinora.AttemptFailed || a.ErrorClass != string(class) || a.Route != 0 || a.Account != "main" {
				t.Errorf("the first: %+v", a)
			}
			if a := list[1]; a.Route != 1 || a.Provider != "other" || a.Account != "spare" || a.UpstreamModel != "other-image" || len(a.RoutesLeft) != 0 {
				t.Errorf("the second: %+v", a)
			}
			h.endsOnce(t, g)
		})
	}
}

// A busy upstream keeps its work for a while; then it goes where there is a place.
func TestWorkWaitsForItsRouteBeforeItMoves(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		first, second := newFake(t), newFake(t)
		first.took = time.Hour
		limited := func(c *lifecycle.Config) { c.Accounts[0].MaxInFlight = 1 }
		h := build(t, db, t.TempDir(), first, twoRoutes(other{fake: second}, func(m *kinora.Model) { m.FailoverAfter = 24 * time.Hour }), limited).start(t)
		stays := h.accept(t, submission("first"))
		h.until(t, "the only place is taken", func() bool { return slices.Equal(h.states(t, stays.ID), []kinora.AttemptState{"open"}) })
		waits := h.accept(t, submission("second"))
		if a := h.attempts(t, waits.ID)[0]; a.Provider != "fake" || time.Until(a.MoveAt) < 23*time.Hour {
			t.Fatalf("it does not wait: %+v", a)
		}
		h.hurry(t, waits.ID)
		g, _ := h.await(t, waits.ID)
		list := h.attempts(t, g.ID)
		if g.State != kinora.GenerationSucceeded || len(list) != 2 || list[0].Tries != 0 || !list[0].SubmittedAt.IsZero() || list[1].Provider != "other" {
			t.Fatalf("%+v after %+v", g, list)
		}
		h.endsOnce(t, g)
		if _, err := h.Cancel(t.Context(), organisation, stays.ID); err != nil {
			t.Fatal(err)
		}

		// With a place at its own route, or none elsewhere, it stays.
		h.stop()
		first.took = 0
		id := h.accept(t, submission("third")).ID
		h.hurry(t, id)
		again := build(t, db, h.dir, first, twoRoutes(other{fake: second}, nil), limited).start(t)
		if g, _ := again.await(t, id); g.State != kinora.GenerationSucceeded || len(again.attempts(t, id)) != 1 || again.attempts(t, id)[0].Provider != "fake" {
			t.Errorf("after a restart: %+v", again.attempts(t, id))
		}
	})
}

// hurry lets a generation's queued attempts have waited long enough for their route.
func (h *house) hurry(t *testing.T, generationID string) {
	t.Helper()
	if err := h.db.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE attempts SET move_at = 1 WHERE generation_id = ?`, generationID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// What an upstream has taken and failed is made anew only where the model or the caller says so.
func TestRetryElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		retry    bool
		fallback string // the caller's official_fallback
		class    provider.Class
		parts    int
		want     kinora.GenerationState
		tries    int
	}{
		"not asked for":                    {false, "", provider.Generation, 1, kinora.GenerationFailed, 1},
		"a fault":                          {true, "", provider.Generation, 1, kinora.GenerationSucceeded, 2},
		"of several parts":                 {true, "", provider.Unavailable, 3, kinora.GenerationSucceeded, 6},
		"the content":                      {true, "", provider.Moderation, 1, kinora.GenerationFailed, 1},
		"asked for by the caller":          {false, "true", provider.Generation, 1, kinora.GenerationSucceeded, 2},
		"the content, as the caller asks":  {false, "true", provider.Moderation, 1, kinora.GenerationFailed, 1},
		"not known, as the caller asks":    {false, "true", provider.OutcomeUnknown, 1, kinora.GenerationFailed, 1},
		"not asked for by the caller":      {false, "false", provider.Generation, 1, kinora.GenerationFailed, 1},
		"asked for by the model, at least": {true, "false", provider.Generation, 1, kinora.GenerationSucceeded, 2},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, db *store.DB) {
				organise(t, db)
				first, second := newFake(t), newFake(t)
				first.report = func(*fakeJob) *provider.Report {
					return &provider.Report{State: provider.StateFailed, Err: provider.Errorf(tc.class, "no")}
				}
				h := build(t, db, t.TempDir(), first, twoRoutes(other{fake: second}, func(m *kinora.Model) { m.RetryElsewhere = tc.retry })).start(t)
				s := parts(tc.parts, nil)
				if tc.fallback != "" {
					s.Input.Metadata = map[string]json.RawMessage{"official_fallback": json.RawMessage(tc.fallback)}
				}
				g, outputs := h.await(t, h.accept(t, s).ID)
				list := h.attempts(t, g.ID)
				if g.State != tc.want || len(list) != tc.tries {
					t.Fatalf("%+v %+v after %d attempts", g, g.Failure, len(list))
				}
				if tc.want == kinora.GenerationSucceeded {
					if len(outputs) != tc.parts || len(second.created()) != tc.parts {
						t.Errorf("%d outputs, %d jobs elsewhere", len(outputs), len(second.created()))
					}
					for i, o := range outputs { // part by part, whichever attempt came first
						if p := list[o.Attempt].Part; p != i {
							t.Errorf("output %d is of part %d", i, p)
						}
					}
				}
				h.endsOnce(t, g)
			})
		})
	}
}

// Routes that cannot take a request are left out; where all refuse, the first one speaks.
func TestRoutesThatRefuseTheInputAreLeftOut(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	for name, tc := range map[string]struct {
		first, second string
		provider, err string
	}{
		"the first":  {"input.size is not offered", "", "other", ""},
		"the second": {"", "input.size is too large", "fake", ""},
		"both":       {"input.size is not offered", "input.size is too large", "", "input.size is not offered"},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, db, t.TempDir(), picky{newFake(t), tc.first}, twoRoutes(other{newFake(t), tc.second}, nil))
			got, err := h.Accept(t.Context(), submission("a kite"))
			if tc.err != "" {
				if kinora.CodeOf(err) != kinora.ErrInvalid || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a := h.attempts(t, got.Generation.ID)[0]; a.Provider != tc.provider || len(a.RoutesLeft) != 0 || !a.MoveAt.IsZero() {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestWeightsShareOutTheWork(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	h := build(t, db, t.TempDir(), newFake(t), twoRoutes(other{fake: newFake(t)}, func(m *kinora.Model) {
		m.Order, m.Routes[0].Weight, m.Routes[1].Weight = kinora.RoutesWeighted, 1, 3
	}))
	at := map[string]int{}
	for range 10 {
		for _, a := range h.attempts(t, h.accept(t, parts(100, nil)).ID) {
			at[a.Provider]++
		}
	}
	// Of a thousand draws, three in four: the bounds are seven standard deviations away.
	if at["other"] < 650 || at["other"] > 850 || at["fake"]+at["other"] != 1000 {
		t.Errorf("shared out as %v", at)
	}
}
