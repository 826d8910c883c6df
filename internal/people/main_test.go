package people

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

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

const password = "correct horse battery"

// world is a service over a database of its own, with two organisations.
type world struct {
	*Service
	t       *testing.T
	clock   *clock
	db      *store.DB
	a, b    string // organisations
	visitor kinora.Visitor
}

// eachWorld runs fn on both databases.
func eachWorld(t *testing.T, fn func(w *world)) {
	t.Helper()
	storetest.Run(t, func(t *testing.T, db *store.DB) { fn(newWorld(t, db, Options{})) })
}

func newWorld(t *testing.T, db *store.DB, o Options) *world {
	t.Helper()
	ring, err := seal.NewRing(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{at: time.Date(2026, 6, 14, 10, 30, 0, 123456000, time.UTC)}
	o.Now = c.now
	w := &world{Service: New(db, ring, o), t: t, clock: c, db: db, visitor: kinora.Visitor{Address: "192.0.2.7", UserAgent: "a browser"}}
	w.hasher = newHasher(cost{memory: 64, passes: 1, threads: 1}) // what a hashing costs is not what is tested
	w.a, w.b = w.organisation("Alpha"), w.organisation("Beta")
	return w
}

func (w *world) organisation(name string) string {
	w.t.Helper()
	o := &kinora.Organisation{ID: id.New(id.Organisation, w.instant()), Name: name, CreatedAt: w.instant()}
	w.update(func(tx *store.Tx) error { return tx.InsertOrganisation(o) })
	return o.ID
}

func (w *world) update(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// setUp makes the first person, root@example.com, and returns who they are.
func (w *world) setUp() *kinora.SignedIn {
	w.t.Helper()
	token, err := w.SetupLink(w.t.Context())
	if err != nil || !strings.HasPrefix(token, setUpPrefix) {
		w.t.Fatalf("set-up link %q, %v", token, err)
	}
	session, err := w.Setup(w.t.Context(), token, kinora.NewPerson{Email: " Root@Example.com", Name: "Root", Password: password}, w.visitor)
	return w.signedIn(session, err)
}

// signedIn is whose a session is that a call has just returned.
func (w *world) signedIn(session string, err error) *kinora.SignedIn {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := w.Session(w.t.Context(), session)
	if err != nil {
		w.t.Fatal(err)
	}
	return in
}

// join makes somebody a member who has followed their link, and returns who they are.
func (w *world) join(ctx context.Context, organisation, email string, role kinora.Role) *kinora.SignedIn {
	w.t.Helper()
	_, token, err := w.Invite(ctx, organisation, email, role)
	if err != nil || token == "" {
		w.t.Fatalf("invite %s: token %q, %v", email, token, err)
	}
	return w.signedIn(w.AcceptInvitation(w.t.Context(), token, kinora.NewPerson{Name: "Of " + email, Password: password}, w.visitor))
}

// byOperator is a context in which the admin token acts, as person a context in which a person does.
func (w *world) byOperator() context.Context {
	return kinora.WithActor(w.t.Context(), kinora.Actor{Kind: kinora.ActorOperator, Address: "192.0.2.1"})
}

func (w *world) as(in *kinora.SignedIn) context.Context {
	return kinora.WithActor(w.t.Context(), kinora.Actor{Kind: kinora.ActorPerson, ID: in.Person.ID, Name: in.Person.Email})
}

func (w *world) actions(f kinora.AuditFilter) map[kinora.AuditAction]int {
	w.t.Helper()
	page, next, err := w.Audit(w.t.Context(), f, "", MaxAuditPage)
	if err != nil || next != "" {
		w.t.Fatalf("audit: next %q, %v", next, err)
	}
	count := map[kinora.AuditAction]int{}
	for _, e := range page {
		count[e.Action]++
		if text := fmt.Sprintf("%+v %s", e, e.Detail); strings.Contains(text, password) || strings.Contains(text, "argon2") || strings.Contains(text, linkPrefix) || strings.Contains(text, sessionPrefix) {
			w.t.Errorf("a secret is in the audit log: %s", text)
		}
	}
	return count
}

func (w *world) wantCode(what string, err error, code kinora.ErrorCode) {
	w.t.Helper()
	if kinora.CodeOf(err) != code {
		w.t.Errorf("%s: %v (code %q), want code %q", what, err, kinora.CodeOf(err), code)
	}
}

func (w *world) wantField(what string, err error, field string) {
	w.t.Helper()
	var e *kinora.Error
	if e, _ = err.(*kinora.Error); e == nil || e.Code != kinora.ErrInvalid || len(e.Details) != 1 || e.Details[0].Field != field || !strings.Contains(e.Message, field) {
		w.t.Errorf("%s: %v, want an invalid %s", what, err, field)
	}
}

// count is how many tries are counted under a name.
func (w *world) count(who string) (n int) {
	w.t.Helper()
	err := w.db.View(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT coalesce(sum(tries), 0) FROM sign_in_counts WHERE who = ?`, who).Scan(&n)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
