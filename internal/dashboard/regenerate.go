package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// regenerateForm asks what should be different. Capture type and mode are chosen already as they were; of the other fields, which are
// those that the workflow describes for these two, what is left empty stays as it was.
type regenerateForm struct {
	ID, List, Page string
	Action         string
	Change         string // draws the fields for another workflow, capture type or mode
	Wrong          string // what concerns no field
	Sent           *sentBefore
	Row            []ui.Field
	Fields         []playgroundField
	Echo           []ui.Field
}

// remake is what a form for a regenerate is about.
type remake struct {
	g      *kinora.Generation
	was    url.Values // what the generation was asked for, as forms have it
	chosen url.Values // workflow, capture type and mode as they are to be
	offer  *Offer     // nil = the workflow is not offered any more
	fields []OfferField
}

func (d *Dashboard) remake(g *kinora.Generation, sent url.Values) remake {
	a := remake{g: g, was: wasAsked(g.Request), chosen: url.Values{}}
	for _, name := range []string{"workflow", "capture_type", "mode"} {
		a.chosen.Set(name, a.was.Get(name))
		if sent.Has(name) {
			a.chosen.Set(name, sent.Get(name))
		}
	}
	all := d.cfg.Offers()
	if at := slices.IndexFunc(all, func(o Offer) bool { return o.Workflow && o.Name == a.chosen.Get("workflow") }); at >= 0 {
		a.offer = &all[at]
		a.fields = d.fieldsOf(a.offer, a.chosen)
	}
	return a
}

// wasAsked is a workflow's request as a form would have sent it.
func wasAsked(w *kinora.WorkflowRequest) url.Values {
	was := url.Values{"workflow": {w.Workflow}, "capture_type": {w.CaptureType}, "mode": {w.Mode}, "style_preset": {w.StylePreset}, "room_types": w.RoomTypes}
	for name, raw := range w.Fields {
		raw, _ = shownValue(raw)
		var list []string
		if json.Unmarshal(raw, &list) != nil {
			list = []string{plain(raw)}
		}
		was[name] = list
	}
	return was
}

func (v *visit) regenerateForm(a remake, sent url.Values, wrong map[string]string) regenerateForm {
	at := func(what ...string) string { return v.here(append([]string{"generations", a.g.ID}, what...)...) }
	f := regenerateForm{ID: a.g.ID, List: v.here("generations"), Page: at(), Action: at("regenerate"), Change: at("regenerate", "form"), Wrong: wrong[""]}
	f.Sent = v.sentBefore(f.Action, f.Action)
	workflow := OfferField{Name: "workflow"}
	faults := faultsAt(wrong, slices.Concat([]OfferField{workflow}, a.fields, echoFields), &f.Wrong)
	f.Row = []ui.Field{{Name: "workflow", Label: "Workflow", Value: a.chosen.Get("workflow"), Options: v.workflowOptions(a), Error: faults["workflow"]}}
	if a.offer != nil {
		f.Row = append(f.Row, rowFields(a.offer, a.chosen, faults)...)
	}
	for i := range a.fields {
		f.Fields = append(f.Fields, a.control(&a.fields[i], sent, faults[a.fields[i].Name]))
	}
	before := map[string]string{"webhook.url": v.urlText(a.g.WebhookURL), "metadata": string(a.g.Metadata)}
	if a.g.Reference != nil {
		before["reference"] = *a.g.Reference
	}
	for _, one := range echoFields {
		c := one.control(sent, faults[one.Name]).Field
		if c.Placeholder = before[one.Name]; c.Placeholder != "" {
			c.Help = ""
		}
		f.Echo = append(f.Echo, c)
	}
	return f
}

// workflowOptions are the workflows to choose from; the generation's own is among them even if it is not offered any more.
func (v *visit) workflowOptions(a remake) (options []ui.Option) {
	own := a.was.Get("workflow")
	known := false
	for _, o := range v.cfg.Offers() {
		if o.Workflow {
			options = append(options, ui.Option{Value: o.Name, Label: o.Name})
			known = known || o.Name == own
		}
	}
	if !known {
		options = append(options, ui.Option{Value: own, Label: own + " (not offered any more)"})
	}
	return options
}

// control is a field of the workflow, in which leaving it empty means what was asked for before, where anything was.
func (a remake) control(f *OfferField, sent url.Values, wrong string) playgroundField {
	old := a.was[f.Name]
	words := strings.Join(old, ", ")
	if words == "" {
		return f.control(sent, wrong)
	}
	field := *f
	field.Required = false
	if f.Type == FieldSeveral {
		if !sent.Has(ui.OnceField) { // the form has not been sent yet
			sent = url.Values{f.Name: old}
		}
		return field.control(sent, wrong)
	}
	c := field.control(sent, wrong)
	switch {
	case len(c.Options) > 0:
		for _, o := range c.Options {
			if o.Value == words {
				words = o.Label
			}
		}
		c.Options[0].Label = "As it was: " + words
	default:
		c.Placeholder = words
	}
	return c
}

// overrides are the fields that are to be different, as the API takes them.
func (a remake) overrides(sent url.Values) (body map[string]any, wrong map[string]string) {
	body, wrong = map[string]any{}, map[string]string{}
	chosen := map[string]string{"workflow": a.chosen.Get("workflow")}
	if a.offer != nil {
		row := a.offer.row(a.chosen)
		chosen["capture_type"], chosen["mode"] = row.CaptureType, row.Mode
	}
	for name, value := range chosen {
		if value != "" && value != a.was.Get(name) {
			body[name] = value
		}
	}
	for _, f := range slices.Concat(a.fields, echoFields) {
		value, err := f.value(sent)
		if err != nil {
			wrong[f.Name] = err.Error()
		} else if value != nil && !(f.Type == FieldSeveral && same(sent[f.Name], a.was[f.Name])) {
			put(body, strings.Split(f.Name, "."), value)
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return body, nil
}

// same tells whether two lists hold the same texts, in whatever order.
func same(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// toRegenerate reads the generation that a form is about.
func (v *visit) toRegenerate(ctx context.Context) (*kinora.Generation, error) {
	g, _, err := v.cfg.Generations.Generation(ctx, v.organisation.ID, v.path("generation_id"))
	if err != nil {
		return nil, err
	}
	if !regenerable(g) {
		return nil, kinora.Errorf(kinora.ErrConflict, "this generation cannot be made anew: it is no workflow's, or its source is not there")
	}
	return g, nil
}

func (d *Dashboard) askRegenerate(ctx context.Context, v *visit) error {
	g, err := v.toRegenerate(ctx)
	if err != nil {
		return err
	}
	return v.show(ctx, "Regenerate", regenerateBody(v.regenerateForm(d.remake(g, nil), nil, nil)))
}

// changeRegenerate draws the form for another workflow, capture type or mode.
func (d *Dashboard) changeRegenerate(ctx context.Context, v *visit) error {
	g, err := v.toRegenerate(ctx)
	if err != nil {
		return err
	}
	sent := v.r.PostForm
	f := v.regenerateForm(d.remake(g, sent), sent, nil)
	if v.isPart() {
		return v.part(ctx, regenerateInside(f))
	}
	return v.show(ctx, "Regenerate", regenerateBody(f))
}

// regenerate asks the API for it, with what the form has filled in.
func (d *Dashboard) regenerate(ctx context.Context, v *visit) error {
	g, err := v.toRegenerate(ctx)
	if err != nil {
		return err
	}
	key, err := v.onceKey()
	if err != nil {
		return err
	}
	sent := v.r.PostForm
	a := d.remake(g, sent)
	body, wrong := a.overrides(sent)
	if wrong == nil {
		var made struct {
			JobID string `json:"job_id"`
		}
		answer, err := v.call(ctx, http.MethodPost, "/api/v1/generations/"+g.ID+"/regenerate", key, body)
		if err == nil {
			err = json.Unmarshal(answer, &made)
		}
		if err == nil {
			return v.done(v.here("generations", made.JobID), "It is being made anew.")
		}
		if kinora.CodeOf(err) == kinora.ErrConflict {
			v.keepToken(v.here("generations", g.ID, "regenerate"))
			return v.showAs(ctx, http.StatusConflict, "Regenerate", regenerateBody(v.regenerateForm(a, sent, nil)))
		}
		if wrong = refusedFields(err); wrong == nil {
			return err
		}
	}
	return v.showAs(ctx, http.StatusUnprocessableEntity, "Regenerate", regenerateBody(v.regenerateForm(a, sent, wrong)))
}
