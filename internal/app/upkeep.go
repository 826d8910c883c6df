package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/queue"
	"github.com/kinora/kinora/internal/store"
)

const (
	// upkeepBatch is how many rows one transaction of upkeep touches.
	upkeepBatch = 200
	// orphanAge is how old an object without a row must be before it is removed: longer than
	// any step between storing a file and committing its row.
	orphanAge = 24 * time.Hour
	// maxTold bounds how many files one error names; the rest are likely the same.
	maxTold = 10
)

// tasks is the house's upkeep. Each runs on one node of many.
func (a *App) tasks() []queue.Task {
	every := a.cfg.UpkeepInterval.Std()
	return []queue.Task{
		{Name: "expire-outputs", Every: every, Run: a.expireOutputs},
		{Name: "expire-uploads", Every: every, Run: func(ctx context.Context) error { return a.uploads.RemoveExpired(ctx, now()) }},
		{Name: "expire-assets", Every: every, Run: func(ctx context.Context) error { return a.expireAssets(ctx, now()) }},
		{Name: "forget-idempotency-keys", Every: every, Run: a.forgetIdempotencyKeys},
		{Name: "forget-rates", Every: every, Run: a.forgetRates},
		{Name: "trim-delivery-log", Every: every, Run: a.trimDeliveryLog},
		{Name: "trim-replays", Every: every, Run: a.trimReplays},
		{Name: "trim-test-events", Every: every, Run: a.trimTrials},
		{Name: "fold-usage", Every: every, Run: a.foldUsage},
		{Name: "forget-sign-ins", Every: every, Run: a.forgetSignIns},
		{Name: "trim-audit-log", Every: every, Run: a.trimAudit},
		{Name: "purge-records", Every: every, Run: func(ctx context.Context) error { return a.purgeRecords(ctx, now()) }},
		{Name: "sweep-storage", Every: 6 * time.Hour, Timeout: time.Hour, Run: a.sweepStorage},
	}
}

// expireOutputs removes files whose retention has ended: first the note that it is gone,
// then the file, so that a file that cannot be removed is in nobody's way at the next run.
// Such a file, or one that a crash in between left, is found by the sweep. It stops early
// only where not one file of a batch can be removed.
func (a *App) expireOutputs(ctx context.Context) error {
	var faults []error
	for {
		var (
			list  []kinora.Output
			files []string
		)
		err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
			files = nil
			if list, err = tx.ExpiredOutputs(now(), upkeepBatch); err != nil {
				return err
			}
			for _, o := range list {
				last, err := tx.RemoveOutput(o, now())
				if err != nil {
					return err
				}
				if last {
					files = append(files, o.BlobKey)
				}
			}
			return nil
		})
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		removed := len(list) - len(files)
		for _, key := range files {
			if err := a.files.Delete(ctx, key); err == nil {
				removed++
			} else if len(faults) < maxTold {
				faults = append(faults, fmt.Errorf("remove output: %w", err))
			}
		}
		if len(list) < upkeepBatch || removed == 0 {
			return errors.Join(faults...)
		}
	}
}

// expireAssets removes source images whose time is over at an instant, and what is left of failed ingests.
func (a *App) expireAssets(ctx context.Context, at time.Time) error {
	var ready time.Time
	if keep := a.cfg.Retention.Assets.Std(); keep > 0 {
		ready = at.Add(-keep)
	}
	return a.assets.RemoveAged(ctx, ready, at.Add(-a.cfg.Retention.Records.Std()))
}

func (a *App) forgetIdempotencyKeys(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) {
		return tx.ForgetIdempotencyKeys(now().Add(-kinora.IdempotencyWindow-time.Hour), upkeepBatch)
	})
}

// forgetRates waits an hour, which no clock of a node is off.
func (a *App) forgetRates(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) { return tx.ForgetRates(now().Add(-time.Hour), upkeepBatch) })
}

// purgeRecords removes the records whose time is over at an instant.
func (a *App) purgeRecords(ctx context.Context, at time.Time) error {
	before := at.Add(-a.cfg.Retention.Records.Std())
	return errors.Join(
		a.inBatches(ctx, func(tx *store.Tx) (int64, error) { return tx.PurgeGenerations(before, upkeepBatch) }),
		a.inBatches(ctx, func(tx *store.Tx) (int64, error) { return tx.PurgeEventsApart(before, upkeepBatch) }))
}

func (a *App) foldUsage(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) { return tx.FoldUsage(now(), upkeepBatch) })
}

func (a *App) trimDeliveryLog(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) {
		return tx.TrimDeliveries(now().Add(-a.cfg.Retention.DeliveryLog.Std()), upkeepBatch)
	})
}

func (a *App) trimReplays(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) {
		return tx.TrimReplays(now().Add(-a.cfg.Retention.DeliveryLog.Std()), upkeepBatch)
	})
}

func (a *App) trimTrials(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) {
		return tx.TrimTrials(now().Add(-a.cfg.Retention.DeliveryLog.Std()), upkeepBatch)
	})
}

func (a *App) forgetSignIns(ctx context.Context) error {
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) { return tx.TrimSignIns(now(), upkeepBatch) })
}

// trimAudit keeps the audit log for ever where its retention is 0.
func (a *App) trimAudit(ctx context.Context) error {
	keep := a.cfg.Retention.Audit.Std()
	if keep == 0 {
		return nil
	}
	return a.inBatches(ctx, func(tx *store.Tx) (int64, error) { return tx.TrimAudit(now().Add(-keep), upkeepBatch) })
}

func (a *App) inBatches(ctx context.Context, step func(tx *store.Tx) (int64, error)) error {
	for {
		var n int64
		err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = step(tx)
			return err
		})
		if err != nil || n < upkeepBatch {
			return err
		}
	}
}

// sweepStorage removes what no row refers to: leftovers of interrupted writes, files that
// could not be removed in time, and outputs whose generation ended without them. What
// cannot be removed is told of, and keeps nothing else from going.
func (a *App) sweepStorage(ctx context.Context) error {
	var faults []error
	if s, ok := a.files.(blob.Sweeper); ok {
		if _, err := s.Sweep(ctx, now().Add(-orphanAge)); err != nil {
			faults = append(faults, fmt.Errorf("sweep storage: %w", err))
		}
	}
	if _, err := a.uploads.RemoveOrphans(ctx, now().Add(-orphanAge)); err != nil {
		faults = append(faults, fmt.Errorf("sweep uploads: %w", err))
	}
	if _, err := a.assets.RemoveOrphans(ctx, now().Add(-orphanAge)); err != nil {
		faults = append(faults, fmt.Errorf("sweep source assets: %w", err))
	}
	if a.previews != nil {
		if _, err := a.previews.RemoveOrphans(ctx, now().Add(-orphanAge)); err != nil {
			faults = append(faults, fmt.Errorf("sweep previews: %w", err))
		}
	}
	return errors.Join(append(faults, a.sweepOutputs(ctx))...)
}

func (a *App) sweepOutputs(ctx context.Context) error {
	var (
		faults  []error
		removed int
	)
	err := a.files.List(ctx, "outputs/", func(at blob.Attributes) error {
		if now().Sub(at.ModTime) < orphanAge {
			return nil
		}
		if known, err := a.outputKnown(ctx, at.Key); err != nil || known {
			return err
		}
		if err := a.files.Delete(ctx, at.Key); err == nil {
			removed++
		} else if len(faults) < maxTold {
			faults = append(faults, err)
		}
		return ctx.Err()
	})
	if removed > 0 {
		a.log.Warn("removed stored files that nothing refers to", "files", removed)
	}
	if err = errors.Join(append(faults, err)...); err != nil {
		return fmt.Errorf("sweep outputs: %w", err)
	}
	return nil
}

// outputGeneration is the id of the generation whose output's object has this key; empty for what is no such key. The key's last part
// begins with it.
func outputGeneration(key string) string {
	ref, _, _ := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], "-")
	return ref[:max(0, strings.LastIndexByte(ref, '_'))]
}

// outputKnown tells whether a row refers to an output's object. A generation that has not
// ended may still need it.
func (a *App) outputKnown(ctx context.Context, key string) (bool, error) {
	generationID := outputGeneration(key)
	if generationID == "" {
		return false, nil
	}
	var known bool
	err := a.db.View(ctx, func(tx *store.Tx) error {
		g, err := tx.Generation("", generationID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil && !g.State.Terminal() {
			known = true
			return nil
		}
		known, err = tx.KnownOutput(generationID, key)
		return err
	})
	return known, err
}
