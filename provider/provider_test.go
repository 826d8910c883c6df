package provider_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
)

// No way of printing, logging or encoding an account shows what it is opened with.
func TestAccountKeepsItsSettings(t *testing.T) {
	account := provider.Account{Name: "main", Provider: "sandbox", BaseURL: "https://up.example", Settings: map[string]string{"api_key": "hush"}}
	type wrapped struct{ provider.Account } // as the lifecycle does
	for what, v := range map[string]any{
		"value": account, "pointer": &account, "upstream": provider.Upstream{Account: account},
		"wrapped": wrapped{account}, "list": []provider.Account{account}, "map": map[string]*wrapped{"a": {account}},
	} {
		shown := map[string]string{}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%30v"} {
			shown[verb] = fmt.Sprintf(verb, v)
		}
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("account", slog.Any("account", v))
			shown[name] = b.String()
		}
		if encoded, err := json.Marshal(v); err == nil {
			shown["JSON"] = string(encoded)
		} else if what != "upstream" {
			t.Errorf("%s: %v", what, err)
		}
		for how, text := range shown {
			for _, secret := range []string{"hush", fmt.Sprintf("%x", "hush"), "api_key"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s as %s: %s", what, how, text)
				}
			}
		}
	}
	for verb, want := range map[string]string{"%v": "sandbox/main", "%s": "sandbox/main", "%+v": "sandbox/main", "%q": `"sandbox/main"`, "%#v": `"sandbox/main"`} {
		if got := fmt.Sprintf(verb, account); got != want {
			t.Errorf("%s: %s, want %s", verb, got, want)
		}
	}
	if got := account.LogValue().String(); got != "sandbox/main" {
		t.Errorf("logged as %s", got)
	}
}

func TestImagesHaveTheNamesOfTheirCaller(t *testing.T) {
	for _, c := range []struct {
		images, items int
		want          []string
	}{
		{1, 0, []string{"input.image"}},
		{2, 0, []string{"input.images[0]", "input.images[1]"}},
		{2, 1, []string{"input.image", "input.images[0]"}},
		{3, 2, []string{"input.image", "input.images[0]", "input.images[1]"}},
		{2, 3, []string{"input.images", "input.images"}}, // one of the list stood there twice
		{1, 2, []string{"input.images"}},
	} {
		req := provider.Request{Images: make([]string, c.images), ImageItems: c.items}
		for i, want := range c.want {
			if got := req.ImageField(i); got != want {
				t.Errorf("image %d of %d, %d in the list, is called %s, want %s", i, c.images, c.items, got, want)
			}
		}
	}
}
