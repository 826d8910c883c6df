package server

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

func generationPath(f *fixture) string {
	f.generations.store(&kinora.Generation{ID: taskOne, OrganisationID: ownID, State: kinora.GenerationQueued, CreatedAt: testTime})
	return "/api/v1/generations/" + taskOne
}

func TestLimitHeadersAndRefusal(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.Generation = Limit{PerMinute: 30, Burst: 3} })
	path := generationPath(f)
	for i, want := range []struct {
		status           int
		remaining, reset string
		retryAfter       string
	}{{200, "2", "2", ""}, {200, "1", "4", ""}, {200, "0", "6", ""}, {429, "0", "6", "2"}} {
		w := f.do("GET", path, "")
		h := w.Header()
		if w.Code != want.status || h.Get("RateLimit-Limit") != "30" || h.Get("RateLimit-Remaining") != want.remaining ||
			h.Get("RateLimit-Reset") != want.reset || h.Get("Retry-After") != want.retryAfter {
			t.Errorf("request %d: %d %v", i, w.Code, h)
		}
	}
	is(t, f.do("GET", path, ""), 429, `{"error":{"code":"rate_limited","message":"too many requests","retryable":true,"retry_after":2}}`)
	if w := f.do("GET", path, "", key(otherKey)); w.Code != 404 {
		t.Errorf("another organisation answered %d", w.Code)
	}
	f.clock.move(2 * time.Second)
	if w := f.do("GET", path, ""); w.Code != 200 {
		t.Errorf("after Retry-After it answered %d", w.Code)
	}
}

// Each dialect refuses in its own words.
func TestLimitOfSubmit(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.Submit = Limit{PerMinute: 60, Burst: 1} })
	is(t, f.do("POST", submitPath, input("")), 200, accepted)
	w := f.do("POST", submitPath, input(""))
	is(t, w, 429, taskErrorText(429, "too many requests", "rate_limit_error"))
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	if len(f.generations.accepted) != 1 {
		t.Error("the refused request got through")
	}
}

// The limits of the submit API hold for each key, that of the generations API for an organisation's keys together.
func TestWhoSharesALimit(t *testing.T) {
	for class, shared := range map[limitClass]bool{limitSubmit: false, limitStatus: false, limitUpload: false, limitGeneration: true} {
		two := Limit{PerMinute: 60, Burst: 2}
		l := newLimiter(Limits{Submit: two, Status: two, Upload: two, Generation: two}, func() time.Time { return testTime })
		s := &Server{limits: l}
		rt := &route{limit: class, dialect: &submitDialect}
		one := func(keyID string) bool {
			x := &exchange{w: httptest.NewRecorder(), route: rt, key: &kinora.Key{ID: keyID}, organisation: &kinora.Organisation{ID: ownID}}
			return s.admit(x, httptest.NewRequest("POST", "/", nil)) == nil
		}
		if !one("key_a") || !one("key_b") {
			t.Fatalf("%s: refused too early", class)
		}
		if one("key_c") == shared {
			t.Errorf("%s: a third key was admitted: %v", class, !shared)
		}
		if !one("key_a") != shared {
			t.Errorf("%s: the second request of a key: shared %v", class, shared)
		}
		if one("key_a") {
			t.Errorf("%s: the key's own limit does not hold", class)
		}
	}
}

func TestLimitDefaults(t *testing.T) {
	l := Limits{Upload: Limit{PerMinute: -1}, Submit: Limit{PerMinute: 10}}
	l.complete()
	if l.Submit != (Limit{10, 10}) || l.Generation != (Limit{1200, 1200}) || l.Status.PerMinute == 0 {
		t.Errorf("%+v", l)
	}
	limiter := newLimiter(l, time.Now)
	for range 1000 {
		if v := limiter.take(limitUpload, "a"); !v.allowed || v.limited {
			t.Fatal("a negative limit is no limit")
		}
	}
	if limiter.classes[limitUpload].recent.Len() != 0 {
		t.Error("no limit needs no bucket")
	}
}

// Whatever the pace of the requests, no more pass in any span of time than the burst and what that span refilled.
func TestLimitNeverLetsMoreThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{at: testTime}
		limit := Limit{PerMinute: rapid.IntRange(1, 600).Draw(t, "perMinute"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		l := newLimiter(Limits{Submit: limit}, c.now)
		passed := 0
		for _, wait := range rapid.SliceOfN(rapid.Int64Range(0, 2000), 1, 200).Draw(t, "waits") {
			c.move(time.Duration(wait) * time.Millisecond)
			v := l.take(limitSubmit, "a")
			if v.allowed {
				passed++
			} else if v.wait <= 0 || v.remaining != 0 {
				t.Fatalf("refused with %+v", v)
			}
			elapsed := c.now().Sub(testTime).Minutes()
			if most := float64(limit.Burst) + elapsed*float64(limit.PerMinute); float64(passed) > most+1e-6 {
				t.Fatalf("%d passed, at most %f may", passed, most)
			}
		}
	})
}

func TestLimiterIsBounded(t *testing.T) {
	one := Limit{PerMinute: 60, Burst: 1}
	l := newLimiter(Limits{File: one, Submit: one}, func() time.Time { return testTime })
	l.take(limitSubmit, "other class")
	l.take(limitFile, "kept")
	for i := range maxBuckets + 100 {
		l.take(limitFile, strconv.Itoa(i))
		if i%1000 == 0 && l.take(limitFile, "kept").allowed {
			t.Fatal("a bucket in use was thrown away")
		}
	}
	if table := l.classes[limitFile]; len(table.byName) != maxBuckets || table.recent.Len() != maxBuckets {
		t.Errorf("%d buckets, %d in the list", len(table.byName), table.recent.Len())
	}
	if l.take(limitSubmit, "other class").allowed {
		t.Error("a bucket of another class was thrown away")
	}
}

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		peer      string
		forwarded []string
		proxies   []netip.Prefix
		want      string
		bucket    string
	}{
		{"192.0.2.1:99", nil, nil, "192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:99", []string{"198.51.100.7"}, nil, "192.0.2.1", "192.0.2.1"},
		{"192.0.2.1:99", []string{"198.51.100.7"}, trusted, "192.0.2.1", "192.0.2.1"},
		{"10.0.0.1:99", []string{"198.51.100.7"}, trusted, "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:99", []string{"1.1.1.1, 198.51.100.7", "10.9.9.9"}, trusted, "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:99", nil, trusted, "10.0.0.1", "10.0.0.1"},
		{"10.0.0.1:99", []string{"evil\n"}, trusted, "10.0.0.1", "10.0.0.1"},
		{"10.0.0.1:99", []string{"198.51.100.7, junk"}, trusted, "10.0.0.1", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:99", []string{"198.51.100.7"}, trusted, "198.51.100.7", "198.51.100.7"},
		{"[2001:db8::1]:99", nil, nil, "2001:db8::1", "2001:db8::/64"},
		{"[fe80::1%eth0]:99", nil, nil, "fe80::1%eth0", "fe80::/64"},
		{"pipe", nil, nil, "pipe", "pipe"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.peer, tt.forwarded), func(t *testing.T) {
			s := &Server{cfg: Config{TrustedProxies: tt.proxies}}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.peer, tt.forwarded
			if got := s.clientAddress(r); got != tt.want {
				t.Errorf("client %q, want %q", got, tt.want)
			}
			if got := s.bucketAddress(r); got != tt.bucket {
				t.Errorf("bucket %q, want %q", got, tt.bucket)
			}
		})
	}
}
