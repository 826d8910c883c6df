package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestSignIn(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		ada := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		for _, spelling := range []string{"ada@example.com", " ADA@Example.COM "} {
			in := w.signedIn(w.SignIn(ctx, spelling, password, kinora.Visitor{Address: "198.51.100.9", UserAgent: "x\x00\xff" + strings.Repeat("ü", 400)}))
			if in.Person.ID != ada.Person.ID || in.Session.ID == ada.Session.ID {
				t.Errorf("%+v", in)
			}
			if ua := in.Session.UserAgent; len(ua) > maxUserAgent || !strings.HasPrefix(ua, "xü") || strings.ContainsRune(ua, '�') {
				t.Errorf("user agent %q", ua)
			}
			if in.RoleIn(w.a) != kinora.RoleMember || in.RoleIn(w.b) != "" || root.RoleIn(w.b) != kinora.RoleOwner {
				t.Errorf("roles %+v", in.Memberships)
			}
		}
		if _, err := w.SetDisabled(w.byOperator(), ada.Person.ID, true); err != nil {
			t.Fatal(err)
		}
		_, pending, err := w.Invite(w.byOperator(), w.a, "new@example.com", kinora.RoleMember)
		if err != nil || pending == "" {
			t.Fatal(err)
		}
		for what, tt := range map[string][2]string{
			"wrong password": {"root@example.com", password + "!"},
			"cut password":   {"root@example.com", password[:len(password)-1]},
			"empty password": {"root@example.com", ""},
			"long password":  {"root@example.com", strings.Repeat("x", 1<<20)},
			"disabled":       {"ada@example.com", password},
			"without one":    {"new@example.com", ""},
			"unknown":        {"who@example.com", password},
			"no address":     {"'; DROP TABLE persons\x00", password},
		} {
			_, err := w.SignIn(ctx, tt[0], tt[1], w.visitor)
			w.wantCode(what, err, kinora.ErrUnauthorized)
			if err != nil && err.Error() != errRefused().Error() {
				t.Errorf("%s: %v tells them apart", what, err)
			}
		}
		if got := w.actions(kinora.AuditFilter{Action: "session.refuse"}); got[kinora.AuditSessionRefuse] != 6 {
			t.Errorf("%v: known persons alone have an entry", got)
		}
	})
}

// That nobody is there must cost a hashing too: a sign-in that gets no place for one cannot be answered.
func TestUnknownPersonsCostAHashing(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.setUp()
		for range hashings {
			w.hasher.places <- struct{}{}
		}
		for _, email := range []string{"root@example.com", "who@example.com", "not an address"} {
			ctx, cancel := context.WithCancel(t.Context())
			answered := make(chan error, 1)
			go func() {
				_, err := w.SignIn(ctx, email, password+"!", w.visitor)
				answered <- err
			}()
			// It is waiting for a place once its try is counted; nothing else is left in between.
			cancelAfterCount(t, w, email, cancel)
			if err := <-answered; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v without a hashing", email, err)
			}
		}
	})
}

// Nor must the answer come before a commit that the others wait for: what a disk takes for it can be measured from far away.
func TestUnknownPersonsCostAsManyWritesAsOthers(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), Options{})
	w.setUp()
	ada := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
	_, err := w.SetDisabled(w.byOperator(), ada.Person.ID, true)
	w.wantCode("disable", err, "")
	_, _, err = w.Invite(w.byOperator(), w.a, "new@example.com", kinora.RoleMember)
	w.wantCode("invite", err, "")
	wrote := map[string]int{}
	for _, email := range []string{"root@example.com", "ada@example.com", "new@example.com", "who@example.com", "not an address"} {
		for range 2 { // the first try there makes the rows that the second changes
			before := w.written()
			_, err := w.SignIn(t.Context(), email, password+"!", w.visitor)
			w.wantCode(email, err, kinora.ErrUnauthorized)
			wrote[email] = w.written() - before
			if wrote[email] != wrote["root@example.com"] {
				t.Errorf("%s: %d rows written before the answer, for somebody who is there %d", email, wrote[email], wrote["root@example.com"])
			}
		}
	}
}

// written is how many rows have been written to SQLite so far.
func (w *world) written() (n int) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error { return tx.QueryRow(`SELECT total_changes()`).Scan(&n) })
	return n
}

func cancelAfterCount(t *testing.T, w *world, email string, cancel func()) {
	t.Helper()
	normal, err := normalEmail(email)
	if err != nil {
		normal = hashOf(email)
	}
	for who := triesOf(normal, w.visitor.Address).pair; ; {
		if n := w.count(who); n > 0 {
			cancel()
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("the try was never counted")
		}
		time.Sleep(time.Millisecond) // the database is the try's to use
	}
}

func TestTriesAreLimited(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		try := func(email, word, address string) error {
			_, err := w.SignIn(ctx, email, word, kinora.Visitor{Address: address})
			return err
		}
		limited := func(what string, err error) {
			t.Helper()
			var e *kinora.Error
			if !errors.As(err, &e) || e.Code != kinora.ErrRateLimited || e.RetryAfter <= 0 || e.RetryAfter > time.Hour {
				t.Errorf("%s: %v", what, err)
			}
		}
		w.wantCode("home", try("root@example.com", password, "home"), "")
		for range triesPair {
			w.wantCode("a try", try("root@example.com", "wrong", "one"), kinora.ErrUnauthorized)
		}
		limited("one more", try("root@example.com", "wrong", "one"))
		limited("even the right one", try("root@example.com", password, "one"))
		w.wantCode("from elsewhere", try("root@example.com", password, "two"), "")
		w.wantCode("another person", try("who@example.com", "x", "one"), kinora.ErrUnauthorized)
		w.clock.advance(triesSpan)
		w.wantCode("later", try("root@example.com", password, "one"), "")

		// A right password takes back what was tried before it.
		for range 3 {
			for range triesPair - 1 {
				w.wantCode("a try", try("root@example.com", "wrong", "three"), kinora.ErrUnauthorized)
			}
			w.wantCode("then right", try("root@example.com", password, "three"), "")
		}

		// One address at everybody's.
		w.clock.advance(triesPersonSpan)
		for i := range triesAddress {
			w.wantCode("a try", try(fmt.Sprintf("p%d@example.com", i), "wrong", "four"), kinora.ErrUnauthorized)
		}
		limited("one person more", try("last@example.com", "wrong", "four"))
		limited("the right one", try("root@example.com", password, "four"))

		// All addresses at one person's; the person comes in from where they were before.
		w.clock.advance(triesPersonSpan)
		for i := range triesPerson {
			w.wantCode("a try", try("root@example.com", "wrong", fmt.Sprint("botnet ", i/5)), kinora.ErrUnauthorized)
		}
		limited("one address more", try("root@example.com", "wrong", "botnet"))
		limited("a new place", try("root@example.com", password, "hotel"))
		w.wantCode("home", try("root@example.com", password, "home"), "")
		w.wantCode("home, mistyped", try("root@example.com", "wrong", "home"), kinora.ErrUnauthorized)
		w.clock.advance(knownLife)
		w.wantCode("after a long time", try("root@example.com", password, "hotel"), "")
	})
}

// How tries end is counted by way and outcome.
func TestSignInsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, storetest.SQLite(t), Options{Metrics: reg})
	w.setUp()
	for range triesPair + 2 {
		_, _ = w.SignIn(t.Context(), "root@example.com", "wrong", w.visitor)
	}
	w.signedIn(w.SignIn(t.Context(), "root@example.com", password, kinora.Visitor{}))
	_, _ = w.AcceptInvitation(t.Context(), "kinv_none", kinora.NewPerson{}, w.visitor)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	want := map[string]float64{"password refused": triesPair, "password limited": 2, "password in": 1, "link in": 1, "link refused": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Tries at once must not all pass before the first of them is counted.
func TestTriesAtOnceAreLimited(t *testing.T) {
	eachWorld(t, func(w *world) {
		w.setUp()
		var (
			wg     sync.WaitGroup
			looked atomic.Int32
		)
		for range 40 {
			wg.Go(func() {
				if _, err := w.SignIn(t.Context(), "root@example.com", "wrong", w.visitor); kinora.CodeOf(err) == kinora.ErrUnauthorized {
					looked.Add(1)
				} else {
					w.wantCode("a try", err, kinora.ErrRateLimited)
				}
			})
		}
		wg.Wait()
		if looked.Load() != triesPair {
			t.Errorf("%d passwords were looked at, want %d", looked.Load(), triesPair)
		}
	})
}

func TestPasswordsAreStoredAsHashes(t *testing.T) {
	h := newHasher(standardCost)
	stored, err := h.hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := h.hash(t.Context(), password)
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") || stored == again {
		t.Errorf("%s, again %s", stored, again)
	}
	// One that was made at a lower cost is still read.
	cheap := newHasher(cost{memory: 64, passes: 1, threads: 2})
	old, _ := cheap.hash(t.Context(), password)
	for _, s := range []string{stored, again, old} {
		if ok, err := h.matches(t.Context(), password, s); !ok || err != nil {
			t.Errorf("%s: %v, %v", s, ok, err)
		}
		if ok, err := h.matches(t.Context(), password+" ", s); ok || err != nil {
			t.Errorf("%s: another password passes, %v", s, err)
		}
	}
	for _, broken := range []string{"x", "$argon2i$v=19$m=64,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=64,t=0,p=1$AAAA$" + strings.Repeat("A", 43), "$argon2id$v=19$m=64,t=1,p=1$AAAA$"} {
		if ok, err := h.matches(t.Context(), "", broken); ok || err == nil {
			t.Errorf("%s passes", broken)
		}
	}
}

func TestPasswordsAndAddressesAreChecked(t *testing.T) {
	for _, bad := range []string{"", "short", "elevenchars", strings.Repeat("x", 20), strings.Repeat("xy", 129), "ada.lovelace@example.com", " ADA.lovelace@example.com", "with\x00a zero byte", "not \xff text at all"} {
		if checkPassword("password", bad, "ada.lovelace@example.com") == nil {
			t.Errorf("password %q passes", bad)
		}
	}
	for _, good := range []string{password, "zwölf zeichn", strings.Repeat("xy", 128), "パスワードは十二文字以上"} {
		if err := checkPassword("password", good, "ada@example.com"); err != nil {
			t.Errorf("password %q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "ada", "@example.com", "ada@", "ada@@example.com", "Ada <ada@example.com>", "ada@example.com, b@example.com", `"a b"@example.com`, "a b@example.com",
		"ada@example.com\nBcc: b@example.com", "a\x00@example.com", "a\u200b@example.com", "mar\u212a@example.com", "adm\u0130n@example.com", "ada@\u212aelvin.example", strings.Repeat("a", 250) + "@example.com"} {
		if email, err := normalEmail(bad); err == nil {
			t.Errorf("e-mail %q passes as %q", bad, email)
		}
	}
	for text, want := range map[string]string{" Ada@Example.com ": "ada@example.com", "root@localhost": "root@localhost", "a.b+c@sub.example.co.uk": "a.b+c@sub.example.co.uk"} {
		if email, err := normalEmail(text); email != want || err != nil {
			t.Errorf("e-mail %q: %q, %v", text, email, err)
		}
	}
}
