// Package people keeps the persons who sign in to the dashboard: their passwords, sessions, invitations and memberships, and
// reads the audit log.
//
// Whoever has a token of this package, for a session or a link, has it alone: stored is its SHA-256. Every change writes the
// audit log in its own transaction, in the name of the context's actor (kinora.WithActor), or of the person who is just
// proving who they are.
//
// Not its duty: HTTP, cookies, and who may do what. A caller checks the role of whoever asks (kinora.SignedIn.RoleIn) before
// it calls.
package people

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
)

const (
	// DefaultIdle is how long a session lasts that nobody uses.
	DefaultIdle = 12 * time.Hour
	// DefaultLongest is how long a session lasts at most.
	DefaultLongest = 30 * 24 * time.Hour

	setUpLife = 24 * time.Hour
	linkLife  = 7 * 24 * time.Hour // of invitations and links for a new password

	maxName      = 100 // characters
	maxUserAgent = 300 // bytes
	maxAddress   = 64  // bytes
)

// Options are a Service's choices; the zero value is fit for production.
type Options struct {
	Idle    time.Duration // life of a session that nobody uses; 0 = DefaultIdle
	Longest time.Duration // life of a session at most; 0 = DefaultLongest
	OIDC    OIDC          // sign-in by an identity provider; the zero value = none
	Now     func() time.Time
	Log     *slog.Logger          // failures that nobody waits for; nil = nowhere
	Metrics prometheus.Registerer // nil = not registered
}

// Service is safe for concurrent use.
type Service struct {
	db      *store.DB
	ring    *seal.Ring
	idle    time.Duration
	longest time.Duration
	now     func() time.Time
	log     *slog.Logger
	hasher  hasher
	metrics *metrics

	provider *provider
}

// New makes a service over db; ring seals what a browser keeps while it is at the identity provider.
func New(db *store.DB, ring *seal.Ring, o Options) *Service {
	s := &Service{db: db, ring: ring, idle: o.Idle, longest: o.Longest, now: o.Now, log: o.Log, hasher: newHasher(standardCost), metrics: newMetrics(o.Metrics)}
	if s.idle <= 0 {
		s.idle = DefaultIdle
	}
	if s.longest <= 0 {
		s.longest = DefaultLongest
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.provider = newProvider(o.OIDC, s.now)
	return s
}

// storable makes a visitor fit to be stored: its parts come from headers that a stranger wrote.
func storable(v kinora.Visitor) kinora.Visitor {
	return kinora.Visitor{Address: cleaned(v.Address, maxAddress), UserAgent: cleaned(v.UserAgent, maxUserAgent)}
}

func cleaned(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	for len(text) > most {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}

// instant is the time as the database keeps it.
func (s *Service) instant() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// himself is the person as an actor of a visit.
func himself(p *store.Person, address string) kinora.Actor {
	return kinora.Actor{Kind: kinora.ActorPerson, ID: p.ID, Name: p.Email, Address: address}
}

// actorOr is the context's actor, or the one that is meant where it has none.
func actorOr(ctx context.Context, meant kinora.Actor) kinora.Actor {
	if a, ok := kinora.ActorOf(ctx); ok {
		return a
	}
	return meant
}

// wrong is the error for one field.
func wrong(field, message string) error {
	return &kinora.Error{Code: kinora.ErrInvalid, Message: message, Details: []kinora.FieldError{{Field: field, Message: message}}}
}

// absent turns the store's "not found" into one with a message for the caller.
func absent(err error, message string) error {
	if errors.Is(err, store.ErrNotFound) {
		return kinora.Errorf(kinora.ErrNotFound, "%s", message)
	}
	return err
}

const (
	noOrganisation = "organisation not found"
	noPerson       = "person not found"
	noMember       = "member not found"
	noLink         = "this link is not valid: it was used, replaced or is too old"
	noSession      = "session not found"
)
