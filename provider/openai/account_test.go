package openai

import (
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
)

func TestAccountsAreChecked(t *testing.T) {
	own := func(pairs ...string) provider.Account {
		a := with(pairs...)
		a.BaseURL = "http://10.20.0.5:8091/v1"
		return a
	}
	for name, c := range map[string]struct {
		account provider.Account
		says    string
	}{
		"as it comes":         {with(), ""},
		"a default address":   {provider.Account{Settings: map[string]string{SettingAPIKey: testKey}}, ""},
		"a server of one's":   {own(SettingAPIKey, "", SettingSubmit, "multipart", SettingEdits, "multipart", SettingSeconds, "integer", SettingResponseFormat, "b64_json"), ""},
		"all of them":         {own(SettingAuth, "api-key", SettingStream, "on", SettingPartialImages, "0", SettingSources, "url"), ""},
		"auth":                {with(SettingAuth, testKey), "settings.auth must be bearer or api-key"},
		"seconds":             {own(SettingSeconds, "int"), "settings.seconds must be string or integer"},
		"submit":              {own(SettingSubmit, "form"), "settings.submit must be json or multipart"},
		"edits":               {own(SettingEdits, "Multipart"), "settings.edits must be json or multipart"},
		"sources":             {own(SettingSources, "json"), "settings.sources must be url or bytes"},
		"stream":              {with(SettingStream, "yes"), "settings.stream must be on or off"},
		"response_format":     {own(SettingResponseFormat, "png"), "settings.response_format must be b64_json or url"},
		"partial_images":      {with(SettingPartialImages, "4"), "settings.partial_images must be a whole number from 0 to 3"},
		"no number":           {with(SettingPartialImages, testKey), "settings.partial_images must be a whole number from 0 to 3"},
		"no key":              {with(SettingAPIKey, ""), "settings.api_key is empty"},
		"no key to be sent":   {own(SettingAPIKey, "", SettingAuth, "api-key"), "settings.auth says how a key is sent, and settings.api_key is empty"},
		"partials unstreamed": {with(SettingStream, "off", SettingPartialImages, "2"), "settings.partial_images means nothing while settings.stream is off"},
		"a format at OpenAI":  {with(SettingResponseFormat, "b64_json"), "settings.response_format must be empty here"},
	} {
		err := New().CheckAccount(c.account)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), testKey)) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// Only hosts that are known to be outside are given a caller's URL by default.
func TestWhoIsGivenURLs(t *testing.T) {
	for base, want := range map[string]bool{
		"": true, "https://api.openai.com/v1": true, "https://eu.api.openai.com/v1": true, "https://NAME.openai.azure.com/openai/v1": true,
		"http://api.openai.com/v1": false, "https://api.openai.com.example/v1": false, "https://notapi.openai.com.internal": false, "https://myopenai.azure.com.evil.example": false,
		"http://10.20.0.5:8091/v1": false, "https://gateway.example/v1": false, "https://vllm": false, "http://[::1]:8000/v1": false, "https://api.openai.com@10.0.0.1/v1": false, "%": false,
	} {
		if got := public(base); got != want {
			t.Errorf("%q: %v", base, got)
		}
		for word, bytes := range map[string]bool{"": !want, "url": false, "bytes": true, "misspelt": !want} {
			if got := sendsBytes(provider.Account{BaseURL: base, Settings: map[string]string{SettingSources: word}}); got != bytes {
				t.Errorf("%q with sources %q: bytes %v", base, word, got)
			}
		}
	}
}
