package config

import (
	"slices"
	"strings"
)

// Problem is one thing that is wrong.
type Problem struct {
	// Field is where: a key such as "webhooks.timeout" or "accounts[1].name", an environment
	// variable, or "line 12" of the file.
	Field   string
	Message string // what is wrong; never a value that may be a secret
	Hint    string // what to do; may be empty
}

func (p Problem) String() string {
	s := p.Field + ": " + p.Message
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Error is everything that is wrong with a configuration, so that it can be put right in one go.
type Error struct {
	File     string // the file that was read; empty = none
	Problems []Problem
}

func (e *Error) Error() string {
	where := "configuration"
	if e.File != "" {
		where += " " + e.File
	}
	if len(e.Problems) == 1 {
		return where + ": " + e.Problems[0].String()
	}
	var b strings.Builder
	b.WriteString(where + ":")
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// problems collects while everything is checked.
type problems []Problem

func (ps *problems) add(field, message, hint string) {
	*ps = append(*ps, Problem{Field: field, Message: message, Hint: hint})
}

// didYouMean is a hint at the known word nearest to a wrong one; empty when none is near.
func didYouMean(word string, known []string) string {
	best, nearest := "", 3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(word, k); d < nearest && d < len(k) {
			best, nearest = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is how many single-character edits turn a into b (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
