package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads YAML strictly: an unknown key is an error with its line, and so is what
// stands behind the one document.
func (c *Config) parse(text []byte, found *problems) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode((*shown)(c))
	if errors.Is(err, io.EOF) {
		return // nothing but comments
	}
	var typed *yaml.TypeError
	switch {
	case errors.As(err, &typed):
		for _, text := range typed.Errors {
			found.addYAML(text)
		}
	case err != nil:
		found.addYAML(strings.TrimPrefix(err.Error(), "yaml: "))
	default:
		var more yaml.Node
		if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
			found.add("file", "holds more than one YAML document", "remove everything from the second --- on")
		}
	}
}

var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type config\.(\w+)$`)
	wrongType  = regexp.MustCompile(`(?s)^line (\d+): cannot unmarshal .* into ([^ ]+)$`)
	quoted     = regexp.MustCompile("(?s)`.*`")
)

// addYAML turns an error of the yaml package into words for operators. Those errors quote
// the values that they are about, which may be secrets.
func (ps *problems) addYAML(text string) {
	if m := unknownKey.FindStringSubmatch(text); m != nil {
		ps.add("line "+m[1], fmt.Sprintf("unknown key %q", m[2]), didYouMean(m[2], keysOf(m[3])))
		return
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		ps.add("line "+m[1], expected(m[2]), "")
		return
	}
	where, message, ok := strings.Cut(text, ": ")
	if !ok || !strings.HasPrefix(where, "line ") {
		where, message = "file", text
	}
	ps.add(where, quoted.ReplaceAllString(message, "…"), "")
}

// UnmarshalYAML reads a duration; its error has the line.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error { return scalar(n, d.UnmarshalText) }

// UnmarshalYAML reads a size; its error has the line.
func (s *Size) UnmarshalYAML(n *yaml.Node) error { return scalar(n, s.UnmarshalText) }

// UnmarshalYAML reads an amount; its error has the line.
func (u *USD) UnmarshalYAML(n *yaml.Node) error { return scalar(n, u.UnmarshalText) }

// scalar reads one value in the yaml package's own way: an error names the line and does
// not end the reading.
func scalar(n *yaml.Node, read func([]byte) error) error {
	err := errors.New("must be one value")
	if n.Kind == yaml.ScalarNode {
		err = read([]byte(n.Value))
	}
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", n.Line, err)}}
	}
	return nil
}

// keysOf lists the keys of one of the package's struct types, by the type's name.
func keysOf(typeName string) []string {
	for _, v := range []any{Config{}, Storage{}, S3{}, Retention{}, Uploads{}, Assets{}, Webhooks{}, Network{}, Limits{}, APILimits{}, Prices{}, Sandbox{}, Account{}, Model{}, Route{}, Log{}} {
		t := reflect.TypeOf(v)
		if t.Name() != typeName && (t.Name() != "Config" || typeName != "shown") {
			continue
		}
		var keys []string
		for i := range t.NumField() {
			keys = append(keys, t.Field(i).Tag.Get("yaml"))
		}
		return keys
	}
	return nil
}

// expected says what a value of a Go type looks like in a file or a variable.
func expected(typeName string) string {
	switch typeName {
	case "config.Duration":
		return errDuration.Error()
	case "config.Size":
		return errSize.Error()
	case "bool", "*bool":
		return "must be true or false"
	case "int", "*int", "uint16":
		return "must be a whole number"
	case "string", "config.Secret":
		return "must be a text"
	case "[]string", "[]config.Secret":
		return "must be a list of texts"
	case "[]config.Duration":
		return "must be a list of durations such as 5s, 5m, 2h"
	case "[]uint16":
		return "must be a list of ports"
	case "map[string]config.USD":
		return "must be names and amounts of US dollars, such as {kling-v1: 0.35}"
	case "map[string]config.Secret":
		return "must be keys and texts"
	case "[]config.Account", "[]config.Model", "[]config.Route":
		return "must be a list, each entry behind a dash"
	}
	return "must be a group of settings, indented below it"
}
