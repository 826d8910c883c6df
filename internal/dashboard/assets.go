package dashboard

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Assets knows an organisation's source assets. Errors of all methods: kinora.ErrUnavailable.
type Assets interface {
	// List reads assets, newest first: those whose ingest is older than before ("" = all), in a state ("" = any).
	List(ctx context.Context, organisationID string, state kinora.AssetState, before string, limit int) ([]*kinora.SourceAsset, error)
	// Ingest reads an asset by the id of its ingest. Errors: kinora.ErrNotFound, for a foreign one too.
	Ingest(ctx context.Context, organisationID, ingestID string) (*kinora.SourceAsset, error)
	// Ingests is Ingest for several. Those that are not there are left out.
	Ingests(ctx context.Context, organisationID string, ingestIDs []string) ([]*kinora.SourceAsset, error)
	// Remove forgets an asset, and its file where no other asset has the same.
	//
	// Errors: kinora.ErrNotFound; kinora.ErrConflict while something needs it.
	Remove(ctx context.Context, organisationID, ingestID string) error
	// MaxSize is the largest file that is taken, in bytes.
	MaxSize() int64
}

const (
	// assetRows is how many assets a page of the gallery has.
	assetRows = 24
	// smallFile is the largest file, in bytes, that is its own small picture.
	smallFile = 1 << 20
)

// The source assets of an organisation.
func (d *Dashboard) assetRoutes() []route {
	const assets, one = organisationPath + "/assets", organisationPath + "/assets/{ingest_id}"
	const around = 64 << 10 // what a form has beside its file
	return []route{
		{method: http.MethodGet, pattern: assets, who: member, handler: d.listAssets},
		{method: http.MethodGet, pattern: assets + "/live", who: member, handler: d.liveAssets, streams: true},
		{method: http.MethodGet, pattern: assets + "/new", who: member, handler: d.newAssetPage},
		{method: http.MethodPost, pattern: assets + "/new", who: member, handler: d.createAsset, body: d.cfg.Assets.MaxSize() + around},
		{method: http.MethodGet, pattern: one, who: member, handler: d.assetPage},
		{method: http.MethodPost, pattern: one + "/delete", who: admin, handler: d.deleteAsset},
	}
}

// assetList is a page of the gallery.
type assetList struct {
	State        string
	Rows         []assetRow
	Action       string // where filters lead
	Create       string // page of the form
	Live         string // the page's stream; "" = nothing on it will change
	Newest, Next string // other pages; "" = none
}

// assetRow is one asset as it is shown.
type assetRow struct {
	*kinora.SourceAsset
	Href  string
	Image string // address of its file; "" = there is none
	Small string // address of a small picture of it; "" = there is none
	From  string // where it was fetched from, without what may be a secret; "" = it was sent
}

func (v *visit) assetRow(a *kinora.SourceAsset) assetRow {
	row := assetRow{SourceAsset: a, Href: v.here("assets", a.IngestID), From: kinora.ShownURL(a.SourceURL)}
	if a.BlobKey == "" {
		return row
	}
	row.Image, _ = v.cfg.FileURL(a.BlobKey)
	if row.Small = v.cfg.PreviewURL(a.BlobKey, a.Width, a.Height); row.Small == "" && a.Bytes <= smallFile {
		row.Small = row.Image
	}
	return row
}

// assetTone is how an asset's state looks.
func assetTone(s kinora.AssetState) ui.Tone {
	switch s {
	case kinora.AssetReady:
		return ui.Good
	case kinora.AssetFailed:
		return ui.Danger
	}
	return ui.Info
}

// assetFilterOf reads which assets are shown. What cannot be understood narrows nothing.
func assetFilterOf(q url.Values) (state kinora.AssetState, before string) {
	state, before = kinora.AssetState(q.Get("state")), q.Get("before")
	if !slices.Contains(kinora.AssetStates(), state) {
		state = ""
	}
	if strings.ContainsFunc(before, func(r rune) bool { return r <= ' ' || r > '~' }) { // nothing's id
		before = ""
	}
	return state, before
}

// readAssets reads a page of the gallery; next is the place behind it, "" = there is no more.
func (v *visit) readAssets(ctx context.Context, state kinora.AssetState, before string) (rows []assetRow, next string, err error) {
	list, err := v.cfg.Assets.List(ctx, v.organisation.ID, state, before, assetRows+1)
	if err != nil {
		return nil, "", err
	}
	if len(list) > assetRows {
		list = list[:assetRows]
		next = list[assetRows-1].IngestID
	}
	for _, a := range list {
		rows = append(rows, v.assetRow(a))
	}
	return rows, next, nil
}

func (d *Dashboard) listAssets(ctx context.Context, v *visit) error {
	state, before := assetFilterOf(v.r.URL.Query())
	rows, next, err := v.readAssets(ctx, state, before)
	if err != nil {
		return err
	}
	here := v.here("assets")
	params := func(before string) url.Values { return url.Values{"state": {string(state)}, "before": {before}} }
	l := assetList{State: string(state), Rows: rows, Action: here, Create: v.here("assets", "new")}
	var waiting []string
	for _, r := range rows {
		if !r.State.Terminal() {
			waiting = append(waiting, r.IngestID)
		}
	}
	if len(waiting) > 0 {
		l.Live = address(v.here("assets", "live"), url.Values{"waiting": {strings.Join(waiting, ",")}})
	}
	if before != "" {
		l.Newest = address(here, params(""))
	}
	if next != "" {
		l.Next = address(here, params(next))
	}
	return v.show(ctx, "Assets", assetsBody(l))
}

// liveAssets shows the ends of the ingests that were going on when the page was drawn, which the address names.
func (d *Dashboard) liveAssets(ctx context.Context, v *visit) error {
	waiting := strings.FieldsFunc(plainText(v.query("waiting")), func(r rune) bool { return r == ',' })
	waiting = waiting[:min(len(waiting), assetRows)]
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		for {
			found, err := look(ctx, out, func(ctx context.Context) ([]*kinora.SourceAsset, error) {
				return v.cfg.Assets.Ingests(ctx, v.organisation.ID, waiting)
			})
			if err != nil {
				return err
			}
			waiting = nil // those that are gone are waited for no longer
			for _, a := range found {
				if !a.State.Terminal() {
					waiting = append(waiting, a.IngestID)
				} else if err := out.send(ctx, "", assetCard(v.assetRow(a), true)); err != nil {
					return err
				}
			}
			if len(waiting) == 0 {
				if err := out.send(ctx, "", assetsLive("", true)); err != nil {
					return err
				}
				return out.pause(ctx, farewell, nil)
			}
			if err := out.rest(ctx, livePace); err != nil {
				return err
			}
		}
	})
}

// assetView is the page about one asset.
type assetView struct {
	assetRow
	Delete string // where its removal is posted to; "" = who asks may not
	Trail  []ui.Link
	// Used are the newest generations that were made from it, and AllUsed is the list of all of them; "" = these are all.
	Used    []generationRow
	AllUsed string
}

// usedRows is how many generations the page of an asset shows.
const usedRows = 10

func (d *Dashboard) assetPage(ctx context.Context, v *visit) error {
	a, err := d.cfg.Assets.Ingest(ctx, v.organisation.ID, v.path("ingest_id"))
	if err != nil {
		return err
	}
	view := assetView{assetRow: v.assetRow(a), Trail: []ui.Link{{Label: "Assets", Href: v.here("assets")}, {Label: a.IngestID}}}
	if v.role.Covers(kinora.RoleAdmin) {
		view.Delete = v.here("assets", a.IngestID, "delete")
	}
	if a.State == kinora.AssetReady {
		page, next, err := v.cfg.Generations.Search(ctx, v.organisation.ID, kinora.GenerationSearch{Source: a.ID}, "", usedRows)
		if err != nil {
			return err
		}
		for _, one := range page {
			view.Used = append(view.Used, v.generationRow(one.Generation))
		}
		if next != "" {
			view.AllUsed = address(v.here("generations"), url.Values{"asset": {a.ID}})
		}
	}
	return v.show(ctx, "Asset", assetBody(view))
}

func (d *Dashboard) deleteAsset(ctx context.Context, v *visit) error {
	if err := d.cfg.Assets.Remove(ctx, v.organisation.ID, v.path("ingest_id")); err != nil {
		return v.refused(v.here("assets", v.path("ingest_id")), err)
	}
	return v.done(v.here("assets"), "The asset has been deleted.")
}

// assetForm is the form by which an asset is made.
type assetForm struct {
	URL    string
	Most   string // size of the largest file
	Errors map[string]string
	Action string
	Trail  []ui.Link
}

func (v *visit) assetForm() assetForm {
	return assetForm{Most: bytesOf(v.cfg.Assets.MaxSize()), Action: v.here("assets", "new"),
		Trail: []ui.Link{{Label: "Assets", Href: v.here("assets")}, {Label: "New"}}}
}

func (d *Dashboard) newAssetPage(ctx context.Context, v *visit) error {
	return v.show(ctx, "New asset", assetFormBody(v.assetForm()))
}

// createAsset begins an ingest by the public API's own route, so that its limits and checks hold.
func (d *Dashboard) createAsset(ctx context.Context, v *visit) error {
	f := v.assetForm()
	f.URL = strings.TrimSpace(v.form("source_url"))
	err := v.sendAsset(ctx, f.URL, v.form(ui.OnceField))
	switch kinora.CodeOf(err) {
	case "":
		return v.done(v.here("assets"), "The image is being taken in.")
	case kinora.ErrInvalid, kinora.ErrTooLarge:
		f.Errors = map[string]string{"file": messageOf(err)}
		if f.URL != "" {
			f.Errors = map[string]string{"source_url": messageOf(err)}
		}
		return v.showAs(ctx, http.StatusUnprocessableEntity, "New asset", assetFormBody(f))
	case kinora.ErrConflict: // a new form would take it a second time
		return v.refused(v.here("assets"), kinora.Errorf(kinora.ErrConflict, "this form has been sent before, filled in otherwise: look whether the image is here"))
	}
	return v.refused(v.here("assets", "new"), err)
}

// sendAsset sends a source to the API: what lies at an address, or the file of the posted form.
func (v *visit) sendAsset(ctx context.Context, sourceURL, once string) error {
	body, kind := v.assetBody(sourceURL)
	defer body.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/source-assets", body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Idempotency-Key", once)
	actor, _ := kinora.ActorOf(ctx)
	_, _, err = v.cfg.API.Call(r, actor, v.organisation.ID)
	return err
}

// assetBody writes the API's form while it is read, so that no file is held in memory.
func (v *visit) assetBody(sourceURL string) (body io.ReadCloser, contentType string) {
	body, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() { w.CloseWithError(v.writeAsset(form, sourceURL)) }() // ends when body is read or closed
	return body, form.FormDataContentType()
}

func (v *visit) writeAsset(form *multipart.Writer, sourceURL string) error {
	if sourceURL != "" {
		if err := form.WriteField("source_url", sourceURL); err != nil {
			return err
		}
	}
	if err := v.copyFile(form, "file"); err != nil {
		return err
	}
	return form.Close()
}

// copyFile passes a posted file on; one that was not chosen is none.
func (v *visit) copyFile(form *multipart.Writer, name string) error {
	file, head, err := v.r.FormFile(name)
	if err != nil || head.Filename == "" {
		return nil
	}
	defer file.Close()
	part, err := form.CreateFormFile(name, head.Filename)
	if err != nil {
		return err
	}
	_, err = io.Copy(part, file)
	return err
}
