package store

import "github.com/kinora/kinora"

// How much is stored, from the rows: the files themselves are not asked. Each sum ends at a
// number of rows. An output that is a copy of another shares its file, and is not counted.
const (
	outputsKept = `SELECT count(*), CAST(coalesce(sum(kept.bytes), 0) AS BIGINT) FROM (SELECT bytes FROM outputs WHERE removed_at = 0 AND expires_at > 0 AND origin_id = '' LIMIT ?) AS kept`
	uploadsKept = `SELECT count(*), CAST(coalesce(sum(kept.bytes), 0) AS BIGINT) FROM (SELECT bytes FROM uploads LIMIT ?) AS kept`
	// Assets of the same content share a file: each counts as its part of it.
	assetsKept = `SELECT count(*), CAST(coalesce(sum(kept.bytes), 0) AS BIGINT) FROM (SELECT s.bytes / f.assets AS bytes FROM source_assets s
		JOIN asset_files f ON f.organisation_id = s.organisation_id AND f.sha256 = s.sha256 WHERE s.state = 'ready' LIMIT ?) AS kept`
	assetFiles = `SELECT count(*) FROM (SELECT 1 FROM asset_files LIMIT ?) AS kept`
)

// FilesKept sums up what is stored, each sum over no more than limit rows.
func (tx *Tx) FilesKept(limit int64) (outputs, assets, uploads kinora.FilesKept, err error) {
	for _, sum := range []struct {
		query string
		into  *kinora.FilesKept
	}{{outputsKept, &outputs}, {assetsKept, &assets}, {uploadsKept, &uploads}} {
		if err := tx.QueryRow(sum.query, limit).Scan(&sum.into.Files, &sum.into.Bytes); err != nil {
			return outputs, assets, uploads, err
		}
		sum.into.More = sum.into.Files == limit
	}
	err = tx.QueryRow(assetFiles, limit).Scan(&assets.Files)
	return outputs, assets, uploads, err
}

// Size is how many bytes the database takes.
func (tx *Tx) Size() (bytes int64, err error) {
	query := `SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`
	if tx.pg != nil {
		query = `SELECT pg_database_size(current_database())`
	}
	err = tx.QueryRow(query).Scan(&bytes)
	return bytes, err
}
