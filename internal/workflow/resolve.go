package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// faults collects what is wrong with a request.
type faults []kinora.FieldError

func (fs *faults) add(field, format string, args ...any) {
	*fs = append(*fs, kinora.FieldError{Field: field, Message: field + " " + fmt.Sprintf(format, args...)})
}

// err is nil when nothing is wrong. Its message tells the first fault and the details all of them.
func (fs faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "resolve workflow", Message: fs[0].Message, Details: fs}
}

// Resolve turns a caller's choices into a recipe, by the rules of the workflow's matrix (generations API contract 5.2 and
// 5.3). Facts about the source are those known so far: where it is still being fetched, the size is the first of a list, and one
// that is the source's is left to the model.
//
// Errors: kinora.ErrInvalid, with every broken rule in Details.
func (s *Set) Resolve(req kinora.WorkflowRequest, source SourceFacts) (Recipe, error) {
	var broken faults
	w := s.byName[req.Workflow]
	switch {
	case len(s.byName) == 0:
		broken.add("workflow", "cannot be chosen: this server offers none")
		return Recipe{}, broken.err()
	case req.Workflow == "":
		broken.add("workflow", "is required: %s", oneOf(s.Names()))
		return Recipe{}, broken.err()
	case w == nil:
		broken.add("workflow", "must be %s, not %s%s", oneOf(s.Names()), shortened(req.Workflow), ask(req.Workflow, s.Names()))
		return Recipe{}, broken.err()
	}
	row := w.row(req, &broken)
	if row == nil {
		return Recipe{}, broken.err()
	}
	sent, kept := w.sent(req, row, &broken)
	if len(broken) > 0 {
		return Recipe{}, broken.err()
	}
	prompt, err := render(row.prompt, w.values(row, sent))
	if errors.Is(err, errPromptLength) {
		return Recipe{}, kinora.Errorf(kinora.ErrInvalid, "the fields make a prompt of more than %d characters", MaxPrompt)
	}
	if err != nil {
		return Recipe{}, fmt.Errorf("workflow %s: render the prompt: %w", w.Name, err)
	}
	return Recipe{
		Workflow: w.Name, Model: w.Model, Kind: w.Kind, Prompt: prompt, Size: row.Size.of(source),
		Images: slices.Clone(w.Images), Duration: w.Duration, Metadata: maps.Clone(w.Metadata),
		Plan:          kinora.Plan{Parts: w.Candidates, Rounds: w.Rounds, Publish: w.Publish, Gate: copyOf(row.Gate), Review: w.Review},
		CacheApproved: w.CacheApproved, Price: w.Price, Request: kept,
	}, nil
}

func copyOf(g *kinora.Gate) *kinora.Gate {
	if g == nil {
		return nil
	}
	c := *g
	return &c
}

// ask is the end of a sentence that asks whether a near word was meant.
func ask(word string, known []string) string {
	if hint := didYouMean(word, known); hint != "" {
		return "; " + hint
	}
	return ""
}

// row finds the matrix row of a request; nil with a fault when there is none.
func (w *Workflow) row(req kinora.WorkflowRequest, broken *faults) *Row {
	types := w.captureTypes()
	switch {
	case len(types) == 0 && req.CaptureType != "":
		broken.add("capture_type", "must not be sent for workflow %s", w.Name)
		return nil
	case len(types) > 0 && req.CaptureType == "":
		broken.add("capture_type", "is required for workflow %s: %s", w.Name, oneOf(types))
		return nil
	case req.CaptureType != "" && !slices.Contains(types, req.CaptureType):
		broken.add("capture_type", "must be %s for workflow %s, not %s%s", oneOf(types), w.Name, shortened(req.CaptureType), ask(req.CaptureType, types))
		return nil
	}
	modes := w.modes(req.CaptureType)
	of := "workflow " + w.Name
	if req.CaptureType != "" {
		of += " and capture_type " + req.CaptureType
	}
	switch {
	case len(modes) == 0 && req.Mode != "":
		broken.add("mode", "must not be sent for %s", of)
		return nil
	case len(modes) > 0 && req.Mode == "":
		broken.add("mode", "is required for %s: %s", of, oneOf(modes))
		return nil
	case req.Mode != "" && !slices.Contains(modes, req.Mode):
		broken.add("mode", "must be %s for %s, not %s%s", oneOf(modes), of, shortened(req.Mode), ask(req.Mode, modes))
		return nil
	}
	for i := range w.Rows {
		if w.Rows[i].CaptureType == req.CaptureType && w.Rows[i].Mode == req.Mode {
			return &w.Rows[i]
		}
	}
	broken.add("workflow", "%s has no rule for this request", w.Name) // cannot be: the words are those of the rows
	return nil
}

// captureTypes are those of the matrix, in its order; none when the workflow has none.
func (w *Workflow) captureTypes() (out []string) {
	for _, r := range w.Rows {
		if r.CaptureType != "" && !slices.Contains(out, r.CaptureType) {
			out = append(out, r.CaptureType)
		}
	}
	return out
}

// modes are those that may be sent for a capture type.
func (w *Workflow) modes(captureType string) (out []string) {
	for _, r := range w.Rows {
		if r.CaptureType == captureType && r.Mode != "" {
			out = append(out, r.Mode)
		}
	}
	return out
}

// sent checks the fields of a request against a row. It returns their values, and the request as it is to be kept.
func (w *Workflow) sent(req kinora.WorkflowRequest, row *Row, broken *faults) (values map[string][]string, kept kinora.WorkflowRequest) {
	kept = kinora.WorkflowRequest{Workflow: w.Name, CaptureType: req.CaptureType, Mode: req.Mode}
	values = map[string][]string{}
	of := "workflow " + w.Name
	if row.CaptureType != "" {
		of += " and capture_type " + row.CaptureType
	}
	if row.Mode != "" {
		of += " with mode " + row.Mode
	}
	for i := range w.Fields {
		f := &w.Fields[i]
		given, problem := f.of(req)
		switch rule := row.Rules[f.Name]; {
		case problem != "":
			broken.add(f.Name, "%s", problem)
			continue
		case len(given) == 0 && rule == Required:
			broken.add(f.Name, "is required for %s%s", of, f.choices())
			continue
		case len(given) == 0:
			continue
		case rule == Forbidden:
			broken.add(f.Name, "must not be sent for %s", of)
			continue
		}
		if problem := f.checkSent(given); problem != "" {
			broken.add(f.Name, "%s", problem)
			continue
		}
		values[f.Name] = given
		kept = f.keep(kept, req, given)
	}
	// What a request has a place for and the workflow no field must not pass unnoticed.
	for _, own := range []struct {
		name string
		sent bool
	}{{fieldRooms, len(req.RoomTypes) > 0}, {fieldStyle, strings.TrimSpace(req.StylePreset) != ""}} {
		if own.sent && !slices.Contains(w.fieldNames(), own.name) {
			broken.add(own.name, "must not be sent for workflow %s", w.Name)
		}
	}
	return values, kept
}

// choices ends a sentence with the values that there are.
func (f *Field) choices() string {
	if len(f.Values) == 0 {
		return ""
	}
	return ": " + shortList(f.Values)
}

// of is the field's value in a request; none when it was not sent.
func (f *Field) of(req kinora.WorkflowRequest) (values []string, problem string) {
	switch f.Name {
	case fieldRooms:
		return req.RoomTypes, ""
	case fieldStyle:
		if strings.TrimSpace(req.StylePreset) == "" {
			return nil, ""
		}
		return []string{req.StylePreset}, ""
	}
	return f.given(req.Fields[f.Name])
}

func (f *Field) checkSent(values []string) string {
	if f.Type == TypeList {
		return f.checkList(values)
	}
	return f.check(values[0])
}

// keep adds a field to the request that is stored, as it was sent.
func (f *Field) keep(kept, req kinora.WorkflowRequest, values []string) kinora.WorkflowRequest {
	switch f.Name {
	case fieldRooms:
		kept.RoomTypes = slices.Clone(values)
	case fieldStyle:
		kept.StylePreset = values[0]
	default:
		if kept.Fields == nil {
			kept.Fields = map[string]json.RawMessage{}
		}
		kept.Fields[f.Name] = slices.Clone(req.Fields[f.Name])
	}
	return kept
}

// of is the size to ask the model for.
func (z Size) of(source SourceFacts) string {
	switch {
	case z.Fixed != "":
		return z.Fixed
	case source.Width <= 0 || source.Height <= 0:
		if len(z.Nearest) > 0 {
			return z.Nearest[0]
		}
		return ""
	case z.Source:
		scale := min(1, float64(z.MaxSide)/float64(max(source.Width, source.Height)))
		side := func(pixels int) int { return max(64, int(math.Round(float64(pixels)*scale))) }
		return fmt.Sprintf("%dx%d", side(source.Width), side(source.Height))
	}
	best, nearest := "", math.Inf(1)
	for _, candidate := range z.Nearest {
		// Twice as wide is as far away as half as wide.
		d := math.Abs(math.Log(shape(candidate) * float64(source.Height) / float64(source.Width)))
		if d < nearest {
			best, nearest = candidate, d
		}
	}
	return best
}
