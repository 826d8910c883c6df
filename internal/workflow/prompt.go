package workflow

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The functions of a prompt. Everything else that text/template has is refused when the file is read: a prompt says
// words, it does not compute, and it cannot call into values, read or loop by itself.
var functions = template.FuncMap{
	"join":  func(list []string, sep string) string { return strings.Join(list, sep) },
	"words": func(list []string) string { return joined(list, "and") },
	"has":   func(list []string, value string) bool { return slices.Contains(list, value) },
	"lower": strings.ToLower,
}

// allowed are the functions' names, with those of text/template that only compare.
var allowed = append([]string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len"}, slices.Sorted(maps.Keys(functions))...)

// prompt reads a template and makes sure that it can be executed for every request: it names fields that exist, and uses
// nothing that could fail or run on later.
func (s *sheet) prompt(n *yaml.Node, names []string) *template.Template {
	text := s.text(n, "prompt")
	if text == "" {
		return nil
	}
	t, err := template.New("prompt").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		s.inPrompt(n, err)
		return nil
	}
	before := len(s.found)
	w := walker{s: s, scalar: n, text: text, names: names}
	if len(t.Templates()) > 1 || t.Tree == nil {
		s.at(n, "", "prompt must not define templates of its own")
		return nil
	}
	w.list(t.Root, true)
	if len(s.found) > before {
		return nil
	}
	return t
}

var templateError = regexp.MustCompile(`(?s)^template: prompt:(\d+):(?:(\d+):)? (.*)$`)

// inPrompt notes an error of the template package at its own line.
func (s *sheet) inPrompt(n *yaml.Node, err error) {
	m := templateError.FindStringSubmatch(err.Error())
	if m == nil {
		s.at(n, "", "prompt: %v", err)
		return
	}
	line, _ := strconv.Atoi(m[1])
	column, _ := strconv.Atoi(m[2])
	message := m[3]
	if _, after, ok := strings.Cut(message, ">: "); ok && strings.HasPrefix(message, "executing ") {
		message = after
	}
	place := s.place(n, line, column)
	s.at(place, "", "prompt: %s", message)
}

// place is where a line and column of a text are in the file. It is exact for literal texts (|) and those of one line;
// other texts are folded, and it is their beginning.
func (s *sheet) place(n *yaml.Node, line, column int) *yaml.Node {
	at := &yaml.Node{Line: n.Line, Column: n.Column}
	if s.inherited[n] {
		s.inherited[at] = true
		return at // what it extends is another text
	}
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		at.Line += line
		at.Column = 1
		if i := at.Line - 1; i >= 0 && i < len(s.lines) && column > 0 {
			indent := len(s.lines[i]) - len(strings.TrimLeft(s.lines[i], " "))
			at.Column = indent + column
		}
	case line == 1 && column > 0 && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		at.Column += column // behind the quote
	case line == 1 && column > 0 && n.Style&yaml.FoldedStyle == 0:
		at.Column += column - 1
	}
	return at
}

// walker goes through a template and notes what is not allowed.
type walker struct {
	s      *sheet
	scalar *yaml.Node
	text   string
	names  []string
}

func (w *walker) refuse(n parse.Node, hint, message string, args ...any) {
	offset := min(int(n.Position()), len(w.text))
	before := w.text[:offset]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	place := w.s.place(w.scalar, line, column)
	w.s.at(place, hint, "prompt: "+message, args...)
}

// list walks nodes; root says that the dot is still the request.
func (w *walker) list(l *parse.ListNode, root bool) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		case *parse.ActionNode:
			w.pipe(n.Pipe, root)
		case *parse.IfNode:
			w.branch(&n.BranchNode, root, root)
		case *parse.WithNode:
			w.branch(&n.BranchNode, root, false)
		case *parse.RangeNode:
			w.ranges(n)
			w.branch(&n.BranchNode, root, false)
		default:
			w.refuse(n, "", "%s is not allowed", shortened(n.String()))
		}
	}
}

func (w *walker) branch(n *parse.BranchNode, root, inside bool) {
	w.pipe(n.Pipe, root)
	w.list(n.List, inside)
	w.list(n.ElseList, root)
}

// ranges lets a loop go over a field alone: one over a number runs as long as the number says.
func (w *walker) ranges(n *parse.RangeNode) {
	if p := n.Pipe; len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 1 {
		switch p.Cmds[0].Args[0].(type) {
		case *parse.FieldNode, *parse.VariableNode:
			return
		}
	}
	w.refuse(n, "such as {{range .room_types}}", "range goes over a list field only")
}

func (w *walker) pipe(p *parse.PipeNode, root bool) {
	if p == nil {
		return
	}
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			w.argument(arg, root)
		}
	}
}

func (w *walker) argument(n parse.Node, root bool) {
	switch n := n.(type) {
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.DotNode:
	case *parse.PipeNode:
		w.pipe(n, root)
	case *parse.IdentifierNode:
		if !slices.Contains(allowed, n.Ident) {
			w.refuse(n, "there are "+joined(allowed, "and"), "the function %s is not allowed", shortened(n.Ident))
		}
	case *parse.FieldNode:
		if !root {
			w.refuse(n, "write $."+n.Ident[0], "inside range and with the dot is no longer the request")
			return
		}
		w.field(n, n.Ident)
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			w.field(n, n.Ident[1:])
		} else if len(n.Ident) > 1 {
			w.refuse(n, "", "%s has no parts", shortened(n.Ident[0]))
		}
	default:
		w.refuse(n, "", "%s is not allowed", shortened(n.String()))
	}
}

func (w *walker) field(n parse.Node, path []string) {
	switch {
	case !slices.Contains(w.names, path[0]):
		hint := didYouMean(path[0], w.names)
		if hint == "" {
			hint = "there are " + joined(w.names, "and")
		}
		w.refuse(n, hint, "there is no field %s", shortened(path[0]))
	case len(path) > 1:
		w.refuse(n, "", "the field %s has no parts", shortened(path[0]))
	}
}

var errPromptLength = fmt.Errorf("the prompt is longer than %d characters", MaxPrompt)

// bounded stops a template that writes too much.
type bounded struct {
	text strings.Builder
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > utf8.UTFMax*MaxPrompt {
		return 0, errPromptLength
	}
	return b.text.Write(p)
}

var blankLines = regexp.MustCompile(`\n{3,}`)

// render writes the prompt for one request. Values are written as they are: what looks like a template in one stays text.
func render(t *template.Template, values map[string]any) (string, error) {
	var out bounded
	if err := t.Execute(&out, values); err != nil {
		if errors.Is(err, errPromptLength) {
			return "", errPromptLength
		}
		return "", err
	}
	text := strings.TrimSpace(blankLines.ReplaceAllString(out.text.String(), "\n\n"))
	if utf8.RuneCountInString(text) > MaxPrompt {
		return "", errPromptLength
	}
	return text, nil
}
