package consumers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kinora/kinora/internal/npmtest"
)

var npm = npmtest.Packages{From: "npm"}

func TestLockFileNamesNoRegistry(t *testing.T) { npm.CheckLock(t) }

// The page's TypeScript is held to the strictest rules, in both variants.
func TestTypeScriptHasTypes(t *testing.T) {
	folder := npm.Folder(t)
	dir, err := os.MkdirTemp(folder, "types-") // below node_modules' folder, where imports are looked for
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "package.json", `{"type": "module"}`)
	args := []string{filepath.Join(folder, "node_modules", "typescript", "bin", "tsc"), "--noEmit", "--strict", "--skipLibCheck",
		"--target", "es2022", "--module", "nodenext", "--types", "node",
		write(t, dir, "consumer.ts", snippet(t, "consumer.ts")), write(t, dir, "with-package.ts", withPackage(t))}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
