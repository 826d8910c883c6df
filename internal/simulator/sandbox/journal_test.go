package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// A server that is killed and started anew on its journal goes on with its jobs.
func TestJournalOutlivesTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	clock := simulator.NewManualClock(start)
	withJournal := func(c *Config) { c.Journal, c.Clock = path, clock }
	url, calls := receiver(t, nil)

	first := newBench(t, withJournal)
	done := first.submit(`"model":"sandbox-image","prompt":"x","client_ref":"done","options":{"delay":0}`)
	running := first.submit(callbackJob(url, ""))
	cancelled := first.submit(`"model":"sandbox-image","prompt":"x","client_ref":"cancelled","options":{"delay":10}`)
	first.call("POST", "/v1/jobs/"+cancelled+"/cancel", testKey, "")
	a := first.call("POST", "/v1/jobs", testKey, `{"model":"sandbox-image","prompt":"x","client_ref":"refused","options":{"fail":"rate"}}`)
	if a.status != 429 {
		t.Fatalf("refused submit: %d", a.status)
	}
	clock.Advance(2 * time.Second)
	if got := (<-calls).Status.Status; got != "running" {
		t.Errorf("callback before the restart: %s", got)
	}
	accepted, err := ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(accepted) != 3 || accepted[0].ID != done || accepted[1].ClientRef != "r" || accepted[2].ID != cancelled || !accepted[0].At.Equal(start) {
		t.Errorf("the journal of a server that runs: %+v", accepted)
	}
	first.schedule.Close() // as if it had been killed: its callbacks never go out

	second := newBench(t, withJournal)
	if got := second.status(done); got.Status != "succeeded" || second.get(got.Outputs[0].URL).status != 200 {
		t.Errorf("a job that was done: %+v", got)
	}
	if got := second.status(running); got.Status != "running" || got.ClientRef != "r" {
		t.Errorf("a job that ran: %+v", got)
	}
	if got := second.status(cancelled); got.Status != "cancelled" {
		t.Errorf("a job that was cancelled: %+v", got)
	}
	clock.Advance(time.Minute)
	if got := (<-calls).Status; got.Status != "succeeded" || got.ID != running {
		t.Errorf("callback after the restart: %+v", got)
	}
	second.submit(plain)
	if accepted, err = ReadJournal(path); err != nil || len(accepted) != 4 {
		t.Errorf("after the restart: %d jobs, %v", len(accepted), err)
	}
	if got := second.Stats(); got.Accepted != 4 || got.InFlight != 1 {
		t.Errorf("statistics %+v", got)
	}
}

func TestJournalOfSomethingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := New(Config{Accounts: []Account{{Key: "k"}}, Journal: path}); err == nil {
		_ = s.Close()
		t.Error("a file that is no journal was taken up")
	}
	if _, err := ReadJournal(path); err == nil {
		t.Error("a file that is no journal was read")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "hello\n" {
		t.Errorf("the file now holds %q, %v", got, err)
	}
	if got, err := ReadJournal(path + "-not-there"); err != nil || len(got) != 0 {
		t.Errorf("a journal that is not there: %v %v", got, err)
	}
}

func TestJobThatCannotBeRecordedIsNotAccepted(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Journal = filepath.Join(t.TempDir(), "journal")
		c.Accounts[0].MaxInFlight = 1
	})
	if err := b.journal.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		// Twice: a reservation that leaked would make the second a 429.
		a := b.call("POST", "/v1/jobs", testKey, "{"+plain+"}")
		if a.status != 500 || a.problem(t).Code != "internal" || strings.Contains(string(a.body), "journal") {
			t.Errorf("answer %d %s", a.status, a.body)
		}
	}
	if got := b.Stats(); got.Accepted != 0 || got.InFlight != 0 {
		t.Errorf("statistics %+v", got)
	}
	b.journal = nil // it is closed already
}

func TestOldJobsAreForgotten(t *testing.T) {
	b := newBench(t, func(c *Config) { c.KeepFinished = 2 })
	var ids []string
	for i := range 5 {
		ids = append(ids, b.submit(fmt.Sprintf(`"model":"sandbox-image","prompt":"x","client_ref":"r","options":{"delay":%d}`, 5-i)))
	}
	b.clock.Advance(time.Minute)
	// Those that ended last are kept: the first two.
	if got := b.query("client_ref=r"); len(got) != 2 || got[0].ID != ids[0] || got[1].ID != ids[1] {
		t.Errorf("remembered: %+v", got)
	}
	if a := b.call("GET", "/v1/jobs/"+ids[4], testKey, ""); a.status != 404 {
		t.Errorf("a forgotten job: %d", a.status)
	}
	got := b.Stats()
	if got.Accepted != 5 || got.Repeated != 4 || len(got.Jobs) != 2 {
		t.Errorf("statistics %+v", got)
	}
}

func TestStatsOverHTTP(t *testing.T) {
	b := newBench(t, nil)
	for range 2 {
		b.status(b.submit(plain))
	}
	for _, key := range []string{"", "wrong", testKey} {
		if a := b.call("GET", "/v1/admin/stats", key, ""); a.status != 401 {
			t.Errorf("with key %q: %d", key, a.status)
		}
	}
	a := b.call("GET", "/v1/admin/stats?jobs=1", adminKey, "")
	if want := `"submits":2,"unauthorized":0,"accepted":2,"repeated":1,"in_flight":2,"polls":2`; a.status != 200 || !strings.Contains(string(a.body), want) {
		t.Errorf("statistics %d %s, want %s", a.status, a.body, want)
	}
	if n := strings.Count(string(a.body), `"client_ref":"r"`); n != 1 {
		t.Errorf("%d jobs listed, want 1", n)
	}
	if a := b.call("GET", "/v1/admin/stats?jobs=x", adminKey, ""); a.status != 400 {
		t.Errorf("with a bad limit: %d", a.status)
	}
	none := newBench(t, func(c *Config) { c.AdminKey = "" })
	if a := none.call("GET", "/v1/admin/stats", "", ""); a.status != 401 {
		t.Errorf("without an admin key configured: %d", a.status)
	}
}

// Ten thousand jobs in flight, submitted by many at once: none is lost or mixed up,
// and none costs a goroutine.
func TestManyJobs(t *testing.T) {
	const clients, each = 20, 500
	b := newBench(t, nil)
	before := runtime.NumGoroutine()
	ids := make([][]string, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				spec, err := understand(fmt.Appendf(nil, `{"model":"sandbox-image-callback","prompt":"x","client_ref":"%d-%d","callback_url":"http://127.0.0.1:1/","options":{"delay":"1h"}}`, c, i), 1)
				if err != nil {
					t.Error(err)
					return
				}
				j, err := b.accept(spec, b.accounts[0], "http://x", b.clock.Now())
				if err != nil {
					t.Error(err)
					return
				}
				b.planCallbacks(j, j.created)
				ids[c] = append(ids[c], j.id)
			}
		})
	}
	wg.Wait()
	if n := runtime.NumGoroutine(); n > before+10 {
		t.Errorf("%d goroutines before, %d with the jobs", before, n)
	}
	for c := range ids {
		for from := 0; from < each; from += MaxIDs {
			part := ids[c][from:min(from+MaxIDs, each)]
			got := b.query("ids=" + strings.Join(part, ","))
			if len(got) != len(part) {
				t.Fatalf("%d of %d jobs found", len(got), len(part))
			}
			for i, s := range got {
				if want := fmt.Sprintf("%d-%d", c, from+i); s.ClientRef != want || s.ID != part[i] {
					t.Fatalf("job %s has the reference %s, want %s", s.ID, s.ClientRef, want)
				}
			}
		}
	}
	if got := b.Stats(); got.Accepted != clients*each || got.Repeated != 0 || got.InFlight != clients*each || got.Polls != clients*3 {
		t.Errorf("accepted %d, repeated %d, in flight %d, polls %d", got.Accepted, got.Repeated, got.InFlight, got.Polls)
	}
}

func BenchmarkSubmit(b *testing.B) {
	s, err := New(Config{Accounts: []Account{{Key: testKey}}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := []byte(`{"model":"sandbox-image","prompt":"two kites over a quiet bay","client_ref":"r"}`)
	for b.Loop() {
		spec, err := understand(body, 1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.accept(spec, s.accounts[0], "http://x", s.clock.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
