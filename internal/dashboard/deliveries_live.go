package dashboard

import (
	"context"
	"fmt"
	"time"

	"github.com/a-h/templ"

	"github.com/kinora/kinora"
)

func (r deliveryRow) key() string     { return r.ID }
func (r deliveryRow) shows() string   { return fmt.Sprintf("%s %d %s", r.State, r.Attempts, r.Last) }
func (r deliveryRow) made() time.Time { return r.CreatedAt }

// liveDeliveries keeps a page of the log as it is now.
func (d *Dashboard) liveDeliveries(ctx context.Context, v *visit) error {
	return v.followDeliveries(ctx, deliveryList{Filter: deliveryFilterOf(v.r.URL.Query(), v.organisation.ID)})
}

// liveDead keeps a page of the dead ones as it is now. What is sent again meanwhile stays and shows its new state.
func (d *Dashboard) liveDead(ctx context.Context, v *visit) error {
	return v.followDeliveries(ctx, deliveryList{Filter: deadFilterOf(v.r.URL.Query(), v.organisation.ID), Dead: true, Replays: v.hooks("replays"), Rate: defaultReplayRate})
}

func (v *visit) followDeliveries(ctx context.Context, page deliveryList) error {
	// A filter that cannot be asked for has no stream; whoever asks for one all the same is refused before it begins.
	if _, _, err := v.cfg.Webhooks.Search(ctx, page.Filter.search, page.Filter.Before, 1); err != nil {
		return err
	}
	page.Changes = v.changes()
	return v.liveDeliveryList(page).follow(ctx, v)
}

func (v *visit) liveDeliveryList(page deliveryList) *liveList[deliveryRow] {
	rowOf := func(ctx context.Context) (func(*kinora.Delivery) deliveryRow, error) {
		endpoints, err := v.cfg.WebhookSettings.Endpoints(ctx, v.organisation.ID)
		names := namesOf(endpoints)
		return func(one *kinora.Delivery) deliveryRow { return v.deliveryRow(one, names) }, err
	}
	find := func(ctx context.Context) ([]deliveryRow, error) {
		found, _, err := v.cfg.Webhooks.Search(ctx, page.Filter.search, page.Filter.Before, deliveryPage)
		if err != nil {
			return nil, err
		}
		row, err := rowOf(ctx)
		rows := make([]deliveryRow, len(found))
		for i, one := range found {
			rows[i] = row(one)
		}
		return rows, err
	}
	// One that has ended may go on, when somebody sends it again: all are read.
	again := func(ctx context.Context, missing []deliveryRow) (map[string]deliveryRow, error) {
		ids := make([]string, len(missing))
		for i, r := range missing {
			ids[i] = r.ID
		}
		now, err := v.cfg.Webhooks.Deliveries(ctx, v.organisation.ID, ids)
		if err != nil {
			return nil, err
		}
		row, err := rowOf(ctx)
		rows := make(map[string]deliveryRow, len(now))
		for id, one := range now {
			rows[id] = row(one)
		}
		return rows, err
	}
	return &liveList[deliveryRow]{find: find, again: again,
		replaced: func(rows []deliveryRow) templ.Component { return deliveriesReplaced(page, rows) },
		changed:  func(c rowChange[deliveryRow]) templ.Component { return deliveriesChanged(page, c) }}
}

// endedDeliveries are those of rows that have changed which have ended; they are told to who cannot see them.
func endedDeliveries(changed []deliveryRow) (ended []deliveryRow) {
	for _, r := range changed {
		if r.State == kinora.DeliveryDelivered || r.State == kinora.DeliveryDead {
			ended = append(ended, r)
		}
	}
	return ended
}
