package dashboard

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// fill puts ids into a pattern: that of an organisation, and one that there is not for everything else.
func fill(pattern, organisation string) string {
	var segments []string
	for s := range strings.SplitSeq(pattern, "/") {
		switch {
		case s == "{organisation_id}":
			s = organisation
		case s == "{attempt_id}":
			s = "x_0"
		case s == "{$}":
			s = ""
		case strings.HasPrefix(s, "{"):
			s = "x_01J0000000000000000000000X"
		}
		segments = append(segments, s)
	}
	return Prefix + strings.Join(segments, "/")
}

// request asks for a route in somebody's session with his form's token. Streams are asked without waiting for anything.
func (s *stand) request(who string, rt route, organisation string) *httptest.ResponseRecorder {
	if rt.method == http.MethodPost {
		form := url.Values{}
		if who != "" {
			form.Set("form_token", s.token(who))
		}
		return s.ask(who, fill(rt.pattern, organisation), form)
	}
	return s.ask(who, fill(rt.pattern, organisation), nil)
}

var ownToken = regexp.MustCompile(`name="once" value="[A-Z0-9]+"`)

// alike is an answer without what is another one in each form that is drawn.
func alike(w *httptest.ResponseRecorder) string {
	return ownToken.ReplaceAllString(w.Body.String(), "")
}

// What somebody may not see looks, byte for byte but the address, like what there is not: on every route of an organisation.
func TestStrangersSeeNothing(t *testing.T) {
	s := newStand(t, nil)
	const unknown = "org_01J0000000000000000000000Z"
	for _, rt := range s.routes {
		if rt.who.role() == "" {
			continue
		}
		foreign, absent := s.request("stranger", rt, north), s.request("stranger", rt, unknown)
		if foreign.Code != http.StatusNotFound {
			t.Errorf("%s %s: a stranger gets %d", rt.method, rt.pattern, foreign.Code)
		}
		if strings.ReplaceAll(alike(foreign), north, unknown) != alike(absent) {
			t.Errorf("%s %s: a foreign organisation and an unknown one differ", rt.method, rt.pattern)
		}
		if got := s.request("operator", rt, unknown); got.Code != http.StatusNotFound {
			t.Errorf("%s %s: an operator gets %d for an organisation that there is not", rt.method, rt.pattern, got.Code)
		}
	}
}

// A page that is left open keeps up its stream by itself: nobody need be looking at it.
func TestOpenPagesAreNoUseOfASession(t *testing.T) {
	s := newStand(t, nil)
	s.Drain() // streams end at once
	for _, rt := range s.routes {
		if rt.who == anybody || rt.method != http.MethodGet {
			continue
		}
		before := s.people.uses.Load()
		s.request("operator", rt, north)
		if used := s.people.uses.Load() > before; used == rt.streams {
			t.Errorf("%s: that it was asked for is a use of the session: %v", rt.pattern, used)
		}
	}
}

// Every route refuses whoever has not the role that the table asks for.
func TestRolesAreHeld(t *testing.T) {
	rank := map[string]audience{"member": member, "admin": admin, "owner": owner, "operator": operator}
	for _, who := range []string{"", "member", "admin", "owner", "operator"} {
		s := newStand(t, nil)
		s.Drain() // streams end at once
		for _, rt := range s.routes {
			if rt.pattern == "/sign-out" {
				continue // ends the session that the others need
			}
			got := s.request(who, rt, north)
			refused := got.Code == http.StatusForbidden || got.Code == http.StatusNotFound && rt.who == operator ||
				strings.HasPrefix(got.Header().Get("Location"), Prefix+"/sign-in")
			may := rt.who == anybody || who != "" && (rt.who == person || rank[who] >= rt.who)
			if who == "" && rt.streams && got.Code == http.StatusNoContent {
				refused = true
			}
			if refused == may {
				t.Errorf("%s %s as %q: %d %s", rt.method, rt.pattern, who, got.Code, got.Header().Get("Location"))
			}
		}
	}
}

// No change is made without the token of the session's own forms, wherever the form comes from.
func TestFormsNeedTheirToken(t *testing.T) {
	s := newStand(t, nil)
	for _, rt := range s.routes {
		if rt.method != http.MethodPost || rt.who == anybody {
			continue
		}
		path := fill(rt.pattern, north)
		for name, form := range map[string]url.Values{"none": {}, "another's": {"form_token": {s.token("stranger")}}} {
			who := "owner"
			if rt.who == operator {
				who = "operator"
			}
			if got := s.ask(who, path, form); got.Code != http.StatusForbidden {
				t.Errorf("%s with token %s: %d", rt.pattern, name, got.Code)
			}
		}
	}
}

func TestOtherSitesPostNothing(t *testing.T) {
	s := newStand(t, nil)
	for _, rt := range s.routes {
		if rt.method != http.MethodPost {
			continue
		}
		r := httptest.NewRequest(http.MethodPost, "http://kinora.test"+fill(rt.pattern, north), strings.NewReader(url.Values{"form_token": {s.token("owner")}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://elsewhere.example")
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "owner"})
		if got := s.send(r); got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), "another site") {
			t.Errorf("%s from another site: %d", rt.pattern, got.Code)
		}
	}
}

// Over plain http, on a host that is not the browser's own machine, browsers do not tell whether a form comes from another site
// (Sec-Fetch-Site), but only from which (Origin): "null" where the page's policy forbids referrers.
func TestFormsOverPlainHTTP(t *testing.T) {
	for _, host := range []string{"kinora.test", "192.168.1.5:8080"} {
		s := newStand(t, func(c *Config) { c.URL = "http://127.0.0.1:8080" })
		post := func(path, origin string, form url.Values) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, "http://"+host+path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", origin)
			r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
			return s.send(r)
		}
		page := httptest.NewRequest(http.MethodGet, "http://"+host+Prefix+"/sign-in", nil)
		origin := "http://" + host
		if policy := s.send(page).Header().Get("Referrer-Policy"); policy == "no-referrer" { // WHATWG Fetch, "append a request Origin header"
			origin = "null"
		}
		in := url.Values{"email": {"member"}, "password": {"correct horse battery"}}
		if got := post(Prefix+"/sign-in", origin, in); got.Code != http.StatusSeeOther || len(got.Result().Cookies()) != 1 {
			t.Errorf("%s: signing in: %d %s", host, got.Code, got.Body)
		}
		name := url.Values{"form_token": {s.token("member")}, "name": {"Mia"}}
		if got := post(Prefix+"/account/name", origin, name); got.Code != http.StatusSeeOther {
			t.Errorf("%s: a form: %d %s", host, got.Code, got.Body)
		}
		for _, other := range []string{"http://elsewhere.example", "null"} {
			if got := post(Prefix+"/account/name", other, name); got.Code != http.StatusForbidden {
				t.Errorf("%s: a form of %s: %d", host, other, got.Code)
			}
		}
	}
}

// Browsers obey the opener policy only where they trust the connection, and complain elsewhere.
func TestOpenerPolicyWhereItHolds(t *testing.T) {
	for at, want := range map[string]bool{"https://kinora.test": true, "http://localhost:8080": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://[::1]": true,
		"http://kinora.test": false, "http://192.168.1.5:8080": false, "http://localhost.example": false} {
		s := newStand(t, func(c *Config) { c.URL = at })
		got := s.send(httptest.NewRequest(http.MethodGet, at+Prefix+"/sign-in", nil))
		if has := got.Header().Get("Cross-Origin-Opener-Policy") == "same-origin"; has != want {
			t.Errorf("%s: %v", at, got.Header())
		}
	}
}

func TestEveryPageIsLockedDown(t *testing.T) {
	s := newStand(t, nil)
	s.Drain()
	for _, rt := range s.routes {
		if rt.method != http.MethodGet {
			continue
		}
		got := s.request("operator", rt, north)
		h := got.Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp+";", want) {
				t.Errorf("%s: policy %q lacks %s", rt.pattern, csp, want)
			}
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" || !strings.HasPrefix(h.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: headers %v", rt.pattern, h)
		}
		for _, never := range []string{"<script>", " style=", "onclick=", "javascript:"} {
			if strings.Contains(got.Body.String(), never) {
				t.Errorf("%s has %s", rt.pattern, never)
			}
		}
	}
}

// An address that names an organisation alone leads to its generations.
func TestAnOrganisationLeadsToItsGenerations(t *testing.T) {
	s := newStand(t, nil)
	for _, end := range []string{"", "/"} {
		got := s.ask("member", Prefix+"/o/"+north+end, nil)
		if got.Code != http.StatusSeeOther || got.Header().Get("Location") != Prefix+"/o/"+north+"/generations" {
			t.Errorf("%q: %d %s", end, got.Code, got.Header().Get("Location"))
		}
	}
	if got := s.ask("stranger", Prefix+"/o/"+north, nil); got.Code != http.StatusNotFound {
		t.Errorf("a stranger: %d", got.Code)
	}
}
