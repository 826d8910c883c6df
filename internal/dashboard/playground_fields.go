package dashboard

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

const imagesField = "input.images"

// modelFields are what every model's input takes (submit API contract 2.2), for models that describe no fields of their own.
func modelFields(kind kinora.Kind) []OfferField {
	fields := []OfferField{
		{Name: "input.prompt", Type: FieldLong, Label: "Prompt", Required: true},
		{Name: imagesField, Type: FieldImages, Label: "Images", Help: "To work from: addresses, each on a line of its own."},
		{Name: "input.size", Type: FieldText, Label: "Size", Help: "Such as 1024x1024, 16:9 or auto. Empty: the model's default.", Length: 64},
	}
	if kind == kinora.KindVideo {
		fields = append(fields, OfferField{Name: "input.duration", Type: FieldNumber, Label: "Duration in seconds", Help: "Empty: the model's default.", Least: new(1.0), Whole: true})
	} else {
		fields = append(fields, OfferField{Name: "input.metadata.n", Type: FieldNumber, Label: "How many", Help: "Empty: one, unless the model's default is another.", Least: new(1.0), Whole: true})
	}
	return append(fields, OfferField{Name: "input.metadata", Type: FieldObject, Label: "The model's own fields", Help: `A JSON object, such as {"seed": 7}.`})
}

// echoFields are kept with any generation for the caller's own use.
var echoFields = []OfferField{
	{Name: "reference", Type: FieldText, Label: "Reference", Help: "Your own id of it.", Length: kinora.MaxReference},
	{Name: "webhook.url", Type: FieldText, Label: "Webhook URL", Help: "Where its event goes. Empty: the default one."},
	{Name: "metadata", Type: FieldObject, Label: "Metadata", Help: "A JSON object of your own, which comes back with the event."},
}

// fieldsOf are the fields that go with what was chosen.
func (d *Dashboard) fieldsOf(o *Offer, sent url.Values) []OfferField {
	if !o.Workflow {
		if o.Fields == nil {
			return modelFields(o.Kind)
		}
		return o.Fields
	}
	row := o.row(sent)
	var fields []OfferField
	for _, f := range o.Fields {
		if !slices.Contains(row.Forbidden, f.Name) {
			f.Required = slices.Contains(row.Required, f.Name)
			fields = append(fields, f)
		}
	}
	return fields
}

// captureTypes are those of a workflow, and modes those of one of them, in order.
func (o *Offer) captureTypes() (types []string) {
	for _, r := range o.Rows {
		if r.CaptureType != "" && !slices.Contains(types, r.CaptureType) {
			types = append(types, r.CaptureType)
		}
	}
	return types
}

func (o *Offer) modes(captureType string) (modes []string) {
	for _, r := range o.Rows {
		if r.CaptureType == captureType && r.Mode != "" {
			modes = append(modes, r.Mode)
		}
	}
	return modes
}

// row is the line of the matrix that goes for what was chosen; where that fits no line, the nearest one.
func (o *Offer) row(sent url.Values) OfferRow {
	types := o.captureTypes()
	captureType := chosenOf(types, sent.Get("capture_type"))
	mode := chosenOf(o.modes(captureType), sent.Get("mode"))
	for _, r := range o.Rows {
		if r.CaptureType == captureType && r.Mode == mode {
			return r
		}
	}
	return OfferRow{}
}

// chosenOf is the wanted one where there is such a one, else the first.
func chosenOf(all []string, wanted string) string {
	switch {
	case slices.Contains(all, wanted):
		return wanted
	case len(all) > 0:
		return all[0]
	}
	return ""
}

// rowFields choose capture type and mode, where there is something to choose.
func rowFields(o *Offer, sent url.Values, wrong map[string]string) (fields []ui.Field) {
	row := o.row(sent)
	add := func(name, label, value string, values []string) {
		if len(values) > 0 {
			fields = append(fields, ui.Field{Name: name, Label: label, Value: value, Options: optionsOf(values, true), Error: wrong[name]})
		}
	}
	add("capture_type", "Capture type", row.CaptureType, o.captureTypes())
	add("mode", "Mode", row.Mode, o.modes(row.CaptureType))
	if len(fields) > 0 {
		fields[len(fields)-1].Help = row.Label
	}
	return fields
}

func optionsOf(values []string, needed bool) (options []ui.Option) {
	if !needed {
		options = append(options, ui.Option{Label: "–"})
	}
	for _, value := range values {
		options = append(options, ui.Option{Value: value, Label: value})
	}
	return options
}

// control is the field as a form has it, with what was filled in.
func (f *OfferField) control(sent url.Values, wrong string) playgroundField {
	c := playgroundField{Images: f.Type == FieldImages, Field: ui.Field{Name: f.Name, Label: f.Label, Help: f.Help, Value: sent.Get(f.Name), Required: f.Required, MaxLength: f.Length, Error: wrong}}
	if f.Default != "" {
		c.Placeholder = f.Default
	}
	switch f.Type {
	case FieldChoice:
		c.Options = optionsOf(f.Values, f.Required)
		if f.Required {
			c.Options = append([]ui.Option{{Label: "Choose"}}, c.Options...)
		}
	case FieldSeveral:
		c.Several = []playgroundValue{}
		for _, value := range f.Values {
			c.Several = append(c.Several, playgroundValue{Value: value, Checked: slices.Contains(sent[f.Name], value)})
		}
	case FieldSwitch:
		c.Options = []ui.Option{{Label: "As the model does by itself"}, {Value: "true", Label: "Yes"}, {Value: "false", Label: "No"}}
	case FieldLong:
		c.Type, c.Rows = "textarea", 5
	case FieldImages, FieldObject:
		c.Type, c.Rows = "textarea", 3
	case FieldNumber:
		c.Type, c.Step = "number", "any"
		if f.Whole {
			c.Step = "1"
		}
		c.Min, c.Max = numberText(f.Least), numberText(f.Most)
	}
	return c
}

func numberText(n *float64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatFloat(*n, 'f', -1, 64)
}

// faultsAt puts what is wrong at the fields of the form: a fault of "input.images[1]" at "input.images". What has no field is
// added to rest.
func faultsAt(wrong map[string]string, fields []OfferField, rest *string) map[string]string {
	at := map[string]string{}
	names := []string{"source_url", "source_asset_id", "file", "capture_type", "mode"}
	for _, f := range fields {
		names = append(names, f.Name)
	}
	for about, text := range wrong {
		name := ""
		for _, n := range names {
			within := strings.HasPrefix(about, n+".") || strings.HasPrefix(about, n+"[")
			if (about == n || within) && len(n) > len(name) {
				name = n
			}
		}
		switch {
		case name != "":
			at[name] = strings.TrimSpace(at[name] + " " + text)
		case about != "":
			*rest = strings.TrimSpace(*rest + " " + text)
		}
	}
	return at
}
