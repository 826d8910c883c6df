//go:build !unix

package app

func freeSpace(string) (uint64, bool) { return 0, false }
