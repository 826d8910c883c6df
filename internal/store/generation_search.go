package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kinora/kinora"
)

// GenerationPage is one page of a list of generations.
type GenerationPage struct {
	Before string // what SearchGenerations returned as next for the page before; "" = the first page
	Limit  int    // generations on the page, at most
	// Reach is how many generations the page looks at, at most, where it may have to pass over some.
	Reach int
}

// place is where a generation stands in the order of a list: by the time of its acceptance, then by id, because the ids
// of the two public APIs have different prefixes.
type place struct {
	created int64
	id      string
}

func (p place) String() string { return strconv.FormatInt(p.created, 10) + "-" + p.id }

// errPlace is for a text that no place was written as.
var errPlace = errors.New("store: not a place in a list of generations")

func parsePlace(text string) (place, error) {
	created, id, found := strings.Cut(text, "-")
	n, err := strconv.ParseInt(created, 10, 64)
	if !found || err != nil {
		return place{}, fmt.Errorf("%w: %q", errPlace, text)
	}
	return place{n, id}, nil
}

// walkGenerations is the index that a list goes along: by source asset or by reference where one is asked
// for, else the organisation's generations by age. All end in (created_at, id). rest is what each generation is held against besides; the empty
// string in it keeps a planner from another index.
func walkGenerations(organisation string, f kinora.GenerationSearch) (along condition, rest []condition) {
	along = condition{`organisation_id = ?`, []any{organisation}}
	if f.Source != "" {
		along.text += ` AND source_asset_id = ? AND source_asset_id <> ''` // the second tells planners of the index
		along.args = append(along.args, f.Source)
		if f.Reference != "" {
			rest = append(rest, condition{`reference || '' = ?`, []any{f.Reference}})
		}
	} else if f.Reference != "" {
		along.text += ` AND reference = ?`
		along.args = append(along.args, f.Reference)
	}
	if !f.Since.IsZero() {
		along.text += ` AND created_at >= ?`
		along.args = append(along.args, Micros(f.Since))
	}
	if !f.Until.IsZero() {
		along.text += ` AND created_at < ?`
		along.args = append(along.args, Micros(f.Until))
	}
	if f.ReferencePrefix != "" && f.Reference == "" {
		rest = append(rest, beginsWith(f.ReferencePrefix))
	}
	for _, c := range []struct{ column, value string }{
		{"state", string(f.State)}, {"model", f.Model}, {"workflow", f.Workflow},
	} {
		if c.value != "" {
			rest = append(rest, condition{c.column + ` || '' = ?`, []any{c.value}})
		}
	}
	return along, rest
}

// beginsWith holds a reference against how it should begin, character by character: a pattern would have signs of its own, and mean
// another case too on one of the databases.
func beginsWith(prefix string) condition {
	return condition{`substr(reference || '', 1, ?) = ?`, []any{utf8.RuneCountInString(prefix), prefix}}
}

const newestFirst = ` ORDER BY created_at DESC, id DESC`

// generationFloor asks for the place of the generation that is reach steps along.
func generationFloor(along condition, reach int) statement {
	return statement{`SELECT created_at, id FROM generations WHERE ` + along.text + newestFirst + ` LIMIT 1 OFFSET ?`, append(along.args[:len(along.args):len(along.args)], reach-1)}
}

func generationPage(along condition, rest []condition, limit int) statement {
	where, args := along.text, along.args[:len(along.args):len(along.args)]
	for _, c := range rest {
		where += ` AND ` + c.text
		args = append(args, c.args...)
	}
	return statement{`SELECT ` + generationColumns + ` FROM generations WHERE ` + where + newestFirst + ` LIMIT ?`, append(args, limit)}
}

// SearchGenerations reads a page of an organisation's generations, newest first. next begins the page that follows; "" =
// there is none. A page may be short, or empty, and have a next one all the same: its reach has ended.
//
// Errors: one for a page that begins where no list has ended.
func (tx *Tx) SearchGenerations(organisation string, f kinora.GenerationSearch, p GenerationPage) (page []*kinora.Generation, next string, err error) {
	along, rest := walkGenerations(organisation, f)
	if p.Before != "" {
		before, err := parsePlace(p.Before)
		if err != nil {
			return nil, "", err
		}
		along.text += ` AND (created_at, id) < (?, ?)`
		along.args = append(along.args, before.created, before.id)
	}
	floor := ""
	if len(rest) > 0 {
		q := generationFloor(along, p.Reach)
		err := tx.Query(q.text, q.args, func(row Row) error {
			var at place
			err := row.Scan(&at.created, &at.id)
			floor = at.String()
			if err == nil {
				along.text += ` AND (created_at, id) >= (?, ?)`
				along.args = append(along.args, at.created, at.id)
			}
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	q := generationPage(along, rest, p.Limit+1)
	err = tx.Query(q.text, q.args, func(row Row) error {
		g, err := scanGeneration(row)
		page = append(page, g)
		return err
	})
	switch {
	case err != nil:
		return nil, "", err
	case len(page) > p.Limit:
		last := page[p.Limit-1]
		return page[:p.Limit], place{Micros(last.CreatedAt), last.ID}.String(), nil
	}
	return page, floor, nil
}

// OutputsOf reads the outputs of many generations whose files are still kept, by generation and in order.
func (tx *Tx) OutputsOf(generationIDs []string) (map[string][]kinora.Output, error) {
	found := make(map[string][]kinora.Output, len(generationIDs))
	err := tx.queryEach(`SELECT `+outputColumns+` FROM outputs WHERE generation_id = ? AND removed_at = 0 AND state = 'published' ORDER BY ordinal`, generationIDs, func(row Row) error {
		o, err := scanOutput(row)
		found[o.GenerationID] = append(found[o.GenerationID], o)
		return err
	})
	return found, err
}

// QueuedBefore counts the attempts of a lane that wait for their submit and are due before an attempt that does so too,
// but no further than limit.
func (tx *Tx) QueuedBefore(a *kinora.Attempt, limit int) (int, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM attempts WHERE lane = ? AND state = 'queued' AND due_at > 0 AND due_at < ? LIMIT ?) AS ahead`,
		a.Lane, Micros(a.DueAt), limit).Scan(&n)
	return n, err
}

// Standings reads how far generations have come, by their ids; those that are not there are left out.
func (tx *Tx) Standings(ids []string) (map[string]kinora.Standing, error) {
	found := make(map[string]kinora.Standing, len(ids))
	err := tx.queryEach(`SELECT id, state, progress FROM generations WHERE id = ?`, ids, func(row Row) error {
		var (
			id, state string
			at        kinora.Standing
		)
		err := row.Scan(&id, &state, &at.Progress)
		at.State = kinora.GenerationState(state)
		found[id] = at
		return err
	})
	return found, err
}
