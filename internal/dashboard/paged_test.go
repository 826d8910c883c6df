package dashboard

import (
	"fmt"
	"testing"

	"github.com/kinora/kinora"
)

// Lists that are read whole are shown in pages, and keep their filter on the way.
func TestWholeListsHavePages(t *testing.T) {
	s := newStand(t, func(c *Config) {
		all := fakeOrganisations{{ID: north, Name: "North"}}
		for i := range listPage {
			all = append(all, &kinora.Organisation{ID: fmt.Sprintf("org_%03d", i), Name: fmt.Sprintf("Shop %03d", i)})
		}
		c.Organisations = all
	})
	s.tenant.members = nil
	for i := range 2*listPage + 1 {
		email := fmt.Sprintf("p%03d@example.com", i)
		s.tenant.members = append(s.tenant.members, kinora.Membership{OrganisationID: north, PersonID: fmt.Sprintf("per_%03d", i), Email: email, Role: kinora.RoleMember})
		s.instance.persons = append(s.instance.persons, kinora.Person{ID: fmt.Sprintf("per_%03d", i), Email: email})
		s.instance.troubled = append(s.instance.troubled, kinora.TroubledAttempt{Attempt: kinora.Attempt{GenerationID: fmt.Sprintf("task_%03d", i)}, Troubles: []kinora.Trouble{kinora.TroubleLate}})
	}
	for _, c := range []struct {
		at, from, first, beyond string
	}{
		{"/dashboard/o/" + north + "/members", "100", "p000@", "p100@"},
		{"/dashboard/operator/persons", "100", "p000@", "p100@"},
		{"/dashboard/operator/attempts", "100", "task_000", "task_100"},
	} {
		body := s.ask("operator", c.at, nil).Body.String()
		has(t, body, c.first, c.at+"?from=100", "Next →")
		hasNot(t, body, c.beyond)
		body = s.ask("operator", c.at+"?from=100", nil).Body.String()
		has(t, body, c.beyond, c.at+"?from=200", "← First")
		hasNot(t, body, c.first)
		body = s.ask("operator", c.at+"?from=9000", nil).Body.String()
		hasNot(t, body, "Next →")
	}
	has(t, s.ask("operator", "/dashboard/operator/persons?from=200", nil).Body.String(), "p200@")
	has(t, s.ask("operator", "/dashboard/operator/persons?find=p", nil).Body.String(), "persons?find=p&amp;from=100")
	hasNot(t, s.ask("operator", "/dashboard/operator/persons?find=p19", nil).Body.String(), "Next →")
	has(t, s.ask("operator", "/dashboard/operator/organisations", nil).Body.String(), "organisations?from=100")
	has(t, s.ask("operator", "/dashboard/operator/organisations?from=100", nil).Body.String(), "Shop 099", "← First")
	s.ask("operator", "/dashboard/operator/attempts?from=100&trouble=late", nil)
	if want := (kinora.TroubleSearch{Trouble: kinora.TroubleLate, Limit: 2*listPage + 1}); s.instance.search != want {
		t.Errorf("asked for %+v", s.instance.search)
	}
}
