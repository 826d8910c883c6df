package kinora_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

func TestTakes(t *testing.T) {
	all := kinora.Endpoint{}
	failed := kinora.Endpoint{EventTypes: []kinora.EventType{kinora.EventFailed}}
	for _, typ := range []kinora.EventType{kinora.EventCompleted, kinora.EventFailed} {
		if !all.Takes(typ) {
			t.Errorf("an endpoint without a filter does not take %s", typ)
		}
		if failed.Takes(typ) != (typ == kinora.EventFailed) {
			t.Errorf("one for failures takes %s: %v", typ, failed.Takes(typ))
		}
	}
}

// An endpoint against a model that remembers everything that has happened to it.
func TestEndpointHealth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := kinora.DisableRule{After: time.Duration(rapid.IntRange(0, 20).Draw(t, "after")) * time.Second,
			Attempts: rapid.IntRange(0, 4).Draw(t, "attempts")}
		var (
			h       kinora.EndpointHealth
			now     = time.Unix(1_800_000_000, 0)
			failed  []time.Time // since the last success
			reason  kinora.DisableReason
			missed  time.Time // from when a replay has to reach
			replays time.Time // where the one that runs began
		)
		disable := func(r kinora.DisableReason) {
			if reason != "" {
				return
			}
			reason = r
			for _, at := range append([]time.Time{replays, now}, failed...) {
				if !at.IsZero() && (missed.IsZero() || at.Before(missed)) {
					missed = at
				}
			}
			replays = time.Time{}
		}
		late := func(started time.Time) bool {
			if reason != "" && started.Before(missed) {
				missed = started
			}
			return reason != ""
		}
		t.Repeat(map[string]func(*rapid.T){
			"success": func(*rapid.T) {
				h = h.Succeeded()
				if reason == "" {
					failed = nil
				}
			},
			"failure": func(t *rapid.T) {
				took := time.Duration(rapid.IntRange(0, 10).Draw(t, "took")) * time.Second
				h = h.Failed(now.Add(-took), now, rule)
				if late(now.Add(-took)) {
					return
				}
				failed = append(failed, now.Add(-took))
				first := failed[0]
				for _, at := range failed {
					if at.Before(first) {
						first = at
					}
				}
				if rule.After > 0 && len(failed) >= max(rule.Attempts, 1) && now.Sub(first) >= rule.After {
					disable(kinora.DisabledFailing)
				}
			},
			"gone": func(t *rapid.T) {
				started := now.Add(-time.Duration(rapid.IntRange(0, 10).Draw(t, "took")) * time.Second)
				h = h.Gone(started, now)
				if late(started) {
					return
				}
				failed = append(failed, started)
				disable(kinora.DisabledGone)
			},
			"disable": func(*rapid.T) { h = h.Disable(kinora.DisabledByOperator, now); disable(kinora.DisabledByOperator) },
			"enable": func(t *rapid.T) {
				replay := rapid.Bool().Draw(t, "replay")
				h = h.Enable(replay, now)
				since := missed // what died while it was failing was missed, disabled or not
				for _, at := range failed {
					if since.IsZero() || at.Before(since) {
						since = at
					}
				}
				if reason != "" {
					failed, reason = nil, ""
				}
				if replay && !since.IsZero() {
					missed = since
					if replays.IsZero() || missed.Before(replays) {
						replays = missed
					}
					missed = time.Time{}
				}
			},
			"replayed": func(*rapid.T) { h = h.Replayed(); replays = time.Time{} },
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 10_000_000).Draw(t, "passes")) * time.Microsecond)
			},
			"": func(t *rapid.T) {
				if h.Enabled() != (reason == "") || h.Reason != reason {
					t.Fatalf("disabled for %q, want %q", h.Reason, reason)
				}
				if !h.MissedSince.Equal(missed) || !h.ReplayFrom.Equal(replays) || h.ReplayFrom.IsZero() != h.ReplayUntil.IsZero() {
					t.Fatalf("missed since %v, want %v; replays from %v, want %v", h.MissedSince, missed, h.ReplayFrom, replays)
				}
				if reason == "" && (h.Failures != min(len(failed), max(rule.Attempts, 1)) || h.FailingSince.IsZero() != (len(failed) == 0)) {
					t.Fatalf("%d failures since %v, want %d", h.Failures, h.FailingSince, len(failed))
				}
				if reason != "" && (h.MissedSince.IsZero() || h.MissedSince.After(h.DisabledAt)) {
					t.Fatalf("disabled at %v, missed since %v", h.DisabledAt, h.MissedSince)
				}
				if !h.ReplayUntil.IsZero() && h.ReplayUntil.Before(h.ReplayFrom) {
					t.Fatalf("replays from %v until %v", h.ReplayFrom, h.ReplayUntil)
				}
			},
		})
	})
}

func TestOneSuccessStartsTheTimeAnew(t *testing.T) {
	rule := kinora.DisableRule{After: time.Hour, Attempts: 2}
	now := time.Unix(1_800_000_000, 0)
	h := kinora.EndpointHealth{}.Failed(now, now, rule).Failed(now, now.Add(59*time.Minute), rule).Succeeded()
	h = h.Failed(now.Add(time.Hour), now.Add(time.Hour), rule).Failed(now.Add(90*time.Minute), now.Add(90*time.Minute), rule)
	if !h.Enabled() {
		t.Error("disabled half an hour after a success")
	}
	if h = h.Failed(now, now.Add(3*time.Hour), rule); h.Enabled() || h.Reason != kinora.DisabledFailing {
		t.Errorf("two hours of nothing but failure later: %+v", h)
	}
}
