package app

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/quality"
	"github.com/kinora/kinora/internal/store"
)

// judge makes the gate of workflows. client reaches operators' checkers: their addresses are configuration, as upstreams' are,
// so the guard, which is for addresses that callers chose, is not in between; no redirect is followed.
func (a *App) judge(client *http.Client) *quality.Judge {
	return quality.New(quality.Config{
		SourceOf: a.sourceOf, Secrets: a.tenancy.WebhookSecrets, FileURL: a.fileURL, Client: client, UserAgent: "Kinora/" + a.version(),
		Metrics: a.registry,
	})
}

// sourceOf finds the source asset of a generation; nil when it has none, or none any more.
func (a *App) sourceOf(ctx context.Context, g *kinora.Generation) (*quality.Source, error) {
	if g.SourceAssetID == "" {
		return nil, nil
	}
	var asset *kinora.SourceAsset
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		asset, err = tx.Asset(g.OrganisationID, g.SourceAssetID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && asset.BlobKey == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &quality.Source{
		AssetID: asset.ID, Width: asset.Width, Height: asset.Height, SHA256: asset.SHA256, BlobKey: asset.BlobKey,
		Open: func(ctx context.Context) (io.ReadSeekCloser, error) { return a.files.Open(ctx, asset.BlobKey) },
	}, nil
}
