package workflow

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The readers below take one node each, note what is wrong with it, and return the zero value then: a file is read to
// its end whatever it holds, so that everything is told at once.

// keys are the readers of a mapping's keys.
type keys map[string]func(*yaml.Node)

// mapping reads a mapping strictly: a key that is not known is a problem, and so is one that comes twice.
func (s *sheet) mapping(n *yaml.Node, what string, known keys) {
	names := slices.Sorted(maps.Keys(known))
	s.entries(n, what, func(key, value *yaml.Node) {
		read, ok := known[key.Value]
		if !ok {
			hint := didYouMean(key.Value, names)
			if hint == "" {
				hint = "there are " + joined(names, "and")
			}
			s.at(key, hint, "unknown key %s", shortened(key.Value))
			return
		}
		read(value)
	})
}

// entries calls read for each entry of a mapping.
func (s *sheet) entries(n *yaml.Node, what string, read func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		s.at(n, "", "%s must be keys and values", what)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, twice := seen[key.Value]; twice {
			s.at(key, "", "the key %s is given twice, first in line %d", shortened(key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		read(key, value)
	}
}

// list calls read for each entry of a list.
func (s *sheet) list(n *yaml.Node, what string, most int, read func(*yaml.Node)) {
	switch {
	case n.Kind != yaml.SequenceNode:
		s.at(n, "", "%s must be a list", what)
	case len(n.Content) == 0:
		s.at(n, "leave the key out", "%s is empty", what)
	case len(n.Content) > most:
		s.at(n, "", "%s has %d entries, and may have %d", what, len(n.Content), most)
	default:
		for _, entry := range n.Content {
			read(entry)
		}
	}
}

// text reads a single text.
func (s *sheet) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		s.at(n, "", "%s must be a text", what)
		return ""
	}
	if strings.TrimSpace(n.Value) == "" {
		s.at(n, "leave the key out", "%s is empty", what)
	}
	return n.Value
}

// texts reads a list of different texts.
func (s *sheet) texts(n *yaml.Node, what string, most int) (out []string) {
	s.list(n, what, most, func(entry *yaml.Node) {
		text := s.text(entry, "an entry of "+what)
		if slices.Contains(out, text) {
			s.at(entry, "", "%s has %s twice", what, shortened(text))
			return
		}
		out = append(out, text)
	})
	return out
}

func (s *sheet) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		s.at(n, "", "%s must be true or false", what)
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

func (s *sheet) whole(n *yaml.Node, what string, least, most int) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || v < least || v > most {
		s.at(n, "", "%s must be a whole number from %d to %d", what, least, most)
		return 0
	}
	return v
}

func (s *sheet) number(n *yaml.Node, what string, least, most float64) float64 {
	v, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" || err != nil || math.IsNaN(v) || v < least || v > most {
		if math.IsInf(most, 1) {
			s.at(n, "", "%s must be a number", what)
		} else {
			s.at(n, "", "%s must be a number from %v to %v", what, least, most)
		}
		return 0
	}
	return v
}
