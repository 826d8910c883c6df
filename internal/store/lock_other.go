//go:build !unix

package store

import "os"

// lockFile opens the lock file; systems without flock rely on exclusive deletion rights.
func lockFile(path string) (*os.File, error) {
	_ = os.Remove(path)
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}
