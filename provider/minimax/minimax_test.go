package minimax

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-api-0123456789abcdefghij"

var account = provider.Account{Name: "main", Provider: Name, Settings: map[string]string{SettingAPIKey: testKey}}

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

// video is a request for a video model, changed.
func video(model string, change func(*provider.Request)) provider.Request {
	r := provider.Request{
		ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", Model: model, UpstreamModel: model,
		Kind: kinora.KindVideo, Prompt: "two kites over a quiet bay",
	}
	if change != nil {
		change(&r)
	}
	return r
}

// picture is a request for an image model, changed.
func picture(change func(*provider.Request)) provider.Request {
	return video("image-01", func(r *provider.Request) {
		r.Kind = kinora.KindImage
		if change != nil {
			change(r)
		}
	})
}

// withMetadata makes a change that sets metadata.
func withMetadata(pairs ...string) func(*provider.Request) {
	return func(r *provider.Request) { r.Metadata = raw(pairs...) }
}

func withImages(urls ...string) func(*provider.Request) {
	return func(r *provider.Request) { r.Images = urls }
}

// v1 is an answer in V1's words, with a code.
func v1(status int, code, message string) providertest.Reply {
	return providertest.JSON(status, fmt.Sprintf(`{"task_id":"","base_resp":{"status_code":%s,"status_msg":%s}}`, code, quote(message)))
}

// v2 is an error in V2's words.
func v2(status int, kind, message string) providertest.Reply {
	return providertest.JSON(status, fmt.Sprintf(`{"type":"error","error":{"type":%s,"message":%s,"http_code":"%d"},"request_id":%s}`,
		quote(kind), quote(message), status, quote(message)))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func failed(class provider.Class) *provider.Error { return &provider.Error{Class: class} }

// statusClasses are what statuses mean where the body is not MiniMax's.
var statusClasses = map[int]provider.Class{
	400: provider.Invalid, 402: provider.Balance, 404: provider.ModelGone, 410: provider.ModelGone, 422: provider.Invalid,
}

// v1Codes are the documented codes of V1, as an answer to a submit.
func v1Codes() (list []providertest.Refusal) {
	for code, class := range map[string]provider.Class{
		"1000": provider.OutcomeUnknown, "1001": provider.OutcomeUnknown, "1024": provider.OutcomeUnknown, "1033": provider.OutcomeUnknown,
		"1002": provider.Rate, "1041": provider.Rate, "2045": provider.Rate, "1039": provider.Rate,
		"1004": provider.Credential, "2049": provider.Credential, "1008": provider.Balance, "2056": provider.Balance,
		"1026": provider.Moderation, "1027": provider.Moderation, "2013": provider.Invalid, "2038": provider.Permission,
		"1028": provider.Balance, "1030": provider.Balance, "2061": provider.Permission,
		// A code that nobody documents says neither yes nor no, in whatever form.
		"9999": provider.OutcomeUnknown, `"1008"`: provider.Balance, "-1": provider.OutcomeUnknown, `"x"`: provider.OutcomeUnknown,
	} {
		list = append(list, providertest.Refusal{Name: "code " + code, Reply: v1(200, code, "no"), Class: class})
	}
	return append(list,
		providertest.Refusal{Name: "an unreachable callback URL", Reply: v1(200, "2013", "invalid params, fail to check callback url"), Class: provider.Invalid, Says: "callback URL did not answer"},
		providertest.Refusal{Name: "a named field", Reply: v1(200, "2013", "invalid params, duration not supported"), Class: provider.Invalid, Says: "input.duration"},
		providertest.Refusal{Name: "a field of metadata", Reply: v1(200, "2013", "invalid params: aspect_ratio"), Class: provider.Invalid, Says: "input.metadata.aspect_ratio"},
		providertest.Refusal{Name: "no field", Reply: v1(200, "2013", "invalid params"), Class: provider.Invalid, Says: "the upstream refused the request"},
		providertest.Refusal{Name: "a code under another status", Reply: v1(429, "1008", "no"), Class: provider.Balance},
		providertest.Refusal{Name: "a fault under another status", Reply: v1(400, "1000", "no"), Class: provider.OutcomeUnknown},
	)
}

// The traits of every documented model, and of ids that nobody has documented.
func TestFamilies(t *testing.T) {
	want := map[string]provider.Traits{
		"MiniMax-Hailuo-9": {Batch: "v1", BatchPoll: 1, Callbacks: true},
		"video-01":         {Batch: "v1", BatchPoll: 1, Callbacks: true},
		"":                 {Batch: "v1", BatchPoll: 1, Callbacks: true},
		"MiniMax-H":        {Batch: "v1", BatchPoll: 1, Callbacks: true},
		"MiniMax-H4-Turbo": {Batch: "v2", BatchPoll: maxBatch, Callbacks: true},
		"image-02":         {Batch: "image", Synchronous: true},
	}
	d := New().Describe()
	for _, m := range d.Models {
		switch {
		case m.Kind == kinora.KindImage:
			want[m.Name] = want["image-02"]
		case strings.HasPrefix(m.Name, "MiniMax-H3"):
			want[m.Name] = want["MiniMax-H4-Turbo"]
		default:
			want[m.Name] = want[""]
		}
	}
	if len(d.Models) != 13 {
		t.Errorf("%d built-in models, want 13", len(d.Models))
	}
	for id, traits := range want {
		if got := d.Model(id); got != traits {
			t.Errorf("%q: %+v, want %+v", id, got, traits)
		}
	}
	for region, url := range map[string]string{"": "https://api.minimax.io", "global": "https://api.minimax.io", "china": "https://api.minimaxi.com"} {
		if got, ok := d.Host(region); !ok || got != url {
			t.Errorf("region %q is at %s, want %s", region, got, url)
		}
	}
}

// What follows from an unknown id's name: nothing of it is refused, and the 01 series gets no duration.
func TestUnknownModels(t *testing.T) {
	for model, want := range map[string]string{
		"MiniMax-Hailuo-3": `{"duration":7,"first_frame_image":"a","last_frame_image":"b","model":"MiniMax-Hailuo-3","prompt":"x","resolution":"4K"}`,
		"video-01":         `{"first_frame_image":"a","last_frame_image":"b","model":"video-01","prompt":"x","resolution":"4K"}`,
		"S2V-02":           `{"duration":7,"model":"S2V-02","prompt":"x","resolution":"4K","subject_reference":[{"image":["a"],"type":"character"}]}`,
	} {
		req := video(model, func(r *provider.Request) {
			r.Prompt, r.Duration, r.Images, r.Metadata = "x", 7, []string{"a", "b"}, raw("resolution", `"4k"`)
		})
		if err := New().Validate(req); err != nil {
			t.Errorf("%s: refused: %v", model, err)
		}
		if got, err := encode(hailuoBody(req)); err != nil || string(got) != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
	req := video("MiniMax-H9", func(r *provider.Request) { r.Duration, r.Metadata = 99, raw("resolution", `"8K"`) })
	if err := New().Validate(req); err != nil {
		t.Errorf("MiniMax-H9: refused: %v", err)
	}
}

func callbacks() []providertest.CallbackCase {
	in := func(body string, settled bool) provider.InboundCallback {
		return provider.InboundCallback{Method: "POST", Path: "/callbacks/minimax/token", Header: http.Header{}, Body: []byte(body), Settled: settled, Arrived: time.Unix(1785901990, 0)}
	}
	hint := func(id string) provider.Callback { return provider.Callback{UpstreamID: id, Hint: true} }
	goesOn := func(id string) provider.Callback { return provider.Callback{UpstreamID: id} }
	echo := func(body string) provider.Callback { return provider.Callback{Answer: json.RawMessage(body)} }
	return []providertest.CallbackCase{
		{Name: "challenge", In: in(`{"challenge":"c-7f1e"}`, false), Want: echo(`{"challenge":"c-7f1e"}`)},
		{Name: "challenge to be escaped", In: in(`{ "challenge" : "a\u0026<\"\/é" , "more":1 }`, false), Want: echo(`{"challenge":"a\u0026<\"\/é"}`)},
		{Name: "challenge when no submit is under way", In: in(`{"challenge":"c-7f1e"}`, true), Class: provider.Invalid},
		{Name: "challenge that is no string", In: in(`{"challenge":{"a":"b"}}`, false), Class: provider.Invalid},
		{Name: "challenge that is empty", In: in(`{"challenge":""}`, false), Class: provider.Invalid},
		{Name: "challenge that is long", In: in(`{"challenge":"`+strings.Repeat("x", maxChallenge)+`"}`, false), Class: provider.Invalid},
		{Name: "V1", In: in(`{"task_id":"106916112212032","status":"success","file_id":"205258526306433","base_resp":{"status_code":0,"status_msg":"success"}}`, true), Want: hint("106916112212032")},
		{Name: "V1 with a number, before the answer", In: in(`{"task_id":106916112212032,"status":"processing"}`, false), Want: goesOn("106916112212032")},
		{Name: "V1 with a word that nobody documents", In: in(`{"task_id":"106916112212032","status":"warming"}`, true), Want: hint("106916112212032")},
		{Name: "V1 failed", In: in(`{"task_id":"106916112212032","status":"failed","base_resp":{"status_code":1027}}`, true), Want: hint("106916112212032")},
		{Name: "V2 queued", In: in(`{"task":{"id":"420000000000001","status":"queued"}}`, true), Want: goesOn("420000000000001")},
		{Name: "V2 running", In: in(`{"task":{"id":"420000000000001","status":"running"}}`, true), Want: goesOn("420000000000001")},
		{Name: "V2 without a status", In: in(`{"task":{"id":"420000000000001"}}`, true), Want: hint("420000000000001")},
		{Name: "V2", In: in(`{"task":{"id":"420000000000001","model":"MiniMax-H3","status":"succeeded","content":{"url":"https://cdn.example/v.mp4?sig=x"}}}`, true), Want: hint("420000000000001")},
		{Name: "no task", In: in(`{"status":"success"}`, true), Class: provider.Invalid},
		{Name: "no JSON", In: in(`success`, true), Class: provider.Invalid},
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"task":{"id":"1","status":"succeeded","content":{"url":"https://h/v.mp4"}}}`))
	f.Add([]byte(`{"task_id":1,"status":"Fail","base_resp":{"status_code":"1027"}}`))
	f.Add([]byte(`{"type":"error","error":{"type":"rate_limit_error","message":"x (1002)"},"request_id":"0217852290155100"}`))
	f.Add([]byte(`{"id":"1","data":{"image_urls":["https://h/i.jpeg"]},"metadata":{"success_count":"1","failed_count":0},"base_resp":{"status_code":0}}`))
	f.Add([]byte(`{"challenge":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got struct{ Task videoTask }
		if decode(body, &got) {
			if r := got.Task.report("1"); r.State == "" || r.State == provider.StateFailed && r.Err == nil || r.State == provider.StateSucceeded && len(r.Outputs) != 1 {
				t.Errorf("report %+v", r)
			}
		}
		for _, status := range []int{200, 301, 400, 404, 429, 529} {
			a := provider.Answer{Status: status, Body: body}
			for _, effect := range []provider.Effect{provider.Reads, provider.Creates} {
				e := refusal(a, effect)
				if e.Class == "" || e.Message == "" || effect == provider.Reads && e.Class == provider.OutcomeUnknown {
					t.Errorf("refusal of %d: %+v", status, e)
				}
			}
			if got, err := readTask(a); err == nil && got.UpstreamID == "" {
				t.Errorf("accepted without an id")
			}
			if got, err := readImages(a, provider.Request{ClientRef: "r"}); err == nil && (got.UpstreamID == "" || got.Report == nil || !got.Report.State.Final()) {
				t.Errorf("accepted images without an end: %+v", got)
			}
		}
		cb, err := New().VerifyCallback(provider.Upstream{}, provider.InboundCallback{Body: body})
		if err == nil && !cb.Hint && cb.UpstreamID == "" && !json.Valid(cb.Answer) {
			t.Errorf("callback %+v", cb)
		}
	})
}

func FuzzRequests(f *testing.F) {
	f.Add("MiniMax-H3", "1280x720", 6, []byte(`{"content":[{"type":"text","text":"x"},{"type":"image_url","role":"reference_image"}],"ratio":"1:1"}`))
	f.Add("MiniMax-Hailuo-02", "512x512", 10, []byte(`{"resolution":"512p","duration":"6","first_frame_image":"https://h/a.png"}`))
	f.Add("image-01", "3:2", 0, []byte(`{"n":"3","width":512.0,"height":null}`))
	f.Add("S2V-01", "x", 1<<40, []byte(`{"subject_reference":[{"image":["a"]}]}`))
	f.Fuzz(func(t *testing.T, model, size string, duration int, metadata []byte) {
		req := provider.Request{Model: model, UpstreamModel: model, Size: size, Duration: duration, Prompt: "x", CallbackURL: "https://h/?a=1&b=2"}
		_ = json.Unmarshal(metadata, &req.Metadata) // what cannot be read is no metadata
		before := maps.Clone(req.Metadata)
		if err := New().Validate(req); err != nil {
			return
		}
		p := protocols[familyOf(model)]
		body, err := encode(p.body(req))
		var sent map[string]json.RawMessage
		if err != nil || json.Unmarshal(body, &sent) != nil || len(before) != len(req.Metadata) {
			t.Fatalf("body %s, error %v", body, err)
		}
		if familyOf(model) != images && !strings.Contains(string(sent["callback_url"]), "?a=1&b=2") {
			t.Errorf("callback URL sent as %s", sent["callback_url"])
		}
	})
}

// The lifecycle can do without a callback only if it learns that nothing else was refused.
func TestUnreachableCallbackURL(t *testing.T) {
	u := providertest.NewUpstream(t)
	for reply, want := range map[*providertest.Reply]bool{
		ptr(v1(200, "2013", "invalid params, fail to check callback url")):                               true,
		ptr(v2(400, "bad_request_error", "invalid params, fail to check callback url (2013)")):           true,
		ptr(v1(200, "2013", "invalid params, prompt")):                                                   false,
		ptr(v2(422, "unprocessable_entity_error", "the callback_url contains sensitive content (1026)")): false,
	} {
		u.Answer(*reply)
		_, err := New().Submit(t.Context(), u.With(account), video("MiniMax-H3", nil))
		if e := provider.AsError(err, ""); e.CallbackRefused != want {
			t.Errorf("%s: %+v", reply.Body, e)
		}
	}
}

func ptr[T any](v T) *T { return &v }
