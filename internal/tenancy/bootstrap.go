package tenancy

import (
	"context"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// bootstrapLock is the PostgreSQL advisory lock that keeps nodes which start together from
// each making a default organisation.
const bootstrapLock = 5281907735

// Bootstrapped is what Bootstrap made. Its two texts are shown once and cannot be recovered.
type Bootstrapped struct {
	Organisation *kinora.Organisation
	Key          *kinora.Key
	KeyText      string
	Secret       *kinora.WebhookSecret
}

// Bootstrap makes an organisation "default" with a key and a webhook secret when the
// database has no organisation at all; otherwise it returns nil. Of several nodes that
// start on one database, one makes it.
func (s *Service) Bootstrap(ctx context.Context) (*Bootstrapped, error) {
	now := s.instant()
	b := &Bootstrapped{
		Organisation: &kinora.Organisation{ID: id.New(id.Organisation, now), Name: "default", WebhookHosts: []string{}, CreatedAt: now},
		KeyText:      skPrefix + randomBase62(skLength),
	}
	b.Key = &kinora.Key{ID: id.New(id.Key, now), OrganisationID: b.Organisation.ID, Name: "default", Start: startOf(b.KeyText), CreatedAt: now}
	secret, sealed, err := s.newSecret(b.Organisation.ID, randomSecret(), now)
	if err != nil {
		return nil, err
	}
	b.Secret = secret
	made := false
	err = s.change(ctx, func(tx *store.Tx) error {
		made = false
		if s.db.Shared() {
			if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(?)`, bootstrapLock); err != nil {
				return err
			}
		}
		existing, err := tx.Organisations()
		if err != nil || len(existing) > 0 {
			return err
		}
		if err := tx.InsertOrganisation(b.Organisation); err != nil {
			return err
		}
		if err := tx.InsertKey(b.Key, hashOf(b.KeyText)); err != nil {
			return err
		}
		made = true
		return tx.InsertWebhookSecret(b.Organisation.ID, sealed, now)
	})
	if err != nil || !made {
		return nil, err
	}
	return b, nil
}
