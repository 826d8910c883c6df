package workflow

import (
	"embed"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

//go:embed builtin/*.yaml
var builtin embed.FS

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema of workflow files, for editors. It knows less than Load: nothing that hangs on several keys.
func Schema() []byte { return schema }

// BuiltIn is the File of workflows that ship with the program.
const BuiltIn = "built-in"

func builtinText(name string) ([]byte, error) {
	if !workflowName.MatchString(name) {
		return nil, os.ErrNotExist
	}
	return builtin.ReadFile(path.Join("builtin", name+".yaml"))
}

func builtinNames() (names []string) {
	entries, _ := builtin.ReadDir("builtin") // embedded: it is there
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Set is all workflows of a server. It is never changed and safe for concurrent use.
type Set struct {
	byName map[string]*Workflow
}

// BuiltIns returns the set that ships with the program.
func BuiltIns() (*Set, error) { return Load("") }

// Load reads the workflows of a folder, each file that ends in .yaml or .yml, beside the built-in ones; one named as a
// built-in one replaces it. Empty = the built-in ones alone. Its error (*kinora.Error, ErrInvalid) tells everything that is
// wrong with all files, each with its place.
func Load(folder string) (*Set, error) {
	set := &Set{byName: map[string]*Workflow{}}
	for _, name := range builtinNames() {
		text, err := builtinText(name)
		if err != nil {
			return nil, fmt.Errorf("built-in workflow %s: %w", name, err)
		}
		w, found := parseFile(BuiltIn, text)
		if len(found) > 0 {
			return nil, fmt.Errorf("built-in workflow %s: %s", name, found[0])
		}
		set.byName[name] = w
	}
	if folder == "" {
		return set, nil
	}
	files, err := Files(folder)
	if err != nil {
		return nil, err
	}
	loaded, found := CheckFiles(files)
	if len(found) > 0 {
		return nil, problemsError(found)
	}
	for _, w := range loaded {
		set.byName[w.Name] = w
	}
	return set, nil
}

// Files lists the workflow files of a folder, by name. Errors: kinora.ErrInvalid.
func Files(folder string) (files []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, &kinora.Error{Code: kinora.ErrInvalid, Op: "read workflows", Message: "the folder of workflows cannot be read",
			Hint: "check workflows_dir and its permissions", Err: err}
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		// A name that begins with a dot is an editor's, or what a container platform mounts beside the files.
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" {
			continue
		}
		files = append(files, filepath.Join(folder, e.Name()))
	}
	if len(files) > MaxFiles {
		return nil, kinora.Errorf(kinora.ErrInvalid, "the folder of workflows has more than %d files", MaxFiles)
	}
	return files, nil
}

// CheckFiles reads files on their own and against each other. Workflows come back for those without a fault.
func CheckFiles(files []string) (workflows []*Workflow, found []Problem) {
	first := map[string]string{}
	for _, file := range files {
		text, err := readFile(file)
		if err != nil {
			found = append(found, Problem{File: file, Message: "the file cannot be read", Hint: "check the path and its permissions"})
			continue
		}
		w, problems := parseFile(file, text)
		found = append(found, problems...)
		if w == nil {
			continue
		}
		if other, twice := first[w.Name]; twice {
			found = append(found, Problem{File: file, Message: "the workflow " + w.Name + " is in " + other + " already"})
			continue
		}
		first[w.Name] = file
		workflows = append(workflows, w)
	}
	return workflows, found
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxFile+1))
}

func problemsError(found []Problem) error {
	lines := make([]string, len(found))
	for i, p := range found {
		lines[i] = p.String()
	}
	message := lines[0]
	if len(lines) > 1 {
		message = "several things are wrong:\n  " + strings.Join(lines, "\n  ")
	}
	return &kinora.Error{Code: kinora.ErrInvalid, Op: "read workflows", Message: message, Hint: "see docs/workflows.md; kinora workflow check FILE tells the same"}
}

// CheckModels holds workflows against the models that a server offers.
func CheckModels(workflows []*Workflow, models []kinora.Model) (found []Problem) {
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	for _, w := range workflows {
		i := slices.Index(names, w.Model)
		switch {
		case i < 0:
			hint := didYouMean(w.Model, names)
			if hint == "" {
				hint = "kinora account list and GET /v1/models show what there is"
			}
			found = append(found, Problem{File: w.File, Message: fmt.Sprintf("workflow %s: there is no model %s", w.Name, shortened(w.Model)), Hint: hint})
		case models[i].Kind != w.Kind:
			found = append(found, Problem{File: w.File, Message: fmt.Sprintf("workflow %s makes %ss, and model %s %ss", w.Name, w.Kind, w.Model, models[i].Kind)})
		}
	}
	return found
}

// Offer returns the workflows whose models there are. A built-in one without its model is left out: a server without the
// sandbox has no use for it until a file extends it with another model. An operator's own one is an error like Load's.
func (s *Set) Offer(models []kinora.Model) (*Set, error) {
	out := &Set{byName: map[string]*Workflow{}}
	var wrong []Problem
	for _, w := range s.Describe() {
		found := CheckModels([]*Workflow{w}, models)
		switch {
		case len(found) == 0:
			out.byName[w.Name] = w
		case w.File != BuiltIn:
			wrong = append(wrong, found...)
		}
	}
	if len(wrong) > 0 {
		return nil, problemsError(wrong)
	}
	return out, nil
}

// Describe lists the workflows by name, for forms and documentation. Do not change them.
func (s *Set) Describe() []*Workflow {
	var out []*Workflow
	for _, name := range s.Names() {
		out = append(out, s.byName[name])
	}
	return out
}

// Names lists the workflows' names, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Workflow returns the workflow of a name; nil = there is none.
func (s *Set) Workflow(name string) *Workflow { return s.byName[name] }
