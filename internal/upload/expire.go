package upload

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
	// batch is how many uploads one round of removal takes in hand.
	batch = 200
	// maxTold bounds how many faults one error names; the rest are likely the same.
	maxTold = 10
)

// RemoveExpired removes the uploads whose time is over at now: the rows first, then the
// files, so that a file that cannot be removed is in nobody's way at the next run. Such a
// file, or one that a crash in between left, is an orphan and found by [Service.RemoveOrphans].
// The error tells of the faults; it stops early only where not one file of a batch can be removed.
func (s *Service) RemoveExpired(ctx context.Context, now time.Time) error {
	var faults []error
	for {
		var due []*kinora.Upload
		err := s.cfg.DB.Update(ctx, func(tx *store.Tx) (err error) {
			if due, err = tx.ExpiredUploads(now, batch); err != nil {
				return err
			}
			for _, u := range due {
				if err := tx.DeleteUpload(u.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("remove expired uploads: %w", errors.Join(append(faults, err)...))
		}
		removed := 0
		for _, u := range due {
			if err := s.cfg.Files.Delete(ctx, u.BlobKey); err == nil {
				removed++
			} else if len(faults) < maxTold {
				faults = append(faults, err)
			}
		}
		if len(due) == batch && removed > 0 {
			continue
		}
		if len(faults) > 0 {
			return fmt.Errorf("remove expired uploads: %w", errors.Join(faults...))
		}
		return nil
	}
}

// RemoveOrphans removes stored files that no row refers to: what a crash left between
// storing a file and committing its row, and what RemoveExpired could not remove. Only files
// last written before olderThan are looked at; choose a time before the start of the longest
// upload, such as 24 hours ago. A file that cannot be removed does not keep the others from
// going. It returns how many it removed.
func (s *Service) RemoveOrphans(ctx context.Context, olderThan time.Time) (removed int, err error) {
	var faults []error
	err = s.cfg.Files.List(ctx, Prefix, func(at blob.Attributes) error {
		if !at.ModTime.Before(olderThan) {
			return nil
		}
		err := s.cfg.DB.View(ctx, func(tx *store.Tx) error {
			_, err := tx.UploadByBlob(at.Key)
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
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
		return removed, fmt.Errorf("remove orphaned uploads: %w", err)
	}
	return removed, nil
}
