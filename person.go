package kinora

import "time"

// Limits of what persons give.
const (
	MaxEmail    = 254 // bytes
	MinPassword = 12  // characters
	MaxPassword = 256 // bytes
	// MaxSessions is how many sessions a person has at once: the one used longest ago ends when another begins.
	MaxSessions = 20
)

// Person is somebody who signs in to the dashboard. A person may belong to several organisations.
type Person struct {
	ID           string // "per_" + ULID
	Email        string // lower case; one person each
	Name         string // as shown; empty = the address is
	Operator     bool   // runs this instance: sees the operator's area, and has an owner's rights in every organisation
	HasPassword  bool   // false = signs in by the identity provider, or has not taken up the invitation yet
	Disabled     bool   // may not sign in
	CreatedAt    time.Time
	LastSignInAt time.Time // zero = never
}

// Role is what a person may do in an organisation. Each role may all that the ones behind it may.
type Role string

const (
	RoleOwner  Role = "owner"  // members, settings, audit log
	RoleAdmin  Role = "admin"  // keys, webhooks, reviews
	RoleMember Role = "member" // has things made, and sees generations, assets, deliveries and usage
)

// Valid tells whether r is one of the roles.
func (r Role) Valid() bool { return r.rank() > 0 }

// Covers tells whether r may all that other may. A role that is not valid covers none and is covered by none.
func (r Role) Covers(other Role) bool { return other.Valid() && r.rank() >= other.rank() }

func (r Role) rank() int {
	switch r {
	case RoleOwner:
		return 3
	case RoleAdmin:
		return 2
	case RoleMember:
		return 1
	}
	return 0
}

// Membership is a person's place in an organisation.
type Membership struct {
	OrganisationID   string
	OrganisationName string
	PersonID         string
	Email            string // the person's
	Name             string // the person's
	Role             Role
	Pending          bool // invited and has not accepted yet: gives no right
	// InvitationID names a membership that is pending, "inv_" and 26 characters; "" = it is not. It follows from organisation and
	// e-mail address alone: unlike PersonID it does not tell whether the address had an account before.
	InvitationID string
	InvitedBy    string // e-mail address of who has invited; "" = an operator, or not known
	CreatedAt    time.Time
}

// Ownerless is an organisation that has members and among them no owner who can sign in. Only operators can change its members.
type Ownerless struct {
	OrganisationID   string
	OrganisationName string
}

// Session is one sign-in of a person at one browser. Its token is stored as a hash only.
type Session struct {
	ID         string // "ses_" + ULID
	PersonID   string
	Address    string // network address at the sign-in
	UserAgent  string // of the browser, cut to a sensible length
	CreatedAt  time.Time
	LastSeenAt time.Time // kept to about a minute
	ExpiresAt  time.Time // moves on while the session is used, up to a bound from its beginning
}

// SignedIn is a session, whose it is and where that person belongs.
type SignedIn struct {
	Session     Session
	Person      Person
	Memberships []Membership // by the organisation's name; none that is pending
	// Invitations are the memberships that wait for the person's word, by the organisation's name. They are empty as long as nobody
	// vouches for it that the e-mail address is theirs: then it takes the invitation's link.
	Invitations []Membership
	// LastOrganisation is the id of the organisation whose pages the person used last; "" = none yet. They may have left it.
	LastOrganisation string
	// FormToken must come back with every form of this session.
	FormToken string
}

// RoleIn is the person's role in an organisation; "" = none. Operators are owners everywhere.
func (s *SignedIn) RoleIn(organisationID string) Role {
	if s.Person.Operator {
		return RoleOwner
	}
	for _, m := range s.Memberships {
		if m.OrganisationID == organisationID {
			return m.Role
		}
	}
	return ""
}

// Belongs tells whether the person is a member of an organisation. Operators may act in all, and belong to few.
func (s *SignedIn) Belongs(organisationID string) bool {
	for _, m := range s.Memberships {
		if m.OrganisationID == organisationID {
			return true
		}
	}
	return false
}

// Visitor is who knocks at the dashboard, as far as the network tells.
type Visitor struct {
	Address   string // network address, of the client where trusted proxies tell it
	UserAgent string // as the browser sent it
}

// NewPerson is what somebody gives of himself when a person is made of him.
type NewPerson struct {
	Email    string // not read where an invitation says it
	Name     string // empty = the address is shown
	Password string
}

// Invitation is an open one, for whoever has its link. The link by which an operator lets somebody choose another password is
// one too.
type Invitation struct {
	OrganisationID   string // empty = it is about the password alone
	OrganisationName string // empty likewise
	Role             Role   // in the organisation; "" = none
	Email            string
	// Name is the person's; empty = none, and always so where the link leads into an organisation: whoever has made such a link
	// must not learn by it whether the address has an account.
	Name      string
	ExpiresAt time.Time
}
