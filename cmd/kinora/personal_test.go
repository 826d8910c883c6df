package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// tryPersonal goes through what operators do on somebody's account page in their place.
func tryPersonal(t *testing.T, ada string) {
	t.Helper()
	if got := document(t, invoke(t, "", "person", "rename", ada, " Ada L. ", "--json").out); keysOf(got) != "created_at disabled email has_password id last_sign_in_at name operator" || got["name"] != "Ada L." {
		t.Errorf("renamed: %v", got)
	}
	shown := document(t, invoke(t, "", "person", "show", ada, "--json").out)
	if belongs, _ := shown["memberships"].([]any); shown["name"] != "Ada L." || len(belongs) != 1 {
		t.Errorf("shown: %v", shown)
	}
	if text := invoke(t, "", "person", "show", ada); text.exit != exitOK || !strings.Contains(text.out, "Ada L.") || !strings.Contains(text.out, "Acme Ltd") {
		t.Errorf("shown: exit %d\n%s%s", text.exit, text.out, text.errOut)
	}
	if got := document(t, invoke(t, "", "person", "sessions", ada, "--json").out); keysOf(got) != "person_id sessions truncated" || len(got["sessions"].([]any)) != 0 {
		t.Errorf("sessions: %v", got)
	}
	if got := document(t, invoke(t, "", "person", "end-sessions", ada, "--json").out); got["ended"] != true || got["session_id"] != "" {
		t.Errorf("ended: %v", got)
	}
	if got := invoke(t, "", "person", "end-sessions", ada, "--session", "ses_01HF8Z3KQX2A6Y4N3R8M5W7V9P"); got.exit != exitNotFound {
		t.Errorf("a session that there is not: exit %d\n%s", got.exit, got.errOut)
	}
	if got := invoke(t, "", "person", "rename", ada, strings.Repeat("x", 101)); got.exit != exitUsage || !strings.Contains(got.errOut, "name") {
		t.Errorf("a name that is too long: exit %d\n%s", got.exit, got.errOut)
	}
}

// A session that an operator ends is over for the browser that has it.
func TestOperatorsEndSessions(t *testing.T) {
	_, server := startServer(t)
	link := document(t, invoke(t, "", "setup-link", "--json").out)["link"].(string)
	_, token, _ := strings.Cut(link, "?token=")
	enter := func() *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Jar: jar}
	}
	post := func(browser *http.Client, path string, form url.Values) {
		t.Helper()
		resp, err := browser.PostForm(server+"/dashboard"+path, form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s answered %d", path, resp.StatusCode)
		}
	}
	signedIn := func(browser *http.Client) bool {
		t.Helper()
		resp, err := browser.Get(server + "/dashboard/account")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return !strings.Contains(resp.Request.URL.Path, "sign-in")
	}
	first, second := enter(), enter()
	post(first, "/setup", url.Values{"token": {token}, "email": {"ada@example.com"}, "password": {"two kites over a bay"}, "again": {"two kites over a bay"}})
	post(second, "/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"two kites over a bay"}})
	sessions := document(t, invoke(t, "", "person", "sessions", "ada@example.com", "--json").out)["sessions"].([]any)
	if len(sessions) != 2 || keysOf(sessions[0]) != "address created_at expires_at id last_seen_at user_agent" || !signedIn(first) || !signedIn(second) {
		t.Fatalf("sessions %v", sessions)
	}
	if text := invoke(t, "", "person", "sessions", "ada@example.com"); !strings.Contains(text.out, "127.0.0.1") || !strings.Contains(text.out, "Go-http-client") {
		t.Errorf("%s%s", text.out, text.errOut)
	}
	id := sessions[0].(map[string]any)["id"].(string)
	if got := invoke(t, "", "person", "end-sessions", "ada@example.com", "--session", id); got.exit != exitOK {
		t.Fatalf("exit %d\n%s", got.exit, got.errOut)
	}
	if signedIn(first) == signedIn(second) {
		t.Errorf("after one session was ended: %t and %t", signedIn(first), signedIn(second))
	}
	if got := invoke(t, "", "person", "end-sessions", "ada@example.com"); got.exit != exitOK || signedIn(first) || signedIn(second) {
		t.Errorf("after all were ended: exit %d, %t and %t\n%s", got.exit, signedIn(first), signedIn(second), got.errOut)
	}
	if log := invoke(t, "", "audit", "--action", "session"); strings.Count(log.out, "session.end") != 2 || !strings.Contains(log.out, "operator") {
		t.Errorf("audit log:\n%s%s", log.out, log.errOut)
	}
}
