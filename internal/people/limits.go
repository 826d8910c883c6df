package people

import (
	"context"
	"net/netip"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// How often a password may be tried. The counts are in the database, so that they hold over all nodes. A try is counted
// before the password is looked at, and taken back when it was right: otherwise a hundred tries at once would all pass
// before the first is counted.
//
//   - One address at one person's: a few. Whoever has forgotten a password notices before.
//   - One address at everybody's: more, because an office has one address; few enough that going through a list of persons
//     with one password each does not pay.
//   - All addresses together at one person's: many, in an hour. It makes guessing from many addresses hopeless. A stranger who
//     has several addresses could use it to keep the person out; so it does not hold for an address from which the person has
//     signed in within the last 90 days. For those the first limit alone does.
const (
	triesPair    = 10
	triesAddress = 50
	triesSpan    = 15 * time.Minute

	triesPerson     = 100
	triesPersonSpan = time.Hour

	knownLife = 90 * 24 * time.Hour
)

// tries are the names under which one try is counted. They are hashes: what somebody mistypes into the field for an e-mail
// address may be a password. nobody limits nothing; see refuse.
type tries struct{ person, address, pair, known, nobody string }

func triesOf(email, address string) tries {
	person, from := hashOf(email), hashOf(network(address))
	return tries{person: "person " + person, address: "address " + from, pair: "pair " + hashOf(person+from), known: "known " + hashOf(person+from), nobody: "nobody " + from}
}

// network is what one visitor has of addresses: one of IPv4, a /64 of IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64) // a valid length
	return p.String()
}

// admit counts a try, or refuses it and counts nothing. Errors: ErrRateLimited with RetryAfter.
func (s *Service) admit(ctx context.Context, t tries) error {
	now := s.instant()
	return s.db.Update(ctx, func(tx *store.Tx) error {
		for _, c := range []struct {
			who  string
			most int
			span time.Duration
		}{{t.address, triesAddress, triesSpan}, {t.person, triesPerson, triesPersonSpan}, {t.pair, triesPair, triesSpan}} {
			n, until, err := tx.CountTry(c.who, now, now.Add(c.span))
			if err != nil {
				return err
			}
			if n <= c.most {
				continue
			}
			if c.who == t.person {
				if known, err := tx.KnownVisitor(t.known, now); err != nil || known {
					if err != nil {
						return err
					}
					continue
				}
			}
			return &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many tries to sign in; wait a while", RetryAfter: max(until.Sub(now), time.Second)}
		}
		return nil
	})
}

// forgive takes a try back that was right, and what the same visitor has tried before at the same person's.
func (t tries) forgive(tx *store.Tx) error {
	for _, who := range []string{t.address, t.person} {
		if err := tx.UncountTry(who); err != nil {
			return err
		}
	}
	return tx.ForgetTries(t.pair)
}
