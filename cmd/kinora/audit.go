package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

type auditCommand struct {
	Org    string `help:"Only what concerns one organisation: its id or name." placeholder:"ORG"`
	Actor  string `help:"Only what one person did: their id or e-mail address." placeholder:"PERSON"`
	By     string `help:"Only what one kind of actor did: person, operator or system." placeholder:"KIND"`
	Action string `help:"Only one action, such as key.create, or all of a noun: key." placeholder:"ACTION"`
	Target string `help:"Only what was done to one thing: its id." placeholder:"ID"`
	Since  moment `help:"Only what was done since: how long ago (90m, 3d), or a time." placeholder:"WHEN"`
	Until  moment `help:"Only what was done before." placeholder:"WHEN"`
	Limit  int    `help:"How many entries to show, the newest first." default:"50" placeholder:"N"`

	operator
}

// auditShape is how --json shows an entry.
type auditShape struct {
	ID             string             `json:"id"`
	OrganisationID string             `json:"organisation_id"` // empty = of the whole instance
	Actor          actorShape         `json:"actor"`
	Action         kinora.AuditAction `json:"action"`
	Target         string             `json:"target"`
	Detail         json.RawMessage    `json:"detail"` // null = nothing to say
	CreatedAt      instant            `json:"created_at"`
}

type actorShape struct {
	Kind    kinora.ActorKind `json:"kind"`
	ID      string           `json:"id"`
	Name    string           `json:"name"`
	Address string           `json:"address"`
}

// auditPageSize is how many entries are asked for at once.
const auditPageSize = 200

func (a *auditCommand) Run(ctx context.Context, c *console) error {
	if a.Limit < 1 {
		return usage("--limit must be at least 1", "")
	}
	return a.withPeople(ctx, func(d personnel) error {
		f, err := a.filter(ctx, d)
		if err != nil {
			return err
		}
		var list []kinora.AuditEntry
		for before := ""; ; {
			page, next, err := d.Audit(ctx, f, before, min(auditPageSize, a.Limit-len(list)))
			if err != nil {
				return err
			}
			list = append(list, page...)
			if before = next; before == "" || len(list) >= a.Limit {
				return c.showAudit(list, before != "")
			}
		}
	})
}

func (a *auditCommand) filter(ctx context.Context, d personnel) (f kinora.AuditFilter, err error) {
	f = kinora.AuditFilter{ActorKind: kinora.ActorKind(a.By), Action: a.Action, Target: a.Target, Since: time.Time(a.Since), Until: time.Time(a.Until)}
	if a.Action != "" && !strings.Contains(a.Action, ".") {
		f.Action += "."
	}
	if a.Org != "" {
		org, err := findOrganisation(ctx, d, a.Org)
		if err != nil {
			return f, err
		}
		f.OrganisationID = org.ID
	}
	if f.ActorID = a.Actor; strings.Contains(a.Actor, "@") { // an id may be of somebody who is gone
		p, err := findPerson(ctx, d, a.Actor)
		if err != nil {
			return f, err
		}
		f.ActorID = p.ID
	}
	return f, nil
}

func (c *console) showAudit(list []kinora.AuditEntry, more bool) error {
	shape := struct {
		Entries   []auditShape `json:"entries"`
		Truncated bool         `json:"truncated"` // there are more
	}{[]auditShape{}, more}
	rows := make([][]string, 0, len(list))
	for _, e := range list {
		shape.Entries = append(shape.Entries, auditShape{ID: e.ID, OrganisationID: e.OrganisationID, Actor: actorShape(e.Actor), Action: e.Action, Target: e.Target,
			Detail: e.Detail, CreatedAt: instant(e.CreatedAt)})
		who := e.Actor.Name
		if who == "" {
			who = strings.TrimSpace(string(e.Actor.Kind) + " " + e.Actor.ID)
		}
		rows = append(rows, []string{stamp(e.CreatedAt), who, string(e.Action), orDash(e.OrganisationID), orDash(e.Target), orDash(string(e.Detail))})
	}
	return c.result(shape, func() {
		c.table([]string{"WHEN", "WHO", "WHAT", "ORGANISATION", "OF", "DETAIL"}, rows)
		if more {
			c.say("There are more; --limit shows them.")
		}
	})
}
