package people

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/people/issuertest"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// eachProvider is eachWorld with an identity provider.
func eachProvider(t *testing.T, fn func(w *world, i *issuertest.Issuer)) {
	t.Helper()
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, Options{})
		i := issuertest.New(t, w.clock.now)
		w.provider = newProvider(OIDC{Issuer: i.URL, ClientID: issuertest.ClientID, ClientSecret: issuertest.ClientSecret, RedirectURL: "https://kinora.example/dashboard/oidc/callback",
			Domains: []string{"example.com"}, Organisation: w.a}, w.clock.now)
		t.Cleanup(w.provider.client.CloseIdleConnections)
		fn(w, i)
	})
}

// come signs in at the identity provider, which says claims.
func (w *world) come(i *issuertest.Issuer, claims map[string]any) (session string, err error) {
	w.t.Helper()
	i.Claims = claims
	redirect, cookie, err := w.OIDCStart(w.t.Context(), "/dashboard/account")
	if err != nil {
		w.t.Fatal(err)
	}
	session, returnTo, err := w.OIDCFinish(w.t.Context(), cookie, i.Authorize(redirect), w.visitor)
	if err == nil && returnTo != "/dashboard/account" {
		w.t.Errorf("returned to %q", returnTo)
	}
	return session, err
}

func TestOIDC(t *testing.T) {
	eachProvider(t, func(w *world, i *issuertest.Issuer) {
		root := w.setUp()
		if label := w.IdentityProvider(); label == "" || !strings.HasPrefix(i.URL, "http://"+label) {
			t.Errorf("label %q", label)
		}
		ada := w.signedIn(w.come(i, nil))
		if ada.Person.Email != "ada@example.com" || ada.Person.Name != "Ada" || ada.Person.HasPassword || ada.RoleIn(w.a) != kinora.RoleMember || ada.RoleIn(w.b) != "" {
			t.Errorf("%+v", ada)
		}
		again := w.signedIn(w.come(i, map[string]any{"email": "ada.new@example.com"})) // the same account has another address
		if again.Person.ID != ada.Person.ID {
			t.Errorf("%+v", again.Person)
		}
		w.wantCode("password", w.ChangePassword(t.Context(), ada.Person.ID, "", password, ""), kinora.ErrConflict)

		// Whom the provider vouches for is believed, and has what they were invited to.
		if m, token, err := w.Invite(w.as(root), w.b, "ada@example.com", kinora.RoleAdmin); err != nil || token != "" || m.Pending {
			t.Errorf("%+v, %q, %v", m, token, err)
		}
		_, _, err := w.Invite(w.as(root), w.b, "guest@elsewhere.example", kinora.RoleAdmin)
		w.wantCode("invite", err, "")
		guest := w.signedIn(w.come(i, map[string]any{"sub": "sub-2", "email": "guest@elsewhere.example", "email_verified": "true"}))
		if guest.RoleIn(w.b) != kinora.RoleAdmin || guest.RoleIn(w.a) != "" {
			t.Errorf("%+v", guest)
		}
		_, err = w.come(i, map[string]any{"sub": "sub-3", "email": "ada@example.com"})
		w.wantCode("another account by the same address", err, kinora.ErrForbidden)
		_, err = w.SetDisabled(w.byOperator(), guest.Person.ID, true)
		w.wantCode("disable", err, "")
		_, err = w.come(i, map[string]any{"sub": "sub-2", "email": "guest@elsewhere.example"})
		w.wantCode("disabled", err, kinora.ErrForbidden)
		for what, claims := range map[string]map[string]any{
			"not invited":       {"sub": "sub-4", "email": "x@elsewhere.example"},
			"a domain below":    {"sub": "sub-4", "email": "x@sub.example.com"},
			"not verified":      {"sub": "sub-4", "email": "x@example.com", "email_verified": false},
			"verified as text":  {"sub": "sub-4", "email": "x@example.com", "email_verified": "false"},
			"nothing of it":     {"sub": "sub-4", "email": "x@example.com", "email_verified": nil},
			"no e-mail address": {"sub": "sub-4", "email": "x"},
			"another's answer":  {"sub": "sub-4", "email": ""}, // the user info is of sub-1
		} {
			_, err := w.come(i, claims)
			w.wantCode(what, err, kinora.ErrForbidden)
		}
		later := w.signedIn(w.come(i, map[string]any{"sub": "sub-1", "email": ""}))
		if later.Person.ID != ada.Person.ID {
			t.Errorf("%+v", later.Person)
		}
		if got := w.actions(kinora.AuditFilter{ActorID: ada.Person.ID}); got[kinora.AuditPersonCreate] != 1 || got[kinora.AuditSessionBegin] != 3 {
			t.Errorf("%v", got)
		}
	})
}

// An account that nobody vouched for goes to whom the provider vouches for, without the password that somebody chose.
func TestOIDCTakesAnUnprovenAccountOver(t *testing.T) {
	eachProvider(t, func(w *world, i *issuertest.Issuer) {
		mallory := w.join(w.byOperator(), w.b, "mallory@elsewhere.example", kinora.RoleOwner)
		w.join(w.as(mallory), w.b, "ada@example.com", kinora.RoleMember)
		squatter, err := w.SignIn(t.Context(), "ada@example.com", password, w.visitor)
		w.signedIn(squatter, err)
		ada := w.signedIn(w.come(i, nil))
		_, err = w.Session(t.Context(), squatter)
		w.wantCode("the squatter's session", err, kinora.ErrUnauthorized)
		_, err = w.SignIn(t.Context(), "ada@example.com", password, w.visitor)
		w.wantCode("the squatter's password", err, kinora.ErrUnauthorized)
		if ada.RoleIn(w.b) != kinora.RoleMember {
			t.Errorf("%+v", ada)
		}

		// The provider vouches for the address, not for it that she wants to be in an organisation whose owner has asked her.
		_, _, err = w.Invite(w.as(mallory), w.b, "bob@example.com", kinora.RoleOwner)
		w.wantCode("invite", err, "")
		bob := w.signedIn(w.come(i, map[string]any{"sub": "sub-8", "email": "bob@example.com"}))
		if bob.RoleIn(w.b) != "" || len(bob.Invitations) != 1 || bob.Invitations[0].InvitedBy != "mallory@elsewhere.example" {
			t.Errorf("%+v", bob)
		}

		// A proven one keeps its password.
		eve := w.join(w.byOperator(), w.a, "eve@example.com", kinora.RoleMember)
		if in := w.signedIn(w.come(i, map[string]any{"sub": "sub-9", "email": "eve@example.com"})); in.Person.ID != eve.Person.ID || !in.Person.HasPassword {
			t.Errorf("%+v", in)
		}
		w.signedIn(w.SignIn(t.Context(), "eve@example.com", password, w.visitor))
	})
}

func TestOIDCJourneysThatGoAstray(t *testing.T) {
	eachProvider(t, func(w *world, i *issuertest.Issuer) {
		ctx := t.Context()
		begin := func() (url.Values, string) {
			redirect, cookie, err := w.OIDCStart(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			return i.Authorize(redirect), cookie
		}
		finish := func(what string, cookie string, query url.Values, code kinora.ErrorCode) {
			t.Helper()
			_, _, err := w.OIDCFinish(ctx, cookie, query, w.visitor)
			w.wantCode(what, err, code)
			if err != nil && strings.Contains(err.Error(), issuertest.ClientSecret) {
				t.Errorf("%s: the error tells the provider's answer: %v", what, err)
			}
		}
		query, cookie := begin()
		_, other := begin()
		finish("another browser", other, query, kinora.ErrUnauthorized)
		finish("no cookie", "", query, kinora.ErrUnauthorized)
		finish("a cookie of something else", func() string { s, _ := w.ring.Seal([]byte(`{"state":""}`), "other"); return s }(), url.Values{"code": {"x"}}, kinora.ErrUnauthorized)
		finish("another issuer", cookie, url.Values{"code": query["code"], "state": query["state"], "iss": {"https://evil.example"}}, kinora.ErrUnauthorized)
		finish("refused", cookie, url.Values{"error": {"access_denied"}, "state": query["state"]}, kinora.ErrUnauthorized)
		finish("no code", cookie, url.Values{"error": {"server_error"}, "state": query["state"]}, kinora.ErrUnauthorized)
		if i.Asked != 0 {
			t.Errorf("%d codes were used", i.Asked)
		}
		finish("right", cookie, query, "")
		finish("the code again", cookie, query, kinora.ErrUnauthorized)

		query, cookie = begin()
		w.clock.advance(oidcLife)
		finish("too late", cookie, query, kinora.ErrUnauthorized)

		for what, claims := range map[string]map[string]any{
			"a replayed answer": {"nonce": "another"}, "for another client": {"aud": "someone"}, "another issuer's": {"iss": "https://evil.example"},
			"an old answer": {"exp": w.clock.now().Add(-time.Minute).Unix()}, "nobody's": {"sub": ""},
		} {
			i.Claims = claims
			query, cookie = begin()
			finish(what, cookie, query, kinora.ErrUnauthorized)
		}
		i.Claims = nil
		query, cookie = begin()
		w.provider.ClientSecret = "wrong"
		finish("a wrong client secret", cookie, query, kinora.ErrUnavailable)
		w.provider.ClientSecret = issuertest.ClientSecret
		query, cookie = begin()
		i.Close()
		finish("while the provider is away", cookie, query, kinora.ErrUnavailable)
		w.provider = newProvider(w.provider.OIDC, w.clock.now)
		_, _, err := w.OIDCStart(ctx, "")
		w.wantCode("start while it is away", err, kinora.ErrUnavailable)
		w.provider = newProvider(OIDC{}, w.clock.now)
		_, _, err = w.OIDCStart(ctx, "")
		w.wantCode("without one", err, kinora.ErrNotFound)
		finish("without one", cookie, query, kinora.ErrNotFound)
		if w.IdentityProvider() != "" {
			t.Error("there is a button without a provider")
		}
	})
}

// While the provider does not answer it is asked by one request at a time, and nobody waits for it longer than they want to.
func TestAnAbsentProviderHoldsNobodyUp(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t), Options{})
	var (
		arrived = make(chan struct{}, 10)
		answers = make(chan http.HandlerFunc)
	)
	i := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case answer := <-answers:
			answer(rw, r)
		case <-t.Context().Done():
		}
	}))
	t.Cleanup(i.Close)
	w.provider = newProvider(OIDC{Issuer: i.URL, ClientID: "kinora"}, w.clock.now)
	t.Cleanup(w.provider.client.CloseIdleConnections)
	start := func(ctx context.Context) error {
		_, _, err := w.OIDCStart(ctx, "")
		return err
	}
	first := make(chan error, 2)
	click := func() { first <- start(t.Context()) }
	away := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) }
	gone, leave := context.WithCancel(t.Context())
	leave()

	go click()
	<-arrived
	if err := start(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone gets %v", err)
	}
	go click()
	answers <- away
	for range 2 {
		w.wantCode("a wait for the first answer", <-first, kinora.ErrUnavailable)
	}
	for range 3 {
		w.wantCode("a moment later", start(t.Context()), kinora.ErrUnavailable)
	}
	w.clock.advance(oidcRest)
	go click()
	<-arrived
	w.wantCode("while it is asked again", start(t.Context()), kinora.ErrUnavailable)
	answers <- func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, i.URL, i.URL+"/authorize", i.URL+"/token", i.URL+"/keys")
	}
	w.wantCode("when it is back", <-first, "")
	w.wantCode("then", start(t.Context()), "")
	if n := len(arrived); n != 0 {
		t.Errorf("it was asked %d times too often", n)
	}
}

// Who has only come from an identity provider that is configured no more cannot sign in, and is no owner or operator to count on.
func TestOwnersOfAFormerProviderDoNotCount(t *testing.T) {
	eachProvider(t, func(w *world, i *issuertest.Issuer) {
		root := w.setUp()
		ada := w.signedIn(w.come(i, nil)).Person.ID
		op := w.byOperator()
		w.wantCode("an owner", w.SetRole(op, w.a, ada, kinora.RoleOwner), "")
		w.wantCode("an operator", w.SetOperator(op, ada, true), "")
		left := func() string {
			t.Helper()
			list, err := w.Ownerless(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(len(list))
		}
		here := w.provider.OIDC
		for _, issuer := range []string{"", here.Issuer[:len(here.Issuer)-1], "https://elsewhere.example"} {
			former := here
			former.Issuer = issuer
			w.provider = newProvider(former, w.clock.now)
			w.wantCode(issuer+": the last operator", w.SetOperator(op, root.Person.ID, false), kinora.ErrConflict)
			w.wantCode(issuer+": the last owner", w.RemoveMember(op, w.a, root.Person.ID), kinora.ErrConflict)
		}
		w.wantCode("without root", w.db.Update(t.Context(), func(tx *store.Tx) error { return tx.DeleteMembership(w.a, root.Person.ID) }), "")
		if left() != "1" {
			t.Errorf("%s organisations are told to have no owner", left())
		}
		w.provider = newProvider(here, w.clock.now)
		if left() != "0" {
			t.Errorf("%s organisations are told to have no owner, with the provider", left())
		}
		w.wantCode("the last owner, by the provider", w.RemoveMember(op, w.a, ada), kinora.ErrConflict)
		w.wantCode("one of two operators", w.SetOperator(op, root.Person.ID, false), "")
	})
}

// A link for a new password parts a person from their account at the provider. Whoever is on the way in by that account
// just then, and has another address there by now, does not get it back.
func TestOIDCAfterANewPasswordGoesByTheAddress(t *testing.T) {
	w := newWorld(t, storetest.Postgres(t), Options{})
	old := identity{subject: "https://issuer.example sub-1", email: "ada@example.com"}
	w.join(w.byOperator(), w.a, "ada@example.com", kinora.RoleMember)
	session, err := w.enter(t.Context(), old, w.visitor)
	ada := w.signedIn(session, err).Person.ID
	old.email = "mallory@example.com"
	err = w.whileHeld(func(tx *store.Tx) error {
		p, err := tx.LockPerson(ada)
		if err == nil {
			p.Subject = ""
			err = tx.SavePerson(p)
		}
		return err
	}, func() error {
		_, err := w.enter(t.Context(), old, w.visitor)
		return err
	}, func() {})
	w.wantCode("the old account", err, kinora.ErrForbidden)
}
