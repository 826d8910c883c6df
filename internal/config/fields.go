package config

import (
	"reflect"
	"strings"
)

// envPrefix starts every environment variable of ours.
const envPrefix = "KINORA_"

// field is one setting of a Config, found by its tags.
type field struct {
	path  string // "webhooks.timeout"
	env   string // "KINORA_WEBHOOKS_TIMEOUT"; empty = not from the environment
	doc   string
	value reflect.Value
	group bool // a struct or a list of structs: what it holds follows
}

// fields lists every setting of c in the order of the struct, groups before what they hold.
// Lists of structs are listed, not entered.
func fields(c *Config) []field {
	return fieldsOf(reflect.ValueOf(c).Elem(), "", envPrefix)
}

func fieldsOf(v reflect.Value, path, env string) []field {
	var list []field
	for i := range v.NumField() {
		t := v.Type().Field(i)
		if !t.IsExported() {
			continue
		}
		f := field{path: path + keyOf(t), doc: t.Tag.Get("doc"), value: v.Field(i)}
		name := t.Tag.Get("env")
		if name != "" && name != "-" {
			f.env = env + name
		}
		f.group = f.value.Kind() == reflect.Struct || f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.Struct
		list = append(list, f)
		if f.value.Kind() == reflect.Struct {
			list = append(list, fieldsOf(f.value, f.path+".", env+t.Tag.Get("envPrefix"))...)
		}
	}
	return list
}

// keyOf is a field's key in the file.
func keyOf(t reflect.StructField) string {
	key, _, _ := strings.Cut(t.Tag.Get("yaml"), ",")
	return key
}

// keysOf lists the keys that a struct type of this package has in the file, by the type's name.
func keysOf(typeName string) []string {
	for _, v := range []any{Config{}, HTTP{}, Storage{}, S3{}, Retention{}, Uploads{}, Webhooks{}, Network{}, Limits{}, Log{}, Sandbox{}, Account{}, Model{}} {
		t := reflect.TypeOf(v)
		if t.Name() != typeName {
			continue
		}
		var keys []string
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				keys = append(keys, keyOf(t.Field(i)))
			}
		}
		return keys
	}
	return nil
}

// expected says what a value of a type looks like, by the type as reflect writes it.
func expected(typeName string) string {
	switch typeName {
	case "config.Duration":
		return "must be a duration with a unit, such as 90s, 15m, 12h or 30d"
	case "config.Size":
		return "must be a size, such as 65536, 20MiB or 1.5GB"
	case "bool", "*bool":
		return "must be true or false"
	case "int", "uint16":
		return "must be a whole number"
	case "float64":
		return "must be a number"
	case "string", "config.Secret", "config.DSN":
		return "must be a text"
	case "[]string", "[]config.Secret":
		return "must be a list of texts"
	case "[]config.Duration":
		return "must be a list of durations with units, such as 5s, 5m, 2h"
	case "[]uint16":
		return "must be a list of ports"
	case "map[string]config.Secret":
		return "must be keys with texts"
	case "[]config.Account", "[]config.Model":
		return "must be a list, each entry starting with a dash"
	}
	return "must be a group of settings, indented below it"
}
