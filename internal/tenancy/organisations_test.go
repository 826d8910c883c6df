package tenancy

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestOrganisations(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		made, secret, err := n.CreateOrganisation(t.Context(), OrganisationChange{
			Name: ptr(" Acme "), DefaultWebhook: ptr("https://a.example"), WebhookHosts: &[]string{"A.Example.", "*.b.example", "a.example"},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := &kinora.Organisation{ID: made.ID, Name: "Acme", DefaultWebhook: "https://a.example",
			WebhookHosts: []string{"a.example", "*.b.example"}, CreatedAt: n.instant()}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("made (-want +got):\n%s", diff)
		}
		if !strings.HasPrefix(secret.Text, "whsec_") {
			t.Errorf("a new organisation got the secret %q", secret.Text)
		}
		if got, err := n.Organisation(t.Context(), made.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("read back: %+v, %v", got, err)
		}

		got, err := n.UpdateOrganisation(t.Context(), made.ID, OrganisationChange{Name: ptr("Acme 2"), DefaultWebhook: ptr(""), WebhookHosts: &[]string{}})
		want.Name, want.DefaultWebhook, want.WebhookHosts = "Acme 2", "", []string{}
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("updated: %+v, %v", got, err)
		}
		if got, err := n.Organisation(t.Context(), made.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("read after update (it must not come from memory): %+v, %v", got, err)
		}
		list, err := n.ListOrganisations(t.Context())
		if err != nil || len(list) != 1 || cmp.Diff(want, list[0]) != "" {
			t.Errorf("list: %+v, %v", list, err)
		}

		_, err = n.Organisation(t.Context(), "org_none")
		wantCode(t, "read nobody", err, kinora.ErrNotFound)
		_, err = n.UpdateOrganisation(t.Context(), "org_none", OrganisationChange{Name: ptr("x")})
		wantCode(t, "update nobody", err, kinora.ErrNotFound)
	})
}

func TestRefusedChangesChangeNothing(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		org, _, err := n.CreateOrganisation(t.Context(), OrganisationChange{Name: ptr("acme"), DefaultWebhook: ptr("https://a.example")})
		if err != nil {
			t.Fatal(err)
		}
		for what, tc := range map[string]struct {
			change OrganisationChange
			text   string
		}{
			"no name":                   {OrganisationChange{Name: ptr(" ")}, "name is required"},
			"refused webhook":           {OrganisationChange{Name: ptr("new"), DefaultWebhook: ptr("http://a.example")}, "default_webhook: URL must use https"},
			"long webhook":              {OrganisationChange{DefaultWebhook: ptr("https://" + strings.Repeat("a", 3000))}, "default_webhook is longer than 2048 bytes"},
			"list without the webhook":  {OrganisationChange{WebhookHosts: &[]string{"b.example"}}, "default_webhook: the host is not on the allowlist"},
			"webhook not on a new list": {OrganisationChange{DefaultWebhook: ptr("https://c.example"), WebhookHosts: &[]string{"b.example"}}, "default_webhook: "},
			"bad host":                  {OrganisationChange{WebhookHosts: &[]string{"a.example", "https://x"}}, "webhook_hosts[1]"},
			"too many hosts":            {OrganisationChange{WebhookHosts: ptr(make([]string, 201))}, "more than 200"},
		} {
			_, err := n.UpdateOrganisation(t.Context(), org.ID, tc.change)
			wantCode(t, what, err, kinora.ErrInvalid)
			if err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s: %q does not say %q", what, err, tc.text)
			}
			if tc.change.Name == nil {
				tc.change.Name = ptr("other")
				if tc.change.DefaultWebhook == nil {
					continue // a new organisation has no webhook that a list could rule out
				}
			}
			_, _, err = n.CreateOrganisation(t.Context(), tc.change)
			wantCode(t, "create, "+what, err, kinora.ErrInvalid)
		}
		list, err := n.ListOrganisations(t.Context())
		if err != nil || len(list) != 1 || cmp.Diff(org, list[0]) != "" {
			t.Errorf("something was written: %+v, %v", list, err)
		}
	})
	n := newNode(t, storetest.SQLite(t), newClock(), nil)
	n.check = New(n.db, n.ring, Options{}).check
	_, _, err := n.CreateOrganisation(t.Context(), OrganisationChange{Name: ptr("a"), DefaultWebhook: ptr("https://a.example")})
	wantCode(t, "a service without a check", err, kinora.ErrInvalid)
}

// Changes of different fields at the same time must not undo each other.
func TestConcurrentUpdatesBothHold(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, newClock(), nil)
		for range 10 {
			org := n.organisation(t, "before")
			var wg sync.WaitGroup
			for _, change := range []OrganisationChange{{Name: ptr("after")}, {Disabled: ptr(true)}, {WebhookHosts: &[]string{"a.example"}}} {
				wg.Go(func() {
					if _, err := n.UpdateOrganisation(t.Context(), org.ID, change); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			got, err := n.Organisation(t.Context(), org.ID)
			if err != nil || got.Name != "after" || !got.Disabled || len(got.WebhookHosts) != 1 {
				t.Fatalf("a change was lost: %+v, %v", got, err)
			}
		}
	})
}

func TestAllowlistSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"hooks.example.com": "hooks.example.com", " Hooks.Example.COM. ": "hooks.example.com", "*.Example.com": "*.example.com",
		"bücher.example": "xn--bcher-kva.example", "*.bücher.example": "*.xn--bcher-kva.example", "receiver": "receiver",
		"a_b.example": "a_b.example", "203.0.113.9": "203.0.113.9", "2001:DB8::1": "2001:db8::1", "ｅxample.com": "example.com",
	} {
		got, err := checkHosts([]string{in})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "*", "*.", "*.com", "a..b", ".a", "https://a.example", "a.example/path", "a.example:443", "user@a.example", "a*.example", "*.*.example",
		"-a.example", "a-.example", "a b.example", "fe80::1%eth0", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "example", "a\x00.example"} {
		if got, err := checkHosts([]string{in}); err == nil {
			t.Errorf("%q was taken as %q", in, got)
		}
	}
}

func FuzzCheckHosts(f *testing.F) {
	for _, s := range []string{"a.example", "*.a.example", "bücher.example", "::1", "", "a..", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		once, err := checkHosts([]string{entry})
		if err != nil {
			return
		}
		twice, err := checkHosts(once)
		if err != nil || cmp.Diff(once, twice) != "" {
			t.Fatalf("%q became %q, which becomes %q (%v)", entry, once, twice, err)
		}
	})
}
