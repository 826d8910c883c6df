package dashboard

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/kinora/kinora/internal/dashboard/ui"
)

// area is one place of the navigation. It appears once its first page is served, to those who may see it.
type area struct {
	label, icon string
	first       string   // pattern of its first page, behind organisationPath or operatorPath
	who         audience // of the first page
}

// areas are those of an organisation, in the order of the menu.
var areas = []area{
	{"Generations", "generations", "/generations", member},
	{"Playground", "playground", "/playground", member},
	{"Assets", "assets", "/assets", member},
	{"Reviews", "reviews", "/reviews", admin},
	{"Webhooks", "webhooks", "/webhooks", member},
	{"API keys", "keys", "/keys", admin},
	{"Usage", "usage", "/usage", member},
	{"Members", "members", "/members", owner},
	{"Settings", "settings", "/settings", owner},
	{"Audit log", "audit", "/audit", owner},
}

// instanceAreas are the operator's.
var instanceAreas = []area{
	{"Overview", "operator", "", operator},
	{"Organisations", "members", "/organisations", operator},
	{"Accounts", "accounts", "/accounts", operator},
	{"Attempts", "warning", "/attempts", operator},
	{"Persons", "person", "/persons", operator},
	{"Audit log", "audit", "/audit", operator},
	{"Configuration", "settings", "/configuration", operator},
}

func (v *visit) document(title string) ui.Document {
	theme := ""
	if c, err := v.r.Cookie(v.cookieName(themeCookie)); err == nil && (c.Value == "light" || c.Value == "dark") {
		theme = c.Value
	}
	here := ""
	if v.r.Method == http.MethodGet {
		here = v.r.URL.RequestURI()
	}
	return ui.Document{Title: title, Theme: theme, Home: v.link(), Switch: v.link("theme"), Here: here, Assets: v.assets(), Flash: v.flash()}
}

func (v *visit) frame(ctx context.Context, doc ui.Document) (ui.Frame, error) {
	f := ui.Frame{Document: doc, Person: v.who.Person.Email, Account: v.link("account"), SignOut: v.link("sign-out")}
	if v.who.Person.Name != "" {
		f.Person = v.who.Person.Name
	}
	here := ""
	if v.organisation != nil {
		here = v.organisation.ID
	}
	places, more, err := v.organisations(ctx, here)
	if err != nil {
		return f, err
	}
	if more && v.has(operatorPath+"/organisations") {
		f.Organisations = append(f.Organisations, ui.Link{Label: "All organisations", Href: v.link("operator", "organisations")})
	}
	for _, p := range places {
		current := p.id == here
		f.Organisations = append(f.Organisations, ui.Link{Label: p.name, Href: v.link("o", p.id, "generations"), Current: current})
	}
	switch n := len(v.who.Invitations); {
	case n == 1:
		f.Invitations = &ui.Link{Label: "1 invitation", Href: v.link("account")}
	case n > 1:
		f.Invitations = &ui.Link{Label: strconv.Itoa(n) + " invitations", Href: v.link("account")}
	}
	if v.organisation != nil {
		f.Organisation = v.organisation.Name
		for _, a := range areas {
			if v.has(organisationPath+a.first) && v.role.Covers(a.who.role()) {
				f.Areas = append(f.Areas, v.areaLink(a, v.here(strings.TrimPrefix(a.first, "/"))))
			}
		}
	}
	for _, a := range instanceAreas {
		if v.who.Person.Operator && v.has(operatorPath+a.first) {
			segments := []string{"operator"}
			if a.first != "" {
				segments = append(segments, strings.TrimPrefix(a.first, "/"))
			}
			f.Instance = append(f.Instance, v.areaLink(a, v.link(segments...)))
		}
	}
	return f, nil
}

// areaLink marks the area that the page belongs to: the one whose first page's path the route's begins with.
func (v *visit) areaLink(a area, href string) ui.Link {
	root := organisationPath
	if a.who == operator {
		root = operatorPath
	}
	p := v.route.pattern
	current := p == root+a.first || a.first != "" && strings.HasPrefix(p, root+a.first+"/")
	return ui.Link{Label: a.label, Href: href, Icon: a.icon, Current: current}
}
