package server

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
)

// Prefer: wait=N holds the answer until the generation has ended, or for so long.
func TestPreferredWait(t *testing.T) {
	for name, tt := range map[string]struct {
		prefer  string
		endsAt  time.Duration // 0 = not
		before  func(f *fixture)
		after   time.Duration
		applied string
		status  string
	}{
		"until its end":          {prefer: "wait=30", endsAt: 3 * time.Second, after: 3 * time.Second, applied: "wait=30", status: "failed"},
		"until the time is over": {prefer: "respond-async, wait=5", after: 5 * time.Second, applied: "wait=5", status: "processing"},
		"a minute at most":       {prefer: "wait=600", after: time.Minute, applied: "wait=60", status: "processing"},
		"not at all":             {prefer: "", status: "processing"},
		"for no time":            {prefer: "wait=0", status: "processing"},
		"nonsense":               {prefer: "wait=soon", status: "processing"},
		"no room to wait":        {prefer: "wait=30", before: func(f *fixture) { f.held.most = 0 }, status: "processing"},
		"it has ended before": {prefer: "wait=30", before: func(f *fixture) {
			f.generations.store(generationIn(kinora.GenerationFailed))
		}, applied: "wait=30", status: "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.generations.store(generationIn(kinora.GenerationRunning))
				if tt.before != nil {
					tt.before(f)
				}
				began, done := time.Now(), make(chan *httptest.ResponseRecorder)
				go func() {
					w := f.do("GET", "/api/v1/generations/"+taskOne, "", header("Prefer", tt.prefer))
					done <- w
				}()
				if tt.endsAt > 0 {
					time.Sleep(tt.endsAt)
					f.generations.end(generationIn(kinora.GenerationFailed))
				}
				w := <-done
				record := decodeRecord(t, w)
				if w.Code != 200 || record.Status != tt.status || w.Header().Get("Preference-Applied") != tt.applied || time.Since(began) != tt.after {
					t.Errorf("after %v: %d %s, %q", time.Since(began), w.Code, w.Body, w.Header().Get("Preference-Applied"))
				}
				if f.held.inside.Load() != 0 || f.inFlight.inside.Load() != 0 {
					t.Error("a place is held still")
				}
			})
		})
	}
}
