package upload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/store"
)

// batch is how many uploads one round of removal takes in hand.
const batch = 200

// RemoveExpired removes the uploads whose time is over at now: the file first, then the
// row, so that a crash in between only repeats the removal. A file that cannot be removed
// keeps its row, and does not keep the others from going.
func (s *Service) RemoveExpired(ctx context.Context, now time.Time) error {
	for {
		var due []*kinora.Upload
		err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
			due, err = tx.ExpiredUploads(now, batch)
			return err
		})
		if err != nil {
			return fmt.Errorf("remove expired uploads: %w", err)
		}
		var removed []string
		var failed error
		for _, u := range due {
			if err := s.cfg.Files.Delete(ctx, u.BlobKey); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			removed = append(removed, u.ID)
		}
		err = s.cfg.DB.Update(ctx, func(tx *store.Tx) error {
			for _, uploadID := range removed {
				if err := tx.DeleteUpload(uploadID); err != nil {
					return err
				}
			}
			return nil
		})
		if err = errors.Join(failed, err); err != nil {
			return fmt.Errorf("remove expired uploads: %w", err)
		}
		if len(due) < batch {
			return nil
		}
	}
}

// RemoveOrphans removes stored files that no row refers to: what a crash left between
// storing a file and committing its row. Only files last written before olderThan are looked
// at; choose a time before the start of the longest upload, such as 24 hours ago. It
// returns how many it removed.
func (s *Service) RemoveOrphans(ctx context.Context, olderThan time.Time) (removed int, err error) {
	for {
		var orphans []string
		err := s.cfg.Files.List(ctx, Prefix, func(at blob.Attributes) error {
			if !at.ModTime.Before(olderThan) {
				return nil
			}
			err := s.cfg.DB.View(ctx, func(tx *store.Tx) error {
				_, err := tx.UploadByBlob(at.Key)
				return err
			})
			if errors.Is(err, store.ErrNotFound) {
				orphans = append(orphans, at.Key)
				err = nil
			}
			if err == nil && len(orphans) == batch {
				err = fs.SkipAll
			}
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("remove orphaned uploads: %w", err)
		}
		for _, key := range orphans {
			if err := s.cfg.Files.Delete(ctx, key); err != nil {
				return removed, fmt.Errorf("remove orphaned uploads: %w", err)
			}
			removed++
		}
		if len(orphans) < batch {
			return removed, nil
		}
	}
}
