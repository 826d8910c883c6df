package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kinora/kinora"
)

type assetCommand struct {
	Add    assetAddCommand    `cmd:"" help:"Bring a source image, for use in any number of generations."`
	List   assetListCommand   `cmd:"" help:"List an organisation's source images, newest first."`
	Show   assetShowCommand   `cmd:"" help:"Show a source image and how it came."`
	Delete assetDeleteCommand `cmd:"" help:"Remove a source image that no generation is waiting for."`
}

// assetShape is the part of the admin API's source asset that is shown as text.
type assetShape struct {
	ID             string          `json:"id"`
	IngestID       string          `json:"ingest_id"`
	OrganisationID string          `json:"organisation_id"`
	State          string          `json:"state"`
	SourceURL      string          `json:"source_url"`
	Failure        *kinora.Failure `json:"failure"`
	ContentType    string          `json:"content_type"`
	Bytes          int64           `json:"bytes"`
	Width          int             `json:"width"`
	Height         int             `json:"height"`
	Key            string          `json:"key"`
	Tries          int             `json:"tries"`
	Node           string          `json:"node"`
	DueAt          time.Time       `json:"due_at"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
}

// name is the asset's id, or its ingest's as long as it has none that anybody was told.
func (a assetShape) name() string {
	if a.State == string(kinora.AssetReady) {
		return a.ID
	}
	return a.IngestID
}

type assetListCommand struct {
	Org   string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`
	State string `help:"Those that are pending, processing, ready or failed." enum:",pending,processing,ready,failed" default:"" placeholder:"STATE"`
	Limit int    `help:"How many to list." default:"50" placeholder:"N"`

	operator
}

func (l *assetListCommand) Run(ctx context.Context, c *console) error {
	if l.Limit < 1 {
		return usage("--limit must be 1 at least", "")
	}
	return l.onAPI(ctx, func(api *adminAPI) error {
		org, err := findOrganisation(ctx, api, l.Org)
		if err != nil {
			return err
		}
		q := url.Values{}
		if l.State != "" {
			q.Set("state", l.State)
		}
		shape := struct {
			SourceAssets []json.RawMessage `json:"source_assets"` // as the admin API gives them
			Truncated    bool              `json:"truncated"`     // there are more
		}{SourceAssets: []json.RawMessage{}}
		for more := true; more && len(shape.SourceAssets) < l.Limit; {
			q.Set("limit", strconv.Itoa(min(l.Limit-len(shape.SourceAssets), maxDeliveryPage)))
			var page struct {
				SourceAssets []json.RawMessage `json:"source_assets"`
				NextCursor   string            `json:"next_cursor"`
			}
			if err := api.call(ctx, http.MethodGet, assetsPath(org.ID)+"?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			shape.SourceAssets = append(shape.SourceAssets, page.SourceAssets...)
			q.Set("cursor", page.NextCursor)
			more = page.NextCursor != ""
			shape.Truncated = more
		}
		rows := make([][]string, len(shape.SourceAssets))
		for i, text := range shape.SourceAssets {
			var a assetShape
			if err := json.Unmarshal(text, &a); err != nil {
				return notAdmin()
			}
			rows[i] = assetRow(a)
		}
		return c.result(shape, func() {
			c.table([]string{"ID", "CREATED", "STATE", "TYPE", "PIXELS", "SIZE", "FROM"}, rows)
			if shape.Truncated {
				c.say("There are more: raise --limit, or name a --state.")
			}
		})
	})
}

func assetRow(a assetShape) []string {
	pixels, bytes, from := "–", "–", "sent"
	if a.State == string(kinora.AssetReady) {
		pixels, bytes = strconv.Itoa(a.Width)+"×"+strconv.Itoa(a.Height), size(a.Bytes)
	}
	if a.SourceURL != "" {
		from = a.SourceURL
	}
	return []string{printable(a.name()), stamp(a.CreatedAt), printable(a.State), printable(orDash(a.ContentType)), pixels, bytes, printable(from)}
}

func assetsPath(organisationID string) string {
	return "/organisations/" + url.PathEscape(organisationID) + "/source-assets"
}

// assetChoice names one source image.
type assetChoice struct {
	ID  string `arg:"" help:"Its id, src_…, or that of its ingest, ing_…."`
	Org string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`

	operator
}

// on runs do with the path of the source image below the admin API.
func (a assetChoice) on(ctx context.Context, do func(api *adminAPI, path string) error) error {
	return a.onAPI(ctx, func(api *adminAPI) error {
		org, err := findOrganisation(ctx, api, a.Org)
		if err != nil {
			return err
		}
		return do(api, assetsPath(org.ID)+"/"+url.PathEscape(a.ID))
	})
}

type assetShowCommand struct{ assetChoice }

func (s *assetShowCommand) Run(ctx context.Context, c *console) error {
	return s.on(ctx, func(api *adminAPI, path string) error {
		var text json.RawMessage
		if err := api.call(ctx, http.MethodGet, path, nil, &text); err != nil {
			return err
		}
		var a assetShape
		if err := json.Unmarshal(text, &a); err != nil {
			return notAdmin()
		}
		return c.result(text, func() { c.showAsset(a) })
	})
}

func (c *console) showAsset(a assetShape) {
	c.say("%s  %s", c.outStyle.bold(printable(a.name())), printable(a.State))
	c.say("  organisation  %s", printable(a.OrganisationID))
	c.say("  ingest        %s", printable(a.IngestID))
	if a.SourceURL == "" {
		c.say("  from          a file that was sent")
	} else {
		c.say("  from          %s", printable(a.SourceURL))
	}
	if a.State == string(kinora.AssetReady) {
		c.say("  image         %s, %d × %d pixels, %s", printable(a.ContentType), a.Width, a.Height, size(a.Bytes))
		c.say("  file          %s", printable(a.Key))
	}
	if a.Failure != nil {
		c.say("  failure       %s: %s", printable(string(a.Failure.Code)), printable(a.Failure.Message))
	}
	c.say("  created       %s", stamp(a.CreatedAt))
	c.say("  updated       %s", stamp(a.UpdatedAt))
	if a.Tries > 0 {
		c.say("  fetches       %d failed and were made again", a.Tries)
	}
	if !a.DueAt.IsZero() {
		c.say("  due           %s", stamp(a.DueAt))
	}
	if a.Node != "" {
		c.say("  in hand of    %s", printable(a.Node))
	}
}

type assetDeleteCommand struct{ assetChoice }

func (d *assetDeleteCommand) Run(ctx context.Context, c *console) error {
	return d.on(ctx, func(api *adminAPI, path string) error {
		if err := api.call(ctx, http.MethodDelete, path, nil, nil); err != nil {
			return err
		}
		shape := struct {
			ID      string `json:"id"`
			Removed bool   `json:"removed"`
		}{d.ID, true}
		return c.result(shape, func() { c.say("%s is removed.", printable(d.ID)) })
	})
}
