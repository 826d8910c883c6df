// Package npmtest puts npm packages where a test's programs find them, and says what becomes of a test whose machine lacks
// something. It is for tests of documents and of other people's clients; nothing of npm is part of the program.
package npmtest

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

// patience is for npm ci, which takes moments unless the machine is busy.
const patience = 2 * time.Minute

// Packages are those of one lock file, put into a folder by the first test that needs them.
type Packages struct {
	From string // folder with package.json and package-lock.json

	once   sync.Once
	folder string // with node_modules
	absent string // why they cannot be had here; empty = they are there
	err    error
}

// Folder returns a folder whose node_modules holds the packages. Where they cannot be had, because there is no node or
// npm, or npm reaches no registry, the test is skipped, as Lacks does.
func (p *Packages) Folder(t testing.TB) string {
	t.Helper()
	Needs(t, "node")
	p.once.Do(func() {
		if p.folder, p.err = os.MkdirTemp("", "kinora-npm-"); p.err == nil {
			p.absent, p.err = p.install()
		}
	})
	switch {
	case p.err != nil:
		t.Fatal(p.err)
	case p.absent != "":
		Lacks(t, p.absent)
	}
	return p.folder
}

// Remove removes the folder, once no test needs it any more.
func (p *Packages) Remove() {
	if p.folder != "" {
		_ = os.RemoveAll(p.folder)
	}
}

// noNetwork are npm's words for a registry that is out of reach.
var noNetwork = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTCACHED|SOCKET_TIMEOUT`)

func (p *Packages) install() (absent string, err error) {
	program, err := exec.LookPath("npm")
	if err != nil {
		return "npm is not on this machine", nil
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := os.ReadFile(filepath.Join(p.From, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(p.folder, name), content, 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1")
	cmd.Dir, cmd.WaitDelay = p.folder, 5*time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil, noNetwork.Match(out):
		return "npm reaches no registry from here", nil
	}
	return "", fmt.Errorf("npm ci: %w\n%s", err, out)
}

// CheckLock fails the test where the lock file names a registry, which would bind every clone to it, or pins no content.
func (p *Packages) CheckLock(t testing.TB) {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join(p.From, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{`"resolved"`, ".tgz"} {
		if strings.Contains(string(lock), word) {
			t.Errorf("the lock file has %s; write it with npm install --package-lock-only --omit-lockfile-registry-resolved", word)
		}
	}
	if !strings.Contains(string(lock), `"integrity": "sha512-`) {
		t.Error("the lock file pins no content")
	}
}

// Needs skips the test on machines without a program, as Lacks does.
func Needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		Lacks(t, program+" is not on this machine")
	}
}

// All is the variable by which whoever runs the tests says that this machine has everything.
const All = "KINORA_TEST_ALL"

// Lacks skips the test for want of something that the machine does not have. Where KINORA_TEST_ALL is set it fails instead,
// so that who relies on such tests learns that they did not run.
func Lacks(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(All) != "" {
		t.Fatalf("%s, and %s is set", what, All)
	}
	t.Skip(what)
}
