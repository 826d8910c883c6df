package people

import (
	"context"
	"errors"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// errRefused has one text for persons that are unknown, disabled and without a password, and for a wrong one: which of them it
// is helps only those who guess.
func errRefused() error {
	return kinora.Errorf(kinora.ErrUnauthorized, "the e-mail address or the password is wrong")
}

// SignIn begins a session for whoever knows a person's password, and returns the session's token. Before a password is refused the
// same work has been done whether or not the person is there: one hashing, and one commit before and after it. Errors:
// ErrUnauthorized; ErrRateLimited with RetryAfter, see limits.go.
func (s *Service) SignIn(ctx context.Context, email, password string, v kinora.Visitor) (session string, err error) {
	defer func() { s.metrics.tried(byPassword, err) }()
	v = storable(v)
	normal, err := normalEmail(email)
	if err != nil {
		normal = "" // nobody's
	}
	tries := triesOf(normal, v.Address)
	if normal == "" {
		tries = triesOf(hashOf(email), v.Address)
	}
	if err := s.admit(ctx, tries); err != nil {
		return "", err
	}
	p, err := s.byEmail(ctx, normal)
	if err != nil {
		return "", err
	}
	right, err := s.hasher.matches(ctx, password, p.Password)
	if err != nil {
		return "", err
	}
	if !right || p.Disabled {
		return "", s.refuse(ctx, p, right, tries, v)
	}
	token, hash := newToken(sessionPrefix)
	read := p.Password
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := tx.LockPerson(p.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		// Between the look and now it may have been disabled, or given another password.
		if err != nil || p.Disabled || p.Password != read {
			return errRefused()
		}
		if err := tries.forgive(tx); err != nil {
			return err
		}
		return s.begin(tx, p, hash, v, "password")
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// byEmail finds a person; nobody is a person without a password.
func (s *Service) byEmail(ctx context.Context, email string) (p *store.Person, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		p, err = tx.PersonByEmail(email)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return &store.Person{}, nil
	}
	return p, err
}

// refuse notes a sign-in that failed, and returns the error for whoever tried. The audit log is told of persons alone: whoever tries
// addresses at random would fill it. What is tried at nobody's is counted instead, for as long as it matters, so that the answer waits
// for a commit as well: without one it would come sooner, and tell that nobody is there.
func (s *Service) refuse(ctx context.Context, p *store.Person, right bool, t tries, v kinora.Visitor) error {
	reason := "wrong password"
	switch {
	case p.Disabled:
		reason = "the person is disabled"
	case p.Password == "":
		reason = "the person has no password"
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		if p.ID == "" {
			_, _, err := tx.CountTry(t.nobody, s.instant(), s.instant().Add(triesSpan))
			return err
		}
		// Who tried is not known: it is the server that refused.
		return tx.AuditBy(kinora.Actor{Kind: kinora.ActorSystem, Address: v.Address}, kinora.AuditSessionRefuse, "", p.ID,
			map[string]any{"email": p.Email, "reason": reason, "password_was_right": right})
	})
	if err != nil {
		return err
	}
	return errRefused()
}

// begin writes a session of a person whom the caller has locked and found good, and ends the one used longest ago where they have too many.
// how is by what they proved who they are.
func (s *Service) begin(tx *store.Tx, p *store.Person, hash string, v kinora.Visitor, how string) error {
	now := s.instant()
	session := &kinora.Session{ID: id.New(id.Session, now), PersonID: p.ID, Address: v.Address, UserAgent: v.UserAgent,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(min(s.idle, s.longest))}
	if err := tx.InsertSession(session, hash); err != nil {
		return err
	}
	if err := tx.RememberVisitor(triesOf(p.Email, v.Address).known, now.Add(knownLife)); err != nil {
		return err
	}
	p.LastSignInAt = now
	if err := tx.SavePerson(p); err != nil {
		return err
	}
	ended, err := tx.DeleteOldestSessions(p.ID, session.ID, kinora.MaxSessions, now)
	if err != nil {
		return err
	}
	for _, one := range ended {
		err := tx.AuditBy(kinora.Actor{Kind: kinora.ActorSystem}, kinora.AuditSessionEnd, "", one,
			map[string]any{"person": p.ID, "reason": "too many sessions", "new": session.ID})
		if err != nil {
			return err
		}
	}
	return tx.AuditBy(himself(p, v.Address), kinora.AuditSessionBegin, "", session.ID, map[string]any{"by": how, "user_agent": v.UserAgent})
}
