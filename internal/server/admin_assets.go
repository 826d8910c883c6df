package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// adminAssetRoutes are the operator's routes for source assets.
func (s *Server) adminAssetRoutes() []route {
	if s.cfg.Assets == nil || s.cfg.Admin == nil || s.cfg.AdminToken == "" {
		return nil
	}
	const (
		assets = "/admin/v1/organisations/{organisation_id}/source-assets"
		asset  = assets + "/{asset_id}"
	)
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	return []route{
		on(http.MethodGet, assets, s.adminAssets),
		on(http.MethodGet, asset, s.adminAsset),
		on(http.MethodDelete, asset, s.adminRemoveAsset),
	}
}

type assetPage struct {
	SourceAssets []assetView `json:"source_assets"`
	NextCursor   *string     `json:"next_cursor"` // null on the last page
}

// assetView is what the operator sees of a source asset.
type assetView struct {
	ID             string            `json:"id"` // also of an ingest that failed: nothing has that id then
	IngestID       string            `json:"ingest_id"`
	OrganisationID string            `json:"organisation_id"`
	State          kinora.AssetState `json:"state"`
	SourceURL      string            `json:"source_url"` // without its query; "" = it was sent
	Failure        *kinora.Failure   `json:"failure"`
	ContentType    string            `json:"content_type"`
	Bytes          int64             `json:"bytes"`
	SHA256         string            `json:"sha256"`
	Width          int               `json:"width"`
	Height         int               `json:"height"`
	Key            string            `json:"key"` // in storage; assets of one content share it
	URL            *string           `json:"url"` // signed; null until ready
	PreviewURL     *string           `json:"preview_url"`
	Tries          int               `json:"tries"`
	Node           string            `json:"node"` // that works on it now; "" = none
	DueAt          *string           `json:"due_at"`
	CreatedAt      *string           `json:"created_at"`
	UpdatedAt      *string           `json:"updated_at"`
}

func (s *Server) viewAsset(a *kinora.SourceAsset) assetView {
	v := assetView{
		ID: a.ID, IngestID: a.IngestID, OrganisationID: a.OrganisationID, State: a.State, SourceURL: kinora.ShownURL(a.SourceURL), Failure: a.Failure,
		ContentType: a.ContentType, Bytes: a.Bytes, SHA256: a.SHA256, Width: a.Width, Height: a.Height, Key: a.BlobKey,
		Tries: a.Tries, Node: a.LeaseOwner, DueAt: apiTime(a.DueAt), CreatedAt: apiTime(a.CreatedAt), UpdatedAt: apiTime(a.UpdatedAt),
	}
	if a.BlobKey != "" {
		v.URL, v.PreviewURL = s.fileURLs(a.BlobKey, a.Width, a.Height)
	}
	return v
}

// fileURLs are the signed URLs of a stored file and of its preview; nil = it has none.
func (s *Server) fileURLs(key string, width, height int) (file, preview *string) {
	url, _ := s.cfg.FileURL(key)
	if s.cfg.PreviewURL == nil {
		return &url, nil
	}
	if small := s.cfg.PreviewURL(key, width, height); small != "" {
		preview = &small
	}
	return &url, preview
}

// adminAssets lists an organisation's source assets, newest first.
func (s *Server) adminAssets(ctx context.Context, x *exchange, r *http.Request) error {
	organisationID := r.PathValue("organisation_id")
	p := parameters{values: r.URL.Query()}
	state := kinora.AssetState(p.one("state", string(kinora.AssetPending), string(kinora.AssetProcessing), string(kinora.AssetReady), string(kinora.AssetFailed)))
	limit, cursor := p.number("limit", defaultPage, maxPage), p.text("cursor")
	if err := p.err(); err != nil {
		return err
	}
	if _, err := s.cfg.Admin.Organisation(ctx, organisationID); err != nil {
		return err
	}
	question, before := organisationID+"/source-assets?"+p.question("limit", "cursor"), ""
	if cursor != "" {
		var err error
		if before, err = s.cursors.take(question, cursor); err != nil {
			return err
		}
	}
	list, err := s.cfg.Assets.List(ctx, organisationID, state, before, limit+1)
	if err != nil {
		return err
	}
	answer := assetPage{SourceAssets: []assetView{}}
	if len(list) > limit {
		list = list[:limit]
		next := s.cursors.give(question, list[limit-1].IngestID)
		answer.NextCursor = &next
	}
	for _, a := range list {
		answer.SourceAssets = append(answer.SourceAssets, s.viewAsset(a))
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) adminAsset(ctx context.Context, x *exchange, r *http.Request) error {
	a, err := s.assetOf(ctx, r)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, s.viewAsset(a))
	return nil
}

func (s *Server) adminRemoveAsset(ctx context.Context, x *exchange, r *http.Request) error {
	a, err := s.assetOf(ctx, r)
	if err != nil {
		return err
	}
	if err := s.cfg.Assets.Remove(ctx, a.OrganisationID, a.IngestID); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

// assetOf reads the asset that a path names by either of its ids.
func (s *Server) assetOf(ctx context.Context, r *http.Request) (*kinora.SourceAsset, error) {
	organisationID, assetID := r.PathValue("organisation_id"), r.PathValue("asset_id")
	switch {
	case id.WellFormed(assetID, id.Ingest):
		return s.cfg.Assets.Ingest(ctx, organisationID, assetID)
	case id.WellFormed(assetID, id.Asset):
		return s.cfg.Assets.Asset(ctx, organisationID, assetID)
	}
	return nil, assetNotFound()
}
