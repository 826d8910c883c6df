package browsertest_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// walked says which pages no link leads to, and from where they are seen instead.
var walked = map[string]string{
	"/dashboard/{$}":                     "/dashboard/",
	"/dashboard/o/{organisation_id}":     "", // leads to its generations
	"/dashboard/o/{organisation_id}/{$}": "",
	"/dashboard/sign-in":                 "/dashboard/sign-in",
	"/dashboard/setup":                   "/dashboard/setup?token=wrong",
	"/dashboard/invitation":              "/dashboard/invitation?token=wrong",
	"/dashboard/oidc/start":              "", // there is no identity provider
	"/dashboard/oidc/callback":           "",
}

// Every page of the table of routes can be come to by links from the first one, is accessible in light and dark, is
// gone through in order by the tab key, and fits a phone. A new page is looked at without further work here, unless what it is about has to be made first, below.
func TestEveryPage(t *testing.T) {
	s := startSite(t, func(c *config.Config) {
		c.Webhooks.Schedule = []config.Duration{config.Duration(10 * time.Millisecond)}
		c.WorkflowsDir = t.TempDir()
		held := []byte("name: held\nextends: staging\nreview: true\nrounds: 1\n")
		if err := os.WriteFile(filepath.Join(c.WorkflowsDir, "held.yaml"), held, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	p := s.owner(t)
	p.Allow("404") // of links that are wrong or spent
	made := s.populate(t, p)

	left := s.pages()
	next := append([]string{"/dashboard"}, made...)
	for pattern, at := range walked {
		if at != "" {
			next = append(next, at)
		} else {
			delete(left, pattern)
		}
	}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		pattern := matching(left, at)
		if pattern == "" {
			continue
		}
		delete(left, pattern)
		if is := browsertest.Eval[string](p, `fetch(`+strconv.Quote(at)+`, {method: "HEAD"}).then((r) => r.headers.get("Content-Type") ?? "")`); !strings.HasPrefix(is, "text/html") {
			continue // a file
		}
		p.Go(at)
		next = append(next, browsertest.Eval[[]string](p, `[...document.querySelectorAll("a[href], [src]")].map((e) => e.getAttribute("href") ?? e.getAttribute("src")).filter((a) => a.startsWith("/"))`)...)
		p.AccessibleInBoth()
		p.FocusOrder()
		name := strings.Trim(strings.NewReplacer("/dashboard", "", "/o/{organisation_id}", "", "/", "-", "{", "", "}", "", "$", "").Replace(pattern), "-")
		p.Picture("page-" + name)
		p.Dark(true)
		p.Picture("page-" + name + "-dark")
		p.Dark(false)
		p.Size(360, 740)
		p.FitsWidth()
		p.Picture("page-" + name + "-phone")
		p.Size(1280, 900)
	}
	for pattern := range left {
		t.Errorf("no link leads to %s, or what it is about has not been made by the test", pattern)
	}
}

// pages are the patterns of all pages.
func (s *site) pages() map[string]bool {
	set := map[string]bool{}
	for _, pattern := range s.Dashboard().Pages() {
		set[pattern] = true
	}
	return set
}

// matching is the one of several patterns that an address belongs to: the one that says most of its path. "" = none.
func matching(patterns map[string]bool, at string) (best string) {
	path, _, _ := strings.Cut(at, "?")
	segments := strings.Split(path, "/")
	most := -1
	for pattern := range patterns {
		parts := strings.Split(pattern, "/")
		said := 0
		for i, part := range parts {
			switch {
			case len(parts) != len(segments):
				said = -1
			case part == segments[i], part == "{$}" && segments[i] == "":
				said++
			case !strings.HasPrefix(part, "{") || part == "{$}" || segments[i] == "":
				said = -1
			}
			if said < 0 {
				break
			}
		}
		if said > most {
			best, most = pattern, said
		}
	}
	return best
}

// populate makes one of everything that has a page of its own, and returns the page of a generation that can be made anew, a file that a
// model was given, and the page of an attempt at which looks fail.
func (s *site) populate(t *testing.T, p *browsertest.Page) []string {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(receiver.Close)
	name, hook := "ledger", receiver.URL+"/hook"
	if _, err := s.Tenancy().CreateEndpoint(t.Context(), s.organisation, kinora.EndpointChange{Name: &name, URL: &hook}); err != nil {
		t.Fatal(err)
	}
	made := map[string]string{} // ids by workflow
	for _, workflow := range []string{"held", "staging"} {
		job, err := s.client.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: workflow, CaptureType: "photo", Mode: "clean"}, "room.jpg", bytes.NewReader(room(t, 900, 640)))
		if err != nil {
			t.Fatal(err)
		}
		made[workflow] = job.JobID
	}
	// Looks at it fail, which an operator has to know of.
	troubled := s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "a kite", Metadata: map[string]any{"sandbox": map[string]any{"delay": "1h", "status_5xx": 1 << 20}}}})
	photo, err := s.client.UploadStream(t.Context(), "room.jpg", bytes.NewReader(room(t, 300, 200)))
	if err != nil {
		t.Fatal(err)
	}
	id := s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Reference: strings.Repeat("order", 40), Input: client.Input{Prompt: strings.Repeat("lighthouse", 300), Images: []string{photo.URL}}})
	p.SeeIn("#row-"+id, "succeeded")
	p.SeeIn("#row-"+made["staging"], "succeeded")
	given := s.path("/generations/" + id + "/inputs/1")
	p.Go(s.path("/generations/" + id))
	p.Has(`[src="` + given + `"], [href="` + given + `"]`)

	p.Go(s.path("/reviews"))
	p.Has("#review-" + made["held"])
	p.Go(s.path("/webhooks/deliveries"))
	p.Click(".table .main-cell a")
	p.SeeIn("#delivery-facts", "dead")
	p.Go(s.path("/webhooks/dead"))
	p.Press("Send all again")
	p.Press("Start the replay")
	p.SeeIn("#replay", "finished")
	p.Go(s.path("/webhooks/test"))
	p.Press("Send and wait for the answer")
	p.Has("#attempt")
	// It takes as many looks as an operator has patience for until his pages lead to the attempt.
	return []string{s.path("/generations/" + made["staging"]), given, "/dashboard/operator/attempts/" + troubled + "_0"}
}
