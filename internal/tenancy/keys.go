package tenancy

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// KeyKind is the shape of an API key. Both open both public APIs.
type KeyKind string

const (
	KeySK      KeyKind = "sk"       // "sk-" and 48 random letters and digits, as the submit API's clients expect
	KeyKatLive KeyKind = "kat_live" // "kat_live_<public id>.<secret>", as the generations API's clients expect
)

const (
	skPrefix  = "sk-"
	katPrefix = "kat_live_"

	skLength   = 48 // base62 characters: 285 random bits
	maxKeyText = 512
	// minImported is the shortest "sk-" key that is imported: 20 characters behind the prefix. Of
	// the other kind every length is taken, as the generations API contract says.
	minImported = len(skPrefix) + 20

	maxName = 100 // characters, of keys and organisations
)

// kindOf tells the kind of a key by its text alone, and "" for what cannot be a key.
func kindOf(text string) KeyKind {
	if len(text) > maxKeyText {
		return ""
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return ""
		}
	}
	if rest, ok := strings.CutPrefix(text, skPrefix); ok && rest != "" {
		return KeySK
	}
	if rest, ok := strings.CutPrefix(text, katPrefix); ok {
		if public, secret, found := strings.Cut(rest, "."); found && public != "" && secret != "" {
			return KeyKatLive
		}
	}
	return ""
}

// startOf is what of a key's text may be shown for good: enough to tell keys apart, and
// never a useful part of the secret.
func startOf(text string) string {
	const shown = len(skPrefix) + 6
	if rest, ok := strings.CutPrefix(text, katPrefix); ok {
		public, _, _ := strings.Cut(rest, ".")
		return katPrefix + public[:min(len(public), 16)]
	}
	return text[:min(len(text)/2, shown)]
}

// CreateKey makes a key for an organisation, which ends by itself at expires; zero = never. text is
// the key itself: it is returned this once and cannot be recovered. Errors: ErrInvalid, ErrNotFound.
func (s *Service) CreateKey(ctx context.Context, organisationID, name string, kind KeyKind, expires time.Time) (key *kinora.Key, text string, err error) {
	if text = newKeyText(kind); text == "" {
		return nil, "", kinora.FieldErrorf(kinora.ErrInvalid, "kind", "kind must be %q or %q", KeySK, KeyKatLive)
	}
	key, err = s.insertKey(ctx, kinora.AuditKeyCreate, organisationID, name, text, expires)
	if err != nil {
		return nil, "", err
	}
	return key, text, nil
}

// newKeyText makes up a key; "" for a kind that there is not.
func newKeyText(kind KeyKind) string {
	switch kind {
	case KeySK:
		return skPrefix + randomBase62(skLength)
	case KeyKatLive:
		return katPrefix + randomBase64URL(12) + "." + randomBase64URL(32)
	}
	return ""
}

// ImportKey makes a key of a text that already exists, so that clients of another service
// keep theirs: any "kat_live_<id>.<secret>", or "sk-" with at least 20 characters behind it.
// It ends by itself at expires; zero = never. Errors: ErrInvalid, ErrNotFound, ErrConflict when
// the key is known already, be it ended or another organisation's.
func (s *Service) ImportKey(ctx context.Context, organisationID, name, text string, expires time.Time) (*kinora.Key, error) {
	switch kind := kindOf(text); {
	case kind == "":
		return nil, kinora.Errorf(kinora.ErrInvalid, "the key must be kat_live_<id>.<secret> or sk-<text>, without spaces")
	case kind == KeySK && len(text) < minImported:
		return nil, kinora.Errorf(kinora.ErrInvalid, "an imported sk- key needs at least 20 characters behind its prefix")
	}
	return s.insertKey(ctx, kinora.AuditKeyImport, organisationID, name, text, expires)
}

func (s *Service) insertKey(ctx context.Context, action kinora.AuditAction, organisationID, name, text string, expires time.Time) (*kinora.Key, error) {
	name, err := checkName(name)
	if err != nil {
		return nil, err
	}
	now := s.instant()
	expires = expires.UTC().Truncate(time.Microsecond)
	if !expires.IsZero() && !expires.After(now) {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "expires_at", "expires_at must lie in the future")
	}
	key := &kinora.Key{ID: id.New(id.Key, now), OrganisationID: organisationID, Name: name, Start: startOf(text), CreatedAt: now, ExpiresAt: expires}
	hash := hashOf(text)
	err = s.change(ctx, func(tx *store.Tx) error {
		if _, err := tx.Organisation(organisationID); err != nil {
			return absent(err, noOrganisation)
		}
		if err := unknown(tx, hash); err != nil {
			return err
		}
		if err := tx.InsertKey(key, hash); err != nil {
			return err
		}
		return tx.Audit(action, organisationID, key.ID, map[string]any{"name": name, "start": key.Start})
	})
	if err != nil && kinora.CodeOf(err) == kinora.ErrInternal {
		// Another node may have imported the same text between the look and the write.
		if known := s.db.View(ctx, func(tx *store.Tx) error { return unknown(tx, hash) }); kinora.CodeOf(known) == kinora.ErrConflict {
			return nil, known
		}
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

const noKey = "key not found"

// unknown fails when a key of that hash exists.
func unknown(tx *store.Tx, hash string) error {
	_, err := tx.KeyByHash(hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return kinora.Errorf(kinora.ErrConflict, "this key is known already")
}

// RotateKey makes a key in the place of another one: of its name and kind, and made to live as
// long. The old one goes on for overlap, 0 to MaxOverlap, or to its own end where that is sooner,
// and then ends by itself on all nodes. With 0 it ends as a revoked one does: here before the
// method returns, on other nodes within DefaultCacheFor. text is the new key: it is returned this once.
//
// Errors: ErrInvalid; ErrNotFound, also for another organisation's key; ErrConflict when the old key
// has ended, or has been rotated already.
func (s *Service) RotateKey(ctx context.Context, organisationID, keyID string, overlap time.Duration) (key *kinora.Key, text string, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, "", kinora.FieldErrorf(kinora.ErrInvalid, "overlap", "overlap must be between 0 and %d days", MaxOverlap/(24*time.Hour))
	}
	now := s.instant()
	err = s.change(ctx, func(tx *store.Tx) error {
		old, err := tx.Key(organisationID, keyID)
		if err != nil {
			return absent(err, noKey)
		}
		key, text = successor(old, now)
		ends := now.Add(overlap)
		if !old.ExpiresAt.IsZero() && old.ExpiresAt.Before(ends) {
			ends = old.ExpiresAt
		}
		// The condition of this write is what lets one of two rotations win.
		err = tx.ReplaceKey(old, key.ID, ends, now)
		if errors.Is(err, store.ErrStale) {
			return kinora.Errorf(kinora.ErrConflict, "this key has ended, or has been rotated already")
		}
		if err != nil {
			return err
		}
		if err := tx.InsertKey(key, hashOf(text)); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditKeyRotate, organisationID, keyID, map[string]any{"replaced_by": key.ID, "name": key.Name, "ends_at": ends})
	})
	if err != nil {
		return nil, "", err
	}
	return key, text, nil
}

// successor makes up the key that comes after one.
func successor(old *kinora.Key, now time.Time) (key *kinora.Key, text string) {
	kind := KeySK
	if strings.HasPrefix(old.Start, katPrefix) {
		kind = KeyKatLive
	}
	text = newKeyText(kind)
	key = &kinora.Key{ID: id.New(id.Key, now), OrganisationID: old.OrganisationID, Name: old.Name, Start: startOf(text), CreatedAt: now}
	if !old.ExpiresAt.IsZero() {
		key.ExpiresAt = now.Add(old.ExpiresAt.Sub(old.CreatedAt))
	}
	return key, text
}

// Keys lists an organisation's keys, those that have ended too, oldest first. Errors: ErrNotFound.
func (s *Service) Keys(ctx context.Context, organisationID string) ([]*kinora.Key, error) {
	var list []*kinora.Key
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if _, err := tx.Organisation(organisationID); err != nil {
			return absent(err, noOrganisation)
		}
		list, err = tx.Keys(organisationID)
		return err
	})
	return list, err
}

// RevokeKey ends a key. When it returns, the key no longer works on this node; other nodes
// follow within DefaultCacheFor. Revoking twice changes nothing. Errors: ErrNotFound, also
// for another organisation's key.
func (s *Service) RevokeKey(ctx context.Context, organisationID, keyID string) error {
	return s.change(ctx, func(tx *store.Tx) error {
		revoked, err := tx.RevokeKey(organisationID, keyID, s.instant())
		if err != nil || !revoked {
			return absent(err, noKey)
		}
		return tx.Audit(kinora.AuditKeyRevoke, organisationID, keyID, nil)
	})
}

func randomBase62(n int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := make([]byte, 0, n)
	random := make([]byte, n)
	for len(text) < n {
		rand.Read(random) // never fails
		for _, b := range random {
			// Six bits; the two values beyond the alphabet are drawn again, so that all
			// characters are equally likely.
			if b &= 63; int(b) < len(alphabet) && len(text) < n {
				text = append(text, alphabet[b])
			}
		}
	}
	return string(text)
}

func randomBase64URL(n int) string {
	random := make([]byte, n)
	rand.Read(random) // never fails
	return base64.RawURLEncoding.EncodeToString(random)
}
