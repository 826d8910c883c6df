package people

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestTheFirstPersonRunsTheInstance(t *testing.T) {
	eachWorld(t, func(w *world) {
		in := w.setUp()
		p := in.Person
		if p.Email != "root@example.com" || p.Name != "Root" || !p.Operator || !p.HasPassword || !p.LastSignInAt.Equal(w.instant()) {
			t.Errorf("%+v", p)
		}
		if len(in.Memberships) != 2 || in.Memberships[0].OrganisationName != "Alpha" || in.Memberships[1].Role != kinora.RoleOwner {
			t.Errorf("%+v", in.Memberships)
		}
		if in.Session.Address != w.visitor.Address || in.Session.UserAgent != w.visitor.UserAgent || in.FormToken == "" {
			t.Errorf("%+v", in)
		}
		if token, err := w.SetupLink(t.Context()); token != "" || err != nil {
			t.Errorf("a second first person: %q, %v", token, err)
		}
		if got := w.actions(kinora.AuditFilter{ActorID: p.ID}); got[kinora.AuditPersonSetUp] != 1 || got[kinora.AuditSessionBegin] != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestSetUpLinksThatLeadNowhere(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		set := func(token string) error {
			_, err := w.Setup(ctx, token, kinora.NewPerson{Email: "a@example.com", Password: password}, w.visitor)
			return err
		}
		first, err := w.SetupLink(ctx)
		if err != nil {
			t.Fatal(err)
		}
		second, err := w.SetupLink(ctx) // another start
		if err != nil {
			t.Fatal(err)
		}
		w.wantCode("replaced", set(first), kinora.ErrNotFound)
		w.wantCode("wrong", set(second+"x"), kinora.ErrNotFound)
		w.wantCode("none", set(""), kinora.ErrNotFound)
		if _, err := w.Invitation(ctx, second); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("a set-up link is an invitation: %v", err)
		}
		w.clock.advance(24 * time.Hour)
		w.wantCode("too old", set(second), kinora.ErrNotFound)
		third, err := w.SetupLink(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for field, p := range map[string]kinora.NewPerson{
			"email":    {Email: "nobody", Password: password},
			"password": {Email: "a@example.com", Password: "short"},
			"name":     {Email: "a@example.com", Password: password, Name: "a\x00b"},
		} {
			_, err := w.Setup(ctx, third, p, w.visitor)
			w.wantField(field, err, field)
		}
		w.wantCode("after mistakes", set(third), "")
		w.wantCode("spent", set(third), kinora.ErrNotFound)
	})
}

// However many follow the link at once, one becomes the first person.
func TestOneComesInByTheSetUpLink(t *testing.T) {
	eachWorld(t, func(w *world) {
		token, err := w.SetupLink(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var (
			wg sync.WaitGroup
			in atomic.Int32
		)
		for i := range 8 {
			wg.Go(func() {
				_, err := w.Setup(t.Context(), token, kinora.NewPerson{Email: fmt.Sprintf("p%d@example.com", i), Password: password}, w.visitor)
				if err == nil {
					in.Add(1)
				} else {
					w.wantCode("too late", err, kinora.ErrNotFound)
				}
			})
		}
		wg.Wait()
		list, err := w.Persons(t.Context())
		if in.Load() != 1 || len(list) != 1 || err != nil {
			t.Errorf("%d came in, %d persons, %v", in.Load(), len(list), err)
		}
	})
}
