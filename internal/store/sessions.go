package store

import (
	"errors"
	"time"

	"github.com/kinora/kinora"
)

// InsertSession writes a new session under the hash of its token.
func (tx *Tx) InsertSession(s *kinora.Session, hash string) error {
	_, err := tx.Exec(`INSERT INTO sessions (id, person_id, hash, address, user_agent, created_at, last_seen_at, expires_at) VALUES (?,?,?,?,?,?,?,?)`,
		s.ID, s.PersonID, hash, s.Address, s.UserAgent, Micros(s.CreatedAt), Micros(s.LastSeenAt), Micros(s.ExpiresAt))
	return err
}

const sessionColumns = `id, person_id, address, user_agent, created_at, last_seen_at, expires_at`

// SessionByHash finds a session by the hash of its token, an expired one too, or ErrNotFound.
func (tx *Tx) SessionByHash(hash string) (*kinora.Session, error) {
	s, err := scanSession(tx.QueryRow(`SELECT `+sessionColumns+` FROM sessions WHERE hash = ?`, hash))
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// Sessions lists a person's sessions that have not ended at an instant, the one used last first.
func (tx *Tx) Sessions(person string, now time.Time) ([]kinora.Session, error) {
	list := []kinora.Session{}
	err := tx.Query(`SELECT `+sessionColumns+` FROM sessions WHERE person_id = ? AND expires_at > ? ORDER BY last_seen_at DESC, id DESC`,
		[]any{person, Micros(now)}, func(row Row) error {
			s, err := scanSession(row)
			list = append(list, s)
			return err
		})
	return list, err
}

func scanSession(row Row) (s kinora.Session, err error) {
	var created, seen, expires int64
	err = row.Scan(&s.ID, &s.PersonID, &s.Address, &s.UserAgent, &created, &seen, &expires)
	s.CreatedAt, s.LastSeenAt, s.ExpiresAt = Time(created), Time(seen), Time(expires)
	return s, err
}

// TouchSession notes a use of a session and its new end. A session that has ended, or was used later, stays as it is.
func (tx *Tx) TouchSession(id string, seen, expires time.Time) error {
	_, err := tx.Exec(`UPDATE sessions SET last_seen_at = ?, expires_at = ? WHERE id = ? AND last_seen_at < ? AND expires_at > ?`,
		Micros(seen), Micros(expires), id, Micros(seen), Micros(seen))
	return err
}

// DeleteSession ends one session of a person, or ErrNotFound.
func (tx *Tx) DeleteSession(person, id string) error {
	return tx.one(`DELETE FROM sessions WHERE person_id = ? AND id = ?`, person, id)
}

// DeleteSessions ends all sessions of a person but one, "" = none is kept, and returns how many.
func (tx *Tx) DeleteSessions(person, keep string) (int64, error) {
	return tx.Exec(`DELETE FROM sessions WHERE person_id = ? AND id <> ?`, person, keep)
}

// DeleteOldestSessions ends a person's sessions but those used last, and the one of the id keep: most are left in all. It returns the ids of
// those that had not ended at an instant by themselves.
func (tx *Tx) DeleteOldestSessions(person, keep string, most int, now time.Time) (ended []string, err error) {
	all, err := tx.Sessions(person, now)
	if err != nil {
		return nil, err
	}
	left := most - 1
	for _, s := range all {
		if s.ID == keep {
			continue
		}
		if left--; left >= 0 {
			continue
		}
		if err := tx.DeleteSession(person, s.ID); errors.Is(err, ErrNotFound) {
			continue // signed out meanwhile
		} else if err != nil {
			return nil, err
		}
		ended = append(ended, s.ID)
	}
	return ended, nil
}

// EntryLink is a one-time link, by which somebody sets a name and a password.
type EntryLink struct {
	PersonID       string // empty = the set-up link of a new instance
	OrganisationID string // where the person is invited to; empty = a link for a new password
	Proves         bool   // an operator gave it out: whoever follows it owns the e-mail address
	CreatedAt      time.Time
	ExpiresAt      time.Time
}

// InsertEntryLink writes a link under the hash of its token. It takes the place of earlier links of the same person to the
// same place.
func (tx *Tx) InsertEntryLink(l EntryLink, hash string) error {
	if _, err := tx.Exec(`DELETE FROM entry_links WHERE person_id = ? AND organisation_id = ?`, l.PersonID, l.OrganisationID); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO entry_links (hash, person_id, organisation_id, proves, created_at, expires_at) VALUES (?,?,?,?,?,?)`,
		hash, l.PersonID, l.OrganisationID, bit(l.Proves), Micros(l.CreatedAt), Micros(l.ExpiresAt))
	return err
}

// EntryLink reads a link that has not ended at an instant, or ErrNotFound.
func (tx *Tx) EntryLink(hash string, now time.Time) (EntryLink, error) {
	var (
		l                        EntryLink
		proves, created, expires int64
	)
	err := tx.QueryRow(`SELECT person_id, organisation_id, proves, created_at, expires_at FROM entry_links WHERE hash = ? AND expires_at > ?`, hash, Micros(now)).
		Scan(&l.PersonID, &l.OrganisationID, &proves, &created, &expires)
	l.Proves, l.CreatedAt, l.ExpiresAt = proves != 0, Time(created), Time(expires)
	return l, err
}

// SpendEntryLink takes up a link that has not ended at an instant. Of several that try, one does; for the others it is ErrNotFound.
func (tx *Tx) SpendEntryLink(hash string, now time.Time) error {
	return tx.one(`DELETE FROM entry_links WHERE hash = ? AND expires_at > ?`, hash, Micros(now))
}

// DeleteEntryLinks voids a person's links to one place; see EntryLink.
func (tx *Tx) DeleteEntryLinks(person, organisation string) error {
	_, err := tx.Exec(`DELETE FROM entry_links WHERE person_id = ? AND organisation_id = ?`, person, organisation)
	return err
}

// DeleteAllEntryLinks voids a person's links to all places.
func (tx *Tx) DeleteAllEntryLinks(person string) error {
	_, err := tx.Exec(`DELETE FROM entry_links WHERE person_id = ?`, person)
	return err
}

// CountTry counts one more for who, in a span that lasts from the first until ends, and returns how many there are in it and
// when it ends. A span that is over at an instant begins anew.
func (tx *Tx) CountTry(who string, now, ends time.Time) (tries int, until time.Time, err error) {
	var expires int64
	err = tx.QueryRow(`INSERT INTO sign_in_counts (who, tries, expires_at) VALUES (?, 1, ?)
		ON CONFLICT (who) DO UPDATE SET
			tries = CASE WHEN sign_in_counts.expires_at <= ? THEN 1 ELSE sign_in_counts.tries + 1 END,
			expires_at = CASE WHEN sign_in_counts.expires_at <= ? THEN excluded.expires_at ELSE sign_in_counts.expires_at END
		RETURNING tries, expires_at`, who, Micros(ends), Micros(now), Micros(now)).Scan(&tries, &expires)
	return tries, Time(expires), err
}

// UncountTry takes one back that CountTry has counted.
func (tx *Tx) UncountTry(who string) error {
	_, err := tx.Exec(`UPDATE sign_in_counts SET tries = tries - 1 WHERE who = ? AND tries > 0`, who)
	return err
}

// ForgetTries sets who back to none.
func (tx *Tx) ForgetTries(who string) error {
	_, err := tx.Exec(`DELETE FROM sign_in_counts WHERE who = ?`, who)
	return err
}

// RememberVisitor notes that who is known until an instant.
func (tx *Tx) RememberVisitor(who string, until time.Time) error {
	_, err := tx.Exec(`INSERT INTO sign_in_counts (who, tries, expires_at) VALUES (?, 0, ?)
		ON CONFLICT (who) DO UPDATE SET expires_at = excluded.expires_at`, who, Micros(until))
	return err
}

// KnownVisitor tells whether who is known at an instant.
func (tx *Tx) KnownVisitor(who string, now time.Time) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM sign_in_counts WHERE who = ? AND expires_at > ?`, who, Micros(now)).Scan(&n)
	return n > 0, err
}

// TrimSignIns removes up to limit rows of each kind whose time is over at an instant: sessions, links and counts. It returns the
// most that it removed of one kind.
func (tx *Tx) TrimSignIns(now time.Time, limit int) (most int64, err error) {
	for _, t := range []struct{ table, key string }{{"sessions", "id"}, {"entry_links", "hash"}, {"sign_in_counts", "who"}} {
		n, err := tx.Exec(`DELETE FROM `+t.table+` WHERE `+t.key+` IN (SELECT `+t.key+` FROM `+t.table+` WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
			Micros(now), limit)
		if err != nil {
			return most, err
		}
		most = max(most, n)
	}
	return most, nil
}
