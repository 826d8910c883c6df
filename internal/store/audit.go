package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// Audit writes to the audit log what the actor of the transaction's context does, with its time by this machine's clock;
// without an actor it writes nothing. It stands or falls with the transaction, like the change that it tells of.
//
// organisation "" is the whole instance, target "" the organisation or instance itself. detail becomes a JSON object of what
// was set, nil is nothing to say; it must hold no secret.
func (tx *Tx) Audit(action kinora.AuditAction, organisation, target string, detail any) error {
	return tx.AuditBy(tx.actor, action, organisation, target, detail)
}

// AuditBy is Audit for an actor whom the transaction's context does not tell: the server itself, somebody who is just
// signing in, or one of several whose changes share a transaction. The zero Actor writes nothing.
func (tx *Tx) AuditBy(actor kinora.Actor, action kinora.AuditAction, organisation, target string, detail any) error {
	if actor.Kind == "" {
		return nil
	}
	var text []byte
	if detail != nil {
		var err error
		if text, err = json.Marshal(detail); err != nil {
			return fmt.Errorf("audit %s: %w", action, err)
		}
	}
	now := time.Now()
	_, err := tx.Exec(`INSERT INTO audit_entries (id, organisation_id, actor_kind, actor_id, actor_name, actor_address, action, target, detail, created_at)
		VALUES (?,?,?,?,?,?,?,?,?,?)`, tx.db.auditIDs.New(id.Audit, now), organisation, string(actor.Kind), actor.ID, actor.Name, actor.Address,
		string(action), target, string(text), Micros(now))
	return err
}

// AuditEntries reads a page of what a filter leaves of the audit log, newest first. next begins the page that follows, "" = there is
// none. As with SearchDeliveries, a page may be short, or empty, and have a next one all the same: its reach has ended.
func (tx *Tx) AuditEntries(f kinora.AuditFilter, p SearchPage) (page []kinora.AuditEntry, next string, err error) {
	w, rest, first, end := walkAudit(f)
	if p.Before != "" {
		end = min(end, p.Before)
	}
	if len(rest) > 0 {
		q := auditFloor(tx.db.dialect, w, first, end, p.Reach)
		if err := tx.Query(q.text, q.args, func(row Row) error { return row.Scan(&next) }); err != nil {
			return nil, "", err
		}
	}
	page = []kinora.AuditEntry{}
	q := auditRows(tx.db.dialect, w, rest, max(first, next), end, p.Limit+1)
	err = tx.Query(q.text, q.args, func(row Row) error {
		e, err := scanAuditEntry(row)
		page = append(page, e)
		return err
	})
	switch {
	case err != nil:
		return nil, "", err
	case len(page) > p.Limit:
		return page[:p.Limit], page[p.Limit-1].ID, nil
	}
	return page, next, nil
}

// behindAudit sorts behind every id of an entry.
const behindAudit = "aud_ZZZZZZZZZZZZZZZZZZZZZZZZZZZ"

// walkAudit parts a filter in what a page goes along, the entries of an organisation or all of them between two ids, and what each is
// held against besides. Ids sort by time, to the millisecond.
func walkAudit(f kinora.AuditFilter) (w walk, rest []condition, first, end string) {
	w, end = walk{condition: condition{text: `1 = 1`}, organisation: f.OrganisationID}, behindAudit
	add := func(wanted bool, text string, args ...any) {
		if wanted {
			rest = append(rest, condition{text, args})
		}
	}
	allVerbs := strings.HasSuffix(f.Action, ".")
	add(f.ActorID != "", `actor_id = ?`, f.ActorID)
	add(f.ActorKind != "", `actor_kind = ?`, string(f.ActorKind))
	add(f.Target != "", `target = ?`, f.Target)
	add(allVerbs, `substr(action, 1, `+strconv.Itoa(len(f.Action))+`) = ?`, f.Action)
	add(!allVerbs && f.Action != "", `action = ?`, f.Action)
	// What a bound parts a millisecond by is found without the index by time, which would lead through everybody's entries.
	if !f.Since.IsZero() {
		first = id.Least(id.Audit, f.Since)
		add(f.Since.Nanosecond()%int(time.Millisecond) != 0, `created_at + 0 >= ?`, Micros(f.Since))
	}
	if !f.Until.IsZero() {
		whole := f.Until.Truncate(time.Millisecond)
		if whole.Before(f.Until) {
			whole = whole.Add(time.Millisecond)
			add(true, `created_at + 0 < ?`, Micros(f.Until))
		}
		end = id.Least(id.Audit, whole)
	}
	return w, rest, first, end
}

// auditFloor asks for the id of the entry that many steps below end.
func auditFloor(on dialect, w walk, first, end string, steps int) statement {
	where, args, order := w.between(on, first, end)
	return statement{`SELECT id FROM audit_entries WHERE ` + where + order + ` LIMIT 1 OFFSET ?`, append(args, steps-1)}
}

func auditRows(on dialect, w walk, rest []condition, first, end string, limit int) statement {
	where, args, order := w.between(on, first, end)
	for _, c := range rest {
		where, args = where+` AND `+c.text, append(args, c.args...)
	}
	return statement{`SELECT id, organisation_id, actor_kind, actor_id, actor_name, actor_address, action, target, detail, created_at
		FROM audit_entries WHERE ` + where + order + ` LIMIT ?`, append(args, limit)}
}

func scanAuditEntry(row Row) (e kinora.AuditEntry, err error) {
	var (
		kind, action, detail string
		created              int64
	)
	err = row.Scan(&e.ID, &e.OrganisationID, &kind, &e.Actor.ID, &e.Actor.Name, &e.Actor.Address, &action, &e.Target, &detail, &created)
	e.Actor.Kind, e.Action, e.CreatedAt = kinora.ActorKind(kind), kinora.AuditAction(action), Time(created)
	if detail != "" {
		e.Detail = json.RawMessage(detail)
	}
	return e, err
}

// TrimAudit removes up to limit entries that were made before an instant, and returns how many.
func (tx *Tx) TrimAudit(before time.Time, limit int) (int64, error) {
	return tx.Exec(`DELETE FROM audit_entries WHERE id IN (SELECT id FROM audit_entries WHERE created_at < ? ORDER BY created_at LIMIT ?)`,
		Micros(before), limit)
}
