package sandbox

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "sk-sandbox-0123456789abcdef"
	testSecret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
)

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

var image = provider.Request{
	ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_1", Model: "sandbox-image", UpstreamModel: "sandbox-image",
	Kind: kinora.KindImage, Prompt: "two kites over a quiet bay", Size: "16:9",
}

func with(change func(*provider.Request)) provider.Request {
	r := image
	change(&r)
	return r
}

func metadata(pairs ...string) provider.Request {
	return with(func(r *provider.Request) { r.Metadata = raw(pairs...) })
}

func video(change func(*provider.Request)) provider.Request {
	return with(func(r *provider.Request) {
		r.UpstreamModel, r.Kind, r.Size = "sandbox-video", kinora.KindVideo, ""
		change(r)
	})
}

// jobs is an answer to a query that shows jobs with status words.
func jobs(words map[string]string) providertest.Reply {
	var list []string
	for id, word := range words {
		w, _ := json.Marshal(word)
		list = append(list, fmt.Sprintf(`{"id":%q,"status":%s}`, id, w))
	}
	sort.Strings(list)
	return providertest.JSON(200, `{"jobs":[`+strings.Join(list, ",")+`]}`)
}

// job is an answer that shows the suite's job with more fields.
func job(fields string) providertest.Reply {
	return providertest.JSON(200, `{"jobs":[{"id":"sbx_1","client_ref":"`+image.ClientRef+`","model":"m",`+fields+`}]}`)
}

func complaint(status int, message string) providertest.Reply {
	m, _ := json.Marshal(message)
	return providertest.JSON(status, fmt.Sprintf(`{"error":{"code":%s,"message":%s,"param":%s}}`, m, m, m))
}

func refusedWith(status int, code, param string) providertest.Reply {
	return providertest.JSON(status, fmt.Sprintf(`{"error":{"code":%q,"message":"no","param":%q}}`, code, param))
}

func TestConformance(t *testing.T) {
	failed := func(class provider.Class) *provider.Error { return &provider.Error{Class: class} }
	providertest.Run(t, providertest.Suite{
		Provider: New(),
		Account: provider.Account{Name: "built-in", Provider: Name, Settings: map[string]string{
			SettingAPIKey: testKey, SettingWebhookSecret: testSecret,
		}},
		Update:   *update,
		Request:  image,
		Accepted: providertest.JSON(200, `{"id":"sbx_1","status":"queued"}`),
		Want:     provider.Accepted{UpstreamID: "sbx_1"},
		Golden: map[string]provider.Request{
			"submit everything": with(func(r *provider.Request) {
				r.UpstreamModel, r.CallbackURL = "sandbox-image-callback", "https://gw.example/cb/sandbox/token?a=b"
				r.Images = []string{"https://cdn.example/a.png", "https://cdn.example/b.png"}
				r.Metadata = raw("n", "4", "seed", "42", "size", `"1024x768"`, "output_format", `"png"`, "resolution", `"2K"`,
					"sandbox", `{"delay":"2s","fail":"rate","fail_times":1}`, "negative_prompt", `"blur"`,
					"model", `"another"`, "prompt", `"another"`, "client_ref", `"another"`, "callback_url", `"https://evil.example/"`, "options", `{"fail":"balance"}`)
			}),
			"submit video":                  video(func(r *provider.Request) { r.Size, r.Duration = "1280x720", 8 }),
			"submit video metadata":         video(func(r *provider.Request) { r.Duration, r.Metadata = 8, raw("duration", `"3"`) }),
			"submit image ignores duration": with(func(r *provider.Request) { r.Duration = 99 }),
		},
		Refused: map[string]provider.Request{
			"input.prompt must be at most 8000 characters":                                           with(func(r *provider.Request) { r.Prompt = strings.Repeat("ä", 8001) }),
			"input.images must be at most 16":                                                        with(func(r *provider.Request) { r.Images = make([]string, 17) }),
			"input.metadata.n must be a whole number between 1 and 4":                                metadata("n", "5"),
			"input.metadata.n must be a whole number between 1 and 1":                                video(func(r *provider.Request) { r.Metadata = raw("n", "2") }),
			"input.metadata.n must be a whole number":                                                metadata("n", "null"),
			"input.metadata.seed must be a whole number":                                             metadata("seed", `"x"`),
			"input.size must be WxH":                                                                 with(func(r *provider.Request) { r.Size = "large" }),
			"input.size must be between 64 and 4096 pixels a side":                                   with(func(r *provider.Request) { r.Size = "63x1000" }),
			"input.metadata.size must be between":                                                    metadata("size", `"1000x4097"`),
			"input.metadata.size must be a string":                                                   metadata("size", `7`),
			"input.size must be between 128 and 1920":                                                video(func(r *provider.Request) { r.Size = "1922x128" }),
			"input.size must be even":                                                                video(func(r *provider.Request) { r.Size = "129x128" }),
			"input.duration must be between 1 and 15 seconds":                                        video(func(r *provider.Request) { r.Duration = 16 }),
			"input.metadata.duration must be between":                                                video(func(r *provider.Request) { r.Metadata = raw("duration", "0") }),
			"input.metadata.duration must be a whole number":                                         video(func(r *provider.Request) { r.Metadata = raw("duration", "1.5") }),
			"input.metadata.output_format must be one of jpeg, jpg, png":                             metadata("output_format", `"bmp"`),
			"input.metadata.resolution must be one of 0.5K, 1K, 2K, 4K":                              metadata("resolution", `"8K"`),
			"input.metadata.resolution must be one of 360p, 480p, 720p, 1080p":                       video(func(r *provider.Request) { r.Metadata = raw("resolution", `"2K"`) }),
			"input.metadata.output_format must be one of jpeg, jpg":                                  metadata("output_format", `"JPEG"`),
			"input.metadata.sandbox must be an object":                                               metadata("sandbox", `"x"`),
			`input.metadata.sandbox.delay must be seconds, or a text such as "1.5s", up to 48 hours`: metadata("sandbox", `{"delay":"soon"}`),
			`input.metadata.sandbox.slow_download must be seconds, or a text`:                        metadata("sandbox", `{"delay":0,"slow_download":-1}`),
			"input.metadata.sandbox.fail must be one of invalid, ":                                   metadata("sandbox", `{"fail":"often"}`),
			"input.metadata.sandbox.image must be one of blank, identical, unrelated, small":         metadata("sandbox", `{"image":"ugly"}`),
			"input.metadata.sandbox.image_times must be a whole number from 0":                       metadata("sandbox", `{"image_times":true}`),
			"input.metadata.sandbox.fail_times must be a whole number from 0":                        metadata("sandbox", `{"fail_times":"2"}`),
			"input.metadata.sandbox.output_404 must be true, false or a whole number from 0":         metadata("sandbox", `{"output_404":-1}`),
			"input.metadata.sandbox.status_word must be a text of at most 64 bytes":                  metadata("sandbox", `{"status_word":7}`),
			"input.metadata.sandbox.dealy is not known; there are apart, callback, delay, ":          metadata("sandbox", `{"dealy":1}`),
		},
		Refusals: []providertest.Refusal{
			{Name: "option", Reply: refusedWith(400, "invalid", "options.fail"), Class: provider.Invalid, Says: "input.metadata.sandbox.fail"},
			{Name: "size", Reply: refusedWith(400, "invalid", "size"), Class: provider.Invalid, Says: "input.size"},
			{Name: "n", Reply: refusedWith(400, "invalid", "n"), Class: provider.Invalid, Says: "input.metadata.n"},
			{Name: "something", Reply: refusedWith(400, "invalid", "c2VjcmV0"), Class: provider.Invalid, Says: "the upstream refused the request"},
			{Name: "too large", Reply: refusedWith(413, "invalid", ""), Class: provider.Invalid},
			{Name: "moderation", Reply: refusedWith(400, "moderation", "prompt"), Class: provider.Moderation},
			{Name: "credential", Reply: refusedWith(401, "credential", ""), Class: provider.Credential},
			{Name: "balance", Reply: refusedWith(402, "balance", ""), Class: provider.Balance},
			{Name: "permission", Reply: refusedWith(403, "permission", ""), Class: provider.Permission},
			{Name: "model", Reply: refusedWith(404, "model_gone", "model"), Class: provider.ModelGone},
			{Name: "rate", Reply: refusedWith(429, "rate", ""), Class: provider.Rate},
			{Name: "overload, nothing created", Reply: refusedWith(503, "unavailable", ""), Class: provider.Unavailable},
			{Name: "fault, perhaps created", Reply: refusedWith(500, "internal", ""), Class: provider.OutcomeUnknown},
			{Name: "fault that says unavailable", Reply: refusedWith(500, "unavailable", ""), Class: provider.OutcomeUnknown},
		},
		StatusClasses: map[int]provider.Class{
			402: provider.Balance, 404: provider.ModelGone, 410: provider.ModelGone, 400: provider.Invalid, 422: provider.Invalid,
		},

		Job:  provider.Job{UpstreamID: "sbx_1", ClientRef: image.ClientRef, Kind: kinora.KindImage},
		Poll: jobs,
		Carrying: func(reference string) providertest.Reply {
			return providertest.JSON(200, `{"jobs":[{"id":"sbx_1","client_ref":"`+reference+`","status":"running"}]}`)
		},
		Words: map[string]provider.State{
			"queued": provider.StateQueued, "running": provider.StateRunning, "succeeded": provider.StateSucceeded,
			"failed": provider.StateFailed, "cancelled": provider.StateCancelled,
			// Both spellings and any case are read alike (upstream rules 1.1).
			"canceled": provider.StateCancelled, "QUEUED": provider.StateQueued,
		},
		Reports: []providertest.PollCase{
			{Name: "queued", Reply: job(`"status":"queued","progress":0`), Want: provider.Report{State: provider.StateQueued}},
			{Name: "running", Reply: job(`"status":"running","progress":42`), Want: provider.Report{State: provider.StateRunning, Progress: 42}},
			{Name: "without progress", Reply: job(`"status":"running"`), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{Name: "odd progress", Reply: job(`"status":"running","progress":1e9`), Want: provider.Report{State: provider.StateRunning, Progress: 100}},
			{
				Name:  "succeeded",
				Reply: job(`"status":"succeeded","progress":100,"outputs":[{"url":"http://h/1.jpg","type":"image","width":1},{"url":"http://h/2.mp4","type":"video"},{"url":"http://h/3","type":"x"},{"type":"image"}]`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{
					{URL: "http://h/1.jpg", Kind: kinora.KindImage}, {URL: "http://h/2.mp4", Kind: kinora.KindVideo}, {URL: "http://h/3", Kind: kinora.KindImage},
				}},
			},
			{
				Name: "succeeded without outputs", Reply: job(`"status":"succeeded","progress":100,"outputs":[]`),
				Want: provider.Report{State: provider.StateFailed, Progress: 100, Err: failed(provider.Generation)},
			},
			{
				Name: "failed", Reply: job(`"status":"failed","progress":99,"error":{"code":"generation","message":"x"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: 99, Err: failed(provider.Generation)},
			},
			{
				Name: "refused output", Reply: job(`"status":"failed","progress":99,"error":{"code":"moderation","message":"x"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: 99, Err: failed(provider.Moderation)},
			},
			{
				Name: "listed twice, among others", Reply: providertest.JSON(200, `{"jobs":[{"id":"sbx_9","status":"failed"},{"id":"sbx_1","status":"running"},{"id":"sbx_1","status":"failed"}]}`),
				Want: provider.Report{State: provider.StateRunning, Progress: -1},
			},
			{Name: "overload", Reply: refusedWith(503, "unavailable", ""), Class: provider.Unavailable},
			{Name: "wrong key", Reply: refusedWith(401, "credential", ""), Class: provider.Credential},
			{Name: "no such route", Reply: refusedWith(404, "not_found", ""), Class: provider.Unavailable},
		},
		Complaint: complaint,
		Failed: func(message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return job(fmt.Sprintf(`"status":"failed","error":{"code":%s,"message":%s}`, m, m))
		},
		Cancelled: providertest.JSON(200, `{"id":"sbx_1","status":"cancelled"}`),
		TooLate:   refusedWith(409, "invalid", ""),
		Found:     providertest.JSON(200, `{"jobs":[{"id":"sbx_1","client_ref":"`+image.ClientRef+`","status":"running"},{"id":"sbx_2","client_ref":"`+image.ClientRef+`","status":"running"}]}`),
		NotFound:  providertest.JSON(200, `{"jobs":[]}`),
		Callbacks: callbacks(t),
	})
}

func callbacks(t *testing.T) []providertest.CallbackCase {
	t.Helper()
	arrived := time.Unix(1781080794, 0)
	body := `{"id":"sbx_1","client_ref":"r","model":"m","status":"succeeded","progress":100,"seed":1,"created_at":1781080778802}`
	signed := func(at time.Time, text string) provider.InboundCallback {
		webhook, err := standardwebhooks.NewWebhook(testSecret)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := webhook.Sign("msg_1", at, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return provider.InboundCallback{
			Method: "POST", Path: "/cb/sandbox/token", Body: []byte(text), Arrived: arrived,
			Header: http.Header{
				"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Webhook-Signature": {signature},
				"Content-Type": {"application/json"},
			},
		}
	}
	unsigned := signed(arrived, body)
	unsigned.Header = http.Header{}
	rotated := signed(arrived, body)
	rotated.Header.Set("Webhook-Signature", "v1,AAAA "+rotated.Header.Get("Webhook-Signature"))
	vector := provider.InboundCallback{
		// The vector of Kling's callback documentation: the same scheme, signed by somebody else.
		Body: []byte(`{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}`), Arrived: arrived,
		Header: http.Header{"Webhook-Id": {"9876543210"}, "Webhook-Timestamp": {"1781080794"}, "Webhook-Signature": {"v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4="}},
	}
	none := map[string]string{SettingWebhookSecret: ""}
	hint := provider.Callback{UpstreamID: "sbx_1", Hint: true, Verified: true}
	return []providertest.CallbackCase{
		{Name: "signed", In: signed(arrived, body), Want: hint, Tamper: true, VolatileHeaders: []string{"Content-Type"}},
		{Name: "signed four minutes ago", In: signed(arrived.Add(-4*time.Minute), body), Want: hint},
		{Name: "signed four minutes ahead", In: signed(arrived.Add(4*time.Minute), body), Want: hint},
		{Name: "signed six minutes ago", In: signed(arrived.Add(-6*time.Minute), body), Class: provider.Credential},
		{Name: "signed with two secrets", In: rotated, Want: hint},
		{Name: "vector", In: vector, Want: provider.Callback{UpstreamID: "1234567890", Hint: true, Verified: true}, Tamper: true},
		{Name: "unsigned, none wanted", In: unsigned, Settings: none, Want: provider.Callback{UpstreamID: "sbx_1", Hint: true}},
		{Name: "unsigned, one wanted", In: unsigned, Class: provider.Credential},
		{Name: "malformed secret", In: signed(arrived, body), Settings: map[string]string{SettingWebhookSecret: "whsec_%%%%"}, Class: provider.Credential},
		{Name: "no job", In: signed(arrived, `{"status":"succeeded"}`), Class: provider.Invalid},
		{Name: "no JSON", In: signed(arrived, `succeeded`), Class: provider.Invalid},
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"jobs":[{"id":"sbx_1","status":"succeeded","progress":100,"outputs":[{"url":"http://h/1.jpg","type":"image"}]}]}`))
	f.Add([]byte(`{"error":{"code":"rate","message":"x","param":"options.fail"}}`))
	f.Add([]byte(`{"id":"sbx_1","status":"failed","error":null,"progress":-1e308}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var s status
		if json.Unmarshal(answer, &s) == nil {
			r := s.report(kinora.KindImage)
			if r.State == "" || r.Progress < -1 || r.Progress > 100 || r.State == provider.StateFailed && r.Err == nil || r.State == provider.StateSucceeded && len(r.Outputs) == 0 {
				t.Errorf("report %+v", r)
			}
		}
		for _, code := range []int{301, 400, 404, 429} {
			if e := refusal(provider.Answer{Status: code, Body: answer}); e.Class == "" || e.Class == provider.OutcomeUnknown || e.Message == "" {
				t.Errorf("refusal %+v", e)
			}
		}
	})
}

// A request that asks for each output apart takes a call for each, and none of them asks for
// more, nor tells the sandbox of an option that it does not know.
func TestOutputsMadeApart(t *testing.T) {
	s := New()
	req := func(metadata string) (req provider.Request) {
		req.UpstreamModel, req.Kind, req.Prompt, req.ClientRef = "sandbox-image", kinora.KindImage, "a kite", "task_1_0"
		if err := json.Unmarshal([]byte(metadata), &req.Metadata); err != nil {
			t.Fatal(err)
		}
		return req
	}
	for metadata, want := range map[string]int{
		`{}`: 1, `{"n":3}`: 1, `{"n":3,"sandbox":{"apart":false}}`: 1, `{"sandbox":{"apart":true}}`: 1,
		`{"n":3,"sandbox":{"apart":true,"delay":"1s"}}`: 3, `{"n":1,"sandbox":{"apart":true}}`: 1,
	} {
		if n := s.Parts(req(metadata)); n != want {
			t.Errorf("%s takes %d calls, want %d", metadata, n, want)
		}
	}
	var sent map[string]json.RawMessage
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"id":"sbx_1","client_ref":"task_1_0","status":"queued"}`))
	}))
	defer upstream.Close()
	share := req(`{"n":3,"sandbox":{"apart":true,"delay":"1s"}}`)
	share.Part, share.Parts = 1, 3
	client := upstream.Client()
	defer client.CloseIdleConnections()
	up := provider.Upstream{Account: provider.Account{BaseURL: upstream.URL, Settings: map[string]string{SettingAPIKey: "k"}}, Client: client}
	if _, err := s.Submit(t.Context(), up, share); err != nil {
		t.Fatal(err)
	}
	if string(sent["n"]) != "1" || string(sent["options"]) != `{"delay":"1s"}` {
		t.Errorf("sent %s with options %s", sent["n"], sent["options"])
	}
}
