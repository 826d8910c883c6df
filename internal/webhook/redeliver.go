package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// Redeliver makes a delivery that has ended, delivered or dead, due now. Its attempts go on
// counting where they were: where the schedule has already ended, one more is made. It
// returns the delivery as it is now. An empty organisation means any.
//
// Errors: ErrNotFound, also for another organisation's delivery; ErrConflict while the
// delivery is still on its way; ErrUnavailable.
func (s *Dispatcher) Redeliver(ctx context.Context, organisation, deliveryID string) (*kinora.Delivery, error) {
	return s.sendAgain(ctx, organisation, deliveryID, "once", func(d *kinora.Delivery) error {
		if d.State != kinora.DeliveryDelivered && d.State != kinora.DeliveryDead {
			return kinora.Errorf(kinora.ErrConflict, "delivery %s is still on its way", deliveryID)
		}
		return nil
	})
}

// Revive gives a dead delivery its whole schedule once more, beginning now. It returns the
// delivery as it is now. An empty organisation means any.
//
// Errors: ErrNotFound, also for another organisation's delivery; ErrConflict when it is not
// dead; ErrUnavailable.
func (s *Dispatcher) Revive(ctx context.Context, organisation, deliveryID string) (*kinora.Delivery, error) {
	return s.sendAgain(ctx, organisation, deliveryID, "schedule", func(d *kinora.Delivery) error {
		if d.State != kinora.DeliveryDead {
			return kinora.Errorf(kinora.ErrConflict, "delivery %s is not dead", deliveryID)
		}
		d.ScheduleFrom = d.Attempts
		return nil
	})
}

// sendAgain makes a delivery due now that change agrees to. tries says for the audit log how it goes on: "once", or by the whole
// "schedule".
func (s *Dispatcher) sendAgain(ctx context.Context, organisation, deliveryID, tries string, change func(*kinora.Delivery) error) (*kinora.Delivery, error) {
	var d *kinora.Delivery
	err := s.cfg.DB.Update(ctx, func(tx *store.Tx) (err error) {
		if d, err = tx.Delivery(organisation, deliveryID); err != nil {
			return err
		}
		if err := change(d); err != nil {
			return err
		}
		d.State, d.DueAt, d.FinishedAt = kinora.DeliveryPending, s.cfg.Now(), time.Time{}
		stale, err := tx.SaveDeliveries([]store.DeliveryResult{{Delivery: d}})
		if err == nil && len(stale) > 0 {
			return kinora.Errorf(kinora.ErrConflict, "delivery %s is being changed by somebody else", deliveryID)
		}
		if err != nil {
			return err
		}
		return tx.Audit(kinora.AuditDeliveryRedeliver, d.OrganisationID, d.ID, map[string]any{"tries": tries, "event": d.EventID, "generation": d.GenerationID})
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, kinora.Errorf(kinora.ErrNotFound, "there is no delivery %s", deliveryID)
	}
	if err != nil {
		return nil, err
	}
	d.Version++
	for _, c := range s.claimers {
		ring(c.bell)
	}
	return d, nil
}
