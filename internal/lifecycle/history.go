package lifecycle

import (
	"context"
	"errors"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

const (
	deliveryLog         = 10 // attempts of each delivery
	regenerationsListed = 20
)

// History reads what is kept about a generation, at one instant. An empty organisation reads anybody's.
//
// Errors (*kinora.Error): ErrNotFound when the organisation has none of that id; ErrUnavailable.
func (e *Engine) History(ctx context.Context, organisationID, generationID string) (*kinora.History, error) {
	return e.history(ctx, organisationID, generationID, readHistory)
}

// Files is History with nothing but the generation, its source and its outputs, for whoever leads to one of the files.
func (e *Engine) Files(ctx context.Context, organisationID, generationID string) (*kinora.History, error) {
	return e.history(ctx, organisationID, generationID, readFiles)
}

func (e *Engine) history(ctx context.Context, organisationID, generationID string, read func(*store.Tx, string, string) (*kinora.History, error)) (*kinora.History, error) {
	if !id.WellFormed(generationID, id.Task) && !id.WellFormed(generationID, id.Job) {
		return nil, kinora.Errorf(kinora.ErrNotFound, "generation not found")
	}
	var h *kinora.History
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		h, err = read(tx, organisationID, generationID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "generation not found", Err: err}
	}
	return h, err
}

// readFiles reads what of a generation lies in files.
func readFiles(tx *store.Tx, organisationID, generationID string) (*kinora.History, error) {
	g, err := tx.Generation(organisationID, generationID)
	if err != nil {
		return nil, err
	}
	h := &kinora.History{Generation: g}
	if g.SourceAssetID != "" {
		h.Source, err = orNone(tx.Asset(g.OrganisationID, g.SourceAssetID))
	}
	if err == nil {
		h.Outputs, err = tx.Candidates(g.ID)
	}
	return h, err
}

func readHistory(tx *store.Tx, organisationID, generationID string) (*kinora.History, error) {
	h, err := readFiles(tx, organisationID, generationID)
	if err != nil {
		return nil, err
	}
	g := h.Generation
	h.Attempts, err = tx.Attempts(g.ID)
	if err == nil {
		h.Reviews, err = tx.Reviews(g.ID)
	}
	if err != nil || !g.State.Terminal() {
		return h, err
	}
	if h.Entry, err = orNone(tx.EntryOf(g.ID)); err != nil {
		return nil, err
	}
	if h.Event, err = orNone(tx.EventOf(g.ID)); err != nil {
		return nil, err
	}
	deliveries, err := tx.DeliveriesOf(g.ID)
	for _, d := range deliveries {
		log, err := tx.DeliveryHistory(d.ID, deliveryLog)
		if err != nil {
			return nil, err
		}
		h.Deliveries = append(h.Deliveries, kinora.DeliveryHistory{Delivery: d, Log: log})
	}
	return h, err
}

// orNone is nil for what is not there.
func orNone[T any](found *T, err error) (*T, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return found, err
}

// Origin reads where a generation came from, and what has come of it: of what was made anew from it, the first twenty.
//
// Errors (*kinora.Error): ErrUnavailable.
func (e *Engine) Origin(ctx context.Context, g *kinora.Generation) (*kinora.Origin, error) {
	o := &kinora.Origin{}
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		if o.By, err = orNone(tx.Submitter(g)); err != nil {
			return err
		}
		if o.IdempotencyKey, err = tx.IdempotencyKeyOf(g); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		o.Regenerations, o.MoreRegenerations, err = tx.Regenerations(g, regenerationsListed)
		return err
	})
	return o, err
}
