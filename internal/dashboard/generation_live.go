package dashboard

import (
	"context"
	"time"

	"github.com/kinora/kinora"
)

// farewell is how long a stream that has nothing more to tell waits for the browser to leave it, which would otherwise come back.
const farewell = 5 * time.Second

// liveGeneration keeps the page of a generation as it is now, part by part, until nothing of it changes any more.
func (d *Dashboard) liveGeneration(ctx context.Context, v *visit) error {
	id := v.path("generation_id")
	history := func(ctx context.Context) (*kinora.History, error) {
		return v.cfg.Histories.History(ctx, v.organisation.ID, id)
	}
	if _, err := atPlace(ctx, v, history); err != nil {
		return err
	}
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		known := partsKnown(v.query("seen"))
		if told := out.told(); told != "" {
			known = partsKnown(told)
		}
		var state kinora.GenerationState
		for {
			var page generationDetail
			h, err := look(ctx, out, func(ctx context.Context) (h *kinora.History, err error) {
				if h, err = history(ctx); err == nil {
					page, err = v.generationDetail(ctx, h, nil)
				}
				return h, err
			})
			if err != nil {
				return err
			}
			now, over := page.digests(), !page.changes(h)
			if now != known || over {
				c := generationChanges{Page: page, Over: over, Ended: h.Generation.State.Terminal() && state != "" && state != h.Generation.State}
				for i := range now {
					c.Part[i] = now[i] != known[i]
				}
				if err := out.send(ctx, now.String(), generationChanged(c)); err != nil {
					return err
				}
			}
			if over {
				return out.pause(ctx, farewell, nil)
			}
			known, state = now, h.Generation.State
			if err := out.rest(ctx, livePace); err != nil {
				return err
			}
		}
	})
}

// generationChanges says which parts of a page are to be drawn anew.
type generationChanges struct {
	Page  generationDetail
	Part  [generationParts]bool
	Ended bool // while it was looked at; told to who cannot see it
	Over  bool // nothing more will come
}
