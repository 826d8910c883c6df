package consumers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// npm holds the packages of npm/package-lock.json, put into a folder by the first test that needs them.
var npm struct {
	once   sync.Once
	folder string // with node_modules
	absent string // why they cannot be had here; empty = they are there
	err    error
}

// packages returns a folder whose node_modules holds the packages of the lock file. Where they cannot be had, because
// there is no npm or it reaches no registry, the test is skipped.
func packages(t *testing.T) string {
	t.Helper()
	needs(t, "node")
	npm.once.Do(func() {
		if npm.folder, npm.err = os.MkdirTemp("", "kinora-consumers-"); npm.err == nil {
			npm.absent, npm.err = install(npm.folder)
		}
	})
	switch {
	case npm.err != nil:
		t.Fatal(npm.err)
	case npm.absent != "":
		t.Skip(npm.absent)
	}
	return npm.folder
}

func removeNPM() {
	if npm.folder != "" {
		_ = os.RemoveAll(npm.folder)
	}
}

// noNetwork are npm's words for a registry that is out of reach.
var noNetwork = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTCACHED|SOCKET_TIMEOUT`)

func install(folder string) (absent string, err error) {
	program, err := exec.LookPath("npm")
	if err != nil {
		return "npm is not on this machine", nil
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join("npm", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1")
	cmd.Dir, cmd.WaitDelay = folder, 5*time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil, noNetwork.Match(out):
		return "npm reaches no registry from here", nil
	}
	return "", fmt.Errorf("npm ci: %w\n%s", err, out)
}

// needs skips the test on machines without a program.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not on this machine", program)
	}
}

// A lock file that names a registry would bind every clone to it.
func TestLockFileNamesNoRegistry(t *testing.T) {
	lock, err := os.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{`"resolved"`, "://"} {
		if strings.Contains(string(lock), word) {
			t.Errorf("the lock file has %s; write it with npm install --package-lock-only --omit-lockfile-registry-resolved", word)
		}
	}
	if !strings.Contains(string(lock), `"integrity": "sha512-`) {
		t.Error("the lock file pins no content")
	}
}

// The page's TypeScript is held to the strictest rules, in both variants.
func TestTypeScriptHasTypes(t *testing.T) {
	folder := packages(t)
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
