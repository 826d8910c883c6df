package id_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/id"
)

func TestIDsAreWellFormedAndSortByTime(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	for i := range 1000 {
		s := id.New(id.Task, time.UnixMilli(1_800_000_000_000+int64(i)))
		if !id.WellFormed(s, id.Task) || seen[s] || s <= last {
			t.Fatalf("%s after %s", s, last)
		}
		seen[s], last = true, s
	}
}

func TestSequencesAreInOrder(t *testing.T) {
	var s id.Sequence
	at, last := time.UnixMilli(1_800_000_000_000), ""
	for i := range 3000 {
		next := s.New(id.Audit, at.Add(time.Duration(i/1000)*time.Millisecond))
		if !id.WellFormed(next, id.Audit) || next <= last {
			t.Fatalf("%s after %s", next, last)
		}
		last = next
	}
}

func TestMalformedIDsAreRecognised(t *testing.T) {
	for _, s := range []string{"", "task_", "task_01HF8Z3KQX2A6Y4N3R8M5W7V9", "task_01HF8Z3KQX2A6Y4N3R8M5W7V9PP", "job_01HF8Z3KQX2A6Y4N3R8M5W7V9P",
		"task_01hf8z3kqx2a6y4n3r8m5w7v9p", "task_01HF8Z3KQX2A6Y4N3R8M5W7V9I", "task_01HF8Z3KQX2A6Y4N3R8M5W7V9\x00", "task_../../../../../../../etc"} {
		if id.WellFormed(s, id.Task) {
			t.Errorf("%q passes", s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		if id.WellFormed(s, id.Task) && len(s) != 31 {
			t.Fatalf("%q passes", s)
		}
	})
}

func TestLeastSortsBetweenMilliseconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(1, 1<<47).Draw(t, "at"))
		least := id.Least(id.Delivery, at)
		if s := id.New(id.Delivery, at); s < least || id.New(id.Delivery, at.Add(-time.Millisecond)) >= least {
			t.Fatalf("%s is not the least of %s", least, s)
		}
	})
	if id.Least(id.Delivery, time.Time{}) != "dlv_00000000000000000000000000" {
		t.Error("the zero time is not before all")
	}
}

func TestDerivedIDsRepeat(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000)
	s := id.Derived(id.Output, at, "job_1_0/0")
	if !id.WellFormed(s, id.Output) || id.Derived(id.Output, at, "job_1_0/0") != s {
		t.Errorf("%s is not the same again", s)
	}
	if id.Derived(id.Output, at, "job_1_0/1") == s || id.Derived(id.Output, at.Add(time.Millisecond), "job_1_0/0") <= s || s < id.Least(id.Output, at) {
		t.Errorf("%s is not of its words and instant", s)
	}
}
