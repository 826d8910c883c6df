package webhook

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
)

func TestRoute(t *testing.T) {
	tests := map[string]struct{ own, preset, want string }{
		"none":             {"", "", ""},
		"default":          {"", "https://d.example/", "https://d.example/"},
		"own":              {"https://o.example/", "", "https://o.example/"},
		"own over default": {"https://o.example/", "https://d.example/", "https://o.example/"},
	}
	now := time.Now()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := &kinora.Generation{ID: "job_1", OrganisationID: "org_1", WebhookURL: tt.own}
			e := &kinora.Event{ID: "evt_1", OrganisationID: "org_1", GenerationID: "job_1"}
			ds := Deliveries(e, g, &kinora.Organisation{ID: "org_1", DefaultWebhook: tt.preset}, nil, now)
			if tt.want == "" {
				if len(ds) != 0 {
					t.Fatalf("got %+v", ds[0])
				}
				return
			}
			if len(ds) != 1 {
				t.Fatalf("%d deliveries", len(ds))
			}
			d := ds[0]
			if d.URL != tt.want || d.EventID != "evt_1" || d.GenerationID != "job_1" || d.State != kinora.DeliveryPending || !d.DueAt.Equal(now) ||
				d.Destination != Destination("org_1", tt.want) || !strings.HasPrefix(d.ID, "dlv_") {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestDestination(t *testing.T) {
	same := [][]string{
		{"https://a.example", "https://a.example/", "https://A.Example:443/x?y", "https://a.example./z", "https://a.example:443"},
		{"http://a.example", "http://a.example:80/x"},
		{"https://a.example:8443", "https://A.EXAMPLE:8443/"},
		{"https://[2001:db8::1]/", "https://[2001:DB8::1]:443/"},
		{"https://b.example/"},
		{"://", "", "mailto:x", "%zz"},
	}
	known := map[string]int{}
	for i, group := range same {
		for _, u := range group {
			key := Destination("org_1", u)
			if other, ok := known[key]; ok && other != i {
				t.Errorf("%q shares %q with another host", u, key)
			}
			known[key] = i
			if organisationOf(key) != "org_1" {
				t.Errorf("organisation of %q", key)
			}
			if Destination("org_2", u) == key {
				t.Errorf("%q is one destination for two organisations", u)
			}
		}
	}
	if len(known) != len(same) {
		t.Errorf("%d destinations, want %d: %v", len(known), len(same), known)
	}
}

func TestCheckDestination(t *testing.T) {
	guard := netguard.New(netguard.Config{AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	defer guard.Close()
	p := Policy{Guard: guard}
	allow := []string{"Hooks.Example.com", "*.allowed.example", "bücher.example"}
	tests := []struct {
		url     string
		allowed []string
		why     string // part of the message; "" = permitted
	}{
		{"https://a.example/x", nil, ""},
		{"http://a.example/x", nil, "https"},
		{"https://127.0.0.1/x", nil, "not a public address"},
		{"https://10.1.2.3/x", nil, ""},
		{"https://user:secret@a.example/", nil, "user name"},
		{"", nil, "URL"},
		{"https://hooks.example.com/x", allow, ""},
		{"https://HOOKS.example.com./x", allow, ""},
		{"https://a.allowed.example/", allow, ""},
		{"https://a.b.allowed.example/", allow, ""},
		{"https://xn--bcher-kva.example/", allow, ""},
		{"https://BÜCHER.example/", allow, ""},
		{"https://allowed.example/", allow, "allowlist"},
		{"https://notallowed.example/", allow, "allowlist"},
		{"https://xhooks.example.com/", allow, "allowlist"},
		{"https://hooks.example.com.evil.example/", allow, "allowlist"},
		{"https://127.0.0.1/", []string{"127.0.0.1"}, "not a public address"},
		{"https://a.example/", []string{"*."}, "allowlist"},
	}
	for _, tt := range tests {
		err := p.CheckDestination(&kinora.Organisation{ID: "org_1", WebhookHosts: tt.allowed}, tt.url)
		if (err == nil) != (tt.why == "") {
			t.Errorf("%q with %v: %v", tt.url, tt.allowed, err)
			continue
		}
		if err == nil {
			continue
		}
		e, ok := err.(*kinora.Error)
		if !ok || e.Code != kinora.ErrInvalid || !strings.HasPrefix(e.Message, "webhook.url: ") || !strings.Contains(e.Message, tt.why) {
			t.Errorf("%q: %v, want %q in it", tt.url, err, tt.why)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%v shows what was in the URL", err)
		}
	}
}

func TestSortByAge(t *testing.T) {
	t0 := time.Now()
	list := []*kinora.Delivery{{ID: "c", CreatedAt: t0}, {ID: "b", CreatedAt: t0}, {ID: "a", CreatedAt: t0.Add(1)}}
	sortByAge(list)
	if !slices.EqualFunc(list, []string{"b", "c", "a"}, func(d *kinora.Delivery, id string) bool { return d.ID == id }) {
		t.Errorf("got %v", list)
	}
}
