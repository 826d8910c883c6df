package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// fromField names in the form, and in the playground's address, the generation that it was filled in from.
const fromField = "from"

// filling is a form that is filled in from a generation.
type filling struct {
	sent  url.Values
	left  []string // what could not be filled in, in words
	files map[string]*InputFile
	known func(address string) bool // tells whether who asks may see a webhook's URL as it is
	link  func(key string) string   // makes an address of one of the organisation's own files
}

// offerOf is what makes such generations; nil = it is not offered any more.
func (d *Dashboard) offerOf(g *kinora.Generation) *Offer {
	wanted := Offer{Name: g.Model}
	if g.Request != nil {
		wanted = Offer{Name: g.Request.Workflow, Workflow: true}
	}
	if o := d.offer(offerKey(&wanted)); o != nil && offerKey(o) == offerKey(&wanted) {
		return o
	}
	return nil
}

// openIn is the address of a playground that is filled in from a generation; empty where nothing makes such any more.
func (v *visit) openIn(g *kinora.Generation) string {
	if v.offerOf(g) == nil || !v.mayOpen(organisationPath+"/playground") {
		return ""
	}
	return address(v.here("playground"), url.Values{fromField: {g.ID}})
}

// filledFrom reads a form's values from a generation. Nothing of them is taken from the page's address: what is secret in an address of
// a request is not shown again.
func (v *visit) filledFrom(ctx context.Context, id string) (sent url.Values, hint string, err error) {
	h, err := v.cfg.Histories.History(ctx, v.organisation.ID, id)
	if err != nil {
		return nil, "", err
	}
	g := h.Generation
	o := v.offerOf(g)
	if o == nil {
		return url.Values{}, "What " + g.ID + " was made with is not offered any more.", nil
	}
	f := filling{sent: url.Values{"of": {offerKey(o)}, fromField: {g.ID}}, files: map[string]*InputFile{},
		known: func(address string) bool { return v.urlText(address) == address },
		link:  func(key string) string { address, _ := v.cfg.FileURL(key); return address }}
	if o.Workflow {
		f.workflow(g, o, h.Source)
	} else {
		files, err := v.inputs(ctx, g)
		if err != nil {
			return nil, "", err
		}
		for i, address := range inputAddresses(&g.Input) {
			f.files[address] = files[i]
		}
		fields := o.Fields
		if fields == nil {
			fields = modelFields(o.Kind)
		}
		f.model(g, fields)
	}
	f.echo(g)
	hint = "Filled in from " + g.ID + "."
	if len(f.left) > 0 {
		hint += " Not in it, to be filled in: " + strings.Join(f.left, ", ") + "."
	}
	return f.sent, hint, nil
}

func (f *filling) set(name, value string) {
	if value != "" {
		f.sent.Set(name, value)
	}
}

func (f *filling) leave(what string) {
	if !slices.Contains(f.left, what) {
		f.left = append(f.left, what)
	}
}

func (f *filling) workflow(g *kinora.Generation, o *Offer, source *kinora.SourceAsset) {
	w := g.Request
	f.set("capture_type", w.CaptureType)
	f.set("mode", w.Mode)
	if source != nil && source.State == kinora.AssetReady && source.ID != "" {
		f.set("source_asset_id", source.ID)
	} else {
		f.leave("the source")
	}
	values := maps.Clone(w.Fields)
	if values == nil {
		values = map[string]json.RawMessage{}
	}
	if len(w.RoomTypes) > 0 {
		values["room_types"], _ = json.Marshal(w.RoomTypes) // marshals any strings
	}
	if w.StylePreset != "" {
		values["style_preset"], _ = json.Marshal(w.StylePreset)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if at := slices.IndexFunc(o.Fields, func(of OfferField) bool { return of.Name == name }); at < 0 || !f.put(&o.Fields[at], values[name]) {
			f.leave(name)
		}
	}
}

// model fills in a model's fields; what none of them is for goes into the object beside them.
func (f *filling) model(g *kinora.Generation, fields []OfferField) {
	const within = "input.metadata"
	values := map[string]json.RawMessage{}
	add := func(name string, value any) { values[name], _ = json.Marshal(value) } // marshals texts and numbers
	add("input.prompt", g.Input.Prompt)
	if len(g.Input.Images) > 0 {
		add(imagesField, g.Input.Images)
	}
	if g.Input.Size != "" {
		add("input.size", g.Input.Size)
	}
	if g.Input.Duration > 0 {
		add("input.duration", g.Input.Duration)
	}
	for name, raw := range g.Input.Metadata {
		values[within+"."+name] = raw
	}
	if u := g.Input.CallbackURL; u != "" && f.known(u) {
		add(within+".callback_url", u)
	} else if u != "" {
		f.leave("its callback URL")
	}
	rest, takesRest := map[string]json.RawMessage{}, false
	for i := range fields {
		if value, ok := values[fields[i].Name]; ok && f.put(&fields[i], value) {
			delete(values, fields[i].Name)
		}
		takesRest = takesRest || fields[i].Name == within && fields[i].Type == FieldObject
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		short, ok := strings.CutPrefix(name, within+".")
		if value, known := f.own(values[name]); ok && known && takesRest {
			rest[short] = value
		} else {
			f.leave(name)
		}
	}
	if len(rest) > 0 {
		raw, _ := json.Marshal(rest) // raw messages that were read from JSON
		f.set(within, indented(raw))
	}
}

// own is a JSON value with fresh addresses of the organisation's own files in it, as long as nothing in others may be a secret.
func (f *filling) own(raw json.RawMessage) (value json.RawMessage, known bool) {
	known = true
	return replaceTexts(raw, func(text string) string {
		if file := f.files[text]; file != nil {
			return f.link(file.Key)
		}
		known = known && shownText(text) == text
		return text
	}), known
}

// put fills in a field as the form has it, and tells whether it can say the value.
func (f *filling) put(field *OfferField, raw json.RawMessage) bool {
	// Images are left one by one, and the prompt is the caller's own words.
	if field.Type != FieldImages && field.Name != "input.prompt" {
		value, known := f.own(raw)
		if !known {
			return false
		}
		raw = value
	}
	var text string
	isText := json.Unmarshal(raw, &text) == nil
	var texts []string
	isTexts := json.Unmarshal(raw, &texts) == nil
	switch field.Type {
	case FieldSeveral:
		for _, one := range texts {
			if !slices.Contains(field.Values, one) {
				return false
			}
		}
		f.sent[field.Name] = texts
		return isTexts
	case FieldImages:
		if isText {
			texts = []string{text}
		}
		f.images(field.Name, texts)
		return isText || isTexts
	case FieldChoice:
		if !isText || !slices.Contains(field.Values, text) {
			return false
		}
		f.set(field.Name, text)
		return true
	case FieldText, FieldLong:
		f.set(field.Name, text)
		return isText
	case FieldNumber:
		var n json.Number
		if isText || json.Unmarshal(raw, &n) != nil || n == "" {
			return false
		}
	case FieldObject:
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return false
		}
		raw = json.RawMessage(indented(raw))
	}
	f.set(field.Name, string(raw))
	return true
}

// images fills in addresses: of the organisation's own files fresh ones, and others as long as nothing in them may be a secret.
func (f *filling) images(name string, addresses []string) {
	var lines []string
	for i, address := range addresses {
		switch file := f.files[address]; {
		case file != nil:
			lines = append(lines, f.link(file.Key))
		case kinora.ShownURL(address) == address:
			lines = append(lines, address)
		default:
			f.leave(fmt.Sprintf("the address of %s[%d]", name, i))
		}
	}
	f.set(name, strings.Join(lines, "\n"))
}

func (f *filling) echo(g *kinora.Generation) {
	if g.Reference != nil {
		f.set("reference", *g.Reference)
	}
	if f.known(g.WebhookURL) {
		f.set("webhook.url", g.WebhookURL)
	} else {
		f.leave("its webhook URL")
	}
	if len(g.Metadata) > 0 {
		f.set("metadata", indented(g.Metadata))
	}
}
