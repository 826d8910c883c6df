// Package workflow turns what a caller of the generations API chose into what is generated: recipes, each a YAML file
// that names its model, fields, rules, prompt and quality gate. docs/workflows.md is their reference.
//
// It reads files and checks choices. It stores nothing, calls nobody, and knows neither HTTP nor how a gate's checks are
// made (package quality) or a plan is carried out (package lifecycle).
package workflow

import (
	"encoding/json"
	"text/template"

	"github.com/kinora/kinora"
)

// Limits of a workflow file.
const (
	MaxFile       = 256 << 10 // bytes
	MaxFiles      = 500       // of one folder
	MaxFields     = 32
	MaxValues     = 500 // of one field
	MaxRows       = 64  // of the matrix
	MaxCandidates = 8   // a round
	MaxRounds     = 5
	MaxPublish    = 2    // the primary output and one alternate (generations API contract 6.1)
	MaxPrompt     = 8000 // characters, rendered
	MaxText       = 2000 // characters of a string field, at most
	maxImages     = 8
	maxSize       = 4096 // pixels a side
)

// Workflow is one recipe, checked and ready. It is never changed.
type Workflow struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	File        string      `json:"file"` // its path; "built-in" for one that ships with the program
	Model       string      `json:"model"`
	Kind        kinora.Kind `json:"kind"`
	Fields      []Field     `json:"fields"`
	Rows        []Row       `json:"matrix"`

	Candidates    int           `json:"candidates"` // made side by side in a round
	Rounds        int           `json:"rounds"`
	Publish       int           `json:"publish"`
	Review        bool          `json:"review"`
	CacheApproved bool          `json:"cache_approved"` // an approved output may answer the same request again
	Price         *kinora.Money `json:"price_usd"`      // for a generation that succeeds; nil = the model's price

	Images   []string                   `json:"images,omitempty"`   // further references, behind the source
	Metadata map[string]json.RawMessage `json:"metadata,omitempty"` // the model's own fields
	Duration int                        `json:"duration,omitempty"` // seconds of video; 0 = the model's default

	text []byte // the file
}

// Text is the workflow's file, for whoever wants to begin from it.
func (w *Workflow) Text() []byte { return w.text }

// FieldType is what a field's value is.
type FieldType string

// The types of fields.
const (
	TypeEnum   FieldType = "enum"   // one of Values
	TypeList   FieldType = "list"   // several of Values
	TypeString FieldType = "string" // free text
	TypeNumber FieldType = "number"
)

// Field is something that a caller chooses beside capture type and mode.
type Field struct {
	Name     string     `json:"name"`
	Type     FieldType  `json:"type"`
	Label    string     `json:"label"`
	Help     string     `json:"help,omitempty"`
	Required bool       `json:"required"` // where the matrix says nothing else
	Default  string     `json:"default,omitempty"`
	Values   []string   `json:"values,omitempty"`     // of an enum or a list, the canonical ones
	Families [][]string `json:"families,omitempty"`   // of a list: several values must be of one family; none = any go together
	Max      int        `json:"max_items,omitempty"`  // values of a list; 0 = as many as there are
	Length   int        `json:"max_length,omitempty"` // characters of a string
	Least    *float64   `json:"minimum,omitempty"`    // of a number
	Most     *float64   `json:"maximum,omitempty"`
	Whole    bool       `json:"whole,omitempty"` // a number without a fraction
}

// Rule says whether a field is sent.
type Rule string

// The rules of a matrix cell.
const (
	Required  Rule = "required"
	Optional  Rule = "optional"
	Forbidden Rule = "forbidden"
)

// Row is a line of the matrix: what goes for one capture type and mode.
type Row struct {
	CaptureType string `json:"capture_type,omitempty"` // empty = the workflow has none, and none may be sent
	Mode        string `json:"mode,omitempty"`         // the mode that must be sent for this row; empty = none may be sent
	DerivedMode string `json:"derived_mode,omitempty"` // what the prompt sees as mode where none may be sent
	Label       string `json:"label,omitempty"`

	Rules map[string]Rule `json:"rules"` // by field, one for each
	Gate  *kinora.Gate    `json:"gate,omitempty"`
	Size  Size            `json:"size,omitzero"`

	prompt *template.Template
}

// Size says what size is asked of the model. The zero value leaves it to the model.
type Size struct {
	Fixed   string   `json:"fixed,omitempty"`    // "WxH", "W:H" or "auto"
	Source  bool     `json:"source,omitempty"`   // the source's own, scaled down to MaxSide
	MaxSide int      `json:"max_side,omitempty"` // pixels
	Nearest []string `json:"nearest,omitempty"`  // the one whose shape is nearest to the source's
}

// SourceFacts is what is known of the source image when a request is resolved; zero = nothing yet.
type SourceFacts struct {
	Width, Height int // pixels
}

// Recipe is a request resolved: all that a generation is made of, beside its source.
type Recipe struct {
	Workflow      string
	Model         string
	Kind          kinora.Kind
	Prompt        string
	Size          string   // as kinora.Input has it; empty = the model's default
	Images        []string // behind the source
	Duration      int      // seconds of video; 0 = the model's default
	Metadata      map[string]json.RawMessage
	Plan          kinora.Plan
	CacheApproved bool
	Price         *kinora.Money // nil = the model's
	// Request is what is to be stored: the caller's choices as they were sent, without fields
	// that the workflow does not have. Resolving it again gives the same recipe.
	Request kinora.WorkflowRequest
}
