package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference renders docs/configuration.md from the struct itself, so that the page and
// the program cannot differ.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Kinora reads, in this order, each over the one before: its defaults, the YAML file named by ` + "`--config`" + `, and
environment variables. A key that it does not know is an error, and so is a variable that is almost one of those below.
` + "`kinora doctor --config FILE`" + ` checks a file without starting anything.

* Durations read ` + "`90s`, `2h`, `30d`, `1d12h`" + `; sizes ` + "`20MB`, `4GB`" + ` (powers of 1,024).
* Lists in variables are separated by commas. An empty variable counts as not set.
* A secret, or the database's address, may stand in a file of its own: its variable with ` + "`_FILE`" + ` behind it names that file.
* Accounts and models are lists that only the file can hold. Their secrets need not stand there: ` + "`api_key: ${NAME}`" + ` reads
  the variable of that name.

This page is generated from the program (` + "`go test ./internal/config -update`" + `).

`)
	d := Default()
	section(&b, reflect.ValueOf(d), "", "")
	return b.String()
}

func section(b *strings.Builder, v reflect.Value, path, prefix string) {
	t := v.Type()
	b.WriteString("| key | variable | default | meaning |\n|---|---|---|---|\n")
	var nested []int
	for i := range t.NumField() {
		f := t.Field(i)
		if sub := element(f.Type); sub != nil {
			nested = append(nested, i)
			continue
		}
		key := path + f.Tag.Get("yaml")
		name := "–"
		if e := f.Tag.Get("env"); e != "" && prefix != "-" {
			name = "`" + envPrefix + prefix + e + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, name, defaultText(v.Field(i)), f.Tag.Get("doc"))
	}
	b.WriteString("\n")
	for _, i := range nested {
		f := t.Field(i)
		sub := element(f.Type)
		key := path + f.Tag.Get("yaml")
		fmt.Fprintf(b, "## `%s`\n\n%s\n\n", key, f.Tag.Get("doc"))
		if f.Type.Kind() == reflect.Slice {
			section(b, reflect.New(sub).Elem(), key+"[].", "-")
			continue
		}
		section(b, v.Field(i), key+".", prefix+f.Tag.Get("envPrefix"))
	}
}

// element returns the struct that a field holds, directly or as a list; nil for plain values.
func element(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		return t
	}
	return nil
}

func defaultText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && v.IsNil() || v.IsZero() && v.Kind() != reflect.Bool {
		return ""
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return "`" + strings.Join(parts, ", ") + "`"
	}
	return "`" + fmt.Sprint(v.Interface()) + "`"
}
