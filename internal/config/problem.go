package config

import (
	"slices"
	"strings"

	"github.com/kinora/kinora"
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
	best, nearest := "", 3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(word, k); d < nearest && 2*d <= len(k) {
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
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
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
