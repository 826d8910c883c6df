package people

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

func TestSessionsEnd(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		session, err := w.SignIn(ctx, "root@example.com", password, w.visitor)
		began := w.signedIn(session, err).Session
		look := func() (*kinora.SignedIn, error) { return w.Session(ctx, session) }
		if began.ExpiresAt.Sub(began.CreatedAt) != DefaultIdle {
			t.Errorf("%+v", began)
		}
		for used := began.CreatedAt; ; { // used every eleven hours it lives thirty days
			w.clock.advance(11 * time.Hour)
			in, err := look()
			if w.instant().Sub(began.CreatedAt) >= DefaultLongest {
				w.wantCode("after thirty days", err, kinora.ErrUnauthorized)
				break
			}
			if err != nil {
				t.Fatalf("%s after its beginning, %s after its last use: %v", w.instant().Sub(began.CreatedAt), w.instant().Sub(used), err)
			}
			used = w.instant()
			if !in.Session.LastSeenAt.Equal(used) || in.Session.ExpiresAt.After(began.CreatedAt.Add(DefaultLongest)) {
				t.Errorf("%+v", in.Session)
			}
		}
		session, err = w.SignIn(ctx, "root@example.com", password, w.visitor)
		first := w.signedIn(session, err).Session
		w.clock.advance(touchEvery - time.Microsecond)
		if in, err := look(); err != nil || !in.Session.LastSeenAt.Equal(first.LastSeenAt) {
			t.Errorf("a use within the minute was written: %+v, %v", in, err)
		}
		for range 11 { // a page that is left open looks, which is no use
			w.clock.advance(time.Hour)
			if in, err := w.PeekSession(ctx, session); err != nil || !in.Session.LastSeenAt.Equal(first.LastSeenAt) || !in.Session.ExpiresAt.Equal(first.ExpiresAt) {
				t.Fatalf("a look moved the session's end: %+v, %v", in, err)
			}
		}
		w.clock.advance(time.Hour)
		_, err = w.PeekSession(ctx, session)
		w.wantCode("looked at for twelve hours", err, kinora.ErrUnauthorized)
		_, err = look()
		w.wantCode("unused for twelve hours", err, kinora.ErrUnauthorized)
		for _, text := range []string{"", "kses_", session + "x", "kinv_" + session[5:]} {
			_, err := w.Session(ctx, text)
			w.wantCode(text, err, kinora.ErrUnauthorized)
		}
	})
}

func TestPersonsEndTheirSessions(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		other := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleOwner)
		var tokens []string
		var ids []string
		for range 4 {
			token, err := w.SignIn(ctx, "root@example.com", password, w.visitor)
			tokens, ids = append(tokens, token), append(ids, w.signedIn(token, err).Session.ID)
		}
		alive := func() (n int) {
			for _, token := range tokens {
				if _, err := w.Session(ctx, token); err == nil {
					n++
				}
			}
			return n
		}
		w.wantCode("another person's", w.EndSession(ctx, root.Person.ID, other.Session.ID), kinora.ErrNotFound)
		w.wantCode("one", w.EndSession(ctx, root.Person.ID, ids[0]), "")
		w.wantCode("again", w.EndSession(ctx, root.Person.ID, ids[0]), kinora.ErrNotFound)
		w.wantCode("sign out", w.SignOut(ctx, tokens[1]), "")
		w.wantCode("sign out again", w.SignOut(ctx, tokens[1]), "")
		if alive() != 2 {
			t.Errorf("%d live, want 2", alive())
		}
		if list, err := w.Sessions(ctx, root.Person.ID); err != nil || len(list) != 3 { // the set-up's too
			t.Errorf("%+v, %v", list, err)
		}
		w.wantCode("the others", w.EndOtherSessions(ctx, root.Person.ID, ids[2]), "")
		if list, err := w.Sessions(ctx, root.Person.ID); err != nil || len(list) != 1 || list[0].ID != ids[2] || alive() != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		if got := w.actions(kinora.AuditFilter{ActorID: root.Person.ID, Action: "session."}); got[kinora.AuditSessionEnd] != 2 || got[kinora.AuditSessionEndOther] != 1 {
			t.Errorf("%v", got)
		}
		if _, err := w.Sessions(ctx, other.Person.ID); err != nil {
			t.Error(err)
		}
		if in, err := w.Session(ctx, tokens[2]); err != nil || in.FormToken != formToken(tokens[2]) || in.FormToken == formToken(tokens[3]) {
			t.Errorf("%+v, %v", in, err)
		}
	})
}

// Nobody has more sessions than so many: the one used longest ago makes room for a new one, and the audit log tells.
func TestSessionsMakeRoom(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		other := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleOwner)
		var tokens []string
		for range kinora.MaxSessions - 1 { // and the set-up's
			w.clock.advance(time.Minute)
			token, err := w.SignIn(ctx, "root@example.com", password, w.visitor)
			w.wantCode("sign in", err, "")
			tokens = append(tokens, token)
		}
		w.clock.advance(time.Minute)
		if _, err := w.Session(ctx, tokens[0]); err != nil { // used again: it is not the next to go
			t.Fatal(err)
		}
		sessions := func() []kinora.Session {
			list, err := w.Sessions(ctx, root.Person.ID)
			if err != nil || len(list) != kinora.MaxSessions {
				t.Fatalf("%d sessions, %v", len(list), err)
			}
			return list
		}
		before := sessions()
		oldest := before[len(before)-1]
		if oldest.ID != root.Session.ID {
			t.Errorf("%s is used longest ago, want the set-up's", oldest.ID)
		}
		fresh := w.signedIn(w.SignIn(ctx, "root@example.com", password, w.visitor))
		again := w.signedIn(w.SignIn(ctx, "root@example.com", password, w.visitor))
		for _, s := range sessions() {
			if s.ID == oldest.ID {
				t.Error("the one used longest ago is still there")
			}
		}
		_, err := w.Session(ctx, tokens[1])
		w.wantCode("the next one", err, kinora.ErrUnauthorized)
		for _, token := range append(tokens[2:], tokens[0]) {
			if _, err := w.Session(ctx, token); err != nil {
				t.Error(err)
			}
		}
		page, _, err := w.Audit(ctx, kinora.AuditFilter{Target: oldest.ID, Action: "session.end"}, "", 10)
		if err != nil || len(page) != 1 || page[0].Actor.Kind != kinora.ActorSystem || !strings.Contains(string(page[0].Detail), fresh.Session.ID) {
			t.Errorf("%+v, %v", page, err)
		}
		if list, err := w.Sessions(ctx, other.Person.ID); err != nil || len(list) != 1 || again.Session.ID == fresh.Session.ID {
			t.Errorf("another person's: %+v, %v", list, err)
		}
	})
}

// A session of somebody who is disabled is refused at once, and does not come back when they are let in again.
func TestDisabledPersonsAreOut(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		w.setUp()
		ada := w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		session, err := w.SignIn(ctx, "ada@example.com", password, w.visitor)
		w.signedIn(session, err)
		for _, disabled := range []bool{true, true, false} {
			_, err := w.SetDisabled(w.byOperator(), ada.Person.ID, disabled)
			w.wantCode("disable", err, "")
			_, err = w.Session(ctx, session)
			w.wantCode("the session", err, kinora.ErrUnauthorized)
		}
		w.signedIn(w.SignIn(ctx, "ada@example.com", password, w.visitor))
		if got := w.actions(kinora.AuditFilter{Target: ada.Person.ID}); got[kinora.AuditPersonDisable] != 1 || got[kinora.AuditPersonEnable] != 1 {
			t.Errorf("%v", got)
		}
	})
}

func TestChangePassword(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		const fresh = "another good password"
		kept, err := w.SignIn(ctx, "root@example.com", password, w.visitor)
		keep := w.signedIn(kept, err).Session.ID
		link, err := w.ResetPassword(w.byOperator(), root.Person.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.wantField("wrong", w.ChangePassword(ctx, root.Person.ID, "wrong", fresh, keep), "current")
		w.wantField("short", w.ChangePassword(ctx, root.Person.ID, password, "short", keep), "password")
		w.wantCode("nobody's", w.ChangePassword(ctx, "per_none", password, fresh, keep), kinora.ErrNotFound)
		w.wantCode("right", w.ChangePassword(ctx, root.Person.ID, password, fresh, keep), "")
		if _, err := w.Session(ctx, kept); err != nil {
			t.Error(err)
		}
		if list, err := w.Sessions(ctx, root.Person.ID); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		_, err = w.SignIn(ctx, "root@example.com", password, w.visitor)
		w.wantCode("the old one", err, kinora.ErrUnauthorized)
		w.signedIn(w.SignIn(ctx, "root@example.com", fresh, w.visitor))
		_, err = w.Invitation(ctx, link)
		w.wantCode("a link of before", err, kinora.ErrNotFound)

		for range triesPair { // a stolen session must not serve to guess
			w.wantField("a try", w.ChangePassword(ctx, root.Person.ID, "wrong", fresh, keep), "current")
		}
		w.wantCode("one more", w.ChangePassword(ctx, root.Person.ID, fresh, password, keep), kinora.ErrRateLimited)
		if got := w.actions(kinora.AuditFilter{Target: root.Person.ID, Action: "person.password"}); got[kinora.AuditPersonPassword] != 1 {
			t.Errorf("%v", got)
		}
		w.wantField("name", w.Rename(ctx, root.Person.ID, "a\nb"), "name")
		w.wantCode("rename", w.Rename(ctx, root.Person.ID, " Rosa "), "")
		if p, _, err := w.Person(ctx, root.Person.ID); err != nil || p.Name != "Rosa" {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func TestWhatIsOverIsRemoved(t *testing.T) {
	eachWorld(t, func(w *world) {
		ctx := t.Context()
		root := w.setUp()
		_, _, err := w.Invite(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.SignIn(ctx, "root@example.com", "wrong", w.visitor)
		trim := func(at time.Time) (n int64) {
			w.update(func(tx *store.Tx) (err error) { n, err = tx.TrimSignIns(at, 100); return err })
			return n
		}
		if n := trim(w.instant()); n != 0 {
			t.Errorf("%d removed too early", n)
		}
		if n := trim(w.instant().Add(triesSpan)); n != 2 { // of the pair and of the address
			t.Errorf("%d counts removed", n)
		}
		w.clock.advance(knownLife)
		trim(w.instant())
		err = w.db.View(context.Background(), func(tx *store.Tx) error {
			for _, table := range []string{"sessions", "entry_links", "sign_in_counts"} {
				var n int
				if err := tx.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != 0 {
					t.Errorf("%d rows of %s are left, %v", n, table, err)
				}
			}
			return nil
		})
		if err != nil || root == nil {
			t.Fatal(err)
		}
	})
}
