package store

import (
	"time"

	"github.com/kinora/kinora"
)

// A deleted video is a generation like any other to everybody but those who read videos.
const isVideo = `kind = 'video' AND deleted_at = 0`

// VideoExpiry tells when the files of a video are removed, or were; zero where it has none. ErrNotFound where the
// organisation has no video of that id, or has deleted it.
func (tx *Tx) VideoExpiry(organisation, id string) (time.Time, error) {
	var expires int64
	err := tx.QueryRow(`SELECT coalesce((SELECT max(o.expires_at) FROM outputs o WHERE o.generation_id = g.id), 0)
		FROM generations g WHERE id = ? AND organisation_id = ? AND `+isVideo, id, organisation).Scan(&expires)
	return Time(expires), err
}

// VideoIDs lists an organisation's videos by the time of their acceptance: at most page.Limit of them. ErrNotFound where
// page.After names none of them.
func (tx *Tx) VideoIDs(organisation string, page kinora.VideoPage) ([]string, error) {
	comparison, order, args := "<", "DESC", []any{organisation}
	if page.Ascending {
		comparison, order = ">", "ASC"
	}
	behind := ""
	if page.After != "" {
		// A video that was deleted since the page before still has its place.
		var created int64
		err := tx.QueryRow(`SELECT created_at FROM generations WHERE id = ? AND organisation_id = ? AND kind = 'video'`, page.After, organisation).Scan(&created)
		if err != nil {
			return nil, err
		}
		behind = ` AND (created_at, id) ` + comparison + ` (?, ?)`
		args = append(args, created, page.After)
	}
	var ids []string
	err := tx.Query(`SELECT id FROM generations WHERE organisation_id = ? AND `+isVideo+behind+
		` ORDER BY created_at `+order+`, id `+order+` LIMIT ?`, append(args, page.Limit), func(row Row) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// DeleteVideo notes that a video that has ended is deleted and that its files are gone from it, and returns the keys of
// those that no other generation shares, which the caller removes from the storage. ErrStale where it has not ended or has
// been deleted already.
func (tx *Tx) DeleteVideo(organisation, id string, now time.Time) ([]string, error) {
	n, err := tx.Exec(`UPDATE generations SET deleted_at = ? WHERE id = ? AND organisation_id = ? AND completed_at > 0 AND `+isVideo,
		Micros(now), id, organisation)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, ErrStale
	}
	// In the order in which Approved locks them.
	list, err := tx.outputs(`SELECT `+outputColumns+` FROM outputs WHERE generation_id = ? AND removed_at = 0 ORDER BY ordinal, id {for update}`, id)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, o := range list {
		last, err := tx.RemoveOutput(o, now)
		if err != nil {
			return nil, err
		}
		if last {
			keys = append(keys, o.BlobKey)
		}
	}
	return keys, nil
}
