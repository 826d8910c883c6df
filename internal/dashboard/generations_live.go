package dashboard

import (
	"context"
	"fmt"
	"time"

	"github.com/kinora/kinora"
)

func (r generationRow) key() string     { return r.ID }
func (r generationRow) shows() string   { return fmt.Sprintf("%s %d", r.State, r.Progress) }
func (r generationRow) made() time.Time { return r.CreatedAt }

// liveGenerations keeps a page of the list as it is now.
func (d *Dashboard) liveGenerations(ctx context.Context, v *visit) error {
	return v.liveGenerationList(filterOf(v.r.URL.Query())).follow(ctx, v)
}

func (v *visit) liveGenerationList(f generationFilter) *liveList[generationRow] {
	find := func(ctx context.Context) ([]generationRow, error) {
		rows, _, err := v.generationRows(ctx, f)
		return rows, err
	}
	return &liveList[generationRow]{find: find, again: v.generationsAgain, replaced: generationsReplaced, changed: generationsChanged}
}

// generationsAgain reads rows of the page as they are now, although the filter does not find them any more. What has ended stays.
func (v *visit) generationsAgain(ctx context.Context, missing []generationRow) (map[string]generationRow, error) {
	rows := make(map[string]generationRow, len(missing))
	var ids []string
	for _, r := range missing {
		if rows[r.ID] = r; !r.State.Terminal() {
			ids = append(ids, r.ID)
		}
	}
	if ids == nil {
		return rows, nil
	}
	standings, err := v.cfg.Generations.Standings(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		now, ok := standings[id]
		old := rows[id]
		if ok && now == (kinora.Standing{State: old.State, Progress: old.Progress}) {
			continue
		}
		delete(rows, id)
		if !ok {
			continue
		}
		if row, ok, err := v.oneRow(ctx, id, kinora.GenerationSearch{}); err != nil {
			return nil, err
		} else if ok {
			rows[id] = row
		}
	}
	return rows, nil
}

// endedRows are those of rows that have changed which have ended; they are told to who cannot see them.
func endedRows(changed []generationRow) (ended []generationRow) {
	for _, r := range changed {
		if r.State.Terminal() {
			ended = append(ended, r)
		}
	}
	return ended
}
