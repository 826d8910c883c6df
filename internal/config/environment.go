package config

import (
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

const (
	// envPrefix is in front of every variable's name.
	envPrefix = "KINORA_"
	// fileSuffix behind a secret's variable names one that holds a path instead.
	fileSuffix = "_FILE"
	// maxSecretFile is far above every secret.
	maxSecretFile = 64 << 10
)

// setting is one value that a variable can set.
type setting struct {
	variable string
	value    reflect.Value
	secret   bool
}

// settings lists the values of c that variables can set. Accounts and models are lists of
// groups, which only the file can hold.
func settings(c *Config) []setting {
	return settingsOf(reflect.ValueOf(c).Elem(), envPrefix)
}

func settingsOf(v reflect.Value, prefix string) []setting {
	var list []setting
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if v.Field(i).Kind() == reflect.Struct {
			list = append(list, settingsOf(v.Field(i), prefix+f.Tag.Get("envPrefix"))...)
			continue
		}
		if name := f.Tag.Get("env"); name != "" {
			// The database's address may hold a password.
			secret := f.Type == reflect.TypeFor[Secret]() || prefix+name == envPrefix+"DATABASE"
			list = append(list, setting{prefix + name, v.Field(i), secret})
		}
	}
	return list
}

// environment lays the variables over c. An empty one counts as not set.
func (c *Config) environment(vars map[string]string, found *problems) {
	known := []string{}
	for _, s := range settings(c) {
		known = append(known, s.variable)
		value := vars[s.variable]
		if s.secret {
			known = append(known, s.variable+fileSuffix)
			value = fromFile(s.variable, vars, found)
		}
		if value == "" {
			continue
		}
		// One variable at a time, so that an error is known to be its own; what the error quotes is dropped.
		err := env.ParseWithOptions(c, env.Options{Environment: map[string]string{s.variable: value}, Prefix: envPrefix})
		if err != nil {
			hint := ""
			if s.value.Kind() == reflect.Slice {
				hint = "entries are separated by commas"
			}
			found.add(s.variable, expected(s.value.Type().String()), hint)
		}
	}
	c.expand(vars, found)
	// Others may set variables that start like ours: container platforms do for a service
	// of our name. One that is almost a setting is a slip.
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if strings.HasPrefix(name, envPrefix) && !slices.Contains(known, name) && !slices.Contains(foreign, name) {
			if hint := didYouMean(name, known); hint != "" {
				found.add(name, "is no setting", hint)
			}
		}
	}
}

// foreign are variables that are ours and no settings of a server, or a platform's.
var foreign = []string{"KINORA_CONFIG", "KINORA_SERVER", "KINORA_KEY", "KINORA_PORT", "KINORA_SERVICE_HOST", "KINORA_SERVICE_PORT"}

// fromFile lets a secret come from a file, as container platforms hand them out.
func fromFile(variable string, vars map[string]string, found *problems) string {
	path := vars[variable+fileSuffix]
	switch {
	case path == "":
		return vars[variable]
	case vars[variable] != "":
		found.add(variable, "is set, and so is "+variable+fileSuffix, "set one of them")
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		found.add(variable+fileSuffix, "the file cannot be opened", "check the path and its permissions")
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		found.add(variable+fileSuffix, "the file cannot be read", "")
		return ""
	}
	return strings.TrimSpace(string(text))
}

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// expand reads account settings of the form ${NAME} from the environment.
func (c *Config) expand(vars map[string]string, found *problems) {
	for i := range c.Accounts {
		for _, k := range slices.Sorted(maps.Keys(c.Accounts[i].Settings)) {
			m := variable.FindStringSubmatch(c.Accounts[i].Settings[k].Reveal())
			if m == nil {
				continue
			}
			if vars[m[1]] == "" {
				found.add(fmt.Sprintf("accounts[%d].settings.%s", i, k), "the variable "+m[1]+" is not set", "set it, or write the value itself")
			}
			c.Accounts[i].Settings[k] = Secret(vars[m[1]])
		}
	}
}
