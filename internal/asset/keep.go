package asset

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/store"
)

const (
	// batch is how many assets one round of removal takes in hand.
	batch = 200
	// maxTold bounds how many faults one error names; the rest are likely the same.
	maxTold = 10
)

// Remove forgets an asset of an organisation and removes its file, if it was the last one with that content. Generations
// made from it still name it.
//
// Errors (*kinora.Error): ErrNotFound; ErrConflict while a generation that has not ended needs it, or a node works on it;
// ErrUnavailable.
func (s *Service) Remove(ctx context.Context, organisationID, ingestID string) error {
	var files []string
	err := s.cfg.DB.Update(ctx, func(tx *store.Tx) (err error) {
		if files, err = tx.RemoveAsset(organisationID, ingestID); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditAssetDelete, organisationID, ingestID, nil)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &kinora.Error{Code: kinora.ErrNotFound, Message: "source asset not found", Err: err}
	case errors.Is(err, store.ErrStale):
		return &kinora.Error{Code: kinora.ErrConflict, Message: "the source asset is in use", Err: err,
			Hint: "wait for the end of its ingest and of the generations that are made from it, or cancel them"}
	case err != nil:
		return err
	}
	for _, key := range files {
		s.discard(ctx, key) // what cannot be removed now is an orphan
	}
	return nil
}

// RemoveAged removes the assets that became ready before ready, and what is left of ingests that failed before failed; a
// zero time removes none. What a generation needs that has not ended stays. Rows go first, then files, so that a file that
// cannot be removed is in nobody's way; RemoveOrphans finds it.
func (s *Service) RemoveAged(ctx context.Context, ready, failed time.Time) error {
	var faults []error
	for state, before := range map[kinora.AssetState]time.Time{kinora.AssetReady: ready, kinora.AssetFailed: failed} {
		if before.IsZero() {
			continue
		}
		if err := s.removeAged(ctx, state, before); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("remove aged source assets: %w", err)
	}
	return nil
}

func (s *Service) removeAged(ctx context.Context, state kinora.AssetState, before time.Time) error {
	var faults []error
	for {
		var ids []string
		err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
			ids, err = tx.AgedAssets(state, before, batch)
			return err
		})
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		removed, left := 0, 0
		for _, ingestID := range ids {
			// Each in a transaction of its own: one that held a shared file's row and went on to the
			// next asset could meet somebody who removes that one and waits for the file.
			var files []string
			err := s.cfg.DB.Update(ctx, func(tx *store.Tx) (err error) {
				files, err = tx.RemoveAsset("", ingestID)
				return err
			})
			if errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrNotFound) {
				continue // a generation has come for it since, or it is gone
			}
			if err != nil {
				return errors.Join(append(faults, err)...)
			}
			for _, key := range files {
				if err := s.cfg.Files.Delete(ctx, key); err == nil {
					removed++
					continue
				} else if len(faults) < maxTold {
					faults = append(faults, err)
				}
				left++
			}
		}
		if len(ids) < batch || left > 0 && removed == 0 {
			return errors.Join(faults...)
		}
	}
}

// RemoveOrphans removes stored files that no row refers to: what a crash left between storing a file and committing its
// row, or what could not be removed in time. Only files last written before olderThan are looked at; choose a time before
// the start of the longest upload, such as 24 hours ago. It returns how many it removed.
func (s *Service) RemoveOrphans(ctx context.Context, olderThan time.Time) (removed int, err error) {
	var faults []error
	err = s.cfg.Files.List(ctx, Prefix, func(at blob.Attributes) error {
		if !at.ModTime.Before(olderThan) {
			return nil
		}
		known := false
		err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
			known, err = tx.KnownAssetFile(at.Key)
			return err
		})
		if err != nil || known {
			return err
		}
		if err := s.cfg.Files.Delete(ctx, at.Key); err == nil {
			removed++
		} else if len(faults) < maxTold {
			faults = append(faults, err)
		}
		return ctx.Err()
	})
	if err = errors.Join(append(faults, err)...); err != nil {
		return removed, fmt.Errorf("remove orphaned source assets: %w", err)
	}
	return removed, nil
}
