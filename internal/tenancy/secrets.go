package tenancy

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

const (
	// DefaultOverlap is how long the secret before a rotation signs beside the new one
	// (generations API contract, 10.3).
	DefaultOverlap = 24 * time.Hour
	// MaxOverlap bounds it: an old secret that signs for ever is no rotation.
	MaxOverlap = 30 * 24 * time.Hour

	secretPrefix = "whsec_"

	minSecret = 16 // characters of an imported secret
	maxSecret = 512
)

// RotateWebhookSecret gives an organisation a new signing secret. The one before it signs
// beside it for overlap, 0 to MaxOverlap; those of earlier rotations keep their ends. 0 ends all
// of them at once, for a secret that others may know. The text is returned this once.
// This node signs with it when the method returns, other nodes within DefaultCacheFor.
// Errors: ErrInvalid, ErrNotFound.
func (s *Service) RotateWebhookSecret(ctx context.Context, organisationID string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	return s.replaceSecret(ctx, kinora.AuditSecretRotate, organisationID, randomSecret(), overlap)
}

// ImportWebhookSecret is RotateWebhookSecret with a secret that exists already: 16 to 512
// visible ASCII characters. One that is not "whsec_" and base64 signs x-katalo-signature only.
func (s *Service) ImportWebhookSecret(ctx context.Context, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	ok := len(text) >= minSecret && len(text) <= maxSecret
	for i := range len(text) {
		ok = ok && text[i] > ' ' && text[i] <= '~'
	}
	if !ok {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "secret", "secret must be %d to %d visible ASCII characters", minSecret, maxSecret)
	}
	return s.replaceSecret(ctx, kinora.AuditSecretImport, organisationID, text, overlap)
}

func (s *Service) replaceSecret(ctx context.Context, action kinora.AuditAction, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return nil, kinora.FieldErrorf(kinora.ErrInvalid, "overlap", "overlap must be between 0 and %d days", MaxOverlap/(24*time.Hour))
	}
	now := s.instant()
	secret, sealed, err := s.newSecret(organisationID, text, now)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(tx *store.Tx) error {
		// Two rotations at once must not both find the old secret current.
		if _, err := lock(tx, organisationID); err != nil {
			return err
		}
		if err := tx.InsertWebhookSecret(organisationID, sealed, now.Add(overlap)); err != nil {
			return err
		}
		return tx.Audit(action, organisationID, secret.ID, map[string]any{"overlap": overlap.String()})
	})
	if err != nil {
		return nil, err
	}
	return secret, nil
}

// WebhookSecrets returns the secrets that sign an organisation's deliveries now, the current
// one first and then those that a rotation left in force, newest first. It is kept in memory
// for up to DefaultCacheFor, as every delivery asks for it.
func (s *Service) WebhookSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error) {
	all, err := s.secrets.get(ctx, organisationID, func(ctx context.Context) ([]kinora.WebhookSecret, error) {
		return s.readSecrets(ctx, organisationID)
	})
	if err != nil {
		return nil, err
	}
	now := s.now()
	live := make([]kinora.WebhookSecret, 0, len(all))
	for _, secret := range all {
		if secret.ExpiresAt.IsZero() || now.Before(secret.ExpiresAt) {
			live = append(live, secret)
		}
	}
	return live, nil
}

func (s *Service) readSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error) {
	var sealed []store.SealedSecret
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if _, err := tx.Organisation(organisationID); err != nil {
			return absent(err, noOrganisation)
		}
		sealed, err = tx.WebhookSecrets(organisationID, s.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	list := make([]kinora.WebhookSecret, len(sealed))
	for i, x := range sealed {
		text, err := s.open(organisationID, x)
		if err != nil {
			return nil, err
		}
		list[i] = kinora.WebhookSecret{ID: x.ID, Text: string(text), CreatedAt: x.CreatedAt, ExpiresAt: x.ExpiresAt}
	}
	return list, nil
}

func (s *Service) newSecret(organisationID, text string, now time.Time) (*kinora.WebhookSecret, store.SealedSecret, error) {
	secretID := id.New(id.Secret, now)
	sealed, err := s.ring.Seal([]byte(text), sealContext(organisationID, secretID))
	if err != nil {
		return nil, store.SealedSecret{}, err
	}
	return &kinora.WebhookSecret{ID: secretID, Text: text, CreatedAt: now},
		store.SealedSecret{ID: secretID, Sealed: sealed, CreatedAt: now}, nil
}

func (s *Service) open(organisationID string, x store.SealedSecret) ([]byte, error) {
	text, err := s.ring.Open(x.Sealed, sealContext(organisationID, x.ID))
	if err != nil {
		return nil, unreadable("webhook secret "+x.ID, err)
	}
	return text, nil
}

// sealContext ties a sealed secret to its row.
func sealContext(organisationID, secretID string) string {
	return "webhook_secret/" + organisationID + "/" + secretID
}

// randomSecret follows the Standard Webhooks specification: a prefix and base64 of 32 random bytes.
func randomSecret() string {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(random)
}
