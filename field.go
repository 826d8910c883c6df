package kinora

import "time"

// FieldType is what a field of a request holds, and how it stands in JSON.
type FieldType string

const (
	FieldText     FieldType = "text"      // a string of one line
	FieldLongText FieldType = "long_text" // a string
	FieldSize     FieldType = "size"      // a string: "WxH" in pixels, a ratio "W:H", "auto"
	FieldInteger  FieldType = "integer"
	FieldNumber   FieldType = "number"
	FieldBoolean  FieldType = "boolean"
	FieldChoices  FieldType = "choices" // an array of some of Values
	FieldImage    FieldType = "image"   // a string: the URL of an image
	FieldImages   FieldType = "images"  // an array of URLs of images
	FieldObject   FieldType = "object"
)

// Field describes one field of a request, well enough to draw a form from it. What it says is taken by the checks that requests
// have to pass.
type Field struct {
	// Name is where it stands: "input.prompt", "input.metadata.seed"; a workflow's fields stand at the request's root.
	Name     string    `json:"name"`
	Type     FieldType `json:"type"`
	Label    string    `json:"label"`
	Help     string    `json:"help,omitempty"`
	Required bool      `json:"required"`
	Default  string    `json:"default,omitempty"` // what holds where it is left out; empty = not said
	// Values are those that it may have, written as text; of FieldChoices those of its items. Empty = see the bounds.
	Values []string `json:"values,omitempty"`
	// Open says that Values are only the usual ones: others are passed on, and may be refused later.
	Open bool `json:"open,omitempty"`
	// Families say which Values of FieldChoices go together: all of one family, or a single one. Empty = any do.
	Families  [][]string `json:"families,omitempty"`
	Minimum   *float64   `json:"minimum,omitempty"`    // of a number; nil = not known
	Maximum   *float64   `json:"maximum,omitempty"`    //
	MaxLength int        `json:"max_length,omitempty"` // characters of a text; 0 = not known
	MinItems  int        `json:"min_items,omitempty"`  // of an array
	MaxItems  int        `json:"max_items,omitempty"`  // 0 = not known
	// Needs are other fields, by name, that must be given with it, each with the value that it must have; an empty value is any.
	Needs map[string]string `json:"needs,omitempty"`
}

// ModelDescription is what callers may know of a model.
type ModelDescription struct {
	Name      string
	Kind      Kind
	Price     *Money        // for a generation that succeeds; nil = it is free
	Deadline  time.Duration // from acceptance to the end, at most
	Callbacks bool          // input.metadata.callback_url is given on to its upstream
	Fields    []Field       // nil in lists
}

// WorkflowDescription is what callers may know of a workflow.
type WorkflowDescription struct {
	Name        string
	Description string
	Kind        Kind
	Price       *Money  // nil = it is free
	Fields      []Field // beside source, capture type and mode
	Rows        []WorkflowRow
}

// WorkflowRow is what goes for one capture type and mode.
type WorkflowRow struct {
	CaptureType string `json:"capture_type,omitempty"` // empty = none may be sent
	Mode        string `json:"mode,omitempty"`         // empty = none may be sent
	Label       string `json:"label,omitempty"`
	// Rules say of each field, by name, whether it is "required", "optional" or "forbidden".
	Rules map[string]string `json:"rules"`
}
