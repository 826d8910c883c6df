package store

import (
	"errors"
	"slices"
	"time"

	"github.com/kinora/kinora"
)

const assetColumns = `ingest_id, id, organisation_id, state, source_url, received_key, failure_code, failure_message, blob_key, content_type, bytes, sha256,
	width, height, tries, due_at, lease_owner, version, created_at, updated_at`

// InsertAsset writes a new ingest, due at a.DueAt.
func (tx *Tx) InsertAsset(a *kinora.SourceAsset) error {
	_, err := tx.Exec(`INSERT INTO source_assets (ingest_id, id, organisation_id, state, source_url, received_key, due_at, created_at, updated_at)
		VALUES (?,?,?,?,?,?,?,?,?)`,
		a.IngestID, a.ID, a.OrganisationID, string(a.State), a.SourceURL, a.ReceivedKey, Micros(a.DueAt), Micros(a.CreatedAt), Micros(a.UpdatedAt))
	return err
}

func scanAsset(row Row) (*kinora.SourceAsset, error) {
	var (
		a                    kinora.SourceAsset
		state, code, message string
		due, created, edited int64
	)
	err := row.Scan(&a.IngestID, &a.ID, &a.OrganisationID, &state, &a.SourceURL, &a.ReceivedKey, &code, &message, &a.BlobKey, &a.ContentType, &a.Bytes, &a.SHA256,
		&a.Width, &a.Height, &a.Tries, &due, &a.LeaseOwner, &a.Version, &created, &edited)
	if err != nil {
		return nil, err
	}
	if code != "" {
		a.Failure = kinora.NewFailure(kinora.FailureCode(code), message)
	}
	a.State, a.DueAt, a.CreatedAt, a.UpdatedAt = kinora.AssetState(state), Time(due), Time(created), Time(edited)
	return &a, nil
}

// Ingest reads the asset of an ingest's id, or ErrNotFound. An empty organisation reads any;
// otherwise another organisation's is not found.
func (tx *Tx) Ingest(organisation, ingestID string) (*kinora.SourceAsset, error) {
	return scanAsset(tx.QueryRow(`SELECT `+assetColumns+` FROM source_assets WHERE ingest_id = ? AND (? = '' OR organisation_id = ?)`,
		ingestID, organisation, organisation))
}

// Ingests reads those of the organisation among several ingests, in one round trip.
func (tx *Tx) Ingests(organisation string, ingestIDs []string) ([]*kinora.SourceAsset, error) {
	var list []*kinora.SourceAsset
	err := tx.queryEach(`SELECT `+assetColumns+` FROM source_assets WHERE ingest_id = ?`, ingestIDs, func(row Row) error {
		a, err := scanAsset(row)
		if err == nil && a.OrganisationID == organisation {
			list = append(list, a)
		}
		return err
	})
	return list, err
}

// Asset is Ingest by the asset's own id, in whatever state it is.
func (tx *Tx) Asset(organisation, id string) (*kinora.SourceAsset, error) {
	return scanAsset(tx.QueryRow(`SELECT `+assetColumns+` FROM source_assets WHERE id = ? AND (? = '' OR organisation_id = ?)`,
		id, organisation, organisation))
}

// LockSource is Asset that keeps the row as it is until the transaction ends: its ingest cannot
// end, and it cannot be removed, before what is made from it is committed.
func (tx *Tx) LockSource(organisation, id string) (*kinora.SourceAsset, error) {
	return scanAsset(tx.QueryRow(`SELECT `+assetColumns+` FROM source_assets WHERE id = ? AND organisation_id = ? {for share}`, id, organisation))
}

func (tx *Tx) assets(query string, args ...any) ([]*kinora.SourceAsset, error) {
	var list []*kinora.SourceAsset
	err := tx.Query(query, args, func(row Row) error {
		a, err := scanAsset(row)
		if err == nil {
			list = append(list, a)
		}
		return err
	})
	return list, err
}

// Assets lists an organisation's assets, newest first: those whose ingest is older than the id
// before ("" = all), in a state ("" = any), at most limit.
func (tx *Tx) Assets(organisation string, state kinora.AssetState, before string, limit int) ([]*kinora.SourceAsset, error) {
	return tx.assets(`SELECT `+assetColumns+` FROM source_assets WHERE organisation_id = ? AND (? = '' OR ingest_id < ?) AND (? = '' OR state = ?)
		ORDER BY ingest_id DESC LIMIT ?`, organisation, before, before, string(state), string(state), limit)
}

// ClaimIngests leases the most overdue ingests to a node: those that are to be fetched, or
// those whose file is here. Of the organisations busy it takes none.
func (tx *Tx) ClaimIngests(fetch bool, node string, now time.Time, busy []string, limit int) ([]*kinora.SourceAsset, error) {
	which := `received_key <> ''`
	if fetch {
		which = `received_key = ''`
	}
	args := []any{node, Micros(now), Micros(now)}
	for _, organisation := range busy {
		which += ` AND organisation_id <> ?`
		args = append(args, organisation)
	}
	return tx.assets(`UPDATE source_assets SET state = 'processing', due_at = 0, lease_owner = ?, version = version + 1, updated_at = ?
		WHERE ingest_id IN (SELECT ingest_id FROM source_assets WHERE due_at > 0 AND due_at <= ? AND `+which+` ORDER BY due_at LIMIT ? {skip locked})
		RETURNING `+assetColumns, append(args, limit)...)
}

// NextIngest returns when the next ingest falls due; zero = none waits.
func (tx *Tx) NextIngest() (time.Time, error) {
	var due int64
	err := tx.QueryRow(`SELECT coalesce(min(due_at), 0) FROM source_assets WHERE due_at > 0`).Scan(&due)
	return Time(due), err
}

// LeasedIngests reads the ingests that a node holds.
func (tx *Tx) LeasedIngests(node string) ([]*kinora.SourceAsset, error) {
	return tx.assets(`SELECT `+assetColumns+` FROM source_assets WHERE lease_owner = ?`, node)
}

// SaveIngest writes every mutable field of an ingest that has not ended, provided that the row
// still has the version that the caller read, else ErrStale. The row's version grows by one;
// the one in memory does not.
func (tx *Tx) SaveIngest(a *kinora.SourceAsset) error {
	var code, message string
	if a.Failure != nil {
		code, message = string(a.Failure.Code), a.Failure.Message
	}
	n, err := tx.Exec(`UPDATE source_assets SET state = ?, received_key = ?, failure_code = ?, failure_message = ?, blob_key = ?, content_type = ?, bytes = ?,
		sha256 = ?, width = ?, height = ?, tries = ?, due_at = ?, lease_owner = ?, updated_at = ?, version = version + 1
		WHERE ingest_id = ? AND version = ? AND state IN ('pending', 'processing')`,
		string(a.State), a.ReceivedKey, code, message, a.BlobKey, a.ContentType, a.Bytes, a.SHA256, a.Width, a.Height, a.Tries, Micros(a.DueAt),
		a.LeaseOwner, Micros(a.UpdatedAt), a.IngestID, a.Version)
	if err == nil && n == 0 {
		return ErrStale
	}
	return err
}

// ReleaseIngests gives back the ingests leased by owner; an empty owner means everybody's.
func (tx *Tx) ReleaseIngests(owner string, now time.Time) (int64, error) {
	return tx.Exec(`UPDATE source_assets SET lease_owner = '', due_at = ?, version = version + 1
		WHERE lease_owner <> '' AND (? = '' OR lease_owner = ?)`, Micros(now), owner, owner)
}

// ShareAssetFile notes that one more asset of an organisation has this content, and returns
// where its file is: key, or where the same content is kept already.
func (tx *Tx) ShareAssetFile(organisation, sha256, key string) (kept string, err error) {
	err = tx.QueryRow(`INSERT INTO asset_files (organisation_id, sha256, blob_key, assets) VALUES (?,?,?,1)
		ON CONFLICT (organisation_id, sha256) DO UPDATE SET assets = asset_files.assets + 1 RETURNING blob_key`,
		organisation, sha256, key).Scan(&kept)
	return kept, err
}

// RemoveAsset forgets an asset. Where it was the last one with its file, file is the key that the
// caller removes once this is committed; received is a file that no ingest will need any more.
//
// ErrNotFound: there is none. ErrStale: a generation that has not ended needs it, or a node works on it.
func (tx *Tx) RemoveAsset(organisation, ingestID string) (files []string, err error) {
	a, err := scanAsset(tx.QueryRow(`SELECT `+assetColumns+` FROM source_assets WHERE ingest_id = ? AND (? = '' OR organisation_id = ?) {for update}`,
		ingestID, organisation, organisation))
	if err != nil {
		return nil, err
	}
	var needed int
	err = tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM generations WHERE source_asset_id = ? AND source_asset_id <> '' AND completed_at = 0 LIMIT 1) AS one`, a.ID).Scan(&needed)
	if err != nil {
		return nil, err
	}
	if needed > 0 || a.LeaseOwner != "" {
		return nil, ErrStale
	}
	if _, err := tx.Exec(`DELETE FROM source_assets WHERE ingest_id = ?`, a.IngestID); err != nil {
		return nil, err
	}
	if a.ReceivedKey != "" {
		files = append(files, a.ReceivedKey)
	}
	if a.BlobKey == "" {
		return files, nil
	}
	if _, err := tx.Exec(`UPDATE asset_files SET assets = assets - 1 WHERE organisation_id = ? AND sha256 = ?`, a.OrganisationID, a.SHA256); err != nil {
		return nil, err
	}
	var last string
	err = tx.QueryRow(`DELETE FROM asset_files WHERE organisation_id = ? AND sha256 = ? AND assets <= 0 RETURNING blob_key`, a.OrganisationID, a.SHA256).Scan(&last)
	switch {
	case errors.Is(err, ErrNotFound):
		return files, nil
	case err != nil:
		return nil, err
	}
	return append(files, last), nil
}

// AgedAssets lists ingests in a terminal state that ended before an instant and that no
// generation needs which has not ended, oldest first, at most limit.
func (tx *Tx) AgedAssets(state kinora.AssetState, before time.Time, limit int) ([]string, error) {
	var ids []string
	err := tx.Query(`SELECT ingest_id FROM source_assets a WHERE state = ? AND state IN ('ready', 'failed') AND updated_at <= ?
		AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.source_asset_id = a.id AND g.source_asset_id <> '' AND g.completed_at = 0)
		ORDER BY updated_at LIMIT ?`, []any{string(state), Micros(before), limit}, func(row Row) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// KnownAssetFile tells whether a stored object belongs to an asset or to an ingest, for the sweep
// that removes orphans.
func (tx *Tx) KnownAssetFile(key string) (bool, error) {
	var n int
	err := tx.QueryRow(knownAssetFileQuery, key, key).Scan(&n)
	return n > 0, err
}

// OwnsAssetFile tells whether a stored object is the kept file of an asset of the organisation.
func (tx *Tx) OwnsAssetFile(organisation, key string) (bool, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM asset_files WHERE blob_key = ? AND organisation_id = ?`, key, organisation).Scan(&n)
	return n > 0, err
}

const knownAssetFileQuery = `SELECT (SELECT count(*) FROM asset_files WHERE blob_key = ?) +
	(SELECT count(*) FROM source_assets WHERE received_key = ? AND received_key <> '')`

// ReleaseWaiting makes the generations due that wait for an asset, and returns the lanes of their attempts.
func (tx *Tx) ReleaseWaiting(assetID string, now time.Time) (lanes []string, err error) {
	// Attempts first, as whoever else ends them has it.
	err = tx.Query(`UPDATE attempts SET due_at = ? WHERE state = 'queued' AND due_at = 0 AND lease_owner = '' AND generation_id IN
			(SELECT id FROM generations WHERE source_asset_id = ? AND source_asset_id <> '' AND completed_at = 0 AND state = 'ingesting')
		RETURNING lane`, []any{Micros(now), assetID}, func(row Row) error {
		var lane string
		err := row.Scan(&lane)
		if !slices.Contains(lanes, lane) {
			lanes = append(lanes, lane)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(`UPDATE generations SET state = 'queued', updated_at = ?
		WHERE source_asset_id = ? AND source_asset_id <> '' AND completed_at = 0 AND state = 'ingesting'`, Micros(now), assetID)
	return lanes, err
}

// WaitingFor lists the generations that wait for an asset.
func (tx *Tx) WaitingFor(assetID string) ([]string, error) {
	var ids []string
	err := tx.Query(`SELECT id FROM generations WHERE source_asset_id = ? AND source_asset_id <> '' AND completed_at = 0 AND state = 'ingesting' ORDER BY id`,
		[]any{assetID}, func(row Row) error {
			var id string
			err := row.Scan(&id)
			ids = append(ids, id)
			return err
		})
	return ids, err
}
