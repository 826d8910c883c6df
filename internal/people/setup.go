package people

import (
	"context"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// setUpLock is the PostgreSQL advisory lock under which set-up links are made and taken up: an instance has one first person.
const setUpLock = 5281907736

// SetupLink makes the token of a link by which the first person comes in, for a day; it takes the place of every earlier one.
// Where somebody is in already it is "".
func (s *Service) SetupLink(ctx context.Context) (token string, err error) {
	token, hash := newToken(setUpPrefix)
	now := s.instant()
	needed := false
	err = s.settingUp(ctx, func(tx *store.Tx) error {
		any, err := tx.AnyPerson()
		if needed = !any; err != nil || any {
			return err
		}
		return tx.InsertEntryLink(store.EntryLink{CreatedAt: now, ExpiresAt: now.Add(setUpLife)}, hash)
	})
	if err != nil || !needed {
		return "", err
	}
	return token, nil
}

// Setup makes the first person, an operator and owner of every organisation that there is, and signs them in. The token is spent
// with it. Errors: ErrNotFound for a token that is wrong, spent, replaced or too old; ErrInvalid.
func (s *Service) Setup(ctx context.Context, token string, p kinora.NewPerson, v kinora.Visitor) (session string, err error) {
	defer func() { s.metrics.tried(byLink, err) }()
	v = storable(v)
	link := hashOf(token)
	if err := s.checkSetUp(ctx, link); err != nil {
		return "", err
	}
	email, err := normalEmail(p.Email)
	if err != nil {
		return "", err
	}
	first, err := s.credentials(ctx, email, p)
	if err != nil {
		return "", err
	}
	first.ID, first.Email, first.CreatedAt = id.New(id.Person, s.instant()), email, s.instant()
	first.Operator, first.Proven = true, true
	session, hash := newToken(sessionPrefix)
	err = s.settingUp(ctx, func(tx *store.Tx) error {
		if err := s.firstPerson(tx, first, link); err != nil {
			return err
		}
		if err := tx.AuditBy(himself(first, v.Address), kinora.AuditPersonSetUp, "", first.ID, map[string]any{"email": first.Email}); err != nil {
			return err
		}
		return s.begin(tx, first, hash, v, "set-up link")
	})
	if err != nil {
		return "", err
	}
	return session, nil
}

// checkSetUp refuses a wrong token before a password is hashed for it.
func (s *Service) checkSetUp(ctx context.Context, link string) error {
	return s.db.View(ctx, func(tx *store.Tx) error {
		l, err := tx.EntryLink(link, s.instant())
		if err == nil && l.PersonID != "" {
			err = store.ErrNotFound
		}
		return absent(err, noLink)
	})
}

func (s *Service) firstPerson(tx *store.Tx, first *store.Person, link string) error {
	if err := tx.SpendEntryLink(link, s.instant()); err != nil {
		return absent(err, noLink)
	}
	if any, err := tx.AnyPerson(); err != nil || any {
		if err == nil {
			err = kinora.Errorf(kinora.ErrNotFound, noLink)
		}
		return err
	}
	if err := tx.InsertPerson(first); err != nil {
		return err
	}
	organisations, err := tx.Organisations()
	if err != nil {
		return err
	}
	for _, o := range organisations {
		err := tx.InsertMembership(&kinora.Membership{OrganisationID: o.ID, PersonID: first.ID, Role: kinora.RoleOwner, CreatedAt: first.CreatedAt})
		if err != nil {
			return err
		}
	}
	return nil
}

// settingUp runs fn while nobody else sets the instance up.
func (s *Service) settingUp(ctx context.Context, fn func(tx *store.Tx) error) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		if s.db.Shared() {
			if _, err := tx.Exec(`SELECT pg_advisory_xact_lock(?)`, setUpLock); err != nil {
				return err
			}
		}
		return fn(tx)
	})
}

// credentials checks name and password of somebody with an e-mail address and hashes the password.
func (s *Service) credentials(ctx context.Context, email string, given kinora.NewPerson) (*store.Person, error) {
	name, err := checkName(given.Name)
	if err != nil {
		return nil, err
	}
	if err := checkPassword("password", given.Password, email); err != nil {
		return nil, err
	}
	p := &store.Person{}
	p.Name = name
	p.Password, err = s.hasher.hash(ctx, given.Password)
	return p, err
}
