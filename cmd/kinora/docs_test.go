package main

import (
	"fmt"
	"os"
	"regexp"
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

var quotedCommand = regexp.MustCompile("`kinora ([^`]+)`")

// Every command that the page on the dashboard's twins names exists, with its flags. That the page has a row for everything is
// held in internal/dashboard.
func TestTheDashboardsTwinsExist(t *testing.T) {
	page, err := os.ReadFile("../../docs/dashboard-api.md")
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := newConsole(nil, nil, nil).parse(t.Context(), []string{"version"})
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]map[string]bool{} // of each command
	for _, command := range parsed.Model.Leaves(true) {
		known := map[string]bool{}
		for _, group := range command.AllFlags(true) {
			for _, flag := range group {
				known["--"+flag.Name] = true
			}
		}
		flags[commandPath(command)] = known
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") || len(cells) != 3 {
			continue
		}
		rows++
		named := quotedCommand.FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 {
			t.Errorf("%s: names no command", strings.TrimSpace(line))
		}
		for _, match := range named {
			path, rest, _ := strings.Cut(match[1], " --")
			known, found := flags[path]
			if !found {
				t.Errorf("%s: there is no command kinora %s", strings.TrimSpace(line), path)
			}
			for flag := range strings.FieldsSeq(rest) {
				if flag = "--" + strings.TrimPrefix(flag, "--"); found && !known[flag] {
					t.Errorf("%s: kinora %s has no flag %s", strings.TrimSpace(line), path, flag)
				}
			}
		}
	}
	if rows == 0 {
		t.Error("the page has no rows")
	}
}
