package people

import (
	"context"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// normalEmail brings an e-mail address into the form in which it is stored and compared. Two spellings that differ in case
// are one person, as with every mail provider there is.
func normalEmail(text string) (string, error) {
	if strings.ContainsFunc(text, posesAsASCII) {
		return "", wrong("email", "email must be an address such as ada@example.com")
	}
	email := strings.ToLower(strings.TrimSpace(text))
	parsed, err := mail.ParseAddress(email)
	switch {
	case email == "":
		return "", wrong("email", "email is required")
	case len(email) > kinora.MaxEmail:
		return "", wrong("email", "email is too long")
	case err != nil || parsed.Name != "" || parsed.Address != email || strings.ContainsFunc(email, notInEmail):
		return "", wrong("email", "email must be an address such as ada@example.com")
	}
	return email, nil
}

// posesAsASCII tells whether a letter is none of ASCII and its lower case is, as with the sign for kelvin: the addresses with either are
// two mailboxes, and whoever has one must not be taken for whoever has the other.
func posesAsASCII(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }

func notInEmail(r rune) bool {
	return r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`"\<>(),:;`, r)
}

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }):
		return "", wrong("name", "name must be text without control characters")
	case utf8.RuneCountInString(name) > maxName:
		return "", wrong("name", "name is longer than 100 characters")
	}
	return name, nil
}

// Persons lists everybody, by e-mail address.
func (s *Service) Persons(ctx context.Context) ([]kinora.Person, error) {
	list := []kinora.Person{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Persons()
		for _, p := range all {
			list = append(list, p.Person)
		}
		return err
	})
	return list, err
}

// Person reads one person and where they belong, pending memberships too. Errors: ErrNotFound.
func (s *Service) Person(ctx context.Context, personID string) (*kinora.Person, []kinora.Membership, error) {
	var (
		person  *kinora.Person
		belongs []kinora.Membership
	)
	err := s.db.View(ctx, func(tx *store.Tx) error {
		p, err := tx.Person(personID)
		if err != nil {
			return absent(err, noPerson)
		}
		person = &p.Person
		belongs, err = tx.Memberships(personID)
		return err
	})
	return person, belongs, err
}

// Rename sets the name that is shown; "" = the e-mail address is. Errors: ErrInvalid, ErrNotFound.
func (s *Service) Rename(ctx context.Context, personID, name string) error {
	name, err := checkName(name)
	if err != nil {
		return err
	}
	return s.change(ctx, personID, func(tx *store.Tx, p *store.Person) error {
		if p.Name == name {
			return nil
		}
		detail := map[string]any{"name": name, "old_name": p.Name}
		p.Name = name
		if err := tx.SavePerson(p); err != nil {
			return err
		}
		return tx.AuditBy(actorOr(ctx, himself(p, "")), kinora.AuditPersonRename, "", p.ID, detail)
	})
}

// change runs fn with a person that nobody else changes meanwhile.
func (s *Service) change(ctx context.Context, personID string, fn func(tx *store.Tx, p *store.Person) error) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := tx.LockPerson(personID)
		if err != nil {
			return absent(err, noPerson)
		}
		return fn(tx, p)
	})
}

// SetOperator makes a person an operator of the instance, or no longer one. Errors: ErrNotFound; ErrConflict for the last
// operator who can sign in, and for somebody of whom it is not certain yet that they are who their address says: an account that an
// organisation's owner has had made could be anybody's.
func (s *Service) SetOperator(ctx context.Context, personID string, operator bool) error {
	return s.changeOperators(ctx, personID, func(tx *store.Tx, p *store.Person, last bool) error {
		if p.Operator == operator {
			return nil
		}
		if last {
			return lastOperator()
		}
		if operator && !p.Proven {
			return kinora.Errorf(kinora.ErrConflict, "%s has not followed an operator's invitation yet; make them an operator afterwards", p.Email)
		}
		p.Operator = operator
		if err := tx.SavePerson(p); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditPersonOperator, "", p.ID, map[string]any{"email": p.Email, "operator": operator})
	})
}

func lastOperator() error {
	return &kinora.Error{Code: kinora.ErrConflict, Message: "this is the last operator who can sign in",
		Hint: "make somebody else an operator first"}
}

// changeOperators is change for what may take an operator away; see amongOperators.
func (s *Service) changeOperators(ctx context.Context, personID string, fn func(tx *store.Tx, p *store.Person, last bool) error) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		p, last, err := s.amongOperators(tx, personID)
		if err != nil {
			return err
		}
		return fn(tx, p, last)
	})
}

// amongOperators locks a person and all operators, these first and by everybody in the same order. last tells whether the person is the
// only operator who can sign in.
func (s *Service) amongOperators(tx *store.Tx, personID string) (p *store.Person, last bool, err error) {
	operators, err := tx.LockOperators()
	if err != nil {
		return nil, false, err
	}
	if p, err = tx.LockPerson(personID); err != nil {
		return nil, false, absent(err, noPerson)
	}
	others := 0
	for _, o := range operators {
		if o.ID != personID && o.CanSignIn(s.provider.Issuer) {
			others++
		}
	}
	return p, p.Operator && p.CanSignIn(s.provider.Issuer) && others == 0, nil
}

// ResetPassword makes a one-time link by which a person sets a new password, for whoever has lost theirs. Until then the old
// one stands; to keep somebody out, disable them. The token is returned this once. Errors: ErrNotFound.
func (s *Service) ResetPassword(ctx context.Context, personID string) (token string, err error) {
	token, hash := newToken(linkPrefix)
	now := s.instant()
	err = s.change(ctx, personID, func(tx *store.Tx, p *store.Person) error {
		if err := tx.InsertEntryLink(store.EntryLink{PersonID: p.ID, Proves: true, CreatedAt: now, ExpiresAt: now.Add(linkLife)}, hash); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditPersonReset, "", p.ID, map[string]any{"email": p.Email})
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// ChangePassword sets a new password in place of the old one, and ends all sessions but the one of the id keep; "" = ends all.
// Links for a new password end with it. Errors: ErrInvalid, naming current or password; ErrConflict where the
// person has no password; ErrRateLimited after too many wrong ones; ErrNotFound.
func (s *Service) ChangePassword(ctx context.Context, personID, old, fresh, keep string) error {
	p, err := s.read(ctx, personID)
	if err != nil {
		return err
	}
	if p.Password == "" {
		return &kinora.Error{Code: kinora.ErrConflict, Message: "there is no password to change: this person signs in by the identity provider",
			Hint: "an operator can make a link for a first password"}
	}
	if err := checkPassword("password", fresh, p.Email); err != nil {
		return err
	}
	actor := actorOr(ctx, himself(p, ""))
	tries := triesOf(p.Email, actor.Address)
	if err := s.admit(ctx, tries); err != nil {
		return err
	}
	right, err := s.hasher.matches(ctx, old, p.Password)
	if err != nil {
		return err
	}
	if !right {
		return wrong("current", "the current password is not right")
	}
	hash, err := s.hasher.hash(ctx, fresh)
	if err != nil {
		return err
	}
	read := p.Password
	return s.change(ctx, personID, func(tx *store.Tx, p *store.Person) error {
		if p.Password != read {
			return kinora.Errorf(kinora.ErrConflict, "the password was changed meanwhile")
		}
		p.Password = hash
		if err := tx.SavePerson(p); err != nil {
			return err
		}
		if err := tx.DeleteEntryLinks(p.ID, ""); err != nil {
			return err
		}
		if _, err := tx.DeleteSessions(p.ID, keep); err != nil {
			return err
		}
		if err := tries.forgive(tx); err != nil {
			return err
		}
		return tx.AuditBy(actor, kinora.AuditPersonPassword, "", p.ID, map[string]any{"email": p.Email})
	})
}

func (s *Service) read(ctx context.Context, personID string) (p *store.Person, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		p, err = tx.Person(personID)
		return absent(err, noPerson)
	})
	return p, err
}
