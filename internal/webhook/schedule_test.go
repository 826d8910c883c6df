package webhook

import (
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// half is the random number that stands for no jitter.
const half = 0.5

func TestDefaultScheduleIsTheContracts(t *testing.T) {
	s := DefaultSchedule()
	want := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
	var sum time.Duration
	for i, step := range want {
		got, again := s.wait(i+1, http.StatusInternalServerError, 0, half)
		if !again || got != step {
			t.Errorf("after attempt %d: wait %v, %v; want %v", i+1, got, again, step)
		}
		sum += got
	}
	if _, again := s.wait(10, http.StatusInternalServerError, 0, half); again {
		t.Error("an eleventh attempt is made")
	}
	if sum < 75*time.Hour || sum > 76*time.Hour {
		t.Errorf("the schedule lasts %v, want about 75 h", sum)
	}
}

func TestWait(t *testing.T) {
	s := DefaultSchedule()
	const hour = time.Hour
	tests := map[string]struct {
		n, status int
		asked     time.Duration
		want      time.Duration
	}{
		"no answer":                           {1, 0, 0, 5 * time.Second},
		"500 with Retry-After is not asked":   {1, 500, hour, 5 * time.Second},
		"503 asks for more than the step":     {1, 503, 20 * time.Second, 21 * time.Second},
		"503 asks for less than the step":     {2, 503, time.Second, 5 * time.Minute},
		"503 asks for more than the next":     {1, 503, 10 * hour, 5*time.Minute + 15*time.Second},
		"503 without":                         {1, 503, 0, 5 * time.Second},
		"429 without waits a minute":          {1, 429, 0, 63 * time.Second},
		"429 without, later":                  {2, 429, 0, 5 * time.Minute},
		"429 asks for less than a minute":     {1, 429, 10 * time.Second, 10*time.Second + 500*time.Millisecond},
		"429 asks for more than the next":     {1, 429, 10 * hour, 5*time.Minute + 15*time.Second},
		"429 at the last step":                {9, 429, 100 * hour, 24*hour + 72*time.Minute},
		"503 at the last step, a little more": {9, 503, 25 * hour, 24*hour + 72*time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, again := s.wait(tt.n, tt.status, tt.asked, half)
			if !again || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, again, tt.want)
			}
		})
	}
}

func TestWaitWithOddSchedules(t *testing.T) {
	if _, again := (Schedule{}).wait(1, 500, 0, half); again {
		t.Error("a schedule without steps retries")
	}
	// A receiver's wish is never cut below the step itself, even where steps get shorter.
	s := Schedule{Steps: []time.Duration{time.Hour, time.Minute}}
	if got, _ := s.wait(1, 503, 2*time.Hour, half); got != time.Hour {
		t.Errorf("got %v, want 1h", got)
	}
	if _, again := s.wait(0, 500, 0, half); again {
		t.Error("there is a wait before the first attempt")
	}
}

func TestWaitStaysWithinItsBounds(t *testing.T) {
	s := DefaultSchedule()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, len(s.Steps)).Draw(rt, "n")
		status := rapid.SampledFrom([]int{0, 302, 401, 404, 429, 500, 503}).Draw(rt, "status")
		asked := time.Duration(rapid.Int64Range(0, int64(maxRetryAfter)).Draw(rt, "asked"))
		random := rapid.Float64Range(0, 0.999999).Draw(rt, "random")
		got, again := s.wait(n, status, asked, random)
		if !again {
			rt.Fatal("no wait")
		}
		step, next := s.Steps[n-1], s.Steps[min(n, len(s.Steps)-1)]
		low, high := time.Duration(float64(step)*0.9), time.Duration(float64(max(step, next, leastWait429))*1.1)
		if status != 429 && status != 503 {
			high = time.Duration(float64(step) * 1.1)
		}
		if got < low-time.Microsecond || got > high+time.Microsecond {
			rt.Fatalf("wait %v is outside %v … %v", got, low, high)
		}
		if (status == 429 || status == 503) && got < min(asked, next) {
			rt.Fatalf("wait %v comes sooner than asked (%v, up to %v)", got, asked, next)
		}
	})
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	tests := map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		" 5 ":                           5 * time.Second,
		"0":                             0,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999999":             maxRetryAfter,
		"99999999999999999999999":       0,
		"Sun, 14 Jun 2026 10:31:00 GMT": time.Minute,
		"Sun, 14 Jun 2026 10:29:00 GMT": 0,
		"Fri, 14 Jun 2999 10:29:00 GMT": maxRetryAfter,
	}
	for value, want := range tests {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q = %v, want %v", value, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "120", "Sun, 14 Jun 2026 10:31:00 GMT", "9223372036854775807", "\x00", "1e9"} {
		f.Add(seed)
	}
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if got := parseRetryAfter(value, now); got < 0 || got > maxRetryAfter {
			t.Errorf("%q = %v", value, got)
		}
	})
}
