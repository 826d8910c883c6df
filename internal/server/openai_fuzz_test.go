package server

import (
	"net/http"
	"testing"
	"unicode/utf8"

	"github.com/kinora/kinora"
)

// Whatever is posted as a form or as JSON, the answer is the success or the caller's fault, and what reaches the core is
// text that can be stored.
func FuzzOpenAI(f *testing.F) {
	for _, pairs := range [][]string{
		{"model", "nano-banana-2", "prompt", "a boat", "async", "true", "n", "2"},
		{"model", "nano-banana-2", "prompt", "a boat", "async", "true", "webhook[url]", "https://a.example/", "metadata", `{"a":{"b":1}}`, "a[b][]", "1"},
		{"model", "nano-banana-2", "prompt", "\xff", "async", "true", "a.b", "[", "a", "x", "image[]", "https://a.example/1", "image[]", "7"},
		{"image", "@x", "mask", "@", "]", "", "a[", "{"},
	} {
		body, _ := formOf(pairs...)
		f.Add([]byte(body), true)
	}
	f.Add([]byte(`{"model":"nano-banana-2","prompt":"a boat","async":true,"images":["https://a.example/1",{"image_url":null}],"mask":7}`), false)
	f.Add([]byte(`{"model":"nano-banana-2","prompt":"a boat","async":true,"webhook":null,"seconds":"x","n":1e400}`), false)
	fx := newFixture(f, func(c *Config) {
		c.Uploads = documentedUploads{}
		c.Limits.Submit.PerMinute, c.Limits.Upload.PerMinute = -1, -1
		c.MaxWait = 1 // what is not asynchronous is not waited for
	})
	f.Fuzz(func(t *testing.T, body []byte, form bool) {
		fx.t = t
		fx.log.Reset()
		fx.generations.accepted = nil
		fx.generations.store(imageIn(kinora.GenerationRunning, nil))
		w := fx.do("POST", imagesPath, string(body), func(r *http.Request) {
			if form {
				r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			}
		})
		if w.Code >= 500 && w.Code != http.StatusGatewayTimeout {
			t.Fatalf("%q: answered %d %s", body, w.Code, w.Body)
		}
		if (w.Code == http.StatusAccepted || w.Code == http.StatusGatewayTimeout) != (len(fx.generations.accepted) == 1) {
			t.Fatalf("%q: answered %d, %d accepted", body, w.Code, len(fx.generations.accepted))
		}
		for _, s := range fx.generations.accepted {
			texts := append([]string{s.Model, s.Input.Prompt, s.Input.Size, s.WebhookURL, string(s.Metadata)}, s.Input.Images...)
			for key, val := range s.Input.Metadata {
				texts = append(texts, key, string(val))
			}
			for _, text := range texts {
				if !utf8.ValidString(text) {
					t.Fatalf("%q: %q reached the core", body, text)
				}
			}
		}
	})
}
