package config

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora"
)

// Origins are the keys whose values did not come from the defaults, and where those came from.
type Origins map[string]kinora.SettingOrigin

// FindOrigins looks which values Load takes from the file and the environment. It returns no values.
// Errors: one when the file cannot be read.
func FindOrigins(path string, environ []string) (Origins, error) {
	from := Origins{}
	if path != "" {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return nil, err
		}
		from.inFile(&doc, "")
	}
	vars := env.ToMap(environ)
	for _, s := range flatten(reflect.ValueOf(Default()), "", envPrefix) {
		if s.Variable != "" && vars[s.Variable]+vars[s.Variable+fileSuffix] != "" {
			from[s.Key] = kinora.OriginEnvironment
		}
	}
	return from, nil
}

// inFile notes the keys below a node of a file.
func (from Origins) inFile(n *yaml.Node, key string) {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			from.inFile(c, key)
		}
	case yaml.AliasNode:
		from.inFile(n.Alias, key)
	case yaml.SequenceNode:
		from[key] = kinora.OriginFile
		for i, c := range n.Content {
			from.inFile(c, fmt.Sprintf("%s[%d]", key, i))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch name := n.Content[i].Value; {
			case name == "<<":
				from.inFile(n.Content[i+1], key)
			case key == "":
				from.inFile(n.Content[i+1], name)
			default:
				from.inFile(n.Content[i+1], key+"."+name)
			}
		}
	default:
		from[key] = kinora.OriginFile
	}
}

// Settings lists every value of c by its key, in the order of the reference, without secrets: of those it tells whether they are
// set. from is what FindOrigins found; nil = where values came from is not known.
func (c Config) Settings(from Origins) []kinora.Setting {
	list := flatten(reflect.ValueOf(Config(c.shown())), "", envPrefix)
	for i := range list {
		if from == nil {
			continue
		}
		if list[i].Origin = from[list[i].Key]; list[i].Origin == "" {
			list[i].Origin = kinora.OriginDefault
		}
	}
	return list
}

// flatten lists the values below a struct. Within lists no variable sets anything: prefix is then empty.
func flatten(v reflect.Value, path, prefix string) []kinora.Setting {
	var list []kinora.Setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		variable, below := "", ""
		if prefix != "" {
			below = prefix + f.Tag.Get("envPrefix")
			if e := f.Tag.Get("env"); e != "" {
				variable = prefix + e
			}
		}
		list = append(list, settingsAt(v.Field(i), path+name, variable, below)...)
	}
	return list
}

// settingsAt lists the values at one key.
func settingsAt(v reflect.Value, key, variable, below string) []kinora.Setting {
	one := kinora.Setting{Key: key, Variable: variable}
	switch x := v.Interface().(type) {
	case Secret:
		one.Secret, one.Value = true, isSet(x != "")
		return []kinora.Setting{one}
	case []Secret:
		one.Secret, one.Value = true, isSet(len(x) > 0)
		return []kinora.Setting{one}
	}
	switch v.Kind() {
	case reflect.Struct:
		return flatten(v, key+".", below)
	case reflect.Pointer:
		if !v.IsNil() {
			return settingsAt(v.Elem(), key, variable, below)
		}
	case reflect.Map:
		if v.Len() > 0 {
			var list []kinora.Setting
			for _, name := range slices.Sorted(maps.Keys(keyed(v))) {
				list = append(list, settingsAt(v.MapIndex(reflect.ValueOf(name)), key+"."+name, "", "")...)
			}
			return list
		}
	case reflect.Slice:
		if v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct {
			var list []kinora.Setting
			for i := range v.Len() {
				list = append(list, flatten(v.Index(i), fmt.Sprintf("%s[%d].", key, i), "")...)
			}
			return list
		}
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = withoutCredentials(fmt.Sprint(v.Index(i).Interface()))
		}
		one.Value = strings.Join(texts, ", ")
	default:
		one.Value = withoutCredentials(fmt.Sprint(v.Interface()))
	}
	return []kinora.Setting{one}
}

// keyed are the names in a map.
func keyed(v reflect.Value) map[string]bool {
	names := map[string]bool{}
	for _, name := range v.MapKeys() {
		names[name.String()] = true
	}
	return names
}

func isSet(set bool) string {
	if set {
		return "set"
	}
	return "unset"
}

// withoutCredentials shows an address without what may be a secret in it: a password, and the query. The database's address
// has been seen to before.
func withoutCredentials(text string) string {
	if !strings.Contains(text, "://") || strings.HasPrefix(text, "postgres") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	if u.User != nil {
		u.User = url.User("redacted")
	}
	if u.RawQuery != "" {
		u.RawQuery = "redacted"
	}
	return u.String()
}
