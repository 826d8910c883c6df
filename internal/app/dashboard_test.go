package app_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/store/storetest"
)

// visitor is a browser without scripts.
type visitor struct {
	*testing.T
	http *http.Client
	at   string
}

func newVisitor(t *testing.T, a *app.App) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{T: t, http: &http.Client{Jar: jar, Transport: transport}, at: a.LocalURL()}
}

func (v *visitor) do(r *http.Request, err error) (status int, path, body string) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	answer, err := v.http.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.Fatal(err)
	}
	return answer.StatusCode, answer.Request.URL.Path, string(text)
}

func (v *visitor) get(path string) (status int, at, body string) {
	v.Helper()
	return v.do(http.NewRequestWithContext(v.Context(), http.MethodGet, v.at+path, nil))
}

func (v *visitor) post(path string, form url.Values) (status int, at, body string) {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), http.MethodPost, v.at+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return v.do(r, err)
}

var formToken = regexp.MustCompile(`name="form_token" value="([^"]+)"`)

// From the set-up link to the list of generations, out and in again, on both databases.
func TestDashboardFromItsFirstLink(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		link, err := a.People().SetupLink(t.Context())
		if err != nil || link == "" {
			t.Fatalf("set-up link %q, %v", link, err)
		}
		v := newVisitor(t, a)
		if _, at, _ := v.get("/"); at != "/dashboard/sign-in" {
			t.Errorf("a browser that asks for the root lands on %s", at)
		}
		form := url.Values{"token": {link}, "email": {"Ada@example.com"}, "name": {"Ada"}, "password": {"correct horse battery"}, "again": {"another one"}}
		if status, _, body := v.post("/dashboard/setup", form); status != http.StatusUnprocessableEntity || !strings.Contains(body, "not the same") {
			t.Errorf("two passwords: %d", status)
		}
		form.Set("again", "correct horse battery")
		list := "/dashboard/o/" + a.Bootstrapped().Organisation.ID + "/generations"
		status, at, body := v.post("/dashboard/setup", form)
		if status != http.StatusOK || at != list || !strings.Contains(body, "No generations yet") {
			t.Fatalf("set-up ended with %d at %s:\n%s", status, at, body)
		}
		if status, _, body := v.post("/dashboard/setup", form); status != http.StatusNotFound || !strings.Contains(body, "setup-link") {
			t.Errorf("the link used again: %d", status)
		}
		token := formToken.FindStringSubmatch(body)
		if token == nil {
			t.Fatal("the page has no form token")
		}
		if _, at, _ := v.post("/dashboard/sign-out", url.Values{"form_token": token[1:]}); at != "/dashboard/sign-in" {
			t.Errorf("signing out leads to %s", at)
		}
		if _, at, _ := v.get(list); at != "/dashboard/sign-in" {
			t.Errorf("the list without a session leads to %s", at)
		}
		if status, _, _ := v.post("/dashboard/sign-in", url.Values{"email": {"ada@example.com"}, "password": {"wrong horse battery"}}); status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong password: %d", status)
		}
		in := url.Values{"email": {"ada@example.com"}, "password": {"correct horse battery"}, "next": {"/dashboard/account"}}
		if status, at, body := v.post("/dashboard/sign-in", in); status != http.StatusOK || at != "/dashboard/account" || !strings.Contains(body, "this one") {
			t.Errorf("signing in: %d at %s", status, at)
		}
	})
}
