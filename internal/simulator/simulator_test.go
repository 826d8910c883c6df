package simulator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func TestManualClock(t *testing.T) {
	c := NewManualClock(start)
	due, _ := c.Timer(start.Add(time.Minute))
	stopped, stop := c.Timer(start.Add(time.Minute))
	stop()
	stop()
	past, _ := c.Timer(start)
	select {
	case <-past:
	default:
		t.Error("a timer in the past did not fire at once")
	}
	c.Advance(59 * time.Second)
	select {
	case <-due:
		t.Error("fired early")
	default:
	}
	c.Advance(time.Second)
	select {
	case at := <-due:
		if want := start.Add(time.Minute); !at.Equal(want) {
			t.Errorf("fired at %v, want %v", at, want)
		}
	default:
		t.Error("did not fire")
	}
	select {
	case <-stopped:
		t.Error("a stopped timer fired")
	default:
	}
	if n := c.Waiting(); n != 0 {
		t.Errorf("%d timers left", n)
	}
}

func TestHoldEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Hold(ctx, NewManualClock(start), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	if err := Hold(ctx, NewManualClock(start), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("without a wait: error %v, want that of the context", err)
	}
}

// Whatever the times, tasks start in their order and none before its time.
func TestScheduleOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offsets := rapid.SliceOfN(rapid.IntRange(-5, 20), 1, 40).Draw(t, "offsets")
		clock := NewManualClock(start)
		s := NewSchedule(clock, 1)
		defer s.Close()
		type ran struct {
			n  int
			at time.Time
		}
		results := make(chan ran, len(offsets))
		for n, o := range offsets {
			s.At(start.Add(time.Duration(o)*time.Second), func(context.Context) { results <- ran{n, clock.Now()} })
		}
		want := make([]int, len(offsets))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return offsets[a] - offsets[b] })
		// Tasks of the past may start before all are known, in any order among
		// the later ones; the rest may not.
		late := slices.DeleteFunc(slices.Clone(want), func(n int) bool { return offsets[n] <= 0 })
		var got []int
		take := func() {
			r := <-results
			if due := start.Add(time.Duration(offsets[r.n]) * time.Second); r.at.Before(due) {
				t.Fatalf("task %d ran at %v, before its time %v", r.n, r.at, due)
			}
			if offsets[r.n] > 0 {
				got = append(got, r.n)
			}
		}
		for range len(offsets) - len(late) {
			take()
		}
		for second := 1; second <= 20; second++ {
			clock.Advance(time.Second)
			for _, o := range offsets {
				if o == second {
					take()
				}
			}
		}
		if !slices.Equal(got, late) {
			t.Fatalf("ran %v, want %v", got, late)
		}
	})
}

func TestScheduleRunsAtMostSoManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSchedule(SystemClock{}, 3)
		defer s.Close()
		var running, most, done atomic.Int32
		for range 20 {
			s.At(time.Now(), func(context.Context) {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(time.Second)
				running.Add(-1)
				done.Add(1)
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if done.Load() != 20 || most.Load() != 3 {
			t.Errorf("%d tasks done, at most %d at once; want 20 and 3", done.Load(), most.Load())
		}
	})
}

func TestScheduleIdlesBetweenTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSchedule(SystemClock{}, 1)
		defer s.Close()
		var mu sync.Mutex
		var at []time.Duration
		begin := time.Now()
		for _, d := range []time.Duration{48 * time.Hour, time.Hour, time.Minute} {
			s.At(begin.Add(d), func(context.Context) {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(begin))
			})
		}
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		if want := []time.Duration{time.Minute, time.Hour, 48 * time.Hour}; !slices.Equal(at, want) {
			t.Errorf("ran at %v, want %v", at, want)
		}
	})
}

func TestScheduleClose(t *testing.T) {
	clock := NewManualClock(start)
	s := NewSchedule(clock, 1)
	begun := make(chan struct{})
	var ended atomic.Bool
	s.At(start, func(ctx context.Context) {
		close(begun)
		<-ctx.Done()
		ended.Store(true)
	})
	<-begun
	s.At(start, func(context.Context) { t.Error("ran after Close") })
	s.At(start.Add(time.Hour), func(context.Context) { t.Error("ran after Close") })
	s.Close()
	s.Close()
	if !ended.Load() {
		t.Error("Close did not wait for the task that ran")
	}
	s.At(start, func(context.Context) { t.Error("ran after Close") })
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d tasks wait after Close", n)
	}
}
