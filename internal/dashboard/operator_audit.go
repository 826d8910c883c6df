package dashboard

import (
	"context"
	"net/http"
	"strings"

	"github.com/kinora/kinora/internal/dashboard/ui"
)

// The audit log of the whole instance.
func (d *Dashboard) instanceAuditRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: operatorPath + "/audit", who: operator, handler: d.instanceAudit},
	}
}

func (d *Dashboard) instanceAudit(ctx context.Context, v *visit) error {
	f := auditFilterOf(v.r.URL.Query())
	f.Organisation = strings.TrimSpace(v.query("organisation"))
	f.filter.OrganisationID = f.Organisation
	places, more, err := v.organisations(ctx, f.Organisation)
	if err != nil {
		return err
	}
	view := auditView{Lead: "Every change on this server, in all organisations and of the server itself: who made it, of what, and when.", Filter: f,
		Actors: actorOptions(nil, f.Actor), Action: v.link("operator", "audit"), Empty: "What people change is written down from now on."}
	view.Organisations = []ui.Option{{Value: "", Label: "Any, and the server"}}
	for _, p := range places {
		view.Organisations = append(view.Organisations, ui.Option{Value: p.id, Label: p.name})
	}
	if more {
		view.Lead += " Of organisations, the newest can be chosen; each has its log on its own page as well."
	}
	return d.showAudit(ctx, v, view)
}
