package app

import (
	"context"
	"errors"
	"net/url"
	"path"
	"strings"

	"github.com/kinora/kinora/internal/asset"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/inputs"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/upload"
)

// inputFiles finds the stored files that generations were made from, for the dashboard. The signature of an address says that it is
// one of ours, and the database whose file it is: who was given an address of another organisation's file is not shown it here.
type inputFiles struct {
	db     *store.DB
	signer *blob.Signer
}

func (f inputFiles) InputFiles(ctx context.Context, organisationID string, addresses []string) ([]*dashboard.InputFile, error) {
	keys := make([]string, len(addresses))
	own := false
	for i, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			continue
		}
		// A URL that has expired tells as well whose file it was.
		if key, err := inputs.OwnKey(f.signer, u, now()); err == nil || errors.Is(err, blob.ErrExpired) {
			keys[i], own = key, own || key != ""
		}
	}
	files := make([]*dashboard.InputFile, len(addresses))
	if !own {
		return files, nil
	}
	err := f.db.View(ctx, func(tx *store.Tx) error {
		for i, key := range keys {
			file, err := inputFile(tx, organisationID, key)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			files[i] = file
		}
		return nil
	})
	return files, err
}

// assetTypes are the types of source assets by the ends of their keys.
var assetTypes = map[string]string{
	media.PNG.Extension(): media.PNG.ContentType(), media.JPEG.Extension(): media.JPEG.ContentType(), media.WebP.Extension(): media.WebP.ContentType(),
}

// inputFile finds an organisation's file by its key; nil or store.ErrNotFound = it has none.
func inputFile(tx *store.Tx, organisationID, key string) (*dashboard.InputFile, error) {
	switch {
	case strings.HasPrefix(key, upload.Prefix):
		u, err := tx.UploadByBlob(key)
		if err != nil || u.OrganisationID != organisationID || !now().Before(u.ExpiresAt) {
			return nil, err
		}
		return &dashboard.InputFile{Key: key, ContentType: u.ContentType, Bytes: u.Bytes}, nil
	case strings.HasPrefix(key, asset.Prefix):
		owns, err := tx.OwnsAssetFile(organisationID, key)
		if err != nil || !owns {
			return nil, err
		}
		// The key's last part begins with the id of the asset that brought the file. It may be gone, while others share it.
		id, _, _ := strings.Cut(path.Base(key), "-")
		a, err := tx.Asset(organisationID, id)
		if errors.Is(err, store.ErrNotFound) {
			return &dashboard.InputFile{Key: key, ContentType: assetTypes[path.Ext(key)]}, nil
		}
		if err != nil {
			return nil, err
		}
		return &dashboard.InputFile{Key: key, ContentType: a.ContentType, Bytes: a.Bytes, Width: a.Width, Height: a.Height}, nil
	case strings.HasPrefix(key, "outputs/"):
		id := outputGeneration(key)
		if _, err := tx.Generation(organisationID, id); id == "" || err != nil {
			return nil, err
		}
		outputs, err := tx.Outputs(id)
		for i := range outputs {
			if o := &outputs[i]; o.BlobKey == key {
				return &dashboard.InputFile{Key: key, ContentType: o.ContentType, Bytes: o.Bytes, Width: o.Width, Height: o.Height}, nil
			}
		}
		return nil, err
	}
	return nil, nil
}
