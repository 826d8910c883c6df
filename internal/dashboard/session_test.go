package dashboard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// Wherever a sign-in is asked to lead, it stays in the dashboard.
func TestSignInLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"":                                 "/dashboard",
		"/dashboard":                       "/dashboard",
		"/dashboard/account?tab=a&b=%2F":   "/dashboard/account?tab=a&b=%2F",
		"https://elsewhere.example":        "/dashboard",
		"//elsewhere.example/dashboard/":   "/dashboard",
		"/\\elsewhere.example":             "/dashboard",
		"/dashboard\\@elsewhere.example":   "/dashboard",
		"/dashboard/../admin":              "/dashboard",
		"/dashboard/..":                    "/dashboard",
		"/dashboard/%2e%2e/admin":          "/dashboard",
		"/dashboardelsewhere":              "/dashboard",
		"javascript:alert(1)":              "/dashboard",
		"/dashboard/\r\nSet-Cookie: a=b":   "/dashboard",
		"http://user@/dashboard/":          "/dashboard",
		"/dashboard/o/org_1/generations?x": "/dashboard/o/org_1/generations?x",
	} {
		s := newStand(t, nil)
		got := s.ask("", Prefix+"/sign-in", url.Values{"email": {"member"}, "password": {"correct horse battery"}, "next": {next}})
		if got.Code != http.StatusSeeOther || got.Header().Get("Location") != want {
			t.Errorf("%q leads to %d %q", next, got.Code, got.Header().Get("Location"))
		}
	}
}

// A path that a proxy takes off stands before every address that a browser is given, and in none that it sends.
func TestBehindAPathOfAProxy(t *testing.T) {
	s := newStand(t, func(c *Config) { c.URL = "https://kinora.test/images" })
	got := s.ask("", Prefix+"/account", nil)
	if at := got.Header().Get("Location"); at != "/images/dashboard/sign-in?next=%2Fdashboard%2Faccount" {
		t.Errorf("signing in is at %s", at)
	}
	got = s.ask("", Prefix+"/sign-in", url.Values{"email": {"member"}, "password": {"correct horse battery"}, "next": {"/dashboard/account"}})
	if at := got.Header().Get("Location"); at != "/images/dashboard/account" {
		t.Errorf("it leads to %s", at)
	}
	body := s.ask("member", Prefix+"/account", nil).Body.String()
	for _, attribute := range []string{`href="/`, `src="/`, `action="/`} {
		for _, rest := range strings.Split(body, attribute)[1:] {
			if !strings.HasPrefix(rest, "images/dashboard") {
				t.Errorf("%s%.40s", attribute, rest)
			}
		}
	}
}

// Cookies are out of reach of scripts and of other sites' forms, and on https of other hosts and of http.
func TestCookies(t *testing.T) {
	for at, secure := range map[string]bool{"http://kinora.test": false, "https://kinora.test": true} {
		s := newStand(t, func(c *Config) { c.URL = at })
		got := s.ask("", Prefix+"/sign-in", url.Values{"email": {"member"}, "password": {"correct horse battery"}})
		cookies := got.Result().Cookies()
		if len(cookies) != 1 {
			t.Fatalf("%d cookies", len(cookies))
		}
		c := cookies[0]
		if c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || strings.HasPrefix(c.Name, "__Host-") != secure {
			t.Errorf("%s: %s", at, c)
		}
	}
}

// A message travels to the next page, once, and as text.
func TestMessagesAreShownOnceAsText(t *testing.T) {
	s := newStand(t, nil)
	w := httptest.NewRecorder()
	v := &visit{Dashboard: s.Dashboard, w: w, r: httptest.NewRequest(http.MethodPost, "/", nil)}
	_ = v.done("/dashboard/account", `<img src=x onerror="alert(1)">`)
	r := httptest.NewRequest(http.MethodGet, "http://kinora.test"+Prefix+"/account", nil)
	r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
	r.AddCookie(w.Result().Cookies()[0])
	got := s.send(r)
	if body := got.Body.String(); !strings.Contains(body, "&lt;img") || strings.Contains(body, "<img src=x") {
		t.Errorf("the message is drawn as %s", body)
	}
	if c := got.Result().Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("the message stays: %v", c)
	}
	for _, bad := range []string{"", "!", "bm90IGpzb24", "eyJ0b25lIjoieCIsInRleHQiOiJ5In0"} {
		r.Header.Del("Cookie")
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
		r.AddCookie(&http.Cookie{Name: s.cookieName(flashCookie), Value: bad})
		if got := s.send(r); got.Code != http.StatusOK || strings.Contains(got.Body.String(), `class="alert`) {
			t.Errorf("cookie %q: %d", bad, got.Code)
		}
	}
}

// Streams end within one sign of life once the session has ended, or the person is no member any more.
func TestStreamsEndWithTheSession(t *testing.T) {
	for name, end := range map[string]func(s *stand){
		"signed out": func(s *stand) { delete(s.people.sessions, "member") },
		"removed":    func(s *stand) { s.people.sessions["member"].Memberships = nil },
		"another role": func(s *stand) {
			s.people.sessions["member"].Memberships = []kinora.Membership{{OrganisationID: north, Role: kinora.RoleAdmin}}
		},
	} {
		s := newStand(t, nil)
		r := httptest.NewRequest(http.MethodGet, Prefix+"/o/"+north+"/generations/live", nil)
		r.SetPathValue("organisation_id", north)
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
		w := httptest.NewRecorder()
		v := &visit{Dashboard: s.Dashboard, w: w, r: r, route: &route{who: member, streams: true}, who: s.people.sessions["member"], role: kinora.RoleMember}
		out := &live{v: v, control: http.NewResponseController(w)}
		if err := out.idle(t.Context()); err != nil {
			t.Fatalf("%s: while it stands: %v", name, err)
		}
		end(s)
		if err := out.idle(t.Context()); err != errStreamEnded {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fakeProvider knows one journey.
type fakeProvider struct{}

func (fakeProvider) IdentityProvider() string { return "Example ID" }
func (fakeProvider) OIDCStart(_ context.Context, returnTo string) (string, string, error) {
	return "https://id.example/authorize", "journey to " + returnTo, nil
}
func (fakeProvider) OIDCFinish(_ context.Context, cookie string, query url.Values, _ kinora.Visitor) (string, string, error) {
	if to, ok := strings.CutPrefix(cookie, "journey to "); ok && query.Get("code") == "right" {
		return "member", to, nil
	}
	return "", "", kinora.Errorf(kinora.ErrUnauthorized, "the sign-in could not be completed; try again")
}

func TestSignInByAnIdentityProvider(t *testing.T) {
	s := newStand(t, func(c *Config) { c.Provider = fakeProvider{} })
	if body := s.ask("", Prefix+"/sign-in?next=/dashboard/account", nil).Body.String(); !strings.Contains(body, `href="/dashboard/oidc/start?next=%2Fdashboard%2Faccount"`) {
		t.Errorf("the sign-in page has no button for it: %s", body)
	}
	out := s.ask("", Prefix+"/oidc/start?next=/dashboard/account", nil)
	if to := out.Header().Get("Location"); to != "https://id.example/authorize" {
		t.Fatalf("it leads to %s", to)
	}
	back := func(code string, kept bool) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "http://kinora.test"+Prefix+"/oidc/callback?code="+code, nil)
		if kept {
			r.AddCookie(out.Result().Cookies()[0])
		}
		return s.send(r)
	}
	if got := back("right", true); got.Header().Get("Location") != "/dashboard/account" || !strings.Contains(got.Header().Values("Set-Cookie")[1], "session=member") {
		t.Errorf("coming back: %d %v", got.Code, got.Header())
	}
	for name, got := range map[string]*httptest.ResponseRecorder{"wrong code": back("wrong", true), "another browser": back("right", false)} {
		if got.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Body.String(), "try again") {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
	if got := newStand(t, nil).ask("", Prefix+"/oidc/start", nil); got.Code != http.StatusNotFound {
		t.Errorf("without a provider: %d", got.Code)
	}
}

func TestReturnsStayInTheDashboard(t *testing.T) {
	for _, text := range []string{"", "/", "/dashboards", "/dashboard/../admin", "//evil.example/dashboard/", "https://evil.example/dashboard/", "/\\evil.example", "/dashboard\\..", "javascript:alert(1)",
		"/dashboard/\nx", "dashboard/x", "/dashboard/%2e%2e/admin", "https:/dashboard/x", "/api/v1/generations", "/dashboard//evil.example"} {
		if got := localPage(text); got != Prefix {
			t.Errorf("%q leads to %q", text, got)
		}
	}
	for _, text := range []string{"/dashboard", "/dashboard/", "/dashboard/o/org_1/generations?state=failed&q=a%2Fb"} {
		if got := localPage(text); got != text {
			t.Errorf("%q leads to %q", text, got)
		}
	}
}
