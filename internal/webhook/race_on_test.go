//go:build race

package webhook_test

// manyDestinations is smaller under the race detector, which makes SQLite ten times slower.
const manyDestinations = 2_000
