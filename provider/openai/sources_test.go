package openai

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// A server within the network is given no address of a caller's, in any shape: the files go along as data URLs, and metadata
// that holds an address is refused before anything is called.
func TestOwnServersAreGivenNoAddress(t *testing.T) {
	picture := func(changes ...func(*provider.Request)) provider.Request {
		return aPicture(append([]func(*provider.Request){sources(2), meta("mask_url", `"https://img.example/mask.png"`)}, changes...)...)
	}
	for name, req := range map[string]provider.Request{
		"a video": aVideo(sources(1)), "an edit": picture(), "an edit by another model": picture(model("images:Qwen/Qwen-Image-Edit")), "a response": picture(model("responses:gpt-5.6-terra")),
	} {
		u := providertest.NewUpstream(t)
		up := u.With(with(SettingSources, ""))
		up.Sources = providertest.Sources{
			"https://img.example/1.png?a=1&b=2": dot(1), "https://img.example/2.png?a=1&b=2": dot(2), "https://img.example/mask.png": dot(3),
		}
		u.Answer(providertest.JSON(400, `{}`))
		_, _ = New().Submit(t.Context(), up, req)
		calls := u.Take()
		if len(calls) != 1 {
			t.Fatalf("%s: %d calls", name, len(calls))
		}
		body := calls[0].Body
		for i := range req.Images {
			if !bytes.Contains(body, []byte(`"data:image/png;base64,`+encoded(dot(i+1))+`"`)) {
				t.Errorf("%s: image %d is not in %s", name, i, body)
			}
		}
		if masked := bytes.Contains(body, []byte(encoded(dot(3)))); masked != (len(req.Images) > 1) || bytes.Contains(body, []byte("img.example")) {
			t.Errorf("%s: %s", name, body)
		}
	}
}

func TestAddressesInMetadata(t *testing.T) {
	for _, value := range []string{
		`{"image_url":"http://169.254.169.254/latest"}`, `"file:///etc/passwd"`, `["x",{"y":" HTTP:\/\/10.0.0.1"}]`, `"{\"u\":\"http:\\/\\/10.0.0.1\"}"`, `"see http://10.0.0.1"`, `"file:/etc/passwd"`,
	} {
		for key, req := range map[string]provider.Request{
			"video_reference": aVideo(meta("video_reference", value)), "reference": aPicture(meta("reference", value)),
			"tool": aPicture(model("responses:gpt-5.6-terra"), meta("tool", value)),
		} {
			u := providertest.NewUpstream(t)
			_, err := New().Submit(t.Context(), u.With(with(SettingSources, "")), req)
			want := "input.metadata." + key + " must not be or hold a URL"
			if e := provider.AsError(err, ""); err == nil || e.Class != provider.Invalid || !strings.HasPrefix(e.Message, want) || len(u.Take()) != 0 {
				t.Errorf("%s of %s: %v", key, value, err)
			}
			u.Answer(providertest.JSON(400, `{}`))
			if _, _ = New().Submit(t.Context(), u.With(with(SettingSources, "url")), req); len(u.Take()) != 1 {
				t.Errorf("%s of %s: refused although the account allows it", key, value)
			}
		}
	}
	u := providertest.NewUpstream(t)
	u.Answer(providertest.JSON(400, `{}`))
	req := aVideo(meta("negative_prompt", `"a 16:9 frame, and/or text"`, "lora", `{"name":"a/b","scale":0.5}`, "image_reference", `{"image_url":"data:image/png;base64,AAAA"}`))
	if _, _ = New().Submit(t.Context(), u.With(with(SettingSources, "")), req); len(u.Take()) != 1 {
		t.Error("what is no address was refused")
	}
}

// What an upstream documents of a file's type is known before it is called, and paid.
func TestTypesOfFiles(t *testing.T) {
	gif, clip := []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom")
	masked := func(changes ...func(*provider.Request)) provider.Request {
		return aPicture(append([]func(*provider.Request){sources(1), meta("mask_url", `"https://img.example/mask"`)}, changes...)...)
	}
	for name, c := range map[string]struct {
		req          provider.Request
		source, mask []byte
		says         string
	}{
		"a gif":                {aPicture(sources(1)), gif, nil, "input.image must be of one of the types image/png, image/jpeg, image/webp"},
		"a clip":               {aVideo(sources(1)), clip, nil, "input.image must be of one of the types"},
		"a mask of OpenAI's":   {masked(), dot(1), []byte("\xff\xd8\xff\xe0"), "input.metadata.mask_url must be of the type image/png"},
		"a mask of a gif":      {masked(model("images:Qwen/Qwen-Image-Edit")), dot(1), gif, "input.metadata.mask_url must be of one of the types"},
		"a mask of another's":  {masked(model("images:Qwen/Qwen-Image-Edit")), dot(1), []byte("\xff\xd8\xff\xe0"), ""},
		"all as it is to be":   {masked(), dot(1), dot(2), ""},
		"a jpeg":               {aVideo(sources(1)), []byte("\xff\xd8\xff\xe0"), nil, ""},
		"a gif for a response": {aPicture(sources(1), model("responses:gpt-5.6-terra")), gif, nil, "input.image must be of one of the types"},
	} {
		for _, how := range []string{"multipart", "json"} {
			u := providertest.NewUpstream(t)
			u.Answer(providertest.JSON(400, `{}`))
			up := u.With(with(SettingSubmit, how, SettingEdits, how, SettingSources, ""))
			up.Sources = providertest.Sources{"https://img.example/1.png?a=1&b=2": c.source, "https://img.example/mask": c.mask}
			_, err := New().Submit(t.Context(), up, c.req)
			e := provider.AsError(err, "")
			if calls := len(u.Take()); (calls == 0) != (c.says != "") || c.says != "" && (e.Class != provider.Invalid || !strings.HasPrefix(e.Message, c.says)) {
				t.Errorf("%s as %s: %v after %d calls, want %q", name, how, err, calls, c.says)
			}
		}
	}
}
