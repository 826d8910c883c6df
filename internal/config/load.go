package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"

	"github.com/kinora/kinora/provider"
)

const (
	// DefaultFile is read when it is there and no other file is named.
	DefaultFile = "kinora.yaml"
	// FileVariable names the file where no argument does.
	FileVariable = "KINORA_CONFIG"

	maxFile   = 1 << 20
	maxSecret = 64 << 10 // of a file named by a …_FILE variable
)

// Options say where a configuration comes from.
type Options struct {
	// File is the YAML file; it must exist. Empty: the one that FileVariable names, else
	// DefaultFile if there is one, else none.
	File string
	// Environ holds "NAME=value" pairs, as os.Environ gives them.
	Environ []string
	// Providers are the settings of each known provider, by its name, against which accounts
	// and models are checked. nil: they are not.
	Providers map[string][]provider.Setting
}

// Load reads a configuration and checks it. Its error is an *Error with everything that is
// wrong, or that of reading the file.
func Load(o Options) (*Config, error) {
	environ := make(map[string]string)
	for _, pair := range o.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, envPrefix) {
			environ[name] = value
		}
	}
	c := Default()
	text, err := c.readFile(o.File, environ)
	if err != nil {
		return nil, err
	}
	var found problems
	if err := c.decode(text, &found); err != nil {
		return nil, err
	}
	c.applyEnvironment(environ, &found)
	c.normalise()
	// Values that could not be read would be complained about twice.
	if len(found) == 0 {
		c.validate(o.Providers, &found)
	}
	if len(found) > 0 {
		return nil, &Error{File: c.file, Problems: found}
	}
	c.warn(environ)
	return c, nil
}

// File is the file that was read; empty = none.
func (c *Config) File() string { return c.file }

// Warnings are what an operator should know and may want to change: complete sentences.
func (c *Config) Warnings() []string { return slices.Clone(c.warnings) }

func (c *Config) readFile(name string, environ map[string]string) ([]byte, error) {
	mayBeAbsent := false
	if name == "" {
		name = environ[FileVariable]
	}
	if name == "" {
		name, mayBeAbsent = DefaultFile, true
	}
	f, err := os.Open(name)
	if mayBeAbsent && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	c.file = name
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("configuration: %s is larger than %d bytes", name, maxFile)
	}
	if info, err := f.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0 && holdsSecrets(text) {
		c.warnings = append(c.warnings, fmt.Sprintf("%s holds secrets and every user of this machine can read it; run chmod 600 on it.", name))
	}
	return text, nil
}

// decode reads the file's text into c.
func (c *Config) decode(text []byte, found *problems) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode(c)
	if errors.Is(err, io.EOF) {
		return nil // nothing but comments
	}
	var typed *yaml.TypeError
	switch {
	case errors.As(err, &typed):
		for _, text := range typed.Errors {
			*found = append(*found, problemOf(text))
		}
	case err != nil:
		// The syntax errors of the yaml package name a line and a rule, and quote nothing.
		return &Error{File: c.file, Problems: []Problem{{Field: "syntax", Message: strings.TrimPrefix(err.Error(), "yaml: ")}}}
	default:
		var more yaml.Node
		if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
			found.add("file", "must hold one YAML document", "remove everything from the second --- on")
		}
	}
	return nil
}

var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type config\.(\w+)$`)
	wrongType  = regexp.MustCompile(`(?s)^line (\d+): cannot unmarshal .* into ([^ ]+)$`)
	definedTwo = regexp.MustCompile(`^line (\d+): mapping key "(.+)" already defined at line (\d+)$`)
)

// problemOf turns an error of the yaml package into one for operators. Those quote values, so nothing
// of an error that is not known is passed on but its line.
func problemOf(text string) Problem {
	if m := unknownKey.FindStringSubmatch(text); m != nil {
		return Problem{Field: "line " + m[1], Message: fmt.Sprintf("unknown key %q", m[2]), Hint: didYouMean(m[2], keysOf(m[3]))}
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		return Problem{Field: "line " + m[1], Message: expected(m[2])}
	}
	if m := definedTwo.FindStringSubmatch(text); m != nil {
		return Problem{Field: "line " + m[1], Message: fmt.Sprintf("key %q stands in line %s already", m[2], m[3])}
	}
	line, _, _ := strings.Cut(text, ":")
	return Problem{Field: line, Message: "cannot be read"}
}

// applyEnvironment lays the variables over the file. An empty variable counts as not set.
func (c *Config) applyEnvironment(environ map[string]string, found *problems) {
	for _, f := range fields(c) {
		if f.env == "" {
			continue
		}
		value := environ[f.env]
		if isSecret(f.value.Type()) {
			var ok bool
			if value, ok = fromFile(f.env, value, environ, found); !ok {
				continue
			}
		}
		if value == "" {
			continue
		}
		// One variable at a time, so that an error is known to be its own; what it quotes is dropped.
		err := env.ParseWithOptions(c, env.Options{Environment: map[string]string{f.env: value}, Prefix: envPrefix})
		if err != nil {
			found.add(f.env, expected(f.value.Type().String()), listHint(f.value.Type()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		c.applyAccountVariable(name, environ[name])
	}
}

func listHint(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		return "separate entries with commas"
	}
	return ""
}

func isSecret(t reflect.Type) bool {
	return t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[DSN]()
}

// fromFile lets a secret come from a file that NAME_FILE names, as container platforms hand them out.
func fromFile(name, value string, environ map[string]string, found *problems) (string, bool) {
	path := environ[name+"_FILE"]
	if path == "" {
		return value, true
	}
	if value != "" {
		found.add(name, "is set, and so is "+name+"_FILE", "set one of them")
		return "", false
	}
	f, err := os.Open(path)
	if err != nil {
		found.add(name+"_FILE", "the file cannot be read: "+rootCause(err), "")
		return "", false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		found.add(name+"_FILE", "the file cannot be read: "+rootCause(err), "")
		return "", false
	}
	return strings.TrimSpace(string(text)), true
}

func rootCause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

const accountVariable = envPrefix + "ACCOUNT_"

// applyAccountVariable takes KINORA_ACCOUNT_<NAME>_<SETTING> for an account of the file. It reports
// whether the variable is one.
func (c *Config) applyAccountVariable(name, value string) bool {
	rest, ok := strings.CutPrefix(name, accountVariable)
	if !ok {
		return false
	}
	taken := -1 // of accounts "a" and "a-b", A_B_C means the one with the longer name
	for i := range c.Accounts {
		own := variableWord(c.Accounts[i].Name)
		if strings.HasPrefix(rest, own+"_") && len(rest) > len(own)+1 &&
			(taken < 0 || len(own) > len(variableWord(c.Accounts[taken].Name))) {
			taken = i
		}
	}
	if taken < 0 {
		return false
	}
	if value == "" {
		return true
	}
	account := &c.Accounts[taken]
	setting := strings.ToLower(rest[len(variableWord(account.Name))+1:])
	for existing := range account.Settings { // keep the file's spelling
		if strings.ToLower(variableWord(existing)) == setting {
			setting = existing
		}
	}
	if account.Settings == nil {
		account.Settings = make(map[string]Secret)
	}
	account.Settings[setting] = Secret(value)
	return true
}

// variableWord is how a name is written in a variable.
func variableWord(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// normalise brings values that have several spellings into one.
func (c *Config) normalise() {
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	c.Log.Level = strings.ToLower(c.Log.Level)
	c.Log.Format = strings.ToLower(c.Log.Format)
	for i := range c.Accounts {
		c.Accounts[i].BaseURL = strings.TrimRight(c.Accounts[i].BaseURL, "/")
	}
}

// otherVariables are ours and no settings.
var otherVariables = []string{FileVariable, "KINORA_URL", "KINORA_API_KEY", "KINORA_ADMIN_URL"}

// platformVariable matches what container platforms set for a service that is called "kinora".
var platformVariable = regexp.MustCompile(`^KINORA_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?|NAME|ENV_.*|TEST_.*)$`)

// warn notes what is not wrong and yet probably not meant.
func (c *Config) warn(environ map[string]string) {
	known := slices.Clone(otherVariables)
	for _, f := range fields(c) {
		if f.env != "" {
			known = append(known, f.env)
			if isSecret(f.value.Type()) {
				known = append(known, f.env+"_FILE")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if slices.Contains(known, name) || platformVariable.MatchString(name) || c.applyAccountVariable(name, "") {
			continue
		}
		text := "The environment variable " + name + " is not known and was ignored"
		if hint := didYouMean(name, known); hint != "" {
			text += "; " + hint
		} else {
			text += "."
		}
		c.warnings = append(c.warnings, text)
	}
	for i, m := range c.Models {
		if len(m.Accounts) == 0 && !slices.ContainsFunc(c.Accounts, func(a Account) bool { return a.Provider == m.Provider }) {
			c.warnings = append(c.warnings, fmt.Sprintf("models[%d]: no account of provider %s is configured, so requests for model %s are refused.", i, m.Provider, m.Name))
		}
	}
	if strings.HasPrefix(c.PublicURL, "http://") && !isLoopbackURL(c.PublicURL) {
		c.warnings = append(c.warnings, "public_url is not https: file URLs and upstreams' callbacks travel unencrypted.")
	}
}
