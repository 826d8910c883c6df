package minimax

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

func TestImages(t *testing.T) {
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: account, Folder: "image", Update: *update,
		Request: picture(nil),
		Accepted: providertest.JSON(200, `{"id":"03ff3cd0820949eb8a410056b5f21d38","data":{"image_urls":["https://cdn.example/i.jpeg"]},`+
			`"metadata":{"success_count":1,"failed_count":0},"base_resp":{"status_code":0,"status_msg":"success"}}`),
		Want: provider.Accepted{UpstreamID: "03ff3cd0820949eb8a410056b5f21d38", Report: &provider.Report{
			UpstreamID: "03ff3cd0820949eb8a410056b5f21d38", State: provider.StateSucceeded, Progress: -1,
			Outputs: []provider.Output{{URL: "https://cdn.example/i.jpeg", Kind: kinora.KindImage}},
		}},
		Golden: map[string]provider.Request{
			"submit documented": picture(func(r *provider.Request) { r.Prompt, r.Size, r.Metadata = "a red kettle", "1:1", raw("n", "1") }),
			"submit everything": picture(func(r *provider.Request) {
				r.Size, r.Duration, r.Images = "1024x768", 9, []string{"https://cdn.example/a.png?x=1&y=2"}
				r.CallbackURL = "https://gw.example/never"
				r.Metadata = raw("n", `"9"`, "seed", "9007199254740993", "prompt_optimizer", "true", "aigc_watermark", "false", "style", `{"style_type":"漫画","style_weight":0.8}`,
					"response_format", `"base64"`, "model", `"another"`, "callback_url", `"https://evil.example/"`, "nothing", "null")
			}),
			"submit metadata wins": picture(func(r *provider.Request) { r.Size, r.Metadata = "1024x768", raw("aspect_ratio", `"21:9"`) }),
			"submit width":         picture(func(r *provider.Request) { r.Size, r.Metadata = "16:9", raw("width", "512", "height", `"2048"`) }),
			"submit auto":          picture(func(r *provider.Request) { r.Size = "auto" }),
		},
		Refused: map[string]provider.Request{
			"input.prompt must be at most 1500 characters":         picture(func(r *provider.Request) { r.Prompt = strings.Repeat("ä", 1501) }),
			"input.size must be one of 1:1, 16:9":                  picture(func(r *provider.Request) { r.Size = "5:4" }),
			"input.size must be WxH":                               picture(func(r *provider.Request) { r.Size = "big" }),
			"input.size must be between 512 and 2048 pixels":       picture(func(r *provider.Request) { r.Size = "2056x1024" }),
			"input.size must be between 512 and":                   picture(func(r *provider.Request) { r.Size = "1024x511" }),
			"in steps of 8":                                        picture(func(r *provider.Request) { r.Size = "1025x1024" }),
			"input.metadata.width must be between":                 picture(withMetadata("width", "1", "height", "512")),
			"input.metadata.aspect_ratio must be one of":           picture(withMetadata("aspect_ratio", `"5:4"`)),
			"input.metadata.n must be a whole number between 1":    picture(withMetadata("n", "10")),
			"input.metadata.n must be a whole number":              picture(withMetadata("n", "0.5")),
			"input.metadata.seed must be a whole number":           picture(withMetadata("seed", `"x"`)),
			"input.metadata.prompt_optimizer must be true or fals": picture(withMetadata("prompt_optimizer", "1")),
		},
		Refusals:      v1Codes(),
		StatusClasses: statusClasses,
		Complaint: func(status int, message string) providertest.Reply {
			return providertest.JSON(status, `{"id":`+quote(message)+`,"base_resp":{"status_code":`+quote(message)+`,"status_msg":`+quote(message)+`}}`)
		},
	})
}

// HTTP 200 and code 0 say that images were made only if there are some.
func TestImageAnswers(t *testing.T) {
	two := []provider.Output{{URL: "a", Kind: kinora.KindImage}, {URL: "b", Kind: kinora.KindImage}}
	u := providertest.NewUpstream(t)
	for name, c := range map[string]struct {
		answer  string
		id      string
		outputs []provider.Output
		class   provider.Class
	}{
		"fewer than asked for": {`{"id":"1","data":{"image_urls":["a","","b"]},"metadata":{"success_count":"2","failed_count":"2"},"base_resp":{"status_code":0}}`, "1", two, ""},
		"no counts, no id":     {`{"data":{"image_urls":["a","b"]},"base_resp":{"status_code":0}}`, "0217852290155100", two, ""},
		"all refused":          {`{"id":"1","data":{},"metadata":{"success_count":0,"failed_count":3},"base_resp":{"status_code":0}}`, "1", nil, provider.Moderation},
		"none":                 {`{"id":"1","data":null,"metadata":{"success_count":0,"failed_count":0},"base_resp":{"status_code":0}}`, "1", nil, provider.Generation},
	} {
		u.Answer(providertest.Reply{Status: 200, Header: map[string]string{"Trace-Id": "0217852290155100"}, Body: c.answer})
		got, err := New().Submit(t.Context(), u.With(account), picture(nil))
		if err != nil || got.UpstreamID != c.id || got.Report == nil || got.Report.UpstreamID != c.id {
			t.Errorf("%s: %+v, error %v", name, got, err)
			continue
		}
		if r := got.Report; c.class == "" && (r.State != provider.StateSucceeded || !reflect.DeepEqual(r.Outputs, c.outputs)) ||
			c.class != "" && (r.State != provider.StateFailed || r.Err == nil || r.Err.Class != c.class) {
			t.Errorf("%s: %+v, reason %v", name, r, r.Err)
		}
	}
	u.Take()
	// Nothing is to be asked about afterwards.
	if reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{{UpstreamID: "1", UpstreamModel: "image-01"}}); err != nil || len(reports) != 0 || len(u.Take()) != 0 {
		t.Errorf("a poll of an image: %+v, error %v", reports, err)
	}
}

// The upstream's id of a call is kept for its support, beside what it says.
func TestTraces(t *testing.T) {
	u := providertest.NewUpstream(t)
	for header, want := range map[string]string{"021785229015510a2c883cf675b9804d": "trace 021785229015510a2c883cf675b9804d: no (1008)", testKey: "", "": "trace 0123456789abcdef: no (1008)"} {
		u.Answer(providertest.Reply{Status: 402, Header: map[string]string{"Trace-Id": header}, Body: `{"type":"error","error":{"type":"insufficient_balance_error","message":"no (1008)"},"request_id":"0123456789abcdef"}`})
		_, err := New().Submit(t.Context(), u.With(account), picture(nil))
		if e := provider.AsError(err, ""); e.Code != "1008" || header == testKey && strings.Contains(e.Detail, testKey) || header != testKey && e.Detail != want {
			t.Errorf("%q: code %s, detail %q, want %q", header, e.Code, e.Detail, want)
		}
	}
}
