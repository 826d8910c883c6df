package tenancy

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

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

// CreateKey makes a key for an organisation. text is the key itself: it is returned this
// once and cannot be recovered. Errors: ErrInvalid, ErrNotFound.
func (s *Service) CreateKey(ctx context.Context, organisationID, name string, kind KeyKind) (key *kinora.Key, text string, err error) {
	switch kind {
	case KeySK:
		text = skPrefix + randomBase62(skLength)
	case KeyKatLive:
		text = katPrefix + randomBase64URL(12) + "." + randomBase64URL(32)
	default:
		return nil, "", kinora.Errorf(kinora.ErrInvalid, "kind must be %q or %q", KeySK, KeyKatLive)
	}
	key, err = s.insertKey(ctx, organisationID, name, text)
	if err != nil {
		return nil, "", err
	}
	return key, text, nil
}

// ImportKey makes a key of a text that already exists, so that clients of another service
// keep theirs: any "kat_live_<id>.<secret>", or "sk-" with at least 20 characters behind it.
// Errors: ErrInvalid, ErrNotFound, ErrConflict when the key is known already, be it revoked
// or another organisation's.
func (s *Service) ImportKey(ctx context.Context, organisationID, name, text string) (*kinora.Key, error) {
	switch kind := kindOf(text); {
	case kind == "":
		return nil, kinora.Errorf(kinora.ErrInvalid, "the key must be kat_live_<id>.<secret> or sk-<text>, without spaces")
	case kind == KeySK && len(text) < minImported:
		return nil, kinora.Errorf(kinora.ErrInvalid, "an imported sk- key needs at least 20 characters behind its prefix")
	}
	return s.insertKey(ctx, organisationID, name, text)
}

func (s *Service) insertKey(ctx context.Context, organisationID, name, text string) (*kinora.Key, error) {
	name, err := checkName(name)
	if err != nil {
		return nil, err
	}
	now := s.instant()
	key := &kinora.Key{ID: id.New(id.Key, now), OrganisationID: organisationID, Name: name, Start: startOf(text), CreatedAt: now}
	hash := hashOf(text)
	err = s.change(ctx, func(tx *store.Tx) error {
		if _, err := tx.Organisation(organisationID); err != nil {
			return absent(err, noOrganisation)
		}
		if err := unknown(tx, hash); err != nil {
			return err
		}
		return tx.InsertKey(key, hash)
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

// Keys lists an organisation's keys, revoked ones too, oldest first. Errors: ErrNotFound.
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
		return absent(tx.RevokeKey(organisationID, keyID, s.instant()), "key not found")
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
