//go:build !linux

package blob_test

// runOnSmallDisk is started on Linux only.
func runOnSmallDisk() int { return 2 }
