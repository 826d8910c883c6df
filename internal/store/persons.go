package store

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Person is a person as it lies in the database, with what signing in is judged by.
type Person struct {
	kinora.Person
	Password string // Argon2id, as a PHC string; empty = none
	Subject  string // at the identity provider, with its issuer; empty = never came from there
	// Proven: an operator or the identity provider vouches for it that the e-mail address is this person's. That of whom only an
	// organisation's owner has invited is not: the owner may have followed the link.
	Proven bool
	// LastOrganisation is the id of the organisation whose pages were used last; "" = none yet. SavePerson does not write it.
	LastOrganisation string
}

// CanSignIn tells whether there is a way in for the person. issuer is that of the identity provider, "" = there is none; who has come from
// another one cannot come from there again.
func (p *Person) CanSignIn(issuer string) bool {
	return !p.Disabled && (p.Password != "" || issuer != "" && strings.HasPrefix(p.Subject, SubjectAt(issuer, "")))
}

// SubjectAt is a Person's Subject: the issuer, which has no space in it, and the name that it has for the person.
func SubjectAt(issuer, name string) string { return issuer + " " + name }

// InsertPerson writes a new person; a second one with the same e-mail address fails.
func (tx *Tx) InsertPerson(p *Person) error {
	_, err := tx.Exec(`INSERT INTO persons (id, email, name, password, subject, proven, operator, disabled, created_at, last_sign_in_at)
		VALUES (?,?,?,?,?,?,?,?,?,?)`, p.ID, p.Email, p.Name, p.Password, p.Subject, bit(p.Proven), bit(p.Operator), bit(p.Disabled),
		Micros(p.CreatedAt), Micros(p.LastSignInAt))
	return err
}

// SavePerson writes the mutable fields of a person, or ErrNotFound. Whoever changes one has read it under LockPerson.
func (tx *Tx) SavePerson(p *Person) error {
	n, err := tx.Exec(`UPDATE persons SET name = ?, password = ?, subject = ?, proven = ?, operator = ?, disabled = ?, last_sign_in_at = ? WHERE id = ?`,
		p.Name, p.Password, p.Subject, bit(p.Proven), bit(p.Operator), bit(p.Disabled), Micros(p.LastSignInAt), p.ID)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// DeletePerson removes a person who belongs nowhere and has never been in; their links go with them.
func (tx *Tx) DeletePerson(id string) error {
	if err := tx.DeleteAllEntryLinks(id); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM persons WHERE id = ? AND last_sign_in_at = 0`, id)
	return err
}

const personColumns = `id, email, name, password, subject, proven, operator, disabled, created_at, last_sign_in_at, last_organisation`

// Person reads one person, or ErrNotFound.
func (tx *Tx) Person(id string) (*Person, error) {
	return scanPerson(tx.QueryRow(`SELECT `+personColumns+` FROM persons WHERE id = ?`, id))
}

// LockPerson is Person, and keeps other transactions from changing the person until tx ends.
func (tx *Tx) LockPerson(id string) (*Person, error) {
	return scanPerson(tx.QueryRow(`SELECT `+personColumns+` FROM persons WHERE id = ? {for update}`, id))
}

// PersonByEmail finds a person by the normal form of an e-mail address, or ErrNotFound.
func (tx *Tx) PersonByEmail(email string) (*Person, error) {
	return scanPerson(tx.QueryRow(`SELECT `+personColumns+` FROM persons WHERE email = ?`, email))
}

// PersonBySubject finds a person by who they are at the identity provider, or ErrNotFound.
func (tx *Tx) PersonBySubject(subject string) (*Person, error) {
	return scanPerson(tx.QueryRow(`SELECT `+personColumns+` FROM persons WHERE subject = ? AND subject <> ''`, subject))
}

// Persons lists all persons by their e-mail addresses.
func (tx *Tx) Persons() ([]*Person, error) {
	return tx.persons(`SELECT ` + personColumns + ` FROM persons ORDER BY email`)
}

// LockOperators lists the operators and keeps other transactions from changing them until tx ends. Two transactions that each
// take one away thus see each other.
func (tx *Tx) LockOperators() ([]*Person, error) {
	return tx.persons(`SELECT ` + personColumns + ` FROM persons WHERE operator = 1 ORDER BY id {for update}`)
}

// AnyPerson tells whether there is a person at all.
func (tx *Tx) AnyPerson() (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT id FROM persons LIMIT 1) AS one`).Scan(&n)
	return n > 0, err
}

func (tx *Tx) persons(query string, args ...any) ([]*Person, error) {
	var list []*Person
	err := tx.Query(query, args, func(row Row) error {
		p, err := scanPerson(row)
		list = append(list, p)
		return err
	})
	return list, err
}

func scanPerson(row Row) (*Person, error) {
	var r personRow
	if err := row.Scan(r.into()...); err != nil {
		return nil, err
	}
	return r.person(), nil
}

// personRow is a row of personColumns.
type personRow struct {
	p                          Person
	proven, operator, disabled int
	created, signedIn          int64
}

func (r *personRow) into() []any {
	return []any{&r.p.ID, &r.p.Email, &r.p.Name, &r.p.Password, &r.p.Subject, &r.proven, &r.operator, &r.disabled, &r.created, &r.signedIn, &r.p.LastOrganisation}
}

func (r *personRow) person() *Person {
	r.p.Proven, r.p.Operator, r.p.Disabled, r.p.HasPassword = r.proven != 0, r.operator != 0, r.disabled != 0, r.p.Password != ""
	r.p.CreatedAt, r.p.LastSignInAt = Time(r.created), Time(r.signedIn)
	return &r.p
}

// SetLastOrganisation notes whose pages a person used last. Nobody who is gone is no fault.
func (tx *Tx) SetLastOrganisation(person, organisation string) error {
	_, err := tx.Exec(`UPDATE persons SET last_organisation = ? WHERE id = ?`, organisation, person)
	return err
}

// InsertMembership writes a new membership, accepted unless it is pending.
func (tx *Tx) InsertMembership(m *kinora.Membership) error {
	accepted := m.CreatedAt
	if m.Pending {
		accepted = time.Time{}
	}
	_, err := tx.Exec(`INSERT INTO memberships (organisation_id, person_id, role, created_at, accepted_at) VALUES (?,?,?,?,?)`,
		m.OrganisationID, m.PersonID, string(m.Role), Micros(m.CreatedAt), Micros(accepted))
	return err
}

// SetRole changes a member's role, or ErrNotFound.
func (tx *Tx) SetRole(organisation, person string, role kinora.Role) error {
	return tx.one(`UPDATE memberships SET role = ? WHERE organisation_id = ? AND person_id = ?`, string(role), organisation, person)
}

// AcceptMembership makes a pending membership stand, or ErrNotFound where there is none.
func (tx *Tx) AcceptMembership(organisation, person string, now time.Time) error {
	return tx.one(`UPDATE memberships SET accepted_at = ? WHERE organisation_id = ? AND person_id = ? AND accepted_at = 0`, Micros(now), organisation, person)
}

// AcceptOperatorsInvitations makes those pending memberships of a person stand to which an operator has invited.
func (tx *Tx) AcceptOperatorsInvitations(person string, now time.Time) error {
	_, err := tx.Exec(`UPDATE memberships SET accepted_at = ? WHERE person_id = ? AND accepted_at = 0 AND by_operator = 1`, Micros(now), person)
	return err
}

// SetInviter notes who has invited the person of a pending membership: an operator, or somebody by their e-mail address.
func (tx *Tx) SetInviter(organisation, person, email string, byOperator bool) error {
	return tx.one(`UPDATE memberships SET invited_by = ?, by_operator = ? WHERE organisation_id = ? AND person_id = ? AND accepted_at = 0`,
		email, bit(byOperator), organisation, person)
}

// DeleteMembership removes a membership and its invitation, or ErrNotFound.
func (tx *Tx) DeleteMembership(organisation, person string) error {
	if _, err := tx.Exec(`DELETE FROM entry_links WHERE organisation_id = ? AND person_id = ?`, organisation, person); err != nil {
		return err
	}
	return tx.one(`DELETE FROM memberships WHERE organisation_id = ? AND person_id = ?`, organisation, person)
}

const membershipQuery = `SELECT m.organisation_id, o.name, m.person_id, p.email, p.name, m.role, m.invited_by, m.created_at, m.accepted_at
	FROM memberships m JOIN organisations o ON o.id = m.organisation_id JOIN persons p ON p.id = m.person_id `

// Membership reads one membership, pending or not, or ErrNotFound.
func (tx *Tx) Membership(organisation, person string) (*kinora.Membership, error) {
	list, err := tx.memberships(`WHERE m.organisation_id = ? AND m.person_id = ?`, organisation, person)
	if err != nil || len(list) == 0 {
		return nil, orNotFound(err)
	}
	return &list[0], nil
}

func orNotFound(err error) error {
	if err == nil {
		return ErrNotFound
	}
	return err
}

// Members lists an organisation's memberships by e-mail address, pending ones too.
func (tx *Tx) Members(organisation string) ([]kinora.Membership, error) {
	return tx.memberships(`WHERE m.organisation_id = ? ORDER BY p.email`, organisation)
}

// Memberships lists where a person belongs, by the organisations' names, pending ones too.
func (tx *Tx) Memberships(person string) ([]kinora.Membership, error) {
	return tx.memberships(`WHERE m.person_id = ? ORDER BY o.name, o.id`, person)
}

func (tx *Tx) memberships(where string, args ...any) ([]kinora.Membership, error) {
	list := []kinora.Membership{}
	err := tx.Query(membershipQuery+where, args, func(row Row) error {
		var (
			m                 kinora.Membership
			role              string
			created, accepted int64
		)
		err := row.Scan(&m.OrganisationID, &m.OrganisationName, &m.PersonID, &m.Email, &m.Name, &role, &m.InvitedBy, &created, &accepted)
		m.Role, m.Pending, m.CreatedAt = kinora.Role(role), accepted == 0, Time(created)
		if m.Pending {
			m.InvitationID = id.Of(id.Invitation, m.OrganisationID, m.Email)
		} else {
			m.InvitedBy = ""
		}
		list = append(list, m)
		return err
	})
	return list, err
}

// ownerWhoCanSignIn is told of a membership m and its person p; see Person.CanSignIn.
func ownerWhoCanSignIn(issuer string) condition {
	c := condition{text: `m.role = 'owner' AND m.accepted_at > 0 AND p.disabled = 0 AND `}
	if issuer == "" {
		c.text += `p.password <> ''`
		return c
	}
	start := SubjectAt(issuer, "")
	c.text += `(p.password <> '' OR substr(p.subject, 1, ?) = ?)`
	c.args = []any{utf8.RuneCountInString(start), start}
	return c
}

// OtherOwners counts the owners of an organisation who can sign in, without one person; issuer is the identity provider's.
func (tx *Tx) OtherOwners(organisation, person, issuer string) (n int, err error) {
	can := ownerWhoCanSignIn(issuer)
	err = tx.QueryRow(`SELECT count(*) FROM memberships m JOIN persons p ON p.id = m.person_id
		WHERE m.organisation_id = ? AND m.person_id <> ? AND `+can.text, append([]any{organisation, person}, can.args...)...).Scan(&n)
	return n, err
}

// Ownerless lists organisations that have members and no owner who can sign in, by name, limit at most; issuer is the identity provider's.
func (tx *Tx) Ownerless(issuer string, limit int) ([]kinora.Ownerless, error) {
	list, can := []kinora.Ownerless{}, ownerWhoCanSignIn(issuer)
	err := tx.Query(`SELECT o.id, o.name FROM organisations o
		WHERE EXISTS (SELECT 1 FROM memberships m WHERE m.organisation_id = o.id AND m.accepted_at > 0)
			AND NOT EXISTS (SELECT 1 FROM memberships m JOIN persons p ON p.id = m.person_id
				WHERE m.organisation_id = o.id AND `+can.text+`)
		ORDER BY o.name, o.id LIMIT ?`, append(can.args, limit), func(row Row) error {
		var o kinora.Ownerless
		err := row.Scan(&o.OrganisationID, &o.OrganisationName)
		list = append(list, o)
		return err
	})
	return list, err
}
