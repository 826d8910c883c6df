package app_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store/storetest"
)

// signedIn is a visitor who is signed in, and what his forms carry.
type signedIn struct {
	*visitor
	token string
}

const dashboardPassword = "correct horse battery"

// firstPerson sets the instance up, and comes back signed in.
func firstPerson(t *testing.T, a *app.App) signedIn {
	t.Helper()
	link, err := a.People().SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitor(t, a)
	form := url.Values{"token": {link}, "email": {"root@example.com"}, "password": {dashboardPassword}, "again": {dashboardPassword}}
	_, _, body := v.post("/dashboard/setup", form)
	return signedIn{v, tokenOf(t, body)}
}

func tokenOf(t *testing.T, body string) string {
	t.Helper()
	found := formToken.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("the page has no form token:\n%s", body)
	}
	return found[1]
}

// send posts a form, and returns the page that it leads to.
func (s signedIn) send(path string, pairs ...string) (status int, at, body string) {
	s.Helper()
	form := url.Values{"form_token": {s.token}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.post(path, form)
}

// see fails the test unless a page shows each of these.
func (s signedIn) see(path string, pieces ...string) string {
	s.Helper()
	status, _, body := s.get(path)
	if status != http.StatusOK {
		s.Fatalf("%s: %d\n%s", path, status, body)
	}
	for _, p := range pieces {
		if !strings.Contains(body, p) {
			s.Errorf("%s lacks %q:\n%s", path, p, body)
		}
	}
	return body
}

var invitationLink = regexp.MustCompile(`/dashboard/invitation\?token=kinv_[\w-]+`)

// An owner's own pages over the real services: somebody is invited, comes, gets another role and goes; the organisation gets
// another name; and all of it stands in the audit log.
func TestDashboardOfAnOwner(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		root := firstPerson(t, a)
		own := "/dashboard/o/" + a.Bootstrapped().Organisation.ID

		_, _, body := root.send(own+"/members/invite", "email", "Ada@example.com", "role", "member")
		link := invitationLink.FindString(body)
		if link == "" {
			t.Fatalf("there is no link:\n%s", body)
		}
		root.see(own+"/members", "Invitations", "ada@example.com", "New link")
		ada := signedIn{visitor: newVisitor(t, a)}
		_, at, body := ada.post("/dashboard/invitation", url.Values{"token": {link[strings.Index(link, "=")+1:]}, "name": {"Ada"}, "password": {dashboardPassword}, "again": {dashboardPassword}})
		if at != own+"/generations" {
			t.Fatalf("the invitation leads to %s:\n%s", at, body)
		}
		ada.token = tokenOf(t, body)
		if status, _, _ := ada.get(own + "/members"); status != http.StatusForbidden {
			t.Errorf("a member sees the members: %d", status)
		}

		person := regexp.MustCompile(`/members/(per_\w+)/role`).FindAllStringSubmatch(root.see(own+"/members", "Ada"), -1)
		adaID := person[0][1]
		if _, _, body := root.send(own+"/members/"+adaID+"/role", "role", "owner"); !strings.Contains(body, "changed to owner") {
			t.Errorf("the role:\n%s", body)
		}
		ada.see(own+"/members", "root@example.com")
		ada.send(own+"/settings/name", "name", "Kites & Sons")
		ada.see(own+"/settings", "Kites &amp; Sons", "Jobs in flight at once")
		if status, _, body := ada.send(own+"/settings/name", "name", "a\x00b"); status != http.StatusUnprocessableEntity || !strings.Contains(body, "control characters") {
			t.Errorf("a name that is none: %d", status)
		}
		root.see(own+"/audit?action=member.", "invited ada@example.com as member", "changed the role of ada@example.com to owner")
		root.see(own+"/audit?actor="+adaID, "changed the organisation: name", "→ Kites &amp; Sons")
		root.see(own+"/audit?target="+adaID+"&action=organisation.", "Nothing matches")
		root.see(own+"/audit?target=%00", "Nothing matches")

		if _, at, _ := ada.send(own + "/members/" + adaID + "/remove"); at != "/dashboard" && at != "/dashboard/" {
			t.Errorf("who has left is led to %s", at)
		}
		if status, _, _ := ada.get(own + "/generations"); status != http.StatusNotFound {
			t.Errorf("who has left gets %d", status)
		}
	})
}

var newKey = regexp.MustCompile(`<code>(sk-\w{48})</code>`)

// Keys that people make open the API until they are revoked, and what is made with them is seen in usage, ledger and CSV.
func TestDashboardOfKeysAndUsage(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, func(c *config.Config) {
			c.Prices.Models = map[string]config.USD{"sandbox-image": 350_000}
		})
		root := firstPerson(t, a)
		own := "/dashboard/o/" + a.Bootstrapped().Organisation.ID
		made := func(path string, pairs ...string) (key string) {
			t.Helper()
			_, _, body := root.send(path, pairs...)
			found := newKey.FindStringSubmatch(body)
			if found == nil {
				t.Fatalf("%s shows no key:\n%s", path, body)
			}
			return found[1]
		}
		opens := func(key string) bool {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.LocalURL()+"/v1/models", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+key)
			answer, err := root.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			return answer.StatusCode == http.StatusOK
		}
		first := made(own+"/keys/new", "name", "CI", "kind", "sk", "life", "30")
		rotate := regexp.MustCompile(`/keys/(key_\w+)/rotate`).FindAllStringSubmatch(root.see(own+"/keys", "CI", "default"), -1)
		second := made(own+"/keys/"+rotate[0][1]+"/rotate", "overlap", "0")
		if opens(first) || !opens(second) {
			t.Errorf("after the rotation the old key opens: %v, the new one: %v", opens(first), opens(second))
		}

		c, err := client.New(a.LocalURL(), second)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseIdleConnections()
		task, err := c.Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "a kite"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Wait(t.Context(), task.ID, client.WaitOptions{}); err != nil {
			t.Fatal(err)
		}
		root.see(own+"/usage?span=24h", "$0.35", "sandbox-image", "Hour")
		root.see(own+"/usage/ledger", task.ID, "$0.35")
		start, end := time.Now().UTC().AddDate(0, 0, -2), time.Now().UTC().AddDate(0, 0, 2) // whichever day has begun since
		root.see(own+"/usage/ledger/ledger.csv?from="+start.Format(time.DateOnly)+"&until="+end.Format(time.DateOnly), "event_id", task.ID, "0.35")
		root.see(own+"/usage/usage.csv?span=24h", "sandbox-image,1,0,1,0.35")
		if status, at, body := root.get(own + "/usage/ledger/ledger.csv?from=2020-01-01"); status != http.StatusOK || at != own+"/usage/ledger" || !strings.Contains(body, "days apart") {
			t.Errorf("a span that is too long: %d at %s", status, at)
		}

		for _, id := range regexp.MustCompile(`/keys/(key_\w+)/revoke`).FindAllStringSubmatch(root.see(own+"/keys"), -1) {
			root.send(own + "/keys/" + id[1] + "/revoke")
		}
		if opens(second) {
			t.Error("a revoked key opens the API")
		}
		root.see(own+"/keys", "No key works now")
		root.see(own+"/audit?action=key.", "created the API key “CI”", "rotated the API key “CI”", "revoked an API key")
	})
}

// What no database can keep is in no path and no query: neither is an error of the server's.
func TestDashboardRefusesWhatCannotBeKept(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		root := firstPerson(t, a)
		for _, pattern := range a.Dashboard().Pages() {
			pattern = strings.ReplaceAll(pattern, "{$}", "")
			path := strings.ReplaceAll(pattern, "{organisation_id}", a.Bootstrapped().Organisation.ID)
			for _, bad := range []string{"%00", "%FF"} {
				if strings.Contains(path, "{") {
					if status, _, body := root.get(pathParameter.ReplaceAllString(path, "x"+bad)); status != http.StatusNotFound {
						t.Errorf("GET %s with %s: %d\n%s", path, bad, status, body)
					}
				}
				query := "?" + strings.ReplaceAll("after=1.~&waiting=~&next=~&of=~&actor=~&target=~&action=~&reference=~&q=~&id=~&model=~&status=~&since=~&until=~&key=~&to=~", "~", bad)
				if status, _, body := root.get(pathParameter.ReplaceAllString(path, "x") + query); status >= 500 {
					t.Errorf("GET %s%s: %d\n%s", path, query, status, body)
				}
			}
		}
		if status, _, _ := root.get("/dashboard/o/x%00/generations"); status != http.StatusNotFound {
			t.Errorf("an organisation with NUL in its id: %d", status)
		}
	})
}

var pathParameter = regexp.MustCompile(`\{\w+\}`)
