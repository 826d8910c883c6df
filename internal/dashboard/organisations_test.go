package dashboard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// boundedOrganisations refuses to read all of them.
type boundedOrganisations struct{ fakeOrganisations }

func (boundedOrganisations) ListOrganisations(context.Context) ([]*kinora.Organisation, error) {
	return nil, errors.New("all organisations are read")
}

// An operator's pages read a bounded number of organisations, with the one that the page is about first.
func TestOperatorsPagesReadFewOrganisations(t *testing.T) {
	s := newStand(t, func(c *Config) {
		list := fakeOrganisations{{ID: north, Name: "North"}, {ID: south, Name: "South"}}
		for i := range 60 {
			list = append(list, &kinora.Organisation{ID: fmt.Sprintf("org_%02d", i), Name: fmt.Sprintf("Many %02d", i)})
		}
		c.Organisations = boundedOrganisations{list}
	})
	for path, want := range map[string]struct {
		option, first string
		offered       int
	}{
		"/o/" + north + "/generations":                   {"<li><a href=\"/dashboard/o/", "/dashboard/o/" + north + "/generations", 50},
		"/operator/persons/invite?organisation=" + north: {"<option value=\"org_", "<option value=\"" + north, 50},
		"/operator/audit?organisation=" + north:          {"<option value=\"org_", "<option value=\"" + north, 50},
		"/operator/attempts":                             {"", "", 0},
	} {
		got := s.ask("operator", Prefix+path, nil)
		body := got.Body.String()
		if got.Code != 200 || !strings.Contains(body, "All organisations") {
			t.Errorf("%s: %d", path, got.Code)
			continue
		}
		if strings.Contains(path, "/o/") { // the menu alone
			body, _, _ = strings.Cut(body, "<nav")
		}
		if want.option == "" {
			continue
		}
		if n := strings.Count(body, want.option); n != want.offered {
			t.Errorf("%s offers %d organisations", path, n)
		}
		if first := strings.Index(body, want.first); first < 0 || first > strings.Index(body, "Many 59") && strings.HasPrefix(want.option, "<li") {
			t.Errorf("%s does not begin with the one that it is about", path)
		}
	}
}
