//go:build !unix

package blob_test

import "testing"

// runAsNobody is called as the superuser of a Unix only.
func runAsNobody(t *testing.T, _, _ string) { t.Fatal("there is no such user here") }
