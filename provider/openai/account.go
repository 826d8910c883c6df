package openai

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora/provider"
)

// The words of settings that are read in more than one place.
const (
	authAPIKey   = "api-key"
	asForm       = "multipart"
	asURL        = "url"
	asBytes      = "bytes"
	formatBase64 = "b64_json"
)

// settingWords are the settings that take one of some words, the default first where there is one. Empty
// is always the default.
var settingWords = map[string][]string{
	SettingAuth:           {"bearer", authAPIKey},
	SettingSeconds:        {"string", "integer"},
	SettingSubmit:         {"json", asForm},
	SettingEdits:          {"json", asForm},
	SettingSources:        {asURL, asBytes},
	SettingStream:         {"on", "off"},
	SettingResponseFormat: {formatBase64, "url"},
}

// CheckAccount implements provider.AccountChecker.
func (*OpenAI) CheckAccount(a provider.Account) error {
	set := func(name string) string { return a.Settings[name] }
	for _, name := range slices.Sorted(maps.Keys(settingWords)) {
		if list := settingWords[name]; set(name) != "" && !slices.Contains(list, set(name)) {
			return provider.Errorf(provider.Permission, "settings.%s must be %s", name, strings.Join(list, " or "))
		}
	}
	if text := set(SettingPartialImages); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 0 || n > maxPartials {
			return provider.Errorf(provider.Permission, "settings.%s must be a whole number from 0 to %d", SettingPartialImages, maxPartials)
		}
	}
	switch {
	case set(SettingAPIKey) == "" && public(a.BaseURL):
		return provider.Errorf(provider.Credential, "settings.%s is empty, and OpenAI takes no call without a key", SettingAPIKey)
	case set(SettingAPIKey) == "" && set(SettingAuth) != "":
		return provider.Errorf(provider.Credential, "settings.%s says how a key is sent, and settings.%s is empty", SettingAuth, SettingAPIKey)
	case set(SettingPartialImages) != "" && set(SettingStream) == "off":
		return provider.Errorf(provider.Permission, "settings.%s means nothing while settings.%s is off: only a stream brings unfinished images", SettingPartialImages, SettingStream)
	case set(SettingResponseFormat) != "" && public(a.BaseURL):
		return provider.Errorf(provider.Permission, "settings.%s must be empty here: OpenAI's image models refuse the field", SettingResponseFormat)
	}
	return nil
}

// vendors are the public hosts at which OpenAI's models are, and below which Azure has its deployments.
var vendors = []string{"api.openai.com", "openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"}

// public says that an account's address is one of theirs, which fetches a URL from outside the operator's network. Any other
// may be a server within it, whatever its name is. Empty is OpenAI's own address.
func public(baseURL string) bool {
	if baseURL == "" {
		return true
	}
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "https" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(vendors, func(v string) bool { return host == v || strings.HasSuffix(host, "."+v) })
}
