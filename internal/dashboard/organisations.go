package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// The first page, and the choice between organisations.
func (d *Dashboard) organisationRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "", who: person, handler: d.firstPage},
		{method: http.MethodGet, pattern: "/{$}", who: person, handler: d.firstPage},
		{method: http.MethodGet, pattern: organisationPath, who: member, handler: d.organisationPage},
		{method: http.MethodGet, pattern: organisationPath + "/{$}", who: member, handler: d.organisationPage},
	}
}

// place is an organisation that one may go to.
type place struct{ id, name string }

// maxPlaces is how many organisations an operator, who may see all of them, is offered on a page. The list of organisations finds the others.
const maxPlaces = 50

// organisations are those that the visitor may see, by name: for operators the maxPlaces newest, and more tells of others. The one of
// the id current is the first where there are more, among the newest or not; "" = none.
func (v *visit) organisations(ctx context.Context, current string) (list []place, more bool, err error) {
	if v.who.Person.Operator {
		newest, err := v.cfg.Organisations.NewestOrganisations(ctx, maxPlaces+1)
		if err != nil {
			return nil, false, err
		}
		for _, o := range newest {
			list = append(list, place{o.ID, o.Name})
		}
		more = len(list) > maxPlaces
	} else {
		for _, m := range v.who.Memberships {
			list = append(list, place{m.OrganisationID, m.OrganisationName})
		}
	}
	var first []place
	if more && current != "" {
		names, err := v.organisationNames(ctx, current)
		if err != nil {
			return nil, false, err
		}
		if name, ok := names[current]; ok {
			first = []place{{current, name}}
			list = slices.DeleteFunc(list, func(p place) bool { return p.id == current })
		}
	}
	if more {
		list = list[:maxPlaces-len(first)]
	}
	slices.SortFunc(list, func(a, b place) int { return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) })
	return append(first, list...), more, nil
}

// firstPage goes to the generations of the organisation that the visitor has used last, and where there is none shows what they are
// invited to.
func (d *Dashboard) firstPage(ctx context.Context, v *visit) error {
	list, _, err := v.organisations(ctx, v.who.LastOrganisation)
	if err != nil {
		return err
	}
	if to := landing(v.who, list); to != "" {
		return v.redirect(v.link("o", to, "generations"))
	}
	return v.show(ctx, "No organisation", noOrganisation(v.invitations()))
}

// organisationPage goes to the organisation's generations, for addresses that are typed or cut off.
func (d *Dashboard) organisationPage(_ context.Context, v *visit) error {
	return v.redirect(v.here("generations"))
}

// landing is the organisation that a sign-in leads to, of those that are open: the one used last, else the one that the person has belonged to
// longest. Nobody is led where somebody else has just added them. "" = there is none.
func landing(who *kinora.SignedIn, open []place) string {
	is := func(id string) bool { return slices.ContainsFunc(open, func(p place) bool { return p.id == id }) }
	if is(who.LastOrganisation) {
		return who.LastOrganisation
	}
	if len(who.Memberships) > 0 {
		return slices.MinFunc(who.Memberships, func(a, b kinora.Membership) int { return a.CreatedAt.Compare(b.CreatedAt) }).OrganisationID
	}
	if len(open) > 0 {
		return open[0].id
	}
	return ""
}
