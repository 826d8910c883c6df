package people

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// touchEvery is how exactly the last use of a session is kept.
const touchEvery = time.Minute

func errNoSession() error { return kinora.Errorf(kinora.ErrUnauthorized, "you are not signed in") }

// Session tells whose a session's token is. Each use moves the session's end on. Errors: ErrUnauthorized for a session that is
// unknown or over, and for a person who is disabled.
func (s *Service) Session(ctx context.Context, session string) (*kinora.SignedIn, error) {
	in, err := s.PeekSession(ctx, session)
	if err != nil {
		return nil, err
	}
	s.touch(ctx, &in.Session, s.instant())
	return in, nil
}

// PeekSession is Session without being a use: the session's end stays where it is. It is for what a browser does by itself.
func (s *Service) PeekSession(ctx context.Context, session string) (*kinora.SignedIn, error) {
	if !strings.HasPrefix(session, sessionPrefix) {
		return nil, errNoSession()
	}
	var (
		in  = kinora.SignedIn{FormToken: formToken(session), Memberships: []kinora.Membership{}}
		now = s.instant()
	)
	err := s.db.View(ctx, func(tx *store.Tx) error {
		found, err := tx.SessionByHash(hashOf(session))
		if err != nil {
			return err
		}
		p, err := tx.Person(found.PersonID)
		if err != nil {
			return err
		}
		if p.Disabled || !now.Before(found.ExpiresAt) {
			return store.ErrNotFound
		}
		belongs, err := tx.Memberships(p.ID)
		for _, m := range belongs {
			switch {
			case !m.Pending:
				in.Memberships = append(in.Memberships, m)
			case p.Proven:
				in.Invitations = append(in.Invitations, m)
			}
		}
		in.Session, in.Person, in.LastOrganisation = *found, p.Person, p.LastOrganisation
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSession()
	}
	if err != nil {
		return nil, err
	}
	return &in, nil
}

// touch moves a session's end on. That it cannot be written now is no reason to turn the person away: on a full disk the
// dashboard is where one looks first.
func (s *Service) touch(ctx context.Context, session *kinora.Session, now time.Time) {
	if now.Sub(session.LastSeenAt) < touchEvery {
		return
	}
	expires := now.Add(s.idle)
	if last := session.CreatedAt.Add(s.longest); last.Before(expires) {
		expires = last
	}
	err := s.db.Update(ctx, func(tx *store.Tx) error { return tx.TouchSession(session.ID, now, expires) })
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("a session's use could not be noted", "session", session.ID, "error", err)
		}
		return
	}
	session.LastSeenAt, session.ExpiresAt = now, expires
}

// SignOut ends a session by its token. Ending one that is over changes nothing.
func (s *Service) SignOut(ctx context.Context, session string) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		found, err := tx.SessionByHash(hashOf(session))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := tx.Person(found.PersonID)
		if err != nil {
			return err
		}
		err = endSession(tx, actorOr(ctx, himself(p, "")), p.ID, found.ID)
		if kinora.CodeOf(err) == kinora.ErrNotFound { // ended meanwhile
			return nil
		}
		return err
	})
}

// Sessions lists where a person is signed in, the session used last first.
func (s *Service) Sessions(ctx context.Context, personID string) (list []kinora.Session, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Sessions(personID, s.instant())
		return err
	})
	return list, err
}

// EndSession ends one session of a person by its id. Errors: ErrNotFound, also for another person's.
func (s *Service) EndSession(ctx context.Context, personID, sessionID string) error {
	return s.change(ctx, personID, func(tx *store.Tx, p *store.Person) error {
		return endSession(tx, actorOr(ctx, himself(p, "")), p.ID, sessionID)
	})
}

func endSession(tx *store.Tx, actor kinora.Actor, personID, sessionID string) error {
	if err := tx.DeleteSession(personID, sessionID); err != nil {
		return absent(err, noSession)
	}
	return tx.AuditBy(actor, kinora.AuditSessionEnd, "", sessionID, map[string]any{"person": personID})
}

// EndOtherSessions ends all sessions of a person but the one of the id keep. Errors: ErrNotFound for the person.
func (s *Service) EndOtherSessions(ctx context.Context, personID, keep string) error {
	return s.change(ctx, personID, func(tx *store.Tx, p *store.Person) error {
		n, err := tx.DeleteSessions(p.ID, keep)
		if err != nil || n == 0 {
			return err
		}
		return tx.AuditBy(actorOr(ctx, himself(p, "")), kinora.AuditSessionEndOther, "", p.ID, map[string]any{"sessions": n})
	})
}
