package kinora

import "encoding/json"

// WorkflowRequest is what a caller of the generations API chose (generations API contract
// 5.1). It is stored with the generation, so that a regenerate can inherit from it.
type WorkflowRequest struct {
	Workflow    string   `json:"workflow"`
	CaptureType string   `json:"capture_type,omitempty"`
	Mode        string   `json:"mode,omitempty"`
	RoomTypes   []string `json:"room_types,omitempty"` // as sent
	StylePreset string   `json:"style_preset,omitempty"`
	// Fields are further ones that an operator's own workflow declares, as sent.
	Fields map[string]json.RawMessage `json:"fields,omitempty"`
}
