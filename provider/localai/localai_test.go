package localai

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	apiKey = "local-secret-key"
	ref    = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0"
)

// clip is what net/http takes for a video.
const clip = "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom rest"

// picture is what net/http takes for a PNG.
const picture = "\x89PNG\r\n\x1a\n"

func request(pairs ...string) provider.Request {
	r := provider.Request{
		ClientRef: ref, Model: "ltx", UpstreamModel: "ltx-video", Kind: kinora.KindVideo, Prompt: `a tram in "rain"`,
		Metadata: map[string]json.RawMessage{}, Sink: &providertest.Sink{},
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Metadata[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return r
}

func with(r provider.Request, change func(*provider.Request)) provider.Request {
	change(&r)
	return r
}

func accepted(outputs ...provider.Output) provider.Accepted {
	return provider.Accepted{UpstreamID: "u-1", Report: &provider.Report{UpstreamID: "u-1", State: provider.StateSucceeded, Progress: 100, Outputs: outputs}}
}

func TestProvider(t *testing.T) {
	content := base64.StdEncoding.EncodeToString([]byte(clip))
	path := json.RawMessage(`"/generated-videos/a.mp4"`)
	providertest.Run(t, providertest.Suite{
		Provider: New(), Update: *update,
		Sources:  providertest.Sources{"https://a.example/1.png?a=1&b=2": []byte(picture + "1"), "https://a.example/2.png": []byte(picture + "2")},
		Account:  provider.Account{Settings: map[string]string{SettingAPIKey: apiKey}},
		Request:  request(),
		Accepted: providertest.JSON(200, `{"created":1790000000,"id":"u-1","data":[{"b64_json":"`+content+`"}]}`),
		Want:     accepted(providertest.Stored(0, []byte(clip), "video/mp4")),
		Golden: map[string]provider.Request{
			"everything": with(request("num_frames", "81", "fps", "16", "negative_prompt", `"blur <b>"`, "params", `{"attention":"sdpa"}`), func(r *provider.Request) {
				r.Size, r.Duration, r.Images = "832x480", 5, []string{"https://a.example/1.png?a=1&b=2", "https://a.example/2.png"}
			}),
			"metadata wins": with(request("width", "640", "seconds", `"7"`), func(r *provider.Request) { r.Size, r.Duration = "832x480", 5 }),
		},
		Refused: map[string]provider.Request{
			"input.images must be at most two":                 with(request(), func(r *provider.Request) { r.Images = []string{"a", "b", "c"} }),
			`input.size must be "WxH" or "auto"`:               with(request(), func(r *provider.Request) { r.Size = "16:9" }),
			"input.duration must be from 1 to 600 seconds":     with(request(), func(r *provider.Request) { r.Duration = 601 }),
			"input.metadata.fps must be a whole number from 0": request("fps", `"fast"`),
			"input.metadata.response_format cannot be set":     request("response_format", `"url"`),
			"input.metadata.start_image cannot be set":         request("start_image", `"http://10.0.0.1/x"`),
			"input.metadata.audio must not be or hold a URL":   request("audio", `"http://10.0.0.1/x"`),
			"input.metadata.params must not be or hold a URL":  request("params", `{"a":[{"b":" FILE:///etc/passwd"}]}`),
		},
		Refusals: []providertest.Refusal{
			{Name: "no key", Reply: providertest.JSON(401, `{"error":{"message":"x"}}`), Class: provider.Credential},
			{Name: "no model", Reply: providertest.JSON(404, `{"error":{"message":"x"}}`), Class: provider.ModelGone},
			{Name: "a backend that failed", Reply: providertest.JSON(500, `{"error":{"message":"x"}}`), Class: provider.OutcomeUnknown},
			{Name: "no video", Reply: providertest.JSON(200, `{"id":"u-1","data":[{"url":"https://elsewhere.example/a.mp4"}]}`), Class: provider.OutcomeUnknown},
			{Name: "no video's content", Reply: providertest.JSON(200, `{"id":"u-1","data":[{"b64_json":"PGh0bWw+"}]}`), Class: provider.Generation},
			{Name: "half a video", Reply: providertest.Reply{Body: `{"data":[{"b64_json":"` + content + `"}]}`, Cut: providertest.CutBody}, Class: provider.OutcomeUnknown},
		},
		Complaint: func(status int, message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return providertest.JSON(status, `{"error":{"code":`+string(m)+`,"message":`+string(m)+`}}`)
		},
		Output: provider.Output{Kind: kinora.KindVideo, Handle: path}, Content: providertest.Reply{Body: clip},
	})
}

// A server that keeps the file all the same is asked for it, by its path: what it calls
// itself need not be what it is reached by.
func TestFilesThatAreKeptThere(t *testing.T) {
	u := providertest.NewUpstream(t)
	up := u.With(provider.Account{})
	u.Answer(providertest.JSON(200, `{"id":"u-1","data":[{"url":"http://inside.lan:8080/generated-videos/b%20c.mp4"}]}`))
	got, err := New().Submit(t.Context(), up, request())
	if err != nil || len(got.Report.Outputs) != 1 || got.Report.Outputs[0].URL != "" {
		t.Fatalf("%+v, error %v", got, err)
	}
	if h := u.Take()[0].Header; h.Get("Authorization") != "" {
		t.Errorf("without a key the header is %q", h.Get("Authorization"))
	}
	u.Answer(providertest.Reply{Body: clip})
	res, err := New().OpenOutput(t.Context(), up, provider.Job{}, got.Report.Outputs[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if target := u.Take()[0].Target; target != "/generated-videos/b%20c.mp4" {
		t.Errorf("asked for %s", target)
	}
	for _, handle := range []string{`"/etc/passwd"`, `"https://elsewhere.example/generated-videos/a"`, `5`, ``} {
		if _, err := New().OpenOutput(t.Context(), up, provider.Job{}, provider.Output{Handle: json.RawMessage(handle)}); err == nil {
			t.Errorf("%s was opened", handle)
		}
	}
}

// A video that cannot be used leaves another as it is.
func TestOneSpoiltVideoDoesNotLoseTheOthers(t *testing.T) {
	const html, damaged = `{"b64_json":"PGh0bWw+"}`, `{"b64_json":"!"}`
	u := providertest.NewUpstream(t)
	up := u.With(provider.Account{})
	u.Answer(providertest.JSON(200, `{"id":"u-1","data":[`+html+`,{"b64_json":"`+base64.StdEncoding.EncodeToString([]byte(clip))+`"},`+damaged+`]}`))
	got, err := New().Submit(t.Context(), up, request())
	if err != nil || len(got.Report.Outputs) != 1 || got.Report.Outputs[0].Kept.Key != "kept-1" {
		t.Errorf("%+v, error %v", got.Report, err)
	}
	u.Answer(providertest.JSON(200, `{"id":"u-1","data":[`+html+`,`+damaged+`]}`))
	if _, err := New().Submit(t.Context(), up, request()); err == nil || provider.AsError(err, "").Class != provider.Generation {
		t.Errorf("error %v", err)
	}
}

func TestImagesAreNotItsDuty(t *testing.T) {
	err := New().Validate(with(request(), func(r *provider.Request) { r.Kind = kinora.KindImage }))
	var e *provider.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "provider openai") {
		t.Errorf("error %v", err)
	}
}

// Of a frame that cannot be had, or is none, the server hears nothing.
func TestFramesAreFetchedHere(t *testing.T) {
	u := providertest.NewUpstream(t)
	up := u.With(provider.Account{})
	up.Sources = providertest.Sources{"https://a.example/1.png": []byte(picture), "https://a.example/2.mp4": []byte(clip)}
	for want, images := range map[string][]string{
		"input.images[1] could not be fetched":                {"https://a.example/1.png", "https://inside.example/x"},
		"input.image must be of one of the types image/png, ": {"https://a.example/2.mp4"},
	} {
		_, err := New().Submit(t.Context(), up, with(request(), func(r *provider.Request) { r.Images = images }))
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.Invalid || !strings.Contains(e.Message, want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if calls := u.Take(); len(calls) > 0 {
		t.Errorf("the server was called %d times", len(calls))
	}
}
