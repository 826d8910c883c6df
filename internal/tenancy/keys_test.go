package tenancy

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestKeyShapes(t *testing.T) {
	n := newNode(t, storetest.SQLite(t), newClock(), nil)
	org := n.organisation(t, "acme")
	for kind, shape := range map[KeyKind]string{
		KeySK:      `^sk-[0-9A-Za-z]{48}$`,
		KeyKatLive: `^kat_live_[0-9A-Za-z_-]{16}\.[0-9A-Za-z_-]{43}$`,
	} {
		seen := map[string]bool{}
		for range 5 {
			key, text, err := n.CreateKey(t.Context(), org.ID, "k", kind, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(shape).MatchString(text) || seen[text] {
				t.Errorf("%s: %q does not look like %s, or came twice", kind, text, shape)
			}
			seen[text] = true
			if !strings.HasPrefix(text, key.Start) || len(text)-len(key.Start) < 42 {
				t.Errorf("%s: start %q shows too much or something else", kind, key.Start)
			}
		}
	}
	_, _, err := n.CreateKey(t.Context(), org.ID, "k", "rsa", time.Time{})
	wantCode(t, "unknown kind", err, kinora.ErrInvalid)
}

func TestRandomBase62UsesItsWholeAlphabet(t *testing.T) {
	text := randomBase62(20_000)
	counts := map[rune]int{}
	for _, r := range text {
		counts[r]++
	}
	if len(text) != 20_000 || len(counts) != 62 {
		t.Fatalf("%d characters of %d kinds", len(text), len(counts))
	}
	for r, n := range counts {
		if n < 200 || n > 460 { // 323 on average; this far off happens once in 10^11 runs
			t.Errorf("%q came %d times", r, n)
		}
	}
}

func TestImportKey(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org, other := n.organisation(t, "acme"), n.organisation(t, "other")
		for text, start := range map[string]string{
			"kat_live_a.b": "kat_live_a",
			"kat_live_" + strings.Repeat("p", 40) + ".x.y.z": "kat_live_" + strings.Repeat("p", 16),
			"sk-" + strings.Repeat("q", 20):                  "sk-qqqqqq",
		} {
			key, err := n.ImportKey(t.Context(), org.ID, "imported", text, time.Time{})
			if err != nil {
				t.Errorf("%s: %v", text, err)
				continue
			}
			if key.Start != start {
				t.Errorf("%s: start %q, want %q", text, key.Start, start)
			}
			if got, _, err := n.Authenticate(t.Context(), text); err != nil || got.ID != key.ID {
				t.Errorf("%s: %v", text, err)
			}
			_, err = n.ImportKey(t.Context(), other.ID, "again", text, time.Time{})
			wantCode(t, "another organisation imports it too", err, kinora.ErrConflict)
			if err := n.RevokeKey(t.Context(), org.ID, key.ID); err != nil {
				t.Error(err)
			}
			_, err = n.ImportKey(t.Context(), org.ID, "again", text, time.Time{})
			wantCode(t, "import after revoke", err, kinora.ErrConflict)
		}
		for _, text := range []string{"", "x", "sk-short", "kat_live_ab", "kat_test_a.b", "sk-" + strings.Repeat("q", 19), "kat_live_a b.c", "kat_live_a.b\n", "sk-" + strings.Repeat("ü", 20), "sk-" + strings.Repeat("q", 600)} {
			_, err := n.ImportKey(t.Context(), org.ID, "bad", text, time.Time{})
			wantCode(t, text, err, kinora.ErrInvalid)
			if len(text) > 3 && err != nil && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats the key: %v", err)
			}
		}
	})
}

// Of many who import one text at once, exactly one gets it, and the others learn why not.
func TestImportKeyAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		var mu sync.Mutex
		codes := map[kinora.ErrorCode]int{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := n.ImportKey(t.Context(), org.ID, "k", "kat_live_same.secret", time.Time{})
				mu.Lock()
				defer mu.Unlock()
				codes[kinora.CodeOf(err)]++
			})
		}
		wg.Wait()
		if diff := cmp.Diff(map[kinora.ErrorCode]int{"": 1, kinora.ErrConflict: 7}, codes); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

func TestKeysOfOthersAreNotFound(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org, other := n.organisation(t, "acme"), n.organisation(t, "other")
		key, text := n.key(t, org)
		const nobody = "org_01HF8Z3KQX2A6Y4N3R8M5W7V9P"

		wantCode(t, "revoke another's key", n.RevokeKey(t.Context(), other.ID, key.ID), kinora.ErrNotFound)
		wantCode(t, "revoke an unknown key", n.RevokeKey(t.Context(), org.ID, "key_x"), kinora.ErrNotFound)
		_, err := n.Keys(t.Context(), nobody)
		wantCode(t, "keys of nobody", err, kinora.ErrNotFound)
		_, _, err = n.CreateKey(t.Context(), nobody, "k", KeySK, time.Time{})
		wantCode(t, "key for nobody", err, kinora.ErrNotFound)
		if _, _, err := n.Authenticate(t.Context(), text); err != nil {
			t.Errorf("the key was hurt: %v", err)
		}
		list, err := n.Keys(t.Context(), other.ID)
		if err != nil || len(list) != 0 {
			t.Errorf("another organisation sees %v, %v", list, err)
		}
		if err := n.RevokeKey(t.Context(), org.ID, key.ID); err != nil {
			t.Fatal(err)
		}
		first := revokedAt(t, n, org)
		n.clock.advance(time.Second)
		if err := n.RevokeKey(t.Context(), org.ID, key.ID); err != nil || !revokedAt(t, n, org).Equal(first) {
			t.Errorf("revoking twice: %v, %v then %v", err, first, revokedAt(t, n, org))
		}
	})
}

func revokedAt(t *testing.T, n node, org *kinora.Organisation) time.Time {
	t.Helper()
	list, err := n.Keys(t.Context(), org.ID)
	if err != nil || list[0].RevokedAt.IsZero() {
		t.Fatalf("keys: %v, %v", list, err)
	}
	return list[0].RevokedAt
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "  Größe 9 ": "Größe 9", strings.Repeat("é", 100): strings.Repeat("é", 100)} {
		if got, err := checkName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "  ", "a\nb", "a\x00", "\xff", "a\u202eb", strings.Repeat("é", 101)} {
		_, err := checkName(name)
		wantCode(t, name, err, kinora.ErrInvalid)
	}
}

// Nothing but the hash of a key is in the database.
func TestKeyTextIsNotStored(t *testing.T) {
	db := storetest.SQLite(t)
	n := newNode(t, db, newClock(), nil)
	_, text := n.key(t, n.organisation(t, "acme"))
	err := db.View(t.Context(), func(tx *store.Tx) error {
		return tx.Query(`SELECT id || name || start || hash FROM keys`, nil, func(row store.Row) error {
			var all string
			err := row.Scan(&all)
			if strings.Contains(all, text[12:]) || !strings.Contains(all, hashOf(text)) {
				t.Errorf("row: %s", all)
			}
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzKindOf(f *testing.F) {
	for _, s := range []string{"", "sk-", "sk-a", "kat_live_a.b", "kat_live_.", "kat_live_a", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if kindOf(text) == "" {
			return
		}
		start := startOf(text)
		if !strings.HasPrefix(text, start) || len(start) >= len(text) || strings.Contains(start, ".") && strings.HasPrefix(text, katPrefix) {
			t.Fatalf("start of %q is %q", text, start)
		}
	})
}
