package lifecycle

import (
	"context"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// listReach is how many generations one page of a list looks at, at most, so that no filter makes a page cost more.
const listReach = 10_000

// Search reads a page of an organisation's generations, newest first, whichever API they came by. before is what the page
// before returned as next; "" = the first page. A page may be short, or empty, and have a next one all the same: it has
// looked at as many as one page may.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Search(ctx context.Context, organisationID string, q kinora.GenerationSearch, before string, limit int) (page []kinora.Listed, next string, err error) {
	err = e.db.View(ctx, func(tx *store.Tx) error {
		list, follows, err := tx.SearchGenerations(organisationID, q, store.GenerationPage{Before: before, Limit: limit, Reach: listReach})
		if err != nil {
			return err
		}
		var done []string
		for _, g := range list {
			if g.State == kinora.GenerationSucceeded {
				done = append(done, g.ID)
			}
		}
		outputs, err := tx.OutputsOf(done)
		if err != nil {
			return err
		}
		page, next = make([]kinora.Listed, len(list)), follows
		for i, g := range list {
			page[i] = kinora.Listed{Generation: g, Outputs: outputs[g.ID]}
		}
		return nil
	})
	return page, next, err
}

// Standings tells how far generations have come, in one short read; those that are not there are left out.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Standings(ctx context.Context, ids []string) (map[string]kinora.Standing, error) {
	var found map[string]kinora.Standing
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.Standings(ids)
		return err
	})
	return found, err
}
