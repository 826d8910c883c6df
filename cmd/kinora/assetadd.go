package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/kinora/kinora/client"
)

type assetAddCommand struct {
	Source string `arg:"" help:"A file, or an http(s) URL that the server fetches: JPEG, PNG or WebP."`
	Org    string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`
	NoWait bool   `help:"Return as soon as it has been sent, before it has been looked at."`

	operator
}

// ingestShape is how --json shows a source image that was brought.
type ingestShape struct {
	IngestID      string       `json:"ingest_id"`
	Status        string       `json:"status"`          // pending, processing, ready or failed
	SourceAssetID string       `json:"source_asset_id"` // empty until ready
	Failure       *failedShape `json:"failure"`         // null unless failed
}

func (a *assetAddCommand) Run(ctx context.Context, c *console) error {
	return a.onAPI(ctx, func(admin *adminAPI) error {
		api, err := c.clientFor(ctx, admin, a.Org)
		if err != nil {
			return err
		}
		defer api.CloseIdleConnections()
		i, err := a.send(ctx, api)
		if err != nil {
			return err
		}
		if !a.NoWait && !i.Status.Terminal() {
			var failed *client.IngestFailedError
			if i, err = api.WaitAsset(ctx, i.IngestID); err != nil && !errors.As(err, &failed) {
				return err
			}
		}
		return c.showIngest(i)
	})
}

func (a *assetAddCommand) send(ctx context.Context, api *client.Client) (*client.Ingest, error) {
	if strings.Contains(a.Source, "://") {
		return api.CreateAssetFromURL(ctx, a.Source)
	}
	file, err := os.Open(a.Source)
	if err != nil {
		return nil, usage(err.Error(), "give a file that can be read, or an http(s) URL")
	}
	defer file.Close()
	return api.CreateAsset(ctx, filepath.Base(a.Source), file)
}

func (c *console) showIngest(i *client.Ingest) error {
	shape := ingestShape{IngestID: i.IngestID, Status: string(i.Status), SourceAssetID: i.SourceAssetID}
	if f := i.Failure; f != nil {
		shape.Failure = &failedShape{Code: f.Code, Message: f.Message, Retryable: f.Retryable}
	}
	err := c.result(shape, func() {
		name := shape.SourceAssetID
		if name == "" {
			name = shape.IngestID
		}
		c.say("%s  %s", c.outStyle.bold(printable(name)), printable(shape.Status))
		if shape.Failure != nil {
			c.say("  %s: %s", printable(shape.Failure.Code), printable(shape.Failure.Message))
		}
	})
	if err == nil && i.Status == client.IngestFailed {
		return &failure{exit: exitFailure, message: "the source image could not be taken", shown: true}
	}
	return err
}
