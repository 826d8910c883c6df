//go:build !race

package webhook_test

const manyDestinations = 10_000
