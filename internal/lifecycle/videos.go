package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// Video reads a video of an organisation. Errors (*kinora.Error): ErrNotFound, for what is no video, belongs to another
// or was deleted too; ErrUnavailable.
func (e *Engine) Video(ctx context.Context, organisationID, id string) (*kinora.Video, error) {
	v := &kinora.Video{}
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		v.ExpiresAt, err = tx.VideoExpiry(organisationID, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, &kinora.Error{Code: kinora.ErrNotFound, Message: "video not found", Err: err}
	}
	if err != nil {
		return nil, err
	}
	v.Generation, v.Outputs, err = e.Generation(ctx, organisationID, id)
	return v, err
}

// Videos lists an organisation's videos; more tells whether others follow. Errors (*kinora.Error): ErrNotFound where
// page.After is none of them; ErrUnavailable.
func (e *Engine) Videos(ctx context.Context, organisationID string, page kinora.VideoPage) (list []*kinora.Video, more bool, err error) {
	var ids []string
	wanted := page.Limit
	page.Limit++
	err = e.db.View(ctx, func(tx *store.Tx) (err error) {
		ids, err = tx.VideoIDs(organisationID, page)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, &kinora.Error{Code: kinora.ErrNotFound, Message: "there is no video " + clip(page.After), Err: err}
	}
	if err != nil {
		return nil, false, err
	}
	if more = len(ids) > wanted; more {
		ids = ids[:wanted]
	}
	for _, id := range ids {
		v, err := e.Video(ctx, organisationID, id)
		if kinora.CodeOf(err) == kinora.ErrNotFound {
			continue // deleted in between
		}
		if err != nil {
			return nil, false, err
		}
		list = append(list, v)
	}
	return list, more, nil
}

// DeleteVideo takes a video out of its organisation's list and removes its files, but for those that other generations
// share; one that has not ended is cancelled before. The generation's record stays, and so do its event and its usage. Files that cannot be removed now are orphans
// from here on, and removed by upkeep.
//
// Errors (*kinora.Error): ErrNotFound as for Video; ErrUnavailable.
func (e *Engine) DeleteVideo(ctx context.Context, organisationID, id string) error {
	v, err := e.Video(ctx, organisationID, id)
	if err != nil {
		return err
	}
	if !v.Generation.State.Terminal() {
		if _, err := e.Cancel(ctx, organisationID, id); err != nil && kinora.CodeOf(err) != kinora.ErrConflict { // it ended meanwhile
			return err
		}
	}
	var files []string
	err = e.db.Update(ctx, func(tx *store.Tx) (err error) {
		files, err = tx.DeleteVideo(organisationID, id, time.Now())
		return err
	})
	if errors.Is(err, store.ErrStale) { // somebody else was quicker
		return &kinora.Error{Code: kinora.ErrNotFound, Message: "video not found", Err: err}
	}
	if err != nil {
		return err
	}
	for _, key := range files {
		if err := e.cfg.Blob.Delete(ctx, key); err != nil {
			e.log.Info("a deleted video's file could not be removed; upkeep removes it", "generation", id, "error", err)
		}
	}
	return nil
}
