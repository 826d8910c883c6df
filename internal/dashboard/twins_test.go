package dashboard

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const twinsPage = "../../docs/dashboard-api.md"

// twinRow is a row of the page that says where the admin API has what the dashboard does.
type twinRow struct {
	line    string
	routes  []string // "METHOD pattern", as they are registered, below Prefix
	twins   []string // "METHOD path" of the admin API, below /admin/v1
	reasons string   // instead of twins: why there are none
}

var quotedRoute = regexp.MustCompile("`([A-Z]+) ([^` ]+)`")

// spelled returns the routes that a cell names. organisation is what ORG stands for, prefix what paths are below.
func spelled(cell, organisation, prefix string) (list []string) {
	for _, match := range quotedRoute.FindAllStringSubmatch(cell, -1) {
		method, path := match[1], match[2]
		if rest, ok := strings.CutPrefix(path, "ORG"); ok {
			path = organisation + rest
		}
		if path != prefix {
			path = prefix + path
		}
		list = append(list, method+" "+path)
	}
	return list
}

func readTwins(t *testing.T) (rows []twinRow) {
	t.Helper()
	page, err := os.ReadFile(twinsPage)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") || len(cells) < 2 {
			continue
		}
		row := twinRow{line: strings.TrimSpace(line), routes: spelled(cells[0], organisationPath, Prefix)}
		if len(cells) == 2 {
			row.reasons = strings.TrimSpace(cells[1])
		} else {
			row.twins = spelled(cells[1], "/organisations/{organisation_id}", "/admin/v1")
		}
		rows = append(rows, row)
	}
	return rows
}

// Everything that the dashboard does is in the admin API too: each of its routes has a row on the page that says where, and
// each route that the page names exists. That the commands exist is held in cmd/kinora.
func TestEverythingHasATwin(t *testing.T) {
	s := newStand(t, func(c *Config) { c.Provider = &fakeProvider{} })
	served, streams := map[string]bool{}, map[string]bool{}
	for _, rt := range s.routes {
		name := rt.method + " " + Prefix + rt.pattern
		served[name] = true
		streams[name] = rt.streams
	}
	told := map[string]bool{}
	doc := operations(t)
	for _, row := range readTwins(t) {
		for _, name := range row.routes {
			if !served[name] {
				t.Errorf("%s: the dashboard has no route %s", row.line, name)
			}
			if told[name] {
				t.Errorf("%s stands on the page twice", name)
			}
			told[name] = true
		}
		if len(row.routes) == 0 || (len(row.twins) == 0) == (row.reasons == "") {
			t.Errorf("%s: names no route, or neither a twin nor a reason", row.line)
		}
		for _, twin := range row.twins {
			if !doc[twin] {
				t.Errorf("%s: the admin API has no route %s", row.line, twin)
			}
		}
	}
	for name := range served {
		if page, live := strings.CutSuffix(name, "/live"); live && streams[name] && told[page] {
			continue // tells what the page tells
		}
		if !told[name] {
			t.Errorf("%s has no row in %s: say which route of the admin API and which command do the same, or why none can", name, twinsPage)
		}
	}
}

// acting is what the routes of organisations' keys are below in the admin API.
const acting = "/admin/v1/organisations/{organisation_id}/as"

// operations are the routes of the admin API: those of the document, and below acting those that want a key.
func operations(t *testing.T) map[string]bool {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			switch {
			case strings.HasPrefix(path, "/admin/"):
				list[method+" "+path] = true
			case op.Security == nil && slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodDelete}, method):
				list[method+" "+acting+path] = true
			}
		}
	}
	if !list["GET "+acting+"/{path}"] {
		t.Error("the admin API does not act for organisations")
	}
	return list
}
