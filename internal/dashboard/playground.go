package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Offer is something that the playground can have made: a workflow, or a model.
type Offer struct {
	Name     string
	Workflow bool
	Kind     kinora.Kind
	About    string // a sentence; empty = nothing is said
	Price    kinora.Money
	// Fields are what a request takes beside what all take. Of a model that does not describe its own: nil, and the form has
	// those that all models take.
	Fields []OfferField
	Rows   []OfferRow // of a workflow: what goes for which capture type and mode
}

// OfferRow says which fields of a workflow go with a capture type and a mode.
type OfferRow struct {
	CaptureType, Mode string // empty = none may be sent
	Label             string
	Required          []string
	Forbidden         []string
}

// OfferField describes a field: what its control looks like, and where its value goes.
type OfferField struct {
	Name     string // as the API and its errors have it, with the path to it: "style_preset", "input.metadata.n"
	Type     OfferFieldType
	Label    string
	Help     string
	Default  string // what holds where nothing is sent
	Required bool
	Values   []string // of a choice, or of several
	Least    *float64 // of a number
	Most     *float64
	Whole    bool // a number without a fraction
	Length   int  // characters; 0 = any
}

// OfferFieldType is what a field's value is.
type OfferFieldType string

// The types of fields.
const (
	FieldText    OfferFieldType = "text"
	FieldLong    OfferFieldType = "long text"
	FieldChoice  OfferFieldType = "choice"  // one of Values
	FieldSeveral OfferFieldType = "several" // some of Values
	FieldNumber  OfferFieldType = "number"
	FieldSwitch  OfferFieldType = "switch" // yes or no
	FieldImages  OfferFieldType = "images" // addresses, each on a line of its own
	FieldObject  OfferFieldType = "object" // JSON, whose members are put beside what other fields say
)

const (
	maxPlaygroundBody = 65 << 20 // a form with a picture; the API says how large it may be
	sourcesShown      = 8
)

// The playground: a form for whatever can be made here, and what came of it.
func (d *Dashboard) playgroundRoutes() []route {
	const at = organisationPath + "/playground"
	return []route{
		{method: http.MethodGet, pattern: at, who: member, handler: d.showPlayground},
		{method: http.MethodGet, pattern: at + "/live", who: member, handler: d.livePlayground, streams: true},
		{method: http.MethodPost, pattern: at, who: member, handler: d.submitPlayground, body: maxPlaygroundBody},
		{method: http.MethodPost, pattern: at + "/form", who: member, handler: d.changePlayground, body: maxPlaygroundBody, repeats: true},
		{method: http.MethodPost, pattern: at + "/preview", who: member, handler: d.previewPlayground, repeats: true},
	}
}

// playground is the page.
type playground struct {
	Form    playgroundForm
	Runs    []playgroundRun
	Live    string // the stream; empty = nothing of it will change any more
	Preview playgroundPreview
}

// playgroundForm is the form with what was filled in.
type playgroundForm struct {
	Submit, Change, Preview string // addresses
	Offer                   *Offer // nil = nothing can be made here
	Of                      ui.Field
	Row                     []ui.Field // capture type and mode
	Fields                  []playgroundField
	Echo                    []ui.Field // what is only for the caller
	Sources                 []playgroundSource
	SourceURL               ui.Field
	Wrong                   string // what concerns no field
	Sent                    *sentBefore
	From                    string // id of the generation that it was filled in from; empty = none
	Hint                    string // what came of that; empty = nothing to say
}

// playgroundField is a control; Values are of one that takes several.
type playgroundField struct {
	ui.Field
	Several []playgroundValue
	Images  bool // addresses can be added from files and assets
}

type playgroundValue struct {
	Value   string
	Checked bool
}

// playgroundSource is an asset to choose.
type playgroundSource struct {
	ID, Href, Words string
	Chosen          bool
}

// playgroundPreview is the request as it would be sent.
type playgroundPreview struct {
	JSON, Curl string
	Price      string
	Wrong      string // why there is none
}

// offer finds what a form is about: what it names, else the first one.
func (d *Dashboard) offer(of string) *Offer {
	all := d.cfg.Offers()
	at := slices.IndexFunc(all, func(o Offer) bool { return offerKey(&o) == of })
	switch {
	case len(all) == 0:
		return nil
	case at < 0:
		return &all[0]
	}
	return &all[at]
}

// offerKey names an offer in forms and addresses: a workflow and a model may have one name.
func offerKey(o *Offer) string {
	if o.Workflow {
		return "workflow:" + o.Name
	}
	return "model:" + o.Name
}

func (d *Dashboard) showPlayground(ctx context.Context, v *visit) error {
	sent, hint := v.r.URL.Query(), ""
	if id := sent.Get(fromField); id != "" {
		var err error
		if sent, hint, err = v.filledFrom(ctx, id); err != nil {
			return err
		}
	}
	return v.showFilled(ctx, http.StatusOK, sent, nil, hint)
}

// showForm shows the page, or where a script has asked what of it may have changed.
func (v *visit) showForm(ctx context.Context, status int, sent url.Values, wrong map[string]string) error {
	return v.showFilled(ctx, status, sent, wrong, "")
}

// showFilled is showForm with a hint above the fields; empty = none.
func (v *visit) showFilled(ctx context.Context, status int, sent url.Values, wrong map[string]string, hint string) error {
	f, err := v.playgroundForm(ctx, sent, wrong)
	if err != nil {
		return err
	}
	f.Hint = hint
	page := playground{Form: f, Preview: v.playgroundPreview(f.Offer, sent)}
	if v.isPart() {
		return v.draw(ctx, status, playgroundChanged(page))
	}
	if page.Runs, err = v.playgroundRuns(ctx, v.runs()); err != nil {
		return err
	}
	page.Live = v.playgroundStream(page.Runs)
	return v.showAs(ctx, status, "Playground", playgroundBody(page))
}

func (v *visit) playgroundForm(ctx context.Context, sent url.Values, wrong map[string]string) (playgroundForm, error) {
	f := playgroundForm{Submit: v.here("playground"), Change: v.here("playground", "form"), Preview: v.here("playground", "preview"), Offer: v.offer(sent.Get("of"))}
	f.Wrong = wrong[""]
	if f.Offer == nil {
		return f, nil
	}
	f.Sent = v.sentBefore(f.Submit, address(f.Submit, url.Values{"of": {offerKey(f.Offer)}}))
	f.Of = ui.Field{Name: "of", Label: "Make with", Value: offerKey(f.Offer), Options: v.offerOptions(), Help: f.Offer.About}
	fields := v.fieldsOf(f.Offer, sent)
	at := faultsAt(wrong, slices.Concat(fields, echoFields), &f.Wrong)
	for _, one := range fields {
		f.Fields = append(f.Fields, one.control(sent, at[one.Name]))
	}
	for _, one := range echoFields {
		f.Echo = append(f.Echo, one.control(sent, at[one.Name]).Field)
	}
	if f.Offer.Workflow {
		f.Row = rowFields(f.Offer, sent, at)
		f.SourceURL = ui.Field{Name: "source_url", Type: "url", Label: "Or the address of one", Value: sent.Get("source_url"), Error: at["source_url"]}
		f.Wrong = strings.TrimSpace(f.Wrong + " " + at["source_asset_id"] + at["file"])
	}
	focusFirst(&f)
	f.From = sent.Get(fromField)
	assets, err := v.playgroundAssets(ctx, f.From)
	for _, a := range assets {
		address := v.cfg.PreviewURL(a.BlobKey, a.Width, a.Height)
		if address == "" {
			address, _ = v.cfg.FileURL(a.BlobKey)
		}
		f.Sources = append(f.Sources, playgroundSource{ID: a.ID, Href: address, Words: typeName(a.ContentType) + ", " + dimensions(a.Width, a.Height), Chosen: a.ID == sent.Get("source_asset_id")})
	}
	return f, err
}

// playgroundAssets are the newest source assets, and that of the generation that a form was filled in from.
func (v *visit) playgroundAssets(ctx context.Context, from string) ([]*kinora.SourceAsset, error) {
	assets, err := v.cfg.Assets.List(ctx, v.organisation.ID, kinora.AssetReady, "", sourcesShown)
	if err != nil || from == "" {
		return assets, err
	}
	h, err := v.cfg.Histories.History(ctx, v.organisation.ID, from)
	switch {
	case kinora.CodeOf(err) == kinora.ErrNotFound:
		return assets, nil
	case err != nil:
		return nil, err
	case h.Source == nil || h.Source.State != kinora.AssetReady:
		return assets, nil
	case slices.ContainsFunc(assets, func(a *kinora.SourceAsset) bool { return a.ID == h.Source.ID }):
		return assets, nil
	}
	return append([]*kinora.SourceAsset{h.Source}, assets...), nil
}

// focusFirst has the form open at what is wrong.
func focusFirst(f *playgroundForm) {
	for i := range f.Fields {
		if f.Fields[i].Error != "" {
			f.Fields[i].Focus = true
			return
		}
	}
}

func (d *Dashboard) offerOptions() (options []ui.Option) {
	all := d.cfg.Offers()
	for i := range all {
		word := "model"
		if all[i].Workflow {
			word = "workflow"
		}
		options = append(options, ui.Option{Value: offerKey(&all[i]), Label: fmt.Sprintf("%s (%s, %s)", all[i].Name, word, all[i].Kind)})
	}
	return options
}

// changePlayground draws the form for another offer, capture type or mode, and takes pictures for a model.
func (d *Dashboard) changePlayground(ctx context.Context, v *visit) error {
	sent := v.r.PostForm
	if err := v.addImages(ctx, sent); err != nil {
		wrong := refusedFields(err)
		if wrong == nil {
			return err
		}
		return v.showForm(ctx, http.StatusUnprocessableEntity, sent, map[string]string{imagesField: firstOf(wrong)})
	}
	return v.showForm(ctx, http.StatusOK, sent, nil)
}

func firstOf(wrong map[string]string) string {
	for _, text := range wrong {
		return text
	}
	return ""
}

func (d *Dashboard) previewPlayground(ctx context.Context, v *visit) error {
	return v.part(ctx, playgroundPreviewInside(v.playgroundPreview(v.offer(v.form("of")), v.r.PostForm)))
}

// submitPlayground has the API accept what the form says.
func (d *Dashboard) submitPlayground(ctx context.Context, v *visit) error {
	sent := v.r.PostForm
	o := v.offer(sent.Get("of"))
	if o == nil || offerKey(o) != sent.Get("of") {
		return kinora.Errorf(kinora.ErrNotFound, "this model or workflow is not offered any more")
	}
	key, err := v.onceKey()
	if err != nil {
		return err
	}
	id, wrong, err := v.submitOffer(ctx, o, sent, key)
	if kinora.CodeOf(err) == kinora.ErrConflict {
		v.keepToken(v.here("playground"))
		return v.showForm(ctx, http.StatusConflict, sent, nil)
	}
	if err != nil {
		if wrong = refusedFields(err); wrong == nil {
			return err
		}
	}
	if wrong != nil {
		return v.showForm(ctx, http.StatusUnprocessableEntity, sent, wrong)
	}
	ids := v.remember(id)
	if !v.isPart() {
		return v.done(address(v.here("playground"), url.Values{"of": {offerKey(o)}}), "Accepted as "+id+".")
	}
	return v.showAccepted(ctx, sent, ids)
}

// showAccepted leaves the form as it is for another try, and shows what was accepted below.
func (v *visit) showAccepted(ctx context.Context, sent url.Values, ids []string) error {
	f, err := v.playgroundForm(ctx, sent, nil)
	if err != nil {
		return err
	}
	page := playground{Form: f, Preview: v.playgroundPreview(f.Offer, sent)}
	if page.Runs, err = v.playgroundRuns(ctx, ids); err != nil {
		return err
	}
	page.Live = v.playgroundStream(page.Runs)
	return v.part(ctx, playgroundAccepted(page))
}

// submitOffer returns the id of what was accepted, or what is wrong with each field.
func (v *visit) submitOffer(ctx context.Context, o *Offer, sent url.Values, key string) (id string, wrong map[string]string, err error) {
	if !o.Workflow { // a browser without scripts sends the picture with the form
		if err := v.addImages(ctx, sent); err != nil {
			return "", nil, err
		}
	}
	body, wrong := v.requestOf(o, sent)
	if wrong != nil {
		return "", wrong, nil
	}
	answer, err := v.sendRequest(ctx, o, body, key)
	if err != nil {
		return "", nil, err
	}
	var accepted struct {
		JobID string `json:"job_id"`
		Data  struct {
			TaskID string `json:"task_id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil {
		return "", nil, err
	}
	return accepted.JobID + accepted.Data.TaskID, nil, nil
}
