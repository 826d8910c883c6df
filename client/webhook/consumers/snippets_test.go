package consumers_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is the one that is held to what it shows.
const page = "../../../docs/webhooks.md"

// fence is a block of code whose info string names a file behind the language.
var fence = regexp.MustCompile("(?ms)^```(\\w+) (\\S+)\n(.*?)^```$")

// snippets returns the page's named blocks of code by their file names.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		if _, twice := all[block[2]]; twice {
			t.Fatalf("two blocks are called %s", block[2])
		}
		all[block[2]] = block[3]
	}
	return all
}

func snippet(t *testing.T, name string) string {
	t.Helper()
	text := snippets(t)[name]
	if text == "" {
		t.Fatalf("the page has no block %s", name)
	}
	return text
}

// Every block that is code is named, and what is named is run by a test of this package.
func TestEverySnippetIsRun(t *testing.T) {
	var names []string
	for name := range snippets(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"consumer.go", "consumer.py", "consumer.ts", "hexadecimal.mjs", "process.sh", "verify.ts", "webhook.cgi"}
	if !slices.Equal(names, want) {
		t.Errorf("the page's blocks are %v, run are %v", names, want)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, opening := range regexp.MustCompile("(?m)^```(go|ts|js|python|bash)$").FindAllString(string(text), -1) {
		t.Errorf("a block opens with %s and no file name, so nothing runs it", opening)
	}
}

// The only syntax of TypeScript's own that the page uses, for machines whose Node cannot leave it out by itself: whole
// lines that declare or import types, and types of constants. Anything else would be a syntax error in the tests.
var (
	typeLines     = regexp.MustCompile(`(?m)^(import type|type) .*;\n`)
	typesOfConsts = regexp.MustCompile(`(?m)^(\s*const \w+): [^=]+ = `)
)

func withoutTypes(text string) string {
	return typesOfConsts.ReplaceAllString(typeLines.ReplaceAllString(text, ""), "$1 = ")
}

// ownVerify is the function of consumer.ts that the page replaces by one with a package.
var ownVerify = regexp.MustCompile(`(?ms)^const verify: Verify = .*?^};\n`)

// withPackage is consumer.ts with the page's other verify in it.
func withPackage(t *testing.T) string {
	t.Helper()
	imports, verify, found := strings.Cut(snippet(t, "verify.ts"), "\n\n")
	consumer := snippet(t, "consumer.ts")
	if !found || !ownVerify.MatchString(consumer) {
		t.Fatal("consumer.ts and verify.ts do not fit together")
	}
	return imports + "\n" + ownVerify.ReplaceAllLiteralString(consumer, verify)
}

// write makes a file in a folder and returns its path.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil { // programs among them
		t.Fatal(err)
	}
	return path
}
