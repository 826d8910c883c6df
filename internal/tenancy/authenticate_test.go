package tenancy

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestAuthenticate(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		for _, kind := range []KeyKind{KeySK, KeyKatLive} {
			made, text, err := n.CreateKey(t.Context(), org.ID, " ci ", kind, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			key, gotOrg, err := n.Authenticate(t.Context(), text)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if diff := cmp.Diff(made, key); diff != "" {
				t.Errorf("%s: another key came back (-made +got):\n%s", kind, diff)
			}
			if diff := cmp.Diff(org, gotOrg); diff != "" {
				t.Errorf("%s: another organisation came back (-made +got):\n%s", kind, diff)
			}
			for what, wrong := range map[string]string{
				"one character more": text + "x", "one less": text[:len(text)-1], "other case": strings.ToUpper(text), "space behind": text + " ",
				"its hash": hashOf(text),
			} {
				_, _, err := n.Authenticate(t.Context(), wrong)
				wantCode(t, string(kind)+", "+what, err, kinora.ErrUnauthorized)
			}
		}
		for _, text := range []string{"", "sk-", "sk", "kat_live_", "kat_live_a.", "kat_live_.b", "kat_live_a", "sk-unknown", "Bearer x", strings.Repeat("sk-x", 1000), "sk-\x00", "sk-ü"} {
			_, _, err := n.Authenticate(t.Context(), text)
			wantCode(t, fmt.Sprintf("%.20q", text), err, kinora.ErrUnauthorized)
		}
	})
}

// What one caller does with its copy must not reach the next one.
func TestAuthenticateReturnsCopies(t *testing.T) {
	n := newNode(t, storetest.SQLite(t), newClock(), nil)
	org := n.organisation(t, "acme")
	if _, err := n.UpdateOrganisation(t.Context(), org.ID, OrganisationChange{WebhookHosts: &[]string{"a.example"}}); err != nil {
		t.Fatal(err)
	}
	_, text := n.key(t, org)
	for range 2 {
		key, org, err := n.Authenticate(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		if key.Name != "a key" || org.Name != "acme" || org.WebhookHosts[0] != "a.example" {
			t.Fatalf("an earlier caller's changes show: %+v %+v", key, org)
		}
		key.Name, org.Name, org.WebhookHosts[0] = "x", "x", "x"
	}
}

func TestRevokeAndDisableCutAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		key, text := n.key(t, org)
		_, other := n.key(t, org)
		must := func(text string, code kinora.ErrorCode) {
			t.Helper()
			_, _, err := n.Authenticate(t.Context(), text)
			wantCode(t, "authenticate", err, code)
		}
		must(text, "")
		must(other, "")
		if err := n.RevokeKey(t.Context(), org.ID, key.ID); err != nil {
			t.Fatal(err)
		}
		must(text, kinora.ErrUnauthorized)
		must(other, "")
		if _, err := n.UpdateOrganisation(t.Context(), org.ID, OrganisationChange{Disabled: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		must(other, kinora.ErrForbidden)
		must(text, kinora.ErrUnauthorized)
		if _, err := n.UpdateOrganisation(t.Context(), org.ID, OrganisationChange{Disabled: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		must(other, "")
	})
}

// A second node must follow within the cache's life, and not before it has to: that it still
// answers from memory shows that the hot path does not read the database.
func TestOtherNodesFollowWithinTheCachesLife(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		ring := testRing(t)
		here, there := newNode(t, db, c, ring), newNode(t, db, c, ring)
		org := here.organisation(t, "acme")
		key, text := here.key(t, org)
		if _, _, err := there.Authenticate(t.Context(), text); err != nil {
			t.Fatalf("a new key has to work on other nodes at once: %v", err)
		}
		if err := here.RevokeKey(t.Context(), org.ID, key.ID); err != nil {
			t.Fatal(err)
		}
		c.advance(DefaultCacheFor - time.Microsecond)
		if _, _, err := there.Authenticate(t.Context(), text); err != nil {
			t.Errorf("the other node read the database although it need not: %v", err)
		}
		c.advance(time.Microsecond)
		_, _, err := there.Authenticate(t.Context(), text)
		wantCode(t, "after the cache's life", err, kinora.ErrUnauthorized)
	})
}

// Whatever runs beside a revocation: once it has returned, nobody gets in any more.
func TestNobodyGetsInAfterRevoke(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		for range 20 {
			key, text := n.key(t, org)
			var revoked atomic.Bool
			var wg sync.WaitGroup
			start := make(chan struct{})
			for range 8 {
				wg.Go(func() {
					<-start
					for range 20 {
						late := revoked.Load()
						_, _, err := n.Authenticate(context.Background(), text)
						if late && err == nil {
							t.Error("a revoked key got in")
						}
					}
				})
			}
			close(start)
			if err := n.RevokeKey(t.Context(), org.ID, key.ID); err != nil {
				t.Fatal(err)
			}
			revoked.Store(true)
			wg.Wait()
		}
	})
}

func TestDatabaseOutageIsNotUnauthorized(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		s := New(db, testRing(t), Options{Now: c.now})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Authenticate(t.Context(), "sk-some-key-or-other")
		if code := kinora.CodeOf(err); code != kinora.ErrUnavailable && code != kinora.ErrInternal {
			t.Errorf("%v (code %q): a client must not take its key for a bad one", err, code)
		}
	})
}

func TestLastUse(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		n := newNode(t, db, c, nil)
		org := n.organisation(t, "acme")
		_, text := n.key(t, org)
		last := func() time.Time {
			t.Helper()
			list, err := n.Keys(t.Context(), org.ID)
			if err != nil || len(list) != 1 {
				t.Fatalf("keys: %v, %v", list, err)
			}
			return list[0].LastUsedAt
		}
		for range 3 {
			c.advance(10 * time.Second)
			if _, _, err := n.Authenticate(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if !last().IsZero() {
			t.Error("a use was written before the flush")
		}
		used := c.now()
		c.advance(time.Second)
		if err := n.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !last().Equal(used) {
			t.Errorf("last used %v, want %v", last(), used)
		}
		// Another node with an older use must not set the time back.
		n.used.note(firstKey(t, n, org), used.Add(-time.Minute))
		if err := n.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !last().Equal(used) {
			t.Errorf("an older use set the time back to %v", last())
		}
		// A flush that fails keeps what it had.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n.used.note(firstKey(t, n, org), used.Add(time.Hour))
		if err := n.Flush(ctx); err == nil {
			t.Error("a flush with an ended context succeeded")
		}
		n.Start()
		n.Start()
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := n.Stop(t.Context()); err != nil {
			t.Fatalf("second stop: %v", err)
		}
		if want := used.Add(time.Hour); !last().Equal(want) {
			t.Errorf("after the stop last used %v, want %v", last(), want)
		}
	})
}

func firstKey(t *testing.T, n node, org *kinora.Organisation) string {
	t.Helper()
	list, err := n.Keys(t.Context(), org.ID)
	if err != nil {
		t.Fatal(err)
	}
	return list[0].ID
}

func TestLastUseInTheBackground(t *testing.T) {
	db := storetest.SQLite(t)
	s := New(db, testRing(t), Options{FlushEvery: time.Millisecond})
	s.Start()
	defer func() { _ = s.Stop(context.Background()) }()
	n := node{Service: s}
	org := n.organisation(t, "acme")
	_, text := n.key(t, org)
	if _, _, err := n.Authenticate(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	for {
		list, err := n.Keys(t.Context(), org.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !list[0].LastUsedAt.IsZero() {
			return
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	n := newNode(b, storetest.SQLite(b), newClock(), nil)
	org, _, err := n.CreateOrganisation(b.Context(), OrganisationChange{Name: ptr("acme")})
	if err != nil {
		b.Fatal(err)
	}
	_, text := n.key(b, org)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := n.Authenticate(context.Background(), text); err != nil {
				b.Error(err)
			}
		}
	})
}
