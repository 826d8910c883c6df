package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
)

// slowKeys makes keys once it is let.
type slowKeys struct {
	*fakeTenant
	begun, let chan struct{}
}

func (k slowKeys) CreateKey(ctx context.Context, organisationID, name, kind string, expires time.Time) (*kinora.Key, string, error) {
	k.begun <- struct{}{}
	<-k.let
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	key, _, err := k.fakeTenant.CreateKey(ctx, organisationID, name, kind, expires)
	return key, fmt.Sprintf("sk-secret-%d", len(k.done)), err
}

// keyRequest is a form for a key as the browser sends it.
func keyRequest(s *stand, ctx context.Context, name, once string) *http.Request {
	form := url.Values{"form_token": {s.token("owner")}, "once": {once}, "name": {name}, "kind": {"sk"}}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://kinora.test/dashboard/o/"+north+"/keys/new", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "owner"})
	return r
}

// A browser breaks the first request off when somebody presses once more: the key of the first press is the one that is shown.
func TestSecondPressShowsWhatTheFirstMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys slowKeys
		s := newStand(t, func(c *Config) {
			keys = slowKeys{c.Keys.(*fakeTenant), make(chan struct{}, 2), make(chan struct{})}
			c.Keys = keys
		})
		defer s.Drain()
		ctx, breakOff := context.WithCancel(t.Context())
		first, second := make(chan *httptest.ResponseRecorder, 1), make(chan *httptest.ResponseRecorder, 1)
		go func() { first <- s.send(keyRequest(s, ctx, "shop", "one")) }()
		<-keys.begun
		breakOff()
		go func() { second <- s.send(keyRequest(s, t.Context(), "shop", "one")) }()
		synctest.Wait() // the second waits for the first
		close(keys.let)
		a, b := <-first, <-second
		if len(keys.done) != 1 {
			t.Fatalf("two presses made %v", keys.done)
		}
		if b.Code != http.StatusOK || !strings.Contains(b.Body.String(), "sk-secret-1") || a.Body.String() != b.Body.String() {
			t.Fatalf("the second press got %d %s", b.Code, b.Body)
		}
		if got := s.send(keyRequest(s, t.Context(), "shop", "two")); !strings.Contains(got.Body.String(), "sk-secret-2") {
			t.Fatalf("another form got %d %s", got.Code, got.Body)
		}
	})
}

func TestWhatWasSentIsKnownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil)
		defer s.Drain()
		send := func(name, once string) *httptest.ResponseRecorder {
			return s.send(keyRequest(s, t.Context(), name, once))
		}
		if got := send("", "one"); got.Code != http.StatusUnprocessableEntity {
			t.Fatalf("a key without a name: %d", got.Code)
		}
		if got := send("shop", "one"); got.Code != http.StatusOK { // what was refused may be sent again
			t.Fatalf("the form that was filled in: %d %s", got.Code, got.Body)
		}
		time.Sleep(answerKept)
		got := send("shop", "one")
		if got.Code != http.StatusConflict || strings.Contains(got.Body.String(), "sk-secret") || len(s.tenant.done) != 1 {
			t.Fatalf("the secret is still there, or there is another one: %d, %v", got.Code, s.tenant.done)
		}
		has(t, got.Body.String(), "has been sent already")
		if got := send("another shop", "one"); !strings.Contains(got.Body.String(), "sk-secret") || len(s.tenant.done) != 2 {
			t.Fatalf("the form, filled in otherwise: %d %s", got.Code, got.Body)
		}
		s.people.sessions["again"] = s.people.sessions["owner"]
		other := keyRequest(s, t.Context(), "shop", "one")
		other.Header.Del("Cookie")
		other.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "again"})
		if got := s.send(other); got.Code != http.StatusOK {
			t.Fatalf("another session's form: %d", got.Code)
		}
	})
}

// unreadable are organisations that can be read by their ids alone, as where the database goes away behind a change; failing says since
// when.
type unreadable struct {
	fakeOrganisations
	failing func() bool
}

func (o unreadable) NewestOrganisations(ctx context.Context, limit int) ([]*kinora.Organisation, error) {
	if o.failing() {
		return nil, kinora.Errorf(kinora.ErrUnavailable, "the database is away")
	}
	return o.fakeOrganisations.NewestOrganisations(ctx, limit)
}

// forgetful cannot read secrets once it has made one.
type forgetful struct {
	*fakeWebhooks
	failing func() bool
}

func (f forgetful) WebhookSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error) {
	if f.failing() {
		return nil, kinora.Errorf(kinora.ErrUnavailable, "the database is away")
	}
	return f.fakeWebhooks.WebhookSecrets(ctx, organisationID)
}

// What is shown once is shown whatever fails behind the change, and the change is not made again by a further press.
func TestWhatIsShownOnceIsShown(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string
		form   url.Values
		secret string
	}{
		"key":              {"/o/" + north + "/keys/new", url.Values{"name": {"shop"}, "kind": {"sk"}}, "sk-secret"},
		"rotated key":      {"/o/" + north + "/keys/key_1/rotate", url.Values{"overlap": {"0"}}, "sk-next"},
		"signing secret":   {"/o/" + north + "/webhooks/signing", url.Values{"overlap": {"0"}}, "whsec_brandnew"},
		"invitation":       {"/o/" + north + "/members/invite", url.Values{"email": {"grace@example.com"}, "role": {"member"}}, "kinv_secret"},
		"invitation again": {"/o/" + north + "/members/inv_new/link", url.Values{}, "kinv_secret"},
		"organisation":     {"/operator/organisations/new", url.Values{"name": {"West"}}, "whsec_first"},
		"new password":     {"/operator/persons/per_ada/reset", url.Values{}, "kinv_secret"},
		"person":           {"/operator/persons/invite", url.Values{"email": {"grace@example.com"}, "role": {"member"}, "organisation": {north}}, "kinv_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			var s *stand
			changes := func() int { return len(s.tenant.done) + len(s.instance.done) + len(s.webhooks.calls) }
			s = newStand(t, func(c *Config) {
				failing := func() bool { return changes() > 0 }
				c.Organisations = unreadable{c.Organisations.(fakeOrganisations), failing}
				c.WebhookSettings = forgetful{c.WebhookSettings.(*fakeWebhooks), failing}
				c.Keys.(*fakeTenant).keys = []*kinora.Key{{ID: "key_1", OrganisationID: north, Name: "shop"}}
			})
			tt.form.Set("form_token", s.token("operator"))
			tt.form.Set("once", "ONE")
			var made int
			for range 2 {
				got := s.ask("operator", Prefix+tt.path, tt.form)
				if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), tt.secret) {
					t.Fatalf("it is not shown: %d %s", got.Code, got.Body)
				}
				if made == 0 {
					made = changes()
				}
			}
			if made == 0 || changes() != made {
				t.Fatalf("%d changes became %d", made, changes())
			}
		})
	}
}

// A secret is not kept for longer than it may be asked for again, though nobody sends a form any more.
func TestAnswersAreForgottenByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil)
		defer s.Drain()
		if got := s.send(keyRequest(s, t.Context(), "shop", "one")); got.Code != http.StatusOK {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		kept := func() (n int) {
			s.sent.mu.Lock()
			defer s.sent.mu.Unlock()
			for _, f := range s.sent.known {
				if f.answer != nil {
					n++
				}
			}
			return n
		}
		if kept() != 1 {
			t.Fatalf("%d answers are kept", kept())
		}
		time.Sleep(answerKept)
		synctest.Wait()
		if kept() != 0 || s.sent.kept != 0 || len(s.sent.by) != 0 {
			t.Fatalf("%d answers are kept, %d bytes of %d sessions", kept(), s.sent.kept, len(s.sent.by))
		}
	})
}

// Answers have a bound in bytes, and what one person has kept pushes out no one else's.
func TestKeptAnswersAreBounded(t *testing.T) {
	sent := newSentForms(time.Now)
	leave := func(session, form int) *sentForm {
		var key formKey
		key.session[0], key.session[1], key.form[0] = byte(session), byte(session>>8), byte(form)
		f, first := sent.enter(key)
		if !first {
			t.Fatal("the form is known")
		}
		sent.leave(key, f, &answer{status: http.StatusOK, body: make([]byte, mostAnswer)})
		return f
	}
	bytes := func(session int) (all, own int) {
		for key, f := range sent.known {
			if f.answer != nil {
				all += f.answer.size()
				if key.session[0] == byte(session) && key.session[1] == byte(session>>8) {
					own += f.answer.size()
				}
			}
		}
		return all, own
	}
	one := leave(1000, 0)
	for session := range kinora.MaxSessions { // all of one person's
		for form := range mostSentBy {
			leave(session, form)
		}
		if _, own := bytes(session); own > mostKeptBy || own == 0 {
			t.Fatalf("%d bytes of one session are kept", own)
		}
	}
	if sent.answerOf(one) == nil {
		t.Error("another person's answer has made room")
	}
	for session := range 200 {
		leave(2000+session, 0)
	}
	if all, _ := bytes(0); all > mostKept || all != sent.kept {
		t.Errorf("%d bytes are kept, and counted as %d", all, sent.kept)
	}
	if last := leave(3000, 0); sent.answerOf(last) == nil {
		t.Error("the newest answer is not kept")
	}
}

// What is kept of forms has a bound, and one session cannot use it up.
func TestSentFormsAreBounded(t *testing.T) {
	now := time.Now()
	sent := newSentForms(func() time.Time { return now })
	key := func(session, form int) (k formKey) {
		k.session[0], k.form[0], k.form[1] = byte(session), byte(form), byte(form>>8)
		return k
	}
	enter := func(session, form int) bool {
		f, first := sent.enter(key(session, form))
		if first {
			sent.leave(key(session, form), f, &answer{status: http.StatusOK})
		}
		return first
	}
	enter(1, 0)
	for i := range 3 * mostSentBy {
		enter(2, i)
	}
	if enter(1, 0) || len(sent.known) > mostSentBy+1 {
		t.Fatalf("%d forms are known, or another session's was forgotten", len(sent.known))
	}
	for i := range 2 * mostSent {
		enter(3+i/mostSentBy, i)
	}
	if len(sent.known) > mostSent || len(sent.order) != len(sent.known) {
		t.Fatalf("%d and %d forms are known", len(sent.known), len(sent.order))
	}
	now = now.Add(formKept)
	enter(1, 1)
	if len(sent.known) != 1 {
		t.Fatalf("%d forms are known after an hour", len(sent.known))
	}
}

var postedForm = regexp.MustCompile(`(?s)<form[^>]*method="post".*?</form>`)

// Whoever writes a form by hand, and not with ui.Form, has to think of its tokens.
func TestEveryFormHasATokenOfItsOwn(t *testing.T) {
	s := newStand(t, nil)
	s.Drain()
	seen, forms := map[string]bool{}, 0
	for _, rt := range s.routes {
		if rt.method != http.MethodGet || rt.streams {
			continue
		}
		for _, form := range postedForm.FindAllString(s.request("operator", rt, north).Body.String(), -1) {
			_, rest, _ := strings.Cut(form, `name="once" value="`)
			once, _, _ := strings.Cut(rest, `"`)
			if forms++; once == "" || seen[once] {
				t.Errorf("%s has a form without a token of its own: %s", rt.pattern, form)
			}
			seen[once] = true
		}
	}
	if forms < 20 {
		t.Fatalf("%d forms were looked at", forms)
	}
}
