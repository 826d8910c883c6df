package server

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealth(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("GET", "/healthz", "", key("")), 200, `{"status":"ok"}`)
	if w := f.do("HEAD", "/healthz", ""); w.Code != 200 {
		t.Errorf("HEAD answered %d", w.Code)
	}
}

func TestReadiness(t *testing.T) {
	var down atomic.Bool
	var runs atomic.Int64
	f := newFixture(t, func(c *Config) {
		c.Checks = []Check{
			{Name: "database", Run: func(context.Context) error {
				runs.Add(1)
				if down.Load() {
					return errors.New("dial tcp 10.0.0.1:5432: connection refused")
				}
				return nil
			}},
			{Name: "storage", Run: func(context.Context) error { return nil }},
			{Name: "panics", Run: func(context.Context) error {
				if down.Load() {
					panic("boom")
				}
				return nil
			}},
		}
	})
	const ok = `{"status":"ready","checks":{"database":{"status":"ok"},"panics":{"status":"ok"},"storage":{"status":"ok"}}}`
	is(t, f.do("GET", "/readyz", "", key("")), 200, ok)

	// The verdict holds for a moment, so that nobody can make the checks run by asking.
	down.Store(true)
	is(t, f.do("GET", "/readyz", ""), 200, ok)
	if n := runs.Load(); n != 1 {
		t.Errorf("the check ran %d times", n)
	}
	f.clock.move(checkLife)
	is(t, f.do("GET", "/readyz", ""), 503,
		`{"status":"not_ready","checks":{"database":{"status":"failed"},"panics":{"status":"failed"},"storage":{"status":"ok"}}}`)
	if !strings.Contains(f.log.String(), "10.0.0.1:5432") || !strings.Contains(f.log.String(), "boom") {
		t.Error("the log does not say why")
	}
	down.Store(false)
	f.clock.move(checkLife)
	is(t, f.do("GET", "/readyz", ""), 200, ok)

	f.Drain()
	is(t, f.do("GET", "/readyz", ""), 503,
		`{"status":"draining","checks":{"database":{"status":"ok"},"panics":{"status":"ok"},"storage":{"status":"ok"}}}`)
	is(t, f.do("GET", "/healthz", ""), 200, `{"status":"ok"}`)
}

func TestReadinessDoesNotWaitForACheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		release := make(chan struct{})
		f := newFixture(t, func(c *Config) {
			c.Now = time.Now
			c.Checks = []Check{{Name: "deaf", Run: func(context.Context) error {
				runs.Add(1)
				<-release
				return nil
			}}}
		})
		const failed = `{"status":"not_ready","checks":{"deaf":{"status":"failed"}}}`
		is(t, f.do("GET", "/readyz", ""), 503, failed)
		time.Sleep(2 * checkLife)
		is(t, f.do("GET", "/readyz", ""), 503, failed)
		if n := runs.Load(); n != 1 {
			t.Errorf("the check was started %d times", n)
		}
		close(release)
		synctest.Wait()
		time.Sleep(2 * checkLife)
		is(t, f.do("GET", "/readyz", ""), 200, `{"status":"ready","checks":{"deaf":{"status":"ok"}}}`)
	})
}
