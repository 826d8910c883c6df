package tenancy

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func (n node) secretTexts(t testing.TB, org *kinora.Organisation) []string {
	t.Helper()
	list, err := n.WebhookSecrets(t.Context(), org.ID)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{}
	for i, s := range list {
		texts = append(texts, s.Text)
		if (i == 0) != s.ExpiresAt.IsZero() {
			t.Errorf("secret %d of %d expires %v: only the current one never does", i, len(list), s.ExpiresAt)
		}
	}
	return texts
}

func TestRotation(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		n := newNode(t, db, c, nil)
		org, first, err := n.CreateOrganisation(t.Context(), OrganisationChange{Name: ptr("acme")})
		if err != nil {
			t.Fatal(err)
		}
		expect := func(what string, want ...*kinora.WebhookSecret) {
			t.Helper()
			texts := []string{}
			for _, w := range want {
				texts = append(texts, w.Text)
			}
			if diff := cmp.Diff(texts, n.secretTexts(t, org)); diff != "" {
				t.Errorf("%s: secrets (-want +got):\n%s", what, diff)
			}
		}
		rotate := func(overlap time.Duration) *kinora.WebhookSecret {
			t.Helper()
			s, err := n.RotateWebhookSecret(t.Context(), org.ID, overlap)
			if err != nil {
				t.Fatal(err)
			}
			if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Text, "whsec_")); err != nil || len(key) != 32 {
				t.Errorf("secret %q is not whsec_ and base64 of 32 bytes", s.Text)
			}
			return s
		}
		expect("at first", first)
		c.advance(time.Hour)
		second := rotate(DefaultOverlap)
		expect("after a rotation, at once", second, first)
		c.advance(time.Hour)
		third := rotate(DefaultOverlap)
		expect("after two rotations", third, second, first)
		// The end of an overlap needs no reading: it holds for what is in memory too.
		c.advance(23*time.Hour - time.Microsecond)
		expect("just before the first one's end", third, second, first)
		c.advance(time.Microsecond)
		expect("at the first one's end", third, second)
		c.advance(time.Hour)
		expect("at the second one's end", third)
		fourth := rotate(0)
		expect("after a rotation without overlap", fourth)

		for _, overlap := range []time.Duration{-1, MaxOverlap + 1} {
			_, err := n.RotateWebhookSecret(t.Context(), org.ID, overlap)
			wantCode(t, overlap.String(), err, kinora.ErrInvalid)
		}
		_, err = n.RotateWebhookSecret(t.Context(), "org_none", 0)
		wantCode(t, "rotate for nobody", err, kinora.ErrNotFound)
		_, err = n.WebhookSecrets(t.Context(), "org_none")
		wantCode(t, "secrets of nobody", err, kinora.ErrNotFound)
		expect("after refusals", fourth)

		c.advance(time.Hour)
		fifth := rotate(48 * time.Hour)
		c.advance(time.Hour)
		sixth := rotate(time.Hour)
		expect("after a short overlap", sixth, fifth, fourth)
		c.advance(time.Hour)
		expect("a short overlap shortens no other", sixth, fourth)
		seventh := rotate(MaxOverlap)
		c.advance(46 * time.Hour)
		expect("a long overlap lengthens no other", seventh, sixth)
		expect("an emergency ends all", rotate(0))
	})
}

func TestRotationReachesOtherNodesInTime(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		ring := testRing(t)
		here, there := newNode(t, db, c, ring), newNode(t, db, c, ring)
		org := here.organisation(t, "acme")
		old := there.secretTexts(t, org)
		if _, err := here.RotateWebhookSecret(t.Context(), org.ID, 0); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(old, there.secretTexts(t, org)); diff != "" {
			t.Error("the other node read the database although it need not")
		}
		c.advance(DefaultCacheFor)
		if diff := cmp.Diff(here.secretTexts(t, org), there.secretTexts(t, org)); diff != "" {
			t.Errorf("after the cache's life the nodes differ:\n%s", diff)
		}
	})
}

// However many rotate at once, there is one current secret.
func TestRotationsAtOnce(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := n.RotateWebhookSecret(context.Background(), org.ID, time.Hour); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if texts := n.secretTexts(t, org); len(texts) != 7 {
			t.Errorf("%d secrets are in force, want 7", len(texts))
		}
	})
}

func TestImportWebhookSecret(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org := n.organisation(t, "acme")
		for _, text := range []string{"a-secret-of-another-house", "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI=", strings.Repeat("x", 512)} {
			s, err := n.ImportWebhookSecret(t.Context(), org.ID, text, 0)
			if err != nil || s.Text != text {
				t.Errorf("%.30s: %v", text, err)
			}
			if got := n.secretTexts(t, org); len(got) != 1 || got[0] != text {
				t.Errorf("secrets: %q", got)
			}
		}
		for _, text := range []string{"", "short", "with space inside it", "sixteen-bytes-é-", "line\nline-line-line", strings.Repeat("x", 513)} {
			_, err := n.ImportWebhookSecret(t.Context(), org.ID, text, 0)
			wantCode(t, text, err, kinora.ErrInvalid)
		}
	})
}

// A secret in the database is of no use without the master key, nor in another row.
func TestSecretsAreSealed(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		c := newClock()
		old, current := seal.NewKey(), seal.NewKey()
		before := newNode(t, db, c, testRing(t, old))
		a, b := before.organisation(t, "a"), before.organisation(t, "b")
		want := before.secretTexts(t, a)
		err := db.View(t.Context(), func(tx *store.Tx) error {
			sealed, err := tx.WebhookSecrets(a.ID, c.now())
			if err == nil && (len(sealed) != 1 || strings.Contains(sealed[0].Sealed, want[0][6:20])) {
				t.Errorf("stored: %+v", sealed)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		stranger := newNode(t, db, c, nil)
		_, err = stranger.WebhookSecrets(t.Context(), a.ID)
		wantCode(t, "without the master key", err, kinora.ErrInternal)
		if err == nil || strings.Contains(err.Error(), want[0]) {
			t.Errorf("error: %v", err)
		}

		during := newNode(t, db, c, testRing(t, current, old))
		if diff := cmp.Diff(want, during.secretTexts(t, a)); diff != "" {
			t.Errorf("after a rotation of the master key:\n%s", diff)
		}
		if n, err := during.Reseal(t.Context()); err != nil || n != 2 {
			t.Errorf("Reseal = %d, %v; want 2", n, err)
		}
		if n, err := during.Reseal(t.Context()); err != nil || n != 0 {
			t.Errorf("second Reseal = %d, %v; want 0", n, err)
		}
		after := newNode(t, db, c, testRing(t, current))
		if diff := cmp.Diff(want, after.secretTexts(t, a)); diff != "" {
			t.Errorf("with the old master key dropped:\n%s", diff)
		}

		err = db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE webhook_secrets SET organisation_id = ? WHERE organisation_id = ?`, b.ID, a.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		moved := newNode(t, db, c, testRing(t, current))
		if got, err := moved.WebhookSecrets(t.Context(), b.ID); err == nil {
			t.Errorf("a secret moved to another organisation opened: %v", got)
		}
	})
}

func TestBootstrap(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		ring := testRing(t)
		n := newNode(t, db, newClock(), ring)
		// Several nodes start at once on an empty database.
		made := make([]*Bootstrapped, 4)
		var wg sync.WaitGroup
		for i := range made {
			wg.Go(func() {
				var err error
				if made[i], err = New(db, ring, Options{Now: n.clock.now}).Bootstrap(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var b *Bootstrapped
		for _, m := range made {
			if m != nil && b != nil {
				t.Fatal("two nodes made a default organisation")
			} else if m != nil {
				b = m
			}
		}
		if b == nil {
			t.Fatal("nobody made a default organisation")
		}
		key, org, err := n.Authenticate(t.Context(), b.KeyText)
		if err != nil || cmp.Diff(b.Key, key) != "" || cmp.Diff(b.Organisation, org) != "" {
			t.Errorf("the key that was shown: %+v %+v %v", key, org, err)
		}
		if got := n.secretTexts(t, org); len(got) != 1 || got[0] != b.Secret.Text {
			t.Errorf("secrets %q, want %q", got, b.Secret.Text)
		}
		if again, err := n.Bootstrap(t.Context()); err != nil || again != nil {
			t.Errorf("second start: %+v, %v", again, err)
		}
	})
}
