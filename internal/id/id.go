// Package id makes the identifiers of the domain: a prefix that tells the noun, and a
// ULID that sorts by the time of making. It makes no secrets; tokens and keys are not ids.
package id

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// The prefixes of every noun that has an id.
const (
	Task         = "task_"
	Job          = "job_"
	Output       = "out_"
	Ingest       = "ing_"
	Asset        = "src_"
	Event        = "evt_"
	Delivery     = "dlv_"
	Replay       = "rpl_"
	Organisation = "org_"
	Key          = "key_"
	Secret       = "sec_"
	Endpoint     = "ep_"
	Usage        = "bev_"
	Node         = "node_"
	Person       = "per_"
	Session      = "ses_"
	Audit        = "aud_"
	Invitation   = "inv_"
)

// New returns prefix + a ULID for the instant now. Its 80 random bits come from the
// system's generator; ids of the same millisecond are in no order.
func New(prefix string, now time.Time) string {
	return prefix + ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()
}

// Sequence makes ids that sort in the order in which they were made, also those of one millisecond. It is safe for concurrent use;
// the zero value is ready. Ids of two sequences are in the order of their milliseconds alone.
type Sequence struct {
	mu     sync.Mutex
	random *ulid.MonotonicEntropy
}

// New is the package's New for the next id of the sequence. Where the clock goes back, so do the ids.
func (s *Sequence) New(prefix string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.random == nil {
		s.random = ulid.Monotonic(rand.Reader, 0)
	}
	u, err := ulid.New(ulid.Timestamp(now), s.random)
	if err != nil { // the random bits of a millisecond are used up, which takes 2^80 ids
		return New(prefix, now)
	}
	return prefix + u.String()
}

// Derived is New for what may have to be made again: its random bits are those of a hash of words,
// so that it is the same for the same instant and words.
func Derived(prefix string, at time.Time, words string) string {
	sum := sha256.Sum256([]byte(words))
	return prefix + ulid.MustNew(ulid.Timestamp(at), bytes.NewReader(sum[:])).String()
}

// Of returns prefix + 26 characters that follow from words alone. Such an id tells no time, and does not sort.
func Of(prefix string, words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return prefix + ulid.ULID(sum[:16]).String()
}

// Least returns what sorts before every id of that prefix that was made in the millisecond of
// t or later, and behind all earlier ones.
func Least(prefix string, t time.Time) string {
	var u ulid.ULID
	if t.UnixMilli() > 0 {
		_ = u.SetTime(min(ulid.Timestamp(t), ulid.MaxTime())) // fails beyond the maximum only
	}
	return prefix + u.String()
}

var shape = regexp.MustCompile(`^[a-z]+_[0-9A-HJKMNP-TV-Z]{26}$`)

// WellFormed reports whether s looks like an id of ours with that prefix. A malformed
// id is answered as an unknown one without asking the database.
func WellFormed(s, prefix string) bool {
	return len(s) == len(prefix)+26 && s[:len(prefix)] == prefix && shape.MatchString(s)
}
