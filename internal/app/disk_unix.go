//go:build unix

package app

import "golang.org/x/sys/unix"

// freeSpace is how many bytes an unprivileged process can still write below path.
func freeSpace(path string) (uint64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true
}
