package kinora_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
)

// The list of actions is what filters offer: a constant that is not on it could not be asked for.
func TestEveryAuditActionIsListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[kinora.AuditAction]bool{}
	for _, a := range kinora.AuditActions() {
		if listed[a] || !regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`).MatchString(string(a)) {
			t.Errorf("%q is listed twice, or is no noun and verb", a)
		}
		listed[a] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil || !listed[kinora.AuditAction(text)] {
				t.Errorf("%s is not listed", spec.Names[0])
			}
		}
		return true
	})
}

func TestAuditChanges(t *testing.T) {
	c := kinora.AuditChanges{}
	c.Note("same", 1, 1)
	c.Note("name", "a", "b")
	c.NoteURL("same_url", "https://a.example", "https://a.example")
	c.NoteURL("url", "", "https://user:secret@a.example/hook?token=secret#secret")
	if diff := cmp.Diff(kinora.AuditChanges{"name": "b", "old_name": "a", "url": "https://a.example/…#3ae70b5d", "old_url": ""}, c); diff != "" {
		t.Error(diff)
	}
}
