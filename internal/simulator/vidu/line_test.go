package vidu

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/simulator"
)

// rank orders the states: a task never goes back.
var rank = map[string]int{created: 0, queueing: 1, processing: 2, success: 3, failed: 3}

// lined is a simulator whose tasks have numbers instead of ids, so that two can be
// compared.
type lined struct {
	*Simulator
	tasks []*task
	last  []int
}

func newLined(t *rapid.T, clock simulator.Clock, concurrent int) *lined {
	s, err := New(Config{Accounts: []Account{{Key: key, Concurrent: concurrent}}, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return &lined{Simulator: s}
}

func (l *lined) submit(takes time.Duration, offPeak, never bool) {
	o := orders{time: takes, never: never}
	made, f := l.accept(&task{submission: submission{OffPeak: offPeak}, route: "text2video", account: l.accounts[0], orders: o}, l.clock.Now())
	if f != nil {
		panic(f)
	}
	l.tasks, l.last = append(l.tasks, made), append(l.last, 0)
}

func (l *lined) cancel(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(l.clock.Now())
	if t := l.tasks[i]; t.started.IsZero() && t.ended.IsZero() {
		l.end(t, "UserCancelled", l.clock.Now())
	}
}

// look settles and returns what is shown of every task.
func (l *lined) look(t *rapid.T) (shown string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.settle(now)
	running, waiting := 0, 0
	for i, made := range l.tasks {
		state := made.state(now)
		if rank[state] < l.last[i] {
			t.Fatalf("task %d went back to %s", i, state)
		}
		l.last[i] = rank[state]
		switch {
		case state == processing:
			running++
		case rank[state] < rank[processing] && !made.OffPeak && !now.Before(made.ready):
			waiting++
		}
		shown += fmt.Sprintln(i, state, made.errCode, made.started, made.ended)
	}
	if a := l.accounts[0]; running > a.Concurrent || waiting > 0 && running < a.Concurrent || running != a.running {
		t.Fatalf("%d tasks run (%d by the account's own count) and %d wait, of at most %d at once", running, a.running, waiting, a.Concurrent)
	}
	return shown
}

// Whatever is submitted and cancelled, no more run at once than may, none waits without
// need, none goes back, and what is seen does not depend on how often somebody looked.
func TestLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := simulator.NewManualClock(start)
		concurrent := rapid.IntRange(1, 4).Draw(t, "concurrent")
		watched, unwatched := newLined(t, clock, concurrent), newLined(t, clock, concurrent)
		defer func() { _ = watched.Close(); _ = unwatched.Close() }()
		both := func(f func(*lined)) { f(watched); f(unwatched) }
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				takes := time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second
				offPeak := rapid.IntRange(0, 5).Draw(t, "tier") == 0
				never := offPeak && rapid.Bool().Draw(t, "never")
				both(func(l *lined) { l.submit(takes, offPeak, never) })
			case 2:
				if len(watched.tasks) > 0 {
					i := rapid.IntRange(0, len(watched.tasks)-1).Draw(t, "task")
					both(func(l *lined) { l.cancel(i) })
				}
			case 3:
				clock.Advance(time.Duration(rapid.SampledFrom([]int{1, 5, 30, 90, 49 * 3600}).Draw(t, "wait")) * time.Second)
			}
			watched.look(t)
		}
		if a, b := watched.look(t), unwatched.look(t); a != b {
			t.Fatalf("watched:\n%s\nunwatched:\n%s", a, b)
		}
	})
}

func FuzzSubmission(f *testing.F) {
	for word := range routes {
		f.Add(word, []byte(`{"model":"viduq3-turbo","prompt":"x","images":["https://a.example/1"],"duration":5,"aspect_ratio":"16:9"}`))
	}
	f.Add("multiframe", []byte(`{"model":"viduq2-pro","start_image":"x","image_settings":[{"key_image":"y","duration":2},{"key_image":"z"}]}`))
	f.Fuzz(func(t *testing.T, word string, body []byte) {
		if routes[word] == nil {
			return
		}
		b, refusal := readSubmission(body, word)
		if refusal != nil {
			if refusal.Code != statuses[refusal.Reason] || refusal.Code < 400 || refusal.Message == "" {
				t.Errorf("refused with %+v", refusal)
			}
			return
		}
		s := &Simulator{cfg: Config{MaxSide: 256}}
		made := &task{submission: b, route: word, orders: orders{time: -1}}
		s.fill(made, start)
		if w, h := s.pixels(made); w < 128 || h < 128 || w > 256 || h > 256 || w%2+h%2 != 0 || made.cost <= 0 {
			t.Errorf("%s by %s: %d by %d pixels, %d credits", made.AspectRatio, made.Resolution, w, h, made.cost)
		}
	})
}
