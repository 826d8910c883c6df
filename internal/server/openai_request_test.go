package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// videoFixture serves videos, on fakes.
func videoFixture(t *testing.T, change ...func(*Config)) *fixture {
	return newFixture(t, append([]func(*Config){func(c *Config) { c.Videos = fakeVideos{c.Generations.(*fakeGenerations)} }}, change...)...)
}

// formOf makes a multipart form of names and values; a value that begins with "@" is a file.
func formOf(pairs ...string) (body string, change func(*http.Request)) {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		head, text := `form-data; name="`+pairs[i]+`"`, pairs[i+1]
		if file, is := strings.CutPrefix(text, "@"); is {
			head, text = head+`; filename="a.png"`+"\r\nContent-Type: image/png", file
		}
		b.WriteString("--b\r\nContent-Disposition: " + head + "\r\n\r\n" + text + "\r\n")
	}
	return b.String() + "--b--\r\n", func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") }
}

// What a body says reaches the core, whether it comes as JSON or as the SDKs' forms.
func TestOpenAIRequestsReachTheCore(t *testing.T) {
	reference := "order-17"
	form := func(pairs ...string) [2]any { b, change := formOf(pairs...); return [2]any{b, change} }
	for name, tt := range map[string]struct {
		target string
		body   any // text or form
		want   kinora.Submission
	}{
		"video": {
			target: videosPath,
			body: `{"model":"kling-v1","prompt":"a boat","seconds":"8","size":"1280x720","input_reference":{"image_url":"https://a.example/boat.png"},
				"mode":"pro","seed":7,"remix":null,"webhook":{"url":"https://a.example/hook"},"reference":"order-17","metadata":{"row":7}}`,
			want: kinora.Submission{Model: "kling-v1", WebhookURL: "https://a.example/hook", Reference: &reference, Metadata: json.RawMessage(`{"row":7}`), DurationField: "seconds",
				Input: kinora.Input{Prompt: "a boat", Duration: 8, Size: "1280x720", Images: []string{"https://a.example/boat.png"},
					Metadata: map[string]json.RawMessage{"mode": json.RawMessage(`"pro"`), "seed": json.RawMessage(`7`)}}},
		},
		"video as a form": {
			target: videosPath,
			body: form("model", "kling-v1", "prompt", "8", "seconds", "8", "size", "1280x720", "input_reference[image_url]", "https://a.example/boat.png",
				"mode", "pro", "seed", "7", "camera.type", "pan", "webhook[url]", "https://a.example/hook", "reference", "order-17", "metadata", `{"row":7}`),
			want: kinora.Submission{Model: "kling-v1", WebhookURL: "https://a.example/hook", Reference: &reference, Metadata: json.RawMessage(`{"row":7}`), DurationField: "seconds",
				Input: kinora.Input{Prompt: "8", Duration: 8, Size: "1280x720", Images: []string{"https://a.example/boat.png"},
					Metadata: map[string]json.RawMessage{"mode": json.RawMessage(`"pro"`), "seed": json.RawMessage(`7`), "camera": json.RawMessage(`{"type":"pan"}`)}}},
		},
		"seconds as a number, and a URL as it is": {
			target: videosPath, body: `{"model":"kling-v1","prompt":"a boat","seconds":5,"input_reference":"https://a.example/boat.png"}`,
			want: kinora.Submission{Model: "kling-v1", DurationField: "seconds", Input: kinora.Input{Prompt: "a boat", Duration: 5, Images: []string{"https://a.example/boat.png"}}},
		},
		"image": {
			target: imagesPath,
			body:   `{"model":"nano-banana-2","prompt":"a boat","n":2,"quality":"high","background":"transparent","output_format":"webp","response_format":"url","async":true,"stream":false,"partial_images":0,"user":"u"}`,
			want: kinora.Submission{Model: "nano-banana-2", DurationField: "seconds", Input: kinora.Input{Prompt: "a boat", Metadata: map[string]json.RawMessage{
				"n": json.RawMessage(`2`), "quality": json.RawMessage(`"high"`), "background": json.RawMessage(`"transparent"`), "output_format": json.RawMessage(`"webp"`), "user": json.RawMessage(`"u"`)}}},
		},
		"image in the background": { // a word goes to the model, true and false say who waits
			target: imagesPath, body: `{"model":"nano-banana-2","prompt":"a boat","background":true}`,
			want: kinora.Submission{Model: "nano-banana-2", DurationField: "seconds", Input: kinora.Input{Prompt: "a boat"}},
		},
		"edit": {
			target: imageEditsPath,
			body:   `{"model":"nano-banana-2","prompt":"night","async":true,"images":[{"image_url":"https://a.example/1.png"},"https://a.example/2.png",{"image_url":"https://a.example/1.png"}],"mask":{"image_url":"https://a.example/m.png"}}`,
			want: kinora.Submission{Model: "nano-banana-2", DurationField: "seconds", Input: kinora.Input{Prompt: "night", Images: []string{"https://a.example/1.png", "https://a.example/2.png"},
				Metadata: map[string]json.RawMessage{"mask_url": json.RawMessage(`"https://a.example/m.png"`)}}},
		},
		"a callback URL of the caller's": {
			target: videosPath, body: `{"model":"kling-v1","prompt":"a boat","callback_url":"https://a.example/c?x=1&y=2"}`,
			want: kinora.Submission{Model: "kling-v1", DurationField: "seconds", Input: kinora.Input{Prompt: "a boat", CallbackURL: "https://a.example/c?x=1&y=2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := videoFixture(t)
			text, change := "", func(*http.Request) {}
			switch b := tt.body.(type) {
			case string:
				text = b
			case [2]any:
				text, change = b[0].(string), b[1].(func(*http.Request))
			}
			if w := f.do("POST", tt.target, text, change); w.Code > 299 {
				t.Fatalf("answered %d %s", w.Code, w.Body)
			}
			tt.want.OrganisationID, tt.want.Surface = ownID, kinora.SurfaceOpenAI
			if got := f.generations.only(t); !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", *got, tt.want)
			}
		})
	}
}

// Files are stored, and the model gets their URLs in order.
func TestOpenAIFilesAreStored(t *testing.T) {
	f := uploadFixture(t)
	png := string(smallPNG())
	body, change := formOf("image[]", "@"+png, "model", "nano-banana-2", "image[]", "@"+png, "prompt", "night", "mask", "@"+png, "background", "true")
	if w := f.do("POST", imageEditsPath, body, change, header("Idempotency-Key", "k")); w.Code != 202 {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	inline := `{"model":"nano-banana-2","prompt":"night","async":true,"images":[{"image_url":"data:image/png;base64,` + base64.StdEncoding.EncodeToString(smallPNG()) + `"}]}`
	if w := f.do("POST", imageEditsPath, inline); w.Code != 202 {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	form, data := f.generations.accepted[0], f.generations.accepted[1]
	stored := func(u string) bool {
		return strings.HasPrefix(u, "https://files.example/temp/") && strings.Contains(u, ".png")
	}
	if len(form.Input.Images) != 2 || !stored(form.Input.Images[0]) || !stored(form.Input.Images[1]) || !stored(strings.Trim(string(form.Input.Metadata["mask_url"]), `"`)) {
		t.Errorf("images %q, metadata %s", form.Input.Images, form.Input.Metadata)
	}
	if len(data.Input.Images) != 1 || !stored(data.Input.Images[0]) {
		t.Errorf("of a data URL became %q", data.Input.Images)
	}
	if len(f.storedFiles()) != 4 {
		t.Errorf("stored are %q", f.storedFiles())
	}
	// The same form under another boundary is the same request, another file is not.
	again, change := formOf("prompt", "night", "model", "nano-banana-2", "image[]", "@"+png, "image[]", "@"+png, "background", "true", "mask", "@"+png)
	f.do("POST", imageEditsPath, again, change, header("Idempotency-Key", "k"))
	other, change := formOf("prompt", "night", "model", "nano-banana-2", "image[]", "@"+png, "async", "true", "mask", "@"+png)
	f.do("POST", imageEditsPath, other, change, header("Idempotency-Key", "k"))
	if list := f.generations.accepted; list[2].RequestHash != form.RequestHash || list[3].RequestHash == form.RequestHash || form.IdempotencyKey != "k" || form.IdempotencyScope != "POST "+imageEditsPath {
		t.Errorf("hashes %q %q %q", form.RequestHash, list[2].RequestHash, list[3].RequestHash)
	}
}

// Refusals name the field in this API's words, and nothing is accepted.
func TestOpenAIRefusals(t *testing.T) {
	const start = `{"model":"kling-v1","prompt":"a boat",`
	picture := func(p string) string { return start + `"input_reference":` + p + `}` }
	for body, want := range map[string]string{
		`[]`:                              `JSON body must be an object||400`,
		`{"prompt":"a boat"}`:             `model is required|model|400`,
		`{"model":"kling-v1"}`:            `prompt is required|prompt|400`,
		`{"model":"kling-v1","prompt":7}`: `prompt must be a string|prompt|400`,
		`{"model":"nano-banana-2","prompt":"a boat"}`:       `model must be one that makes videos; nano-banana-2 makes images|model|400`,
		`{"model":"sora-2","prompt":"a boat"}`:              `the model sora-2 does not exist|model|404`,
		start + `"seconds":"1.5"}`:                          `seconds must be a whole number of seconds, at most 86400|seconds|400`,
		start + `"size":7}`:                                 `size must be a string|size|400`,
		start + `"stream":true}`:                            `stream is not served; send async: true to be answered at once, and read the generation by its id|stream|400`,
		start + `"async":"yes"}`:                            `async must be true or false|async|400`,
		start + `"response_format":"png"}`:                  `response_format must be url or b64_json|response_format|400`,
		start + `"webhook":{}}`:                             `webhook.url is required|webhook.url|400`,
		picture(`{"file_id":"file-1"}`):                     `input_reference cannot be a file_id: there are no stored files here; send image_url or the file itself|input_reference|400`,
		picture(`{}`):                                       `input_reference must be an object with an image_url|input_reference|400`,
		picture(`"ftp://a.example/x.png"`):                  `input_reference must be an http or https URL, or a data URL in base64|input_reference|400`,
		picture(`["https://a.example/1.png",7]`):            `input_reference[1] must be an object with an image_url|input_reference[1]|400`,
		picture(`"data:image/png;base64,aGVsbG8="`):         `input_reference is not an image that can be used|input_reference|400`,
		start + `"x":"` + strings.Repeat("x", 1<<20) + `"}`: `request body too large||413`,
	} {
		f := uploadFixture(t, func(c *Config) { c.Videos = fakeVideos{c.Generations.(*fakeGenerations)} })
		w := f.do("POST", videosPath, body)
		var got openaiError
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		param := ""
		if got.Error.Param != nil {
			param = *got.Error.Param
		}
		if text := got.Error.Message + "|" + param + "|" + http.StatusText(w.Code); text != strings.Replace(strings.Replace(strings.Replace(want, "|400", "|Bad Request", 1), "|404", "|Not Found", 1), "|413", "|Request Entity Too Large", 1) {
			t.Errorf("%.80s: answered %d %s, want %s", body, w.Code, w.Body, want)
		}
		if len(f.generations.accepted) != 0 || len(f.storedFiles()) != 0 {
			t.Errorf("%.80s: something was accepted", body)
		}
	}
	f := uploadFixture(t)
	for _, pairs := range [][]string{{"prompt", "x"}, {"[a]", "x"}, {"a[b][c][d][e]", "x"}, {"video", "@x"}, {"image", "@not an image"}} {
		body, change := formOf(pairs...)
		if w := f.do("POST", imageEditsPath, body, change); w.Code != 400 {
			t.Errorf("%q: answered %d %s", pairs, w.Code, w.Body)
		}
	}
	for _, body := range []string{"", "--b\r\n", "--b--\r\n", "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nhalf"} {
		_, change := formOf()
		if w := f.do("POST", imageEditsPath, body, change); w.Code != 400 {
			t.Errorf("%q: answered %d %s", body, w.Code, w.Body)
		}
	}
}

// What the core and the providers say in the submit API's words is told in this one's.
func TestInOpenAIWords(t *testing.T) {
	for said, want := range map[string]string{
		"input.metadata.n must be 1":            "n must be 1",
		"input.images must be at most 4":        "image must be at most 4",
		"input.images[2] must be a URL":         "image[2] must be a URL",
		"input.size must be one of a, b":        "size must be one of a, b",
		"seconds must be 5 or 10":               "seconds must be 5 or 10",
		"the model does not take input.images":  "the model does not take input.images",
		"webhook.url must be a public address":  "webhook.url must be a public address",
		"webhook.url: the host is private":      "webhook.url: the host is private",
		"input.images: too many":                "image: too many",
		"input.metadata.image_tail must be set": "image_tail must be set",
		"input.metadata.mask_url must be a URL": "mask must be a URL",
	} {
		e := inOpenAIWords(kinora.Errorf(kinora.ErrInvalid, "%s", said), "image")
		if e.(*kinora.Error).Message != want {
			t.Errorf("%q became %q", said, e.(*kinora.Error).Message)
		}
		var wrong *wrongParam
		if errors.As(e, &wrong) && strings.ContainsAny(wrong.name, ": ") {
			t.Errorf("%q names the field %q", said, wrong.name)
		}
	}
}
