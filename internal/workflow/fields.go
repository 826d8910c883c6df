package workflow

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The fields that a request has places of its own for.
const (
	fieldRooms = "room_types"   // a list
	fieldStyle = "style_preset" // an enum
)

var fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// reserved are the words of the generations API that a field cannot take.
var reserved = []string{
	"workflow", "capture_type", "mode", "source_asset_id", "source_url", "file", "webhook", "reference", "metadata",
	"job_id", "status", "outputs", "failure", "parent_job_id",
}

// fields reads the fields of a workflow in the order of the file.
func (s *sheet) fields(n *yaml.Node) (out []Field) {
	s.entries(n, "fields", func(key, value *yaml.Node) {
		switch {
		case !fieldName.MatchString(key.Value):
			s.at(key, "", "a field's name must be lower-case letters, digits and underscores, at most 64")
		case slices.Contains(reserved, key.Value):
			s.at(key, "", "%s is a word of the API and cannot be a field", key.Value)
		case len(out) == MaxFields:
			s.at(key, "", "there are more than %d fields", MaxFields)
		default:
			out = append(out, s.field(key, value))
		}
	})
	return out
}

func (s *sheet) field(key, n *yaml.Node) Field {
	f := Field{Name: key.Value, Label: label(key.Value)}
	var families *yaml.Node
	s.mapping(n, "fields."+f.Name, keys{
		"type": func(n *yaml.Node) {
			f.Type = FieldType(s.text(n, "type"))
			if !slices.Contains(fieldTypes, f.Type) {
				s.at(n, "", "type must be enum, list, string or number")
			}
		},
		"label":      func(n *yaml.Node) { f.Label = s.text(n, "label") },
		"help":       func(n *yaml.Node) { f.Help = s.text(n, "help") },
		"required":   func(n *yaml.Node) { f.Required = s.boolean(n, "required") },
		"default":    func(n *yaml.Node) { f.Default = s.text(n, "default") },
		"values":     func(n *yaml.Node) { f.Values = s.texts(n, "values", MaxValues) },
		"families":   func(n *yaml.Node) { families = n },
		"max_items":  func(n *yaml.Node) { f.Max = s.whole(n, "max_items", 1, MaxValues) },
		"max_length": func(n *yaml.Node) { f.Length = s.whole(n, "max_length", 1, MaxText) },
		"minimum":    func(n *yaml.Node) { v := s.number(n, "minimum", math.Inf(-1), math.Inf(1)); f.Least = &v },
		"maximum":    func(n *yaml.Node) { v := s.number(n, "maximum", math.Inf(-1), math.Inf(1)); f.Most = &v },
		"whole":      func(n *yaml.Node) { f.Whole = s.boolean(n, "whole") },
	})
	if families != nil {
		s.list(families, "families", MaxValues, func(n *yaml.Node) {
			family := s.texts(n, "a family", MaxValues)
			for _, v := range family {
				if !slices.Contains(f.Values, v) {
					s.at(n, didYouMean(v, f.Values), "the family names %s, which is not among values", shortened(v))
				}
			}
			f.Families = append(f.Families, family)
		})
	}
	if n.Kind == yaml.MappingNode {
		s.fitting(n, &f)
	}
	return f
}

var fieldTypes = []FieldType{TypeEnum, TypeList, TypeString, TypeNumber}

// suited are the keys that go with each type, beside those that go with all.
var suited = map[FieldType][]string{
	TypeEnum:   {"values", "default"},
	TypeList:   {"values", "families", "max_items"},
	TypeString: {"max_length", "default"},
	TypeNumber: {"minimum", "maximum", "whole", "default"},
}

// fitting checks that a field's keys go with its type.
func (s *sheet) fitting(n *yaml.Node, f *Field) {
	types := map[string]FieldType{fieldRooms: TypeList, fieldStyle: TypeEnum}
	switch want, bound := types[f.Name]; {
	case valueOf(n, "type") == nil:
		s.at(n, "enum, list, string or number", "the key %q is missing", "type")
		return
	case bound && f.Type != want:
		s.at(valueOf(n, "type"), "", "%s must be of type %s: the API has it so", f.Name, want)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		known := slices.ContainsFunc(fieldTypes, func(t FieldType) bool { return slices.Contains(suited[t], name) })
		if known && !slices.Contains(suited[f.Type], name) {
			s.at(n.Content[i], "", "%s does not go with type %s", name, f.Type)
		}
	}
	if (f.Type == TypeEnum || f.Type == TypeList) && len(f.Values) == 0 && valueOf(n, "values") == nil {
		s.at(n, "", "the key %q is missing", "values")
	}
	if f.Least != nil && f.Most != nil && *f.Least > *f.Most {
		s.at(valueOf(n, "minimum"), "", "minimum is above maximum")
	}
	if f.Type == TypeString && f.Length == 0 {
		f.Length = defaultLength
	}
	if f.Default != "" {
		if f.Required {
			s.at(valueOf(n, "default"), "", "a field that is required needs no default")
		}
		if problem := f.check(f.Default); problem != "" {
			s.at(valueOf(n, "default"), "", "default %s", problem)
		}
	}
}

// defaultLength is how long a string may be that says nothing else, in characters.
const defaultLength = 200

// label makes words of a field's name.
func label(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// check says what is wrong with a single value, as the rest of a sentence; empty = nothing.
func (f *Field) check(value string) string {
	switch f.Type {
	case TypeEnum, TypeList:
		if slices.Contains(f.Values, value) {
			return ""
		}
		text := "must be one of " + shortList(f.Values) + ", not " + shortened(value)
		for _, v := range f.Values {
			if strings.EqualFold(v, value) {
				return text + "; did you mean " + v + "?"
			}
		}
		return text
	case TypeString:
		switch {
		case utf8.RuneCountInString(value) > f.Length:
			return "must be at most " + strconv.Itoa(f.Length) + " characters"
		case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }):
			// They would let a caller's text look like lines of the prompt.
			return "must be one line without control characters"
		}
	case TypeNumber:
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil || !finite(v):
			return "must be a number"
		case f.Whole && v != math.Trunc(v):
			return "must be a whole number"
		case f.Least != nil && v < *f.Least:
			return "must be at least " + decimalText(*f.Least)
		case f.Most != nil && v > *f.Most:
			return "must be at most " + decimalText(*f.Most)
		}
	}
	return ""
}

func decimalText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// shortList names values, and not all of very many.
func shortList(values []string) string {
	const most = 24
	if len(values) > most {
		return strings.Join(values[:most], ", ") + " …"
	}
	return strings.Join(values, ", ")
}

// checkList checks the values of a list together: each on its own, none twice, all of one family.
func (f *Field) checkList(values []string) string {
	for i, v := range values {
		if problem := f.check(v); problem != "" {
			return problem
		}
		if slices.Contains(values[:i], v) {
			return "names " + v + " twice"
		}
	}
	if f.Max > 0 && len(values) > f.Max {
		return "must have at most " + strconv.Itoa(f.Max) + " values"
	}
	if len(values) < 2 || len(f.Families) == 0 {
		return ""
	}
	for _, family := range f.Families {
		if !slices.ContainsFunc(values, func(v string) bool { return !slices.Contains(family, v) }) {
			return ""
		}
	}
	var families []string
	for _, family := range f.Families {
		families = append(families, strings.Join(family, ", "))
	}
	return "must be a single value, or several of one family: " + strings.Join(families, "; ")
}

// given is a field's value as a request has it: texts, none when it was not sent.
func (f *Field) given(raw json.RawMessage) (values []string, problem string) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil || v == nil {
		return nil, ""
	}
	switch v := v.(type) {
	case string:
		if strings.TrimSpace(v) == "" {
			return nil, ""
		}
		return []string{v}, ""
	case float64:
		if f.Type == TypeNumber {
			return []string{decimalText(v)}, ""
		}
	case []any:
		if f.Type != TypeList {
			break
		}
		for _, entry := range v {
			text, ok := entry.(string)
			if !ok {
				return nil, "must be a list of texts"
			}
			values = append(values, text)
		}
		return values, ""
	}
	return nil, map[FieldType]string{TypeEnum: "must be a text", TypeString: "must be a text", TypeList: "must be a list of texts", TypeNumber: "must be a number"}[f.Type]
}
