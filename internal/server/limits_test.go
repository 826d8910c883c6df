package server

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store/storetest"
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

// The limits of the submit API hold for each key. Those of the generations API hold for an organisation's keys together as
// well, and so many times over for a client address; what one of them refuses costs the others nothing.
func TestWhoSharesALimit(t *testing.T) {
	two := Limit{PerMinute: 60, Burst: 2}
	limits := Limits{Submit: two, Status: two, Upload: two, AssetCreate: two, AssetRead: two, Create: two, Generation: two, Regenerate: two,
		Usage: two, Billing: two, SourceURL: two, PerAddress: 3}
	for _, class := range append([]limitClass{limitSubmit, limitStatus, limitUpload}, sharedClasses...) {
		f := newFixture(t, func(c *Config) { c.Limits = limits })
		rt := &route{limit: class, dialect: &submitDialect}
		one := func(keyID, organisationID string) bool {
			x := &exchange{w: httptest.NewRecorder(), route: rt, key: &kinora.Key{ID: keyID}, organisation: &kinora.Organisation{ID: organisationID}}
			return f.admit(t.Context(), x, httptest.NewRequest("POST", "/", nil)) == nil
		}
		if !one("key_a", ownID) || !one("key_b", ownID) {
			t.Fatalf("%s: refused too early", class)
		}
		if one("key_c", ownID) == class.shared() {
			t.Errorf("%s: a third key was admitted: %v", class, !class.shared())
		}
		if one("key_a", ownID) == class.shared() {
			t.Errorf("%s: the second request of a key was admitted: %v", class, !class.shared())
		}
		if one("key_a", ownID) {
			t.Errorf("%s: the key's own limit does not hold", class)
		}
		if !class.shared() {
			continue
		}
		// The address has six: two are used, and refusals have used none.
		for i := range 4 {
			if !one(fmt.Sprint("key_", i), fmt.Sprint("org_", i)) {
				t.Errorf("%s: the address was refused after %d", class, i+2)
			}
		}
		if one("key_z", "org_z") {
			t.Errorf("%s: the address's limit does not hold", class)
		}
	}
}

func TestLimitsOfAnOrganisation(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Limits.Generation = Limit{PerMinute: 1} })
	rt := &route{limit: limitGeneration, dialect: &generationsDialect}
	for own, want := range map[int]int{5: 5, 0: 20} {
		organisation := &kinora.Organisation{ID: fmt.Sprint("org_", own), Allowance: kinora.Allowance{Limits: map[string]int{"generations_read": own}}}
		admitted := 0
		for range 20 {
			x := &exchange{w: httptest.NewRecorder(), route: rt, key: &kinora.Key{ID: "key_" + organisation.ID}, organisation: organisation}
			if f.admit(t.Context(), x, httptest.NewRequest("GET", "/", nil)) == nil {
				admitted++
			}
		}
		if admitted != want {
			t.Errorf("a limit of %d admitted %d", own, admitted)
		}
	}
}

func TestLimitDefaults(t *testing.T) {
	l := Limits{Upload: Limit{PerMinute: -1}, Submit: Limit{PerMinute: 10}}
	l.complete()
	if l.Submit != (Limit{10, 10}) || l.Generation != (Limit{1200, 1200}) || l.Status.PerMinute == 0 {
		t.Errorf("%+v", l)
	}
	limiter := newLimiter(l, nil, time.Now)
	for range 1000 {
		if v := taken(t, limiter, limitUpload, "a"); !v.allowed || v.limited {
			t.Fatal("a negative limit is no limit")
		}
	}
	if limiter.buckets[limitUpload].recent.Len() != 0 {
		t.Error("no limit needs no bucket")
	}
}

func taken(t interface{ Fatal(...any) }, l *limiter, class limitClass, who string) verdict {
	v, err := l.take(context.Background(), class, share{who, l.limits[class]})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Whatever the pace of the requests, no more pass in any span of time than the burst and what that span refilled.
func TestLimitNeverLetsMoreThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{at: testTime}
		limit := Limit{PerMinute: rapid.IntRange(1, 600).Draw(t, "perMinute"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		l := newLimiter(Limits{Submit: limit}, nil, c.now)
		passed := 0
		for _, wait := range rapid.SliceOfN(rapid.Int64Range(0, 2000), 1, 200).Draw(t, "waits") {
			c.move(time.Duration(wait) * time.Millisecond)
			v := taken(t, l, limitSubmit, "a")
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
		// Whoever waits as long as the refusal says is admitted.
		for v := taken(t, l, limitSubmit, "a"); ; v = taken(t, l, limitSubmit, "a") {
			if !v.allowed {
				c.move(v.wait)
				if again := taken(t, l, limitSubmit, "a"); !again.allowed {
					t.Fatalf("refused after %s: %+v", v.wait, again)
				}
				return
			}
		}
	})
}

func TestLimiterIsBounded(t *testing.T) {
	one := Limit{PerMinute: 60, Burst: 1}
	l := newLimiter(Limits{File: one, Submit: one}, nil, func() time.Time { return testTime })
	taken(t, l, limitSubmit, "other class")
	taken(t, l, limitFile, "kept")
	for i := range maxBuckets + 100 {
		taken(t, l, limitFile, strconv.Itoa(i))
		if i%1000 == 0 && taken(t, l, limitFile, "kept").allowed {
			t.Fatal("a bucket in use was thrown away")
		}
	}
	if table := l.buckets[limitFile]; len(table.byName) != maxBuckets || table.recent.Len() != maxBuckets {
		t.Errorf("%d buckets, %d in the list", len(table.byName), table.recent.Len())
	}
	if taken(t, l, limitSubmit, "other class").allowed {
		t.Error("a bucket of another class was thrown away")
	}
}

// Two nodes on one database admit together what the limit says, and not one more.
func TestLimitsAreExactOverNodes(t *testing.T) {
	db := storetest.Postgres(t)
	limit := Limit{PerMinute: 1, Burst: 40} // so slow that nothing is gained meanwhile
	node := func() *fixture {
		return newFixture(t, func(c *Config) {
			c.SharedRates, c.Limits.Usage, c.Limits.PerAddress = db, limit, 10
			c.Usage, c.Now = fakeUsage{}, nil
		})
	}
	nodes := []*fixture{node(), node()}
	var (
		wg       sync.WaitGroup
		admitted atomic.Int64
		least    atomic.Int64
	)
	least.Store(1000)
	for i := range 120 {
		wg.Go(func() {
			w := nodes[i%2].do("GET", "/api/v1/usage/summary", "")
			switch w.Code {
			case 200:
				admitted.Add(1)
				left, err := strconv.ParseInt(w.Header().Get("RateLimit-Remaining"), 10, 64)
				if err != nil {
					t.Error(err)
				}
				for old := least.Load(); left < old && !least.CompareAndSwap(old, left); old = least.Load() {
				}
			case 429:
				if w.Header().Get("Retry-After") == "" || w.Header().Get("RateLimit-Limit") != "1" || w.Header().Get("RateLimit-Remaining") != "0" {
					t.Errorf("refused with %v", w.Header())
				}
			default:
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 40 || least.Load() != 0 {
		t.Errorf("%d of 40 were admitted, the last with %d left", admitted.Load(), least.Load())
	}
	// Another organisation has its own; what its key was refused by is not its fault.
	if w := nodes[0].do("GET", "/api/v1/usage/summary", "", key(otherKey)); w.Code != 200 {
		t.Errorf("another organisation: %d", w.Code)
	}
	// Of what one rate refuses, the others are charged nothing: the address has 400 and paid for 41.
	states, err := db.TakeRates(t.Context(), []kinora.Rate{{Who: "usage_summary 192.0.2.1", Step: 6 * time.Second, Burst: 6 * 400 * time.Second}})
	if err != nil || !states[0].Given || (states[0].Full/(6*time.Second)) > 42 {
		t.Errorf("%+v, %v", states, err)
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

// Who is not signed in to the dashboard is counted by what one customer has of addresses, as trusted proxies tell it.
func TestClientNetwork(t *testing.T) {
	of := ClientNetwork([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for _, c := range []struct{ peer, forwarded, want string }{
		{"203.0.113.7:4711", "", "203.0.113.7"},
		{"203.0.113.7:4711", "198.51.100.1", "203.0.113.7"}, // hearsay
		{"10.0.0.1:4711", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:4711", "192.0.2.9, 2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"},
		{"10.0.0.1:4711", "2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"},
		{"10.0.0.1:4711", "2001:db8:1:3::1", "2001:db8:1:3::/64"},
		{"[::ffff:203.0.113.7]:4711", "", "203.0.113.7"},
	} {
		r := httptest.NewRequest("GET", "/dashboard", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := of(r); got != c.want {
			t.Errorf("%s for %q is counted as %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}
