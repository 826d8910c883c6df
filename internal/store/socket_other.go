//go:build !linux

package store

import (
	"syscall"
	"time"
)

// limitUnacknowledged leaves the system's own patience as it is.
func limitUnacknowledged(syscall.RawConn, time.Duration) error { return nil }
