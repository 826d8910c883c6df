package server

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kinora/kinora"
)

// generationRequest is the body of a create or a regenerate (contract, sections 5.1 and 7). A member that is null counts as
// left out.
type generationRequest struct {
	assetID, sourceURL string
	hasFile            bool // the form has a file, or the JSON body something of that name

	choices kinora.WorkflowRequest
	sent    map[string]bool // which choices were sent, by their names

	webhookURL string // "" = left out
	reference  *string
	metadata   json.RawMessage // nil = left out
}

// maxChoice bounds each choice that is one text, in bytes. What a workflow allows is far shorter.
const maxChoice = 4096

// parseGeneration reads the members of a request. Its faults name their fields; all of them are told.
func parseGeneration(doc *document) (*generationRequest, error) {
	root := doc.root()
	if root.kind() != jsonObject {
		return nil, refuse(errMalformed, "JSON body must be an object")
	}
	q := &generationRequest{sent: map[string]bool{}}
	var wrong fieldFaults
	for key, val := range root.members() {
		if name := key.text(); val.given() {
			q.member(name, val, &wrong)
		}
	}
	return q, wrong.err()
}

func (q *generationRequest) member(name string, val value, wrong *fieldFaults) {
	text := func(into *string, most int) {
		var err error
		*into, err = parseString(val, name, most)
		wrong.note(name, err)
	}
	q.sent[name] = true
	switch name {
	case "source_asset_id":
		text(&q.assetID, maxChoice)
	case "source_url":
		text(&q.sourceURL, maxURL)
	case "file":
		q.hasFile = true
	case "workflow":
		text(&q.choices.Workflow, maxChoice)
	case "capture_type":
		text(&q.choices.CaptureType, maxChoice)
	case "mode":
		text(&q.choices.Mode, maxChoice)
	case "style_preset":
		text(&q.choices.StylePreset, maxChoice)
	case "room_types":
		var err error
		q.choices.RoomTypes, err = parseTexts(val, name)
		wrong.note(name, err)
	case "webhook":
		var err error
		q.webhookURL, err = parseWebhook(val)
		wrong.note("webhook.url", err)
	case "reference":
		var s kinora.Submission
		wrong.note(name, parseEcho(val, value{}, &s))
		q.reference = s.Reference
	case "metadata":
		var s kinora.Submission
		wrong.note(name, parseEcho(value{}, val, &s))
		q.metadata = s.Metadata
	default:
		// Perhaps a field of an operator's own workflow. What no workflow knows is left out by it.
		if q.choices.Fields == nil {
			q.choices.Fields = map[string]json.RawMessage{}
		}
		q.choices.Fields[name] = val.raw()
	}
}

func parseTexts(v value, field string) ([]string, error) {
	if v.kind() != jsonArray {
		return nil, refuse(kinora.ErrInvalid, "%s must be an array of strings", field)
	}
	list := []string{}
	for item := range v.items() {
		if item.kind() != jsonString {
			return nil, refuse(kinora.ErrInvalid, "%s must be an array of strings", field)
		}
		text := item.text()
		if len(text) > maxChoice || len(list) == maxImages {
			return nil, refuse(kinora.ErrInvalid, "%s is too long", field)
		}
		list = append(list, text)
	}
	return list, nil
}

// sources counts the ways in which a source was named. An empty text names none.
func (q *generationRequest) sources() int {
	n := 0
	for _, given := range []bool{q.assetID != "", q.sourceURL != "", q.hasFile} {
		if given {
			n++
		}
	}
	return n
}

// namesSource tells whether any source field was sent, even an empty one.
func (q *generationRequest) namesSource() bool {
	return q.hasFile || q.sent["source_asset_id"] || q.sent["source_url"]
}

// fieldFaults collects what is wrong with the fields of a request.
type fieldFaults []kinora.FieldError

func (f *fieldFaults) note(field string, err error) {
	if err != nil {
		*f = append(*f, kinora.FieldError{Field: field, Message: err.Error()})
	}
}

// err tells the first fault in its message and all in its details; nil = there is none.
func (f fieldFaults) err() error {
	if len(f) == 0 {
		return nil
	}
	return &kinora.Error{Code: kinora.ErrInvalid, Message: f[0].Message, Details: f}
}

// fieldFault is the refusal of one field; the message begins with its name.
func fieldFault(field, format string, args ...any) error {
	return fieldFaults{{Field: field, Message: field + " " + fmt.Sprintf(format, args...)}}.err()
}

// ofField says in the details of a refusal which field it is about.
func ofField(field string, err error) error {
	var e *kinora.Error
	if !errors.As(err, &e) || e.Code != kinora.ErrInvalid || len(e.Details) > 0 {
		return err
	}
	told := *e
	told.Details = []kinora.FieldError{{Field: field, Message: e.Message}}
	return &told
}

// inherit fills in what a regenerate leaves out with what its parent has (contract, section 7), and returns the names of
// the choices that it took over.
func (q *generationRequest) inherit(parent *kinora.Generation) (taken []string) {
	from, to := parent.Request, &q.choices
	take := func(name string, has bool, copyOver func()) {
		if !q.sent[name] && has {
			copyOver()
			taken = append(taken, name)
		}
	}
	take("workflow", true, func() { to.Workflow = from.Workflow })
	take("capture_type", from.CaptureType != "", func() { to.CaptureType = from.CaptureType })
	take("mode", from.Mode != "", func() { to.Mode = from.Mode })
	take("room_types", len(from.RoomTypes) > 0, func() { to.RoomTypes = from.RoomTypes })
	take("style_preset", from.StylePreset != "", func() { to.StylePreset = from.StylePreset })
	for name, raw := range from.Fields {
		take(name, true, func() {
			if to.Fields == nil {
				to.Fields = map[string]json.RawMessage{}
			}
			to.Fields[name] = raw
		})
	}
	if q.webhookURL == "" {
		q.webhookURL = parent.WebhookURL
	}
	if q.reference == nil {
		q.reference = parent.Reference
	}
	if q.metadata == nil {
		q.metadata = parent.Metadata
	}
	return taken
}

// drop leaves a choice out again.
func (q *generationRequest) drop(name string) {
	switch c := &q.choices; name {
	case "capture_type":
		c.CaptureType = ""
	case "mode":
		c.Mode = ""
	case "room_types":
		c.RoomTypes = nil
	case "style_preset":
		c.StylePreset = ""
	default:
		delete(c.Fields, name)
	}
}

// moves tells whether a regenerate asks for another row of the matrix than its parent's, in which what it inherits need not
// have a place.
func (q *generationRequest) moves(parent *kinora.Generation) bool {
	from, to := parent.Request, q.choices
	return from.Workflow != to.Workflow || from.CaptureType != to.CaptureType || from.Mode != to.Mode
}
