package app

import (
	"context"
	"time"

	"github.com/kinora/kinora/internal/store"
)

// View looks into the database.
func (a *App) View(ctx context.Context, fn func(tx *store.Tx) error) error { return a.db.View(ctx, fn) }

// Update changes the database.
func (a *App) Update(ctx context.Context, fn func(tx *store.Tx) error) error {
	return a.db.Update(ctx, fn)
}

// PurgeRecords removes the records whose time is over at an instant.
func (a *App) PurgeRecords(ctx context.Context, at time.Time) error { return a.purgeRecords(ctx, at) }
