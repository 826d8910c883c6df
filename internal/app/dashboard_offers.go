package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/workflow"
)

// offers are what the dashboard's playground can have made: workflows first, then models.
func (a *App) offers() (list []dashboard.Offer) {
	for _, w := range a.workflows.Describe() {
		list = append(list, workflowOffer(w, a.engine.Price(w.Model, w.Name)))
	}
	for _, m := range a.engine.Models() {
		o := dashboard.Offer{Name: m.Name, Kind: m.Kind, Price: a.engine.Price(m.Name, "")}
		if d, err := a.engine.DescribeModel(m.Name); err == nil {
			o.Fields = modelFields(d.Fields)
		}
		list = append(list, o)
	}
	return list
}

// modelFields are a model's own fields, and one for all that they leave out; nil = it describes none.
func modelFields(described []kinora.Field) (fields []dashboard.OfferField) {
	if described == nil {
		return nil
	}
	for _, f := range described {
		fields = append(fields, modelField(f))
	}
	return append(fields, dashboard.OfferField{Name: "input.metadata", Type: dashboard.FieldObject, Label: "The model's own fields", Help: `A JSON object, such as {"key": "value"}.`})
}

var modelFieldTypes = map[kinora.FieldType]dashboard.OfferFieldType{
	kinora.FieldLongText: dashboard.FieldLong, kinora.FieldInteger: dashboard.FieldNumber, kinora.FieldNumber: dashboard.FieldNumber,
	kinora.FieldBoolean: dashboard.FieldSwitch, kinora.FieldChoices: dashboard.FieldSeveral, kinora.FieldImages: dashboard.FieldImages, kinora.FieldObject: dashboard.FieldObject,
}

func modelField(f kinora.Field) dashboard.OfferField {
	field := dashboard.OfferField{Name: f.Name, Type: modelFieldTypes[f.Type], Label: f.Label, Help: f.Help, Default: f.Default, Required: f.Required,
		Least: f.Minimum, Most: f.Maximum, Whole: f.Type == kinora.FieldInteger, Length: f.MaxLength}
	say := func(format string, args ...any) {
		field.Help = strings.TrimSpace(field.Help + " " + fmt.Sprintf(format, args...))
	}
	switch {
	case len(f.Values) > 0 && f.Open:
		field.Type = dashboard.FieldText
		say("Such as %s.", strings.Join(f.Values, ", "))
	case len(f.Values) > 0 && field.Type != dashboard.FieldSeveral:
		field.Type, field.Values = dashboard.FieldChoice, f.Values
	case field.Type == "":
		field.Type = dashboard.FieldText
	default:
		field.Values = f.Values
	}
	if f.MaxItems > 0 {
		say("At most %d.", f.MaxItems)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Needs)) {
		if value := f.Needs[name]; value != "" {
			say("Needs %s = %s.", name, value)
		} else {
			say("Needs %s.", name)
		}
	}
	return field
}

func workflowOffer(w *workflow.Workflow, price kinora.Money) dashboard.Offer {
	o := dashboard.Offer{Name: w.Name, Workflow: true, Kind: w.Kind, About: w.Description, Price: price, Fields: []dashboard.OfferField{}}
	for _, f := range w.Fields {
		o.Fields = append(o.Fields, workflowField(f))
	}
	for _, r := range w.Rows {
		row := dashboard.OfferRow{CaptureType: r.CaptureType, Mode: r.Mode, Label: r.Label}
		for _, name := range slices.Sorted(maps.Keys(r.Rules)) {
			switch r.Rules[name] {
			case workflow.Required:
				row.Required = append(row.Required, name)
			case workflow.Forbidden:
				row.Forbidden = append(row.Forbidden, name)
			}
		}
		o.Rows = append(o.Rows, row)
	}
	return o
}

var workflowFieldTypes = map[workflow.FieldType]dashboard.OfferFieldType{
	workflow.TypeEnum: dashboard.FieldChoice, workflow.TypeList: dashboard.FieldSeveral, workflow.TypeString: dashboard.FieldText, workflow.TypeNumber: dashboard.FieldNumber,
}

// longText is from how many characters on a text gets a field of several lines.
const longText = 200

func workflowField(f workflow.Field) dashboard.OfferField {
	field := dashboard.OfferField{Name: f.Name, Type: workflowFieldTypes[f.Type], Label: f.Label, Help: f.Help, Default: f.Default, Values: f.Values,
		Least: f.Least, Most: f.Most, Whole: f.Whole, Length: f.Length}
	if field.Type == dashboard.FieldText && f.Length > longText {
		field.Type = dashboard.FieldLong
	}
	return field
}
