// Package closest finds what somebody may have meant by a word that is not known.
package closest

import "slices"

// Word returns the known word nearest to a wrong one: at most two edits of single characters away, and fewer than a half of it.
// Empty = none is near.
func Word(wrong string, known []string) string {
	best, nearest := "", 3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(wrong, k); d < nearest && 2*d <= len(k) {
			best, nearest = k, d
		}
	}
	return best
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
