package dashboard

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"github.com/a-h/templ/generator"
	"github.com/a-h/templ/parser/v2"
)

// What is built is what the templates say: whoever changes one runs make generate.
func TestTemplatesAreGenerated(t *testing.T) {
	found := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".templ") {
			return err
		}
		found++
		source, err := parser.Parse(path)
		if err != nil {
			return err
		}
		var drawn bytes.Buffer
		if _, err := generator.Generate(source, &drawn, generator.WithFileName(filepath.ToSlash(path)), generator.WithVersion(templ.Version())); err != nil {
			return err
		}
		want, err := format.Source(drawn.Bytes())
		if err != nil {
			return err
		}
		got, err := os.ReadFile(strings.TrimSuffix(path, ".templ") + "_templ.go")
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s has changed since it was generated: run make generate", path)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("%d templates, %v", found, err)
	}
}
