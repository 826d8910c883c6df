package tenancy

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// A key that was made to end works until then, on every node, whatever is kept in memory.
func TestKeysEndByThemselves(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		n, other := newNode(t, db, c, nil), newNode(t, db, c, nil)
		org := n.organisation(t, "acme")
		ends := c.now().Add(500 * time.Millisecond) // while it is still kept
		key, text, err := n.CreateKey(t.Context(), org.ID, "short", KeySK, ends)
		if err != nil || !key.ExpiresAt.Equal(ends) {
			t.Fatalf("%+v, %v", key, err)
		}
		imported, err := n.ImportKey(t.Context(), org.ID, "brought", "kat_live_a.b", ends)
		if err != nil || !imported.ExpiresAt.Equal(ends) {
			t.Fatalf("%+v, %v", imported, err)
		}
		for _, node := range []node{n, other} {
			for _, live := range []string{text, "kat_live_a.b"} {
				if got, _, err := node.Authenticate(t.Context(), live); err != nil || !got.ExpiresAt.Equal(ends) {
					t.Errorf("before its end: %+v, %v", got, err)
				}
			}
		}
		c.advance(500 * time.Millisecond)
		for _, node := range []node{n, other} {
			for _, dead := range []string{text, "kat_live_a.b"} {
				_, _, err := node.Authenticate(t.Context(), dead)
				wantCode(t, "after its end", err, kinora.ErrUnauthorized)
			}
		}
		for _, past := range []time.Time{c.now(), c.now().Add(-time.Hour)} {
			_, _, err := n.CreateKey(t.Context(), org.ID, "k", KeySK, past)
			wantCode(t, "an end that is over", err, kinora.ErrInvalid)
		}
	})
}

func TestRotateKey(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		n, elsewhere := newNode(t, db, c, nil), newNode(t, db, c, nil)
		org, stranger := n.organisation(t, "acme"), n.organisation(t, "other")
		old, before, err := n.CreateKey(t.Context(), org.ID, "shop", KeyKatLive, c.now().Add(90*24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		c.advance(24 * time.Hour)
		works := func(text string) bool {
			t.Helper()
			_, _, here := n.Authenticate(t.Context(), text)
			_, _, there := elsewhere.Authenticate(t.Context(), text)
			if kinora.CodeOf(here) != kinora.CodeOf(there) {
				t.Errorf("one node says %v, another %v", here, there)
			}
			return here == nil
		}
		if !works(before) {
			t.Fatal("the old key does not work")
		}
		_, _, err = n.RotateKey(t.Context(), stranger.ID, old.ID, time.Hour)
		wantCode(t, "another organisation's key", err, kinora.ErrNotFound)
		_, _, err = n.RotateKey(t.Context(), org.ID, "key_none", time.Hour)
		wantCode(t, "an unknown key", err, kinora.ErrNotFound)
		for _, overlap := range []time.Duration{-1, MaxOverlap + 1} {
			_, _, err = n.RotateKey(t.Context(), org.ID, old.ID, overlap)
			wantCode(t, "overlap", err, kinora.ErrInvalid)
		}

		fresh, after, err := n.RotateKey(t.Context(), org.ID, old.ID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if fresh.Name != "shop" || !strings.HasPrefix(after, katPrefix) || !fresh.ExpiresAt.Equal(c.now().UTC().Add(90*24*time.Hour)) || fresh.ReplacedBy != "" {
			t.Errorf("the new key: %+v", fresh)
		}
		list, err := n.Keys(t.Context(), org.ID)
		if err != nil || len(list) != 2 || list[0].ReplacedBy != fresh.ID || !list[0].ExpiresAt.Equal(c.now().UTC().Add(time.Hour)) {
			t.Errorf("the list: %+v, %v", list, err)
		}
		_, _, err = n.RotateKey(t.Context(), org.ID, old.ID, time.Hour)
		wantCode(t, "a second time", err, kinora.ErrConflict)
		c.advance(time.Hour - time.Microsecond)
		if !works(before) || !works(after) {
			t.Error("one of the two does not work in between")
		}
		c.advance(time.Microsecond)
		if works(before) || !works(after) {
			t.Error("after the overlap the old key works, or the new one does not")
		}
		_, _, err = n.RotateKey(t.Context(), org.ID, old.ID, time.Hour)
		wantCode(t, "a key that has ended", err, kinora.ErrConflict)

		// Without an overlap it ends here at once and elsewhere as soon as a revoked one does.
		last, text, err := n.RotateKey(t.Context(), org.ID, fresh.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.Authenticate(t.Context(), after); kinora.CodeOf(err) != kinora.ErrUnauthorized {
			t.Errorf("the old key: %v", err)
		}
		c.advance(DefaultCacheFor)
		if works(after) || !works(text) {
			t.Error("without an overlap the old key works, or the new one does not")
		}
		// An old key's own end is never put off.
		c.advance(90*24*time.Hour - DefaultCacheFor - time.Minute)
		if _, _, err = n.RotateKey(t.Context(), org.ID, last.ID, time.Hour); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Minute)
		if works(text) {
			t.Error("a rotation has made the old key live longer")
		}
		revoked, _ := n.key(t, org)
		if err := n.RevokeKey(t.Context(), org.ID, revoked.ID); err != nil {
			t.Fatal(err)
		}
		_, _, err = n.RotateKey(t.Context(), org.ID, revoked.ID, time.Hour)
		wantCode(t, "a revoked key", err, kinora.ErrConflict)
	})
}

// Of several who rotate a key at once exactly one makes a new one.
func TestRotateKeyAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		key, _ := n.key(t, org)
		codes := make(chan kinora.ErrorCode, 6)
		var wg sync.WaitGroup
		for range cap(codes) {
			wg.Go(func() {
				_, _, err := n.RotateKey(t.Context(), org.ID, key.ID, time.Hour)
				codes <- kinora.CodeOf(err)
			})
		}
		wg.Wait()
		close(codes)
		won := 0
		for code := range codes {
			switch code {
			case "":
				won++
			case kinora.ErrConflict:
			default:
				t.Errorf("one was answered %q", code)
			}
		}
		if list, err := n.Keys(t.Context(), org.ID); err != nil || won != 1 || len(list) != 2 {
			t.Errorf("%d rotations won, %d keys, %v", won, len(list), err)
		}
	})
}
