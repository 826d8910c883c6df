package workflow

import "github.com/kinora/kinora"

// Public is what callers may know of a workflow. Its price is left out: the configuration has the last word on it.
func (w *Workflow) Public() kinora.WorkflowDescription {
	d := kinora.WorkflowDescription{Name: w.Name, Description: w.Description, Kind: w.Kind}
	for _, f := range w.Fields {
		d.Fields = append(d.Fields, f.public())
	}
	for _, r := range w.Rows {
		row := kinora.WorkflowRow{CaptureType: r.CaptureType, Mode: r.Mode, Label: r.Label, Rules: map[string]string{}}
		for name, rule := range r.Rules {
			row.Rules[name] = string(rule)
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

func (f *Field) public() kinora.Field {
	d := kinora.Field{
		Name: f.Name, Type: kinora.FieldText, Label: f.Label, Help: f.Help, Required: f.Required, Default: f.Default,
		Values: f.Values, Families: f.Families, Minimum: f.Least, Maximum: f.Most, MaxLength: f.Length, MaxItems: f.Max,
	}
	switch f.Type {
	case TypeList:
		d.Type = kinora.FieldChoices
	case TypeNumber:
		if d.Type = kinora.FieldNumber; f.Whole {
			d.Type = kinora.FieldInteger
		}
	}
	return d
}
