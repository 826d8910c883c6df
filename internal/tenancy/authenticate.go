package tenancy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// caller is whom a key belongs to.
type caller struct {
	key *kinora.Key
	org *kinora.Organisation
}

// errUnauthorized has one text for keys that are missing, malformed, unknown, expired and revoked:
// which of them it is helps only those who guess keys.
func errUnauthorized() error {
	return kinora.Errorf(kinora.ErrUnauthorized, "the API key is missing, not known, expired or revoked")
}

// Authenticate finds the live key whose text is text, and its organisation. Both are the
// caller's own copies.
//
// A key is looked up by its SHA-256, so that how long an answer takes tells nothing about
// how much of a guess was right. Errors: ErrUnauthorized; ErrForbidden when the organisation
// is disabled; ErrUnavailable.
func (s *Service) Authenticate(ctx context.Context, text string) (*kinora.Key, *kinora.Organisation, error) {
	if kindOf(text) == "" {
		return nil, nil, errUnauthorized()
	}
	hash := hashOf(text)
	c, err := s.callers.get(ctx, hash, func(ctx context.Context) (caller, error) { return s.readCaller(ctx, hash) })
	if err != nil {
		return nil, nil, err
	}
	if !c.key.Live(s.now()) { // it may have expired while it was kept here
		return nil, nil, errUnauthorized()
	}
	if c.org.Disabled {
		return nil, nil, kinora.Errorf(kinora.ErrForbidden, "API access of this organisation is switched off")
	}
	s.used.note(c.key.ID, s.instant())
	key := *c.key
	return &key, copyOf(c.org), nil
}

func (s *Service) readCaller(ctx context.Context, hash string) (c caller, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if c.key, err = tx.KeyByHash(hash); err != nil {
			return err
		}
		c.org, err = tx.Organisation(c.key.OrganisationID)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return caller{}, errUnauthorized()
	case err != nil:
		return caller{}, err
	case !c.key.Live(s.now()):
		return caller{}, errUnauthorized()
	}
	return c, nil
}

// hashOf is the form in which keys are stored. Keys made here hold more than 250 random bits,
// so that nothing slower is needed.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func copyOf(org *kinora.Organisation) *kinora.Organisation {
	o := *org
	o.WebhookHosts = slices.Clone(org.WebhookHosts)
	o.Allowance.Limits = maps.Clone(org.Allowance.Limits)
	return &o
}
