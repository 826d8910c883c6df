package app_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/people/issuertest"
)

// The link that a start shows is the one that opens the door, and nobody is shown another once somebody is in.
func TestTheStartShowsTheFirstPersonsLink(t *testing.T) {
	data := t.TempDir() // keys included
	dsn, inData := filepath.Join(data, "kinora.db"), func(c *config.Config) { c.DataDir = data }
	a := run(t, dsn, inData)
	address, token, _ := strings.Cut(a.SetUpLink(), "?token=")
	if address != a.URL()+"/dashboard/setup" {
		t.Fatalf("link %q", a.SetUpLink())
	}
	v := newVisitor(t, a)
	const word = "correct horse battery"
	if status, at, _ := v.post("/dashboard/setup", url.Values{"token": {token}, "email": {"ada@example.com"}, "password": {word}, "again": {word}}); status != http.StatusOK || !strings.HasPrefix(at, "/dashboard/o/") {
		t.Fatalf("the link led to %d at %s", status, at)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := run(t, dsn, inData); again.SetUpLink() != "" {
		t.Error("a second link, with somebody in")
	}
}

func TestWithoutTheDashboard(t *testing.T) {
	a := run(t, filepath.Join(t.TempDir(), "kinora.db"), func(c *config.Config) { c.Dashboard.Enabled = false })
	if a.SetUpLink() != "" {
		t.Error("a link to a dashboard that is not there")
	}
	if status, _, _ := newVisitor(t, a).get("/dashboard/sign-in"); status != http.StatusNotFound {
		t.Errorf("answered %d", status)
	}
}

// A browser goes to the identity provider and comes back signed in, on the page that it wanted.
func TestSigningInByAnIdentityProvider(t *testing.T) {
	issuer := issuertest.New(t, time.Now)
	a := run(t, filepath.Join(t.TempDir(), "kinora.db"), func(c *config.Config) {
		c.Dashboard.OIDC = config.OIDC{Issuer: issuer.URL, ClientID: issuertest.ClientID, ClientSecret: issuertest.ClientSecret, Label: "Staff account"}
	})
	v := newVisitor(t, a)
	if _, _, body := v.get("/dashboard/sign-in"); !strings.Contains(body, "Staff account") {
		t.Errorf("the sign-in page has no button:\n%s", body)
	}
	if status, at, body := v.get("/dashboard/oidc/start"); status != http.StatusForbidden || at != "/dashboard/oidc/callback" || !strings.Contains(body, "not invited") {
		t.Errorf("somebody who is not invited: %d at %s", status, at)
	}
	byOperator := kinora.WithActor(t.Context(), kinora.Actor{Kind: kinora.ActorOperator})
	_, token, err := a.People().Invite(byOperator, a.Bootstrapped().Organisation.ID, "ada@example.com", kinora.RoleMember)
	if err != nil || token == "" {
		t.Fatalf("invite: %q, %v", token, err)
	}
	if status, at, body := v.get("/dashboard/oidc/start?next=/dashboard/account"); status != http.StatusOK || at != "/dashboard/account" || !strings.Contains(body, "ada@example.com") {
		t.Fatalf("came back to %s with %d:\n%s", at, status, body)
	}
	if status, at, _ := v.get("/dashboard/o/" + a.Bootstrapped().Organisation.ID + "/generations"); status != http.StatusOK || !strings.HasSuffix(at, "/generations") {
		t.Errorf("the invitation does not stand: %d at %s", status, at)
	}
}

func TestDoctorAsksTheIdentityProvider(t *testing.T) {
	issuer := issuertest.New(t, time.Now)
	cfg := config.Default()
	cfg.DataDir, cfg.PublicURL = t.TempDir(), "https://kinora.example"
	look := func() (found app.Diagnosis) {
		t.Helper()
		for _, d := range app.Doctor(t.Context(), cfg) {
			if d.Name == "identity provider" {
				found = d
			}
		}
		return found
	}
	if d := look(); d.Name != "" {
		t.Errorf("without one: %+v", d)
	}
	cfg.Dashboard.OIDC = config.OIDC{Issuer: issuer.URL, ClientID: issuertest.ClientID}
	if d := look(); !d.OK || !strings.Contains(d.Detail, "https://kinora.example/dashboard/oidc/callback") {
		t.Errorf("one that answers: %+v", d)
	}
	cfg.PublicURL = ""
	if d := look(); d.OK || !strings.Contains(d.Hint, "public_url") {
		t.Errorf("without a public address: %+v", d)
	}
	cfg.PublicURL, cfg.Dashboard.OIDC.Issuer = "https://kinora.example", issuer.URL+"/another"
	if d := look(); d.OK || d.Hint == "" {
		t.Errorf("one that is not there: %+v", d)
	}
}
