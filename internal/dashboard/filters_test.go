package dashboard

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// Whatever an address says, nothing comes of it that a database cannot keep or compare.
func TestFiltersTakeWhatCanBe(t *testing.T) {
	for text, ok := range map[string]bool{"2026-06-14T10:30": true, "0001-01-01T00:00": false, "1969-12-31T23:59": false, "tomorrow": false, "": false} {
		q := url.Values{"since": {text}, "until": {text}}
		g, a := filterOf(q), auditFilterOf(q)
		if got := !g.search.Since.IsZero(); got != ok || (g.Since == text) != (ok || text == "") {
			t.Errorf("generations since %q: %v, shown as %q", text, g.search.Since, g.Since)
		}
		if got := !a.filter.Until.IsZero(); got != ok {
			t.Errorf("audit log until %q: %v", text, a.filter.Until)
		}
	}
	if f := filterOf(url.Values{"reference": {" list%ing-* "}}); f.search.ReferencePrefix != "list%ing-" || f.search.Reference != "" || f.Reference != "list%ing-*" {
		t.Errorf("a beginning: %+v", f)
	}
	if f := filterOf(url.Values{"reference": {"listing-1"}}); f.search.ReferencePrefix != "" || f.search.Reference != "listing-1" {
		t.Errorf("a whole one: %+v", f)
	}
}

// An id is held against the other filters as well: the form shows them.
func TestAnIdStandsBesideOtherFilters(t *testing.T) {
	s := newStand(t, nil)
	reference := "listing-12"
	s.generations.set(kinora.Generation{ID: jobOne, Model: "clip", State: kinora.GenerationSucceeded, Reference: &reference, CreatedAt: time.Now()})
	for query, found := range map[string]bool{"": true, "&state=succeeded": true, "&state=failed": false, "&model=other": false, "&reference=listing-*": true, "&reference=listing-1": false} {
		body := s.page(t, "member", "/generations?id="+jobOne+query)
		if got := strings.Contains(body, `id="row-`+jobOne); got != found {
			t.Errorf("%q: found %v", query, got)
		}
	}
}
