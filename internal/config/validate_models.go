package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

const maxModelName = 200

func (c *Config) validateAccounts(providers map[string][]provider.Setting, found *problems) {
	seen := make(map[string]int)
	for i, a := range c.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		// Names that differ only in - and _ would share their environment variables.
		word := variableWord(a.Name)
		first, taken := seen[word]
		switch {
		case !accountName.MatchString(a.Name):
			found.add(at+".name", "must be lower-case letters, digits, - and _, at most 63", "")
		case taken:
			found.add(at+".name", fmt.Sprintf("is the same as accounts[%d].name", first), "- and _ count as the same")
		case a.Name == SandboxProvider && c.SandboxEnabled():
			found.add(at+".name", "is the name of the built-in sandbox account", "choose another, or set sandbox.enabled to false")
		default:
			seen[word] = i
		}
		if a.BaseURL != "" {
			checkURL(found, at+".base_url", a.BaseURL)
		}
		between(found, at+".max_in_flight", a.MaxInFlight, 0, 1_000_000)
		between(found, at+".requests_per_minute", a.RequestsPerMinute, 0, 1_000_000)
		between(found, at+".weight", a.Weight, 0, 1000)
		if checkProvider(found, at, a.Provider, providers) && providers != nil {
			checkSettings(found, at, a, providers[a.Provider])
		}
	}
}

func checkProvider(found *problems, at, name string, providers map[string][]provider.Setting) bool {
	known := slices.Sorted(maps.Keys(providers))
	switch {
	case name == "":
		found.add(at+".provider", "is missing", "")
		return false
	case name == SandboxProvider:
		found.add(at+".provider", "sandbox is built in and takes no account or model of its own", "set sandbox.enabled to true instead")
		return false
	case providers != nil && !slices.Contains(known, name):
		found.add(at+".provider", fmt.Sprintf("%q is not a provider; there are %s", name, strings.Join(known, ", ")), didYouMean(name, known))
		return false
	}
	return true
}

func checkSettings(found *problems, at string, a Account, settings []provider.Setting) {
	var names []string
	for _, s := range settings {
		names = append(names, s.Name)
		if s.Required && a.Settings[s.Name] == "" {
			found.add(at+".settings."+s.Name, "is missing: provider "+a.Provider+" needs it",
				"write it there, or set "+accountVariable+variableWord(a.Name)+"_"+variableWord(s.Name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Settings)) {
		if !slices.Contains(names, name) {
			found.add(at+".settings."+name, "is not a setting of provider "+a.Provider, didYouMean(name, names))
		}
	}
}

func (c *Config) validateModels(providers map[string][]provider.Setting, found *problems) {
	seen := make(map[string]string)
	if c.SandboxEnabled() {
		for _, m := range sandboxModels() {
			seen[m.Name] = "a model of the built-in sandbox"
		}
	}
	for i, m := range c.Models {
		at := fmt.Sprintf("models[%d]", i)
		first, taken := seen[m.Name]
		switch {
		case m.Name == "":
			found.add(at+".name", "is missing", "")
		case len(m.Name) > maxModelName || strings.ContainsFunc(m.Name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
			found.add(at+".name", fmt.Sprintf("must be at most %d characters without spaces", maxModelName), "")
		case taken:
			found.add(at+".name", "is the name of "+first+" already", "")
		default:
			seen[m.Name] = at
		}
		checkProvider(found, at, m.Provider, providers)
		oneOf(found, at+".kind", m.Kind, string(kinora.KindImage), string(kinora.KindVideo))
		span(found, at+".deadline", m.Deadline, 0, 7*day)
		for j, name := range m.Accounts {
			c.checkModelAccount(found, fmt.Sprintf("%s.accounts[%d]", at, j), m, name)
		}
	}
}

func (c *Config) checkModelAccount(found *problems, at string, m Model, name string) {
	var names []string
	for _, a := range c.Accounts {
		if a.Name != name {
			names = append(names, a.Name)
			continue
		}
		if a.Provider != m.Provider {
			found.add(at, fmt.Sprintf("account %q is of provider %s, the model of %s", name, a.Provider, m.Provider), "")
		}
		return
	}
	found.add(at, fmt.Sprintf("there is no account %q", name), didYouMean(name, names))
}
