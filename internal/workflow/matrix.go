package workflow

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora"
)

// matrix reads the rows; base holds what a row has that says nothing else. A workflow without a matrix has one row.
func (s *sheet) matrix(n *yaml.Node, w *Workflow, base Row) (rows []Row) {
	if n == nil {
		base.Rules = w.rules(nil)
		return []Row{base}
	}
	s.list(n, "matrix", MaxRows, func(entry *yaml.Node) {
		r := s.row(entry, w, base)
		for _, other := range rows {
			if problem := r.clash(other); problem != "" {
				s.at(entry, "", "%s", problem)
			}
		}
		rows = append(rows, r)
	})
	return rows
}

// clash says why two rows cannot stand beside each other: of a request it must be clear which one is meant.
func (r Row) clash(other Row) string {
	switch {
	case r.CaptureType != other.CaptureType && (r.CaptureType == "" || other.CaptureType == ""):
		return "either every row of the matrix names a capture_type, or none does"
	case r.CaptureType == other.CaptureType && r.Mode == other.Mode:
		return "the matrix has the row " + r.name() + " twice"
	case r.CaptureType == other.CaptureType && (r.Mode == "" || other.Mode == ""):
		return "either every row of a capture_type names a mode, or there is one row without"
	}
	return ""
}

// name is how messages call a row.
func (r Row) name() string {
	switch {
	case r.CaptureType != "" && r.Mode != "":
		return r.CaptureType + " " + r.Mode
	case r.Mode != "":
		return r.Mode
	case r.CaptureType != "":
		return r.CaptureType
	}
	return "of all requests"
}

func (s *sheet) row(n *yaml.Node, w *Workflow, base Row) Row {
	r := base
	word := func(to *string, what string) func(*yaml.Node) {
		return func(n *yaml.Node) {
			*to = s.text(n, what)
			if *to != "" && !fieldName.MatchString(*to) {
				s.at(n, "", "%s must be lower-case letters, digits and underscores, at most 64", what)
			}
		}
	}
	rules := map[string]Rule{}
	s.mapping(n, "a row of the matrix", keys{
		"capture_type": word(&r.CaptureType, "capture_type"),
		"mode":         word(&r.Mode, "mode"),
		"derived_mode": word(&r.DerivedMode, "derived_mode"),
		"label":        func(n *yaml.Node) { r.Label = s.text(n, "label") },
		"fields": func(n *yaml.Node) {
			s.entries(n, "fields", func(key, value *yaml.Node) {
				if !slices.ContainsFunc(w.Fields, func(f Field) bool { return f.Name == key.Value }) {
					s.at(key, didYouMean(key.Value, w.fieldNames()), "the workflow has no field %s", shortened(key.Value))
					return
				}
				rule := Rule(s.text(value, "a rule"))
				if !slices.Contains([]Rule{Required, Optional, Forbidden}, rule) {
					s.at(value, didYouMean(string(rule), []string{"required", "optional", "forbidden"}), "a rule must be required, optional or forbidden")
					return
				}
				rules[key.Value] = rule
			})
		},
		"prompt": func(n *yaml.Node) { r.prompt = s.prompt(n, w.promptNames()) },
		"size": func(n *yaml.Node) {
			size := s.size(n)
			if size.Source {
				size.MaxSide = max(base.Size.MaxSide, 0)
				if size.MaxSide == 0 {
					size.MaxSide = defaultMaxSide
				}
			}
			r.Size = size
		},
		"gate": func(n *yaml.Node) {
			var from kinora.Gate
			if base.Gate != nil {
				from = *base.Gate
			}
			r.Gate = s.gate(n, from)
		},
	})
	if r.Mode != "" && r.DerivedMode != "" {
		s.at(n, "keep one of them", "a row has mode, which callers send, or derived_mode, for which they do not")
	}
	r.Rules = w.rules(rules)
	return r
}

// rules completes the rules of a row: a field that it does not name goes by itself.
func (w *Workflow) rules(given map[string]Rule) map[string]Rule {
	out := map[string]Rule{}
	for _, f := range w.Fields {
		rule, ok := given[f.Name]
		switch {
		case ok:
			out[f.Name] = rule
		case f.Required:
			out[f.Name] = Required
		default:
			out[f.Name] = Optional
		}
	}
	return out
}

func (w *Workflow) fieldNames() (names []string) {
	for _, f := range w.Fields {
		names = append(names, f.Name)
	}
	return names
}

// promptNames are the words that a prompt may use.
func (w *Workflow) promptNames() []string {
	return append([]string{"capture_type", "mode", "workflow"}, w.fieldNames()...)
}

// gate reads a gate over what from says.
func (s *sheet) gate(n *yaml.Node, from kinora.Gate) *kinora.Gate {
	g := from
	s.mapping(n, "gate", keys{
		"min_width":        func(n *yaml.Node) { g.MinWidth = s.whole(n, "min_width", 0, 16384) },
		"min_height":       func(n *yaml.Node) { g.MinHeight = s.whole(n, "min_height", 0, 16384) },
		"aspect":           func(n *yaml.Node) { g.Aspect = s.aspect(n) },
		"aspect_tolerance": func(n *yaml.Node) { g.AspectTolerance = s.number(n, "aspect_tolerance", 0, 1) },
		"not_blank":        func(n *yaml.Node) { g.NotBlank = s.boolean(n, "not_blank") },
		"changed":          func(n *yaml.Node) { g.Changed = s.whole(n, "changed", 0, 64) },
		"structure":        func(n *yaml.Node) { g.Structure = s.number(n, "structure", 0, 1) },
		"hook":             func(n *yaml.Node) { g.Hook = s.hook(n) },
	})
	return &g
}

// aspect reads "W:H" as width divided by height.
func (s *sheet) aspect(n *yaml.Node) float64 {
	if n.Kind != yaml.ScalarNode || !ratio.MatchString(n.Value) {
		s.at(n, "such as \"2:1\", in quotes", "aspect must be a ratio W:H")
		return 0
	}
	return shape(n.Value)
}

func (s *sheet) hook(n *yaml.Node) (h kinora.GateHook) {
	s.mapping(n, "hook", keys{
		"url": func(n *yaml.Node) {
			h.URL = s.text(n, "url")
			if h.URL != "" && !webURL(h.URL) {
				s.at(n, "such as https://checks.example/kinora", "url must be an http or https address without a user name")
			}
		},
		"timeout": func(n *yaml.Node) {
			d, err := time.ParseDuration(s.text(n, "timeout"))
			if err != nil || d < 100*time.Millisecond || d > time.Minute {
				s.at(n, "such as 10s", "timeout must be a duration from 100ms to 1m")
				return
			}
			h.Timeout = d
		},
	})
	if n.Kind == yaml.MappingNode && valueOf(n, "url") == nil {
		s.at(n, "", "the key %q is missing", "url")
	}
	return h
}

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && len(text) <= 2048
}

// values are what a prompt sees of a request.
func (w *Workflow) values(r *Row, sent map[string][]string) map[string]any {
	mode := r.Mode
	if mode == "" {
		mode = r.DerivedMode
	}
	out := map[string]any{"workflow": w.Name, "capture_type": r.CaptureType, "mode": mode}
	for _, f := range w.Fields {
		out[f.Name] = f.value(sent[f.Name])
	}
	return out
}

// value is what a prompt sees of a field: a list's texts, a number, else a text; what stands for nothing where there is none.
func (f *Field) value(texts []string) any {
	if len(texts) == 0 && f.Default != "" {
		texts = []string{f.Default}
	}
	switch {
	case f.Type == TypeList:
		return append([]string{}, texts...)
	case len(texts) == 0:
		return ""
	case f.Type == TypeNumber:
		if v, err := strconv.ParseFloat(texts[0], 64); err == nil {
			return decimalText(v)
		}
	}
	return texts[0]
}

// sample is a request to try a prompt with.
func (w *Workflow) sample(r *Row, full bool) map[string]any {
	sent := map[string][]string{}
	for _, f := range w.Fields {
		rule := r.Rules[f.Name]
		if rule == Forbidden || rule == Optional && !full {
			continue
		}
		switch f.Type {
		case TypeEnum, TypeList:
			sent[f.Name] = f.Values[:1]
		case TypeNumber:
			v := 1.0
			if f.Least != nil {
				v = *f.Least
			}
			sent[f.Name] = []string{fmt.Sprint(v)}
		case TypeString:
			sent[f.Name] = []string{"x"}
		}
	}
	return w.values(r, sent)
}
