package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora/internal/closest"
)

// Problem is something that is wrong in a workflow file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1; 0 = the file as a whole
	Column  int    `json:"column"` // from 1; 0 = not known
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
}

func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where += fmt.Sprintf(":%d", p.Line)
	}
	if p.Column > 0 {
		where += fmt.Sprintf(":%d", p.Column)
	}
	text := where + ": " + p.Message
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// sheet is a file that is being read, and what was found wrong with it.
type sheet struct {
	file  string
	lines []string // the file's, for the columns of multi-line texts
	// inherited are the nodes that came from what the file extends: their places are not in this file.
	inherited map[*yaml.Node]bool
	extends   *yaml.Node
	found     []Problem
}

// at notes a problem at a node.
func (s *sheet) at(n *yaml.Node, hint, message string, args ...any) {
	line, column, text := n.Line, n.Column, fmt.Sprintf(message, args...)
	if s.inherited[n] && s.extends != nil {
		text = fmt.Sprintf("%s, line %d of what it extends: %s", s.extends.Value, line, text)
		line, column = s.extends.Line, s.extends.Column
	}
	s.found = append(s.found, Problem{File: s.file, Line: line, Column: column, Message: text, Hint: hint})
}

// sorted returns what was found in the order of the file.
func (s *sheet) sorted() []Problem {
	slices.SortStableFunc(s.found, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(s.found)
}

// didYouMean is a hint at the known word nearest to a wrong one; empty when none is near.
func didYouMean(word string, known []string) string {
	if best := closest.Word(word, known); best != "" {
		return "did you mean " + best + "?"
	}
	return ""
}

// oneOf lists words as a sentence has them: "a, b or c".
func oneOf(words []string) string { return joined(words, "or") }

func joined(words []string, last string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// shortened is somebody's word as a message can bear it.
func shortened(s string) string {
	const most = 40
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
