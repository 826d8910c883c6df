package tenancy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 6, 14, 10, 30, 0, 123456000, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func testRing(t testing.TB, keys ...seal.Key) *seal.Ring {
	t.Helper()
	if len(keys) == 0 {
		keys = []seal.Key{seal.NewKey()}
	}
	r, err := seal.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// allow accepts https URLs whose host is on the organisation's list, or any without a list.
func allow(org *kinora.Organisation, url string) error {
	host, ok := strings.CutPrefix(url, "https://")
	if !ok {
		return errors.New("URL must use https")
	}
	for _, h := range org.WebhookHosts {
		if h == host {
			return nil
		}
	}
	if len(org.WebhookHosts) > 0 {
		return kinora.Errorf(kinora.ErrInvalid, "webhook.url: the host is not on the allowlist")
	}
	return nil
}

type node struct {
	*Service
	clock *clock
	db    *store.DB
}

// newNode makes a service as one process of an installation has it.
func newNode(t testing.TB, db *store.DB, c *clock, ring *seal.Ring) node {
	t.Helper()
	if ring == nil {
		ring = testRing(t)
	}
	s := New(db, ring, Options{CheckWebhook: allow, Now: c.now})
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return node{s, c, db}
}

func (n node) organisation(t testing.TB, name string) *kinora.Organisation {
	t.Helper()
	org, _, err := n.CreateOrganisation(t.Context(), OrganisationChange{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	return org
}

func (n node) key(t testing.TB, org *kinora.Organisation) (*kinora.Key, string) {
	t.Helper()
	k, text, err := n.CreateKey(t.Context(), org.ID, "a key", KeySK, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return k, text
}

func wantCode(t testing.TB, what string, err error, code kinora.ErrorCode) {
	t.Helper()
	if kinora.CodeOf(err) != code {
		t.Errorf("%s: %v (code %q), want code %q", what, err, kinora.CodeOf(err), code)
	}
}

func ptr[T any](v T) *T { return &v }
