package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The page names every command and every exit code, in the program's own words.
func TestDocumentationNamesEverything(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, e := range exitCodes() {
		row := fmt.Sprintf("| %d | `%s` | %s |", e.code, e.word, e.meaning)
		if !strings.Contains(strings.ReplaceAll(text, "`--timeout`", "--timeout"), row) {
			t.Errorf("no row %q", row)
		}
	}
	c := newConsole(nil, nil, nil)
	parsed, _, err := c.parse(t.Context(), []string{"version"})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parsed.Model.Leaves(true) {
		path := commandPath(command)
		top, _, _ := strings.Cut(path, " ")
		if !strings.Contains(text, "\n## kinora "+top+"\n") || !strings.Contains(text, "kinora "+path) {
			t.Errorf("kinora %s is not explained", path)
		}
	}
}
