package store

import (
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// DeliveryFilter says which deliveries are searched for. Zero fields do not matter.
type DeliveryFilter struct {
	Organisation string
	Generation   string
	Endpoint     string
	Destination  string // as webhook.Destination spells it
	EventType    kinora.EventType
	State        kinora.DeliveryState
	// Status is the class of the last attempt's answer, 1 to 5 for 1xx to 5xx. kinora.StatusNone
	// stands for deliveries whose last attempt had no answer.
	Status int
	// From and To bound the ids, which sort by the time of making: From ≤ id < To.
	From, To string
}

// SearchPage is one page of a search.
type SearchPage struct {
	Before string // what SearchDeliveries returned as next for the page before; "" = the first page
	Limit  int    // deliveries on the page, at most
	// Reach is how many deliveries the page looks at, at most, where it may have to pass over some.
	Reach int
}

// condition is a part of a WHERE clause.
type condition struct {
	text string
	args []any
}

// walk is the index that a search goes along, newest first.
type walk struct {
	condition
	organisation string // the index's first column; "" = the index has ids alone
}

// between adds the range of ids and the order to a walk's condition.
//
// PostgreSQL is told of an organisation in a roundabout way. Asked for those of one
// organisation in the order of ids it likes to go along the primary key, and reads everybody's
// deliveries until it has met enough of the right ones: for an organisation that has been
// quiet for long, nearly all. Asked for a range of organisations in the order of both columns,
// it has one index to choose.
func (w walk) between(on dialect, first, end string) (where string, args []any, order string) {
	args = slices.Clone(w.args)
	switch {
	case w.organisation == "":
		return w.text + ` AND id >= ? AND id < ?`, append(args, first, end), ` ORDER BY id DESC`
	case on == dialectSQLite:
		return w.text + ` AND organisation_id = ? AND id >= ? AND id < ?`, append(args, w.organisation, first, end), ` ORDER BY id DESC`
	}
	return w.text + ` AND organisation_id >= ? AND organisation_id <= ? AND (organisation_id, id) >= (?, ?) AND (organisation_id, id) < (?, ?)`,
		append(args, w.organisation, w.organisation, w.organisation, first, w.organisation, end), ` ORDER BY organisation_id DESC, id DESC`
}

// split parts a filter in two: the index that a search walks along, and what else each
// delivery is held against.
func (f DeliveryFilter) split() (w walk, rest []condition) {
	w.text = `1 = 1`
	switch undelivered := f.State != "" && f.State != kinora.DeliveryDelivered || f.Status != 0 && f.Status != 2; {
	case f.Generation != "":
		w.condition = condition{`event_id = (SELECT id FROM events WHERE generation_id = ?)`, []any{f.Generation}}
	case f.Organisation != "" && f.State == kinora.DeliveryDead:
		w.text, w.organisation = `state = 'dead'`, f.Organisation
	case f.EventType != "" && f.EventType != kinora.EventCompleted:
		w.text = `event_type <> 'generation.completed'`
	case undelivered:
		w.text = `state <> 'delivered'`
	default:
		w.organisation = f.Organisation
	}
	// The empty string keeps a planner from another index than the one to walk along.
	text := func(column, value string) {
		if value != "" {
			rest = append(rest, condition{column + ` || '' = ?`, []any{value}})
		}
	}
	if w.organisation == "" {
		text("organisation_id", f.Organisation)
	}
	text("endpoint_id", f.Endpoint)
	text("destination", f.Destination)
	text("event_type", string(f.EventType))
	text("state", string(f.State))
	switch {
	case f.Status == kinora.StatusNone:
		rest = append(rest, condition{text: `last_status = 0 AND attempts > 0`})
	case f.Status != 0:
		rest = append(rest, condition{`last_status >= ? AND last_status <= ?`, []any{100 * f.Status, 100*f.Status + 99}})
	}
	return w, rest
}

// behindAll sorts behind every id of a delivery.
const behindAll = "dlv_ZZZZZZZZZZZZZZZZZZZZZZZZZZZ"

// upwards turns the order of a walk round: oldest first.
func upwards(order string) string { return strings.ReplaceAll(order, " DESC", "") }

// behind is where the ids begin that sort behind one.
func behind(id string) string {
	if id == "" {
		return ""
	}
	return id + "0" // ids have one length
}

// statement is a query with its arguments.
type statement struct {
	text string
	args []any
}

// floor asks for the id of the delivery that many steps below end.
func (w walk) floor(on dialect, first, end string, steps int) statement {
	where, args, order := w.between(on, first, end)
	return statement{`SELECT id FROM deliveries WHERE ` + where + order + ` LIMIT 1 OFFSET ?`, append(args, steps-1)}
}

// page asks for deliveries between two ids, the second one excluded.
func (w walk) page(on dialect, rest []condition, first, end string, limit int) statement {
	where, args, order := w.between(on, first, end)
	for _, c := range rest {
		where += ` AND ` + c.text
		args = append(args, c.args...)
	}
	return statement{`SELECT ` + deliveryColumns + ` FROM deliveries WHERE ` + where + order + ` LIMIT ?`, append(args, limit)}
}

// SearchDeliveries reads a page of the deliveries that a filter lets through, newest first.
// next begins the page that follows; "" = there is none. A page may be short, or empty, and
// have a next one all the same: its reach has ended.
func (tx *Tx) SearchDeliveries(f DeliveryFilter, p SearchPage) (page []*kinora.Delivery, next string, err error) {
	w, rest := f.split()
	end := behindAll
	for _, bound := range []string{f.To, p.Before} {
		if bound != "" {
			end = min(end, bound)
		}
	}
	floor := ""
	if len(rest) > 0 {
		q := w.floor(tx.db.dialect, f.From, end, p.Reach)
		err := tx.Query(q.text, q.args, func(row Row) error { return row.Scan(&floor) })
		if err != nil {
			return nil, "", err
		}
	}
	q := w.page(tx.db.dialect, rest, max(f.From, floor), end, p.Limit+1)
	page, err = tx.deliveries(q.text, q.args...)
	switch {
	case err != nil:
		return nil, "", err
	case len(page) > p.Limit:
		return page[:p.Limit], page[p.Limit-1].ID, nil
	}
	return page, floor, nil
}
