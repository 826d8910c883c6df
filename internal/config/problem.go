package config

import (
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/closest"
)

// problems collects everything that is wrong, so that it can be put right in one go. Each
// starts with where: a key, a variable, or a line of the file. None repeats a value.
type problems []string

// add notes a problem; hint, which may be empty, says what to do.
func (ps *problems) add(where, message, hint string) {
	text := where + ": " + message
	if hint != "" {
		text += " (" + hint + ")"
	}
	*ps = append(*ps, text)
}

// err is nil when nothing is wrong.
func (ps problems) err(op string) error {
	if len(ps) == 0 {
		return nil
	}
	message := ps[0]
	if len(ps) > 1 {
		message = "several things are wrong:\n  " + strings.Join(ps, "\n  ")
	}
	return &kinora.Error{Code: kinora.ErrInvalid, Op: op, Message: message, Hint: "see docs/configuration.md"}
}

// didYouMean is a hint at the known word nearest to a wrong one; empty when none is near.
func didYouMean(word string, known []string) string {
	if best := closest.Word(word, known); best != "" {
		return "did you mean " + best + "?"
	}
	return ""
}
