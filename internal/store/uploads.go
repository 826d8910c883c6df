package store

import (
	"time"

	"github.com/kinora/kinora"
)

const uploadColumns = `id, organisation_id, blob_key, kind, content_type, bytes, original_name, created_at, expires_at`

// InsertUpload writes an upload whose file is already stored.
func (tx *Tx) InsertUpload(u *kinora.Upload) error {
	_, err := tx.Exec(`INSERT INTO uploads (`+uploadColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`,
		u.ID, u.OrganisationID, u.BlobKey, string(u.Kind), u.ContentType, u.Bytes, u.OriginalName, Micros(u.CreatedAt), Micros(u.ExpiresAt))
	return err
}

// UploadByBlob finds the upload that a stored object belongs to, or ErrNotFound.
func (tx *Tx) UploadByBlob(key string) (*kinora.Upload, error) {
	return scanUpload(tx.QueryRow(`SELECT `+uploadColumns+` FROM uploads WHERE blob_key = ?`, key))
}

// ExpiredUploads reads uploads whose time is over, oldest first.
func (tx *Tx) ExpiredUploads(now time.Time, limit int) ([]*kinora.Upload, error) {
	var list []*kinora.Upload
	err := tx.Query(`SELECT `+uploadColumns+` FROM uploads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?`, []any{Micros(now), limit}, func(row Row) error {
		u, err := scanUpload(row)
		if err == nil {
			list = append(list, u)
		}
		return err
	})
	return list, err
}

// DeleteUpload forgets an upload; its file is removed first by the caller.
func (tx *Tx) DeleteUpload(id string) error {
	_, err := tx.Exec(`DELETE FROM uploads WHERE id = ?`, id)
	return err
}

func scanUpload(row Row) (*kinora.Upload, error) {
	var (
		u                kinora.Upload
		kind             string
		created, expires int64
	)
	if err := row.Scan(&u.ID, &u.OrganisationID, &u.BlobKey, &kind, &u.ContentType, &u.Bytes, &u.OriginalName, &created, &expires); err != nil {
		return nil, err
	}
	u.Kind, u.CreatedAt, u.ExpiresAt = kinora.Kind(kind), Time(created), Time(expires)
	return &u, nil
}
