package ark

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
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

var account = provider.Account{
	Name: "ark-cn", Provider: Name, BaseURL: "https://ark.example/api/v3",
	Settings: map[string]string{SettingAPIKey: "arkkey0123456789abcdef", SettingProject: "films"},
}

const testRef = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_1"

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

// video is a Seedance request; image a Seedream one.
func video(change func(*provider.Request)) provider.Request {
	r := provider.Request{
		ClientRef: testRef, Model: "doubao-seedance-1-5-pro-251215", UpstreamModel: "doubao-seedance-1-5-pro-251215",
		Kind: kinora.KindVideo, Prompt: "two kites over a quiet bay",
	}
	change(&r)
	return r
}

func image(change func(*provider.Request)) provider.Request {
	r := video(func(r *provider.Request) {
		r.Model, r.UpstreamModel, r.Kind = "doubao-seedream-4-0-250828", "doubao-seedream-4-0-250828", kinora.KindImage
	})
	change(&r)
	return r
}

func plain(*provider.Request) {}

// meta changes a request's model and metadata.
func meta(model string, pairs ...string) func(*provider.Request) {
	return func(r *provider.Request) { r.UpstreamModel, r.Metadata = model, raw(pairs...) }
}

func urls(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("https://cdn.example/%d.png?a=1&b=2", i))
	}
	return out
}

const taskID = "cgt-20260822-abcde"

// shown is a task as a query shows it.
func shown(id, word, more string) string {
	w, _ := json.Marshal(word)
	return fmt.Sprintf(`{"id":%q,"model":"doubao-seedance-1-5-pro-251215","status":%s,"created_at":1785901861,"updated_at":1785901861%s}`, id, w, more)
}

// polled answers a query: of one task by itself, of several as a list.
func polled(words map[string]string) providertest.Reply {
	var items []string
	for _, id := range slices.Sorted(maps.Keys(words)) {
		items = append(items, shown(id, words[id], ""))
	}
	if len(items) == 1 {
		return providertest.JSON(200, items[0])
	}
	return listed(items...)
}

func listed(items ...string) providertest.Reply {
	return providertest.JSON(200, fmt.Sprintf(`{"total":%d,"items":[%s]}`, len(items), strings.Join(items, ",")))
}

func one(word, more string) providertest.Reply {
	return providertest.JSON(200, shown(taskID, word, more))
}

func refusedWith(status int, code, param string) providertest.Reply {
	return providertest.JSON(status, fmt.Sprintf(`{"error":{"code":%q,"message":"rate limit","param":%q,"type":"TooManyRequests","request_id":"02178"}}`, code, param))
}

func complaint(status int, message string) providertest.Reply {
	m, _ := json.Marshal(message)
	return providertest.JSON(status, fmt.Sprintf(`{"error":{"code":%s,"message":%s,"param":%s,"type":%s}}`, m, m, m, m))
}

// documented are the codes of the vendor's error page, by status, with their classes.
var documented = []struct {
	status int
	class  provider.Class
	codes  []string
}{
	{400, provider.Invalid, []string{"MissingParameter", "InvalidParameter", "InvalidParameter.TaskTypeConstraint", "InvalidEndpoint.ClosedEndpoint"}},
	{400, provider.Moderation, []string{
		"InputTextSensitiveContentDetected", "InputImageSensitiveContentDetected", "InputVideoSensitiveContentDetected", "InputAudioSensitiveContentDetected",
		"InputImageSensitiveContentDetected.PolicyViolation", "InputImageSensitiveContentDetected.PrivacyInformation", "InputTextRiskDetection",
		"OutputImageSensitiveContentDetected", "OutputVideoSensitiveContentDetected.PolicyViolation", "OutputAudioSensitiveContentDetected", "SensitiveContentDetected",
	}},
	{401, provider.Credential, []string{"AuthenticationError"}},
	{403, provider.Balance, []string{"AccountOverdueError", "OperationDenied.ServiceOverdue"}},
	{403, provider.Permission, []string{"AccessDenied"}},
	{404, provider.ModelGone, []string{"InvalidEndpointOrModel.NotFound", "ModelNotOpen"}},
	{404, provider.Invalid, []string{"ResourceNotFound"}}, // of a submit: what it names
	{429, provider.Rate, []string{
		"RateLimitExceeded.EndpointRPMExceeded", "RateLimitExceeded.EndpointTPMExceeded", "ModelAccountRpmRateLimitExceeded", "ModelAccountTpmRateLimitExceeded",
		"ModelAccountIpmRateLimitExceeded", "APIAccountRpmRateLimitExceeded", "AccountRateLimitExceeded", "InflightBatchsizeExceeded", "RequestBurstTooFast", "ServerOverloaded",
	}},
	{429, provider.Balance, []string{"QuotaExceeded", "SetLimitExceeded"}},
	{500, provider.OutcomeUnknown, []string{"InternalServiceError"}},
}

func refusals() (out []providertest.Refusal) {
	for _, d := range documented {
		for _, code := range d.codes {
			out = append(out, providertest.Refusal{Name: code, Reply: refusedWith(d.status, code, ""), Class: d.class})
		}
	}
	return append(out,
		providertest.Refusal{Name: "names a field", Reply: refusedWith(400, "InvalidParameter", "ratio"), Class: provider.Invalid, Says: "the upstream refused input.size"},
		providertest.Refusal{Name: "names an inner field", Reply: refusedWith(400, "InvalidParameter", "content[1].image_url.url"), Class: provider.Invalid, Says: "input.prompt or input.images"},
		providertest.Refusal{Name: "an unknown code", Reply: refusedWith(429, "SomethingNew", ""), Class: provider.Rate},
	)
}

// statusClasses are those of answers that are not the vendor's.
var statusClasses = map[int]provider.Class{402: provider.Balance, 404: provider.ModelGone, 410: provider.ModelGone, 400: provider.Invalid, 422: provider.Invalid}

func failedAs(class provider.Class) *provider.Error { return &provider.Error{Class: class} }

func TestSeedance(t *testing.T) {
	const done = `,"error":null,"content":{"video_url":"https://tos.example/v.mp4?X-Tos-Signature=x"%s},"usage":{"completion_tokens":108900,"total_tokens":"108900"},"seed":7,"resolution":"720p","ratio":"16:9","duration":5`
	made := []provider.Output{{URL: "https://tos.example/v.mp4?X-Tos-Signature=x", Kind: kinora.KindVideo}}
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: account, Folder: "seedance", Update: *update,
		Request: video(plain), Accepted: providertest.JSON(200, `{"id":"`+taskID+`"}`), Want: provider.Accepted{UpstreamID: taskID},
		Golden: map[string]provider.Request{
			"first frame": video(func(r *provider.Request) { r.Images, r.Size, r.Duration = urls(1), "1280x720", 5 }),
			"first and last frame": video(func(r *provider.Request) {
				r.Images, r.Size, r.CallbackURL = urls(2), "9:16", "https://gw.example/cb/ark/JOBTOKEN?a=b&c=<d>"
			}),
			"references": video(func(r *provider.Request) {
				meta("doubao-seedance-2-0-260128", "watermark", "true")(r)
				r.Images = urls(3)
			}),
			"references beside a video": video(func(r *provider.Request) {
				meta("dreamina-seedance-2-0-260128", "content", `[{"type":"video_url","video_url":{"url":"https://cdn.example/v.mp4"},"role":"reference_video"}]`)(r)
				r.Images, r.Duration = urls(1), 8
			}),
			"roles": video(func(r *provider.Request) {
				meta("doubao-seedance-2-5-260628", "image_roles", `"reference_image"`, "duration", "-1", "output_format", `"mov"`, "priority", `"9"`, "omni_reference_task_type", `"edit"`)(r)
				r.Images = urls(2)
			}),
			"own content": video(func(r *provider.Request) {
				meta("doubao-seedance-1-0-lite-i2v-250428", "content", `[{"type":"text","text":"from the text --dur 5"},{"type":"image_url","image_url":{"url":"asset://a"},"role":"first_frame"}]`)(r)
				r.Images = urls(1)
			}),
			"draft": video(meta("doubao-seedance-1-5-pro-251215", "content", `[{"type":"draft_task","draft_task":{"id":"cgt-0"}}]`)),
			"metadata wins": video(func(r *provider.Request) {
				meta("seedance-1-0-pro-250528", "ratio", `"21:9"`, "resolution", `"1080P"`, "frames", `"57"`, "seed", "42", "camera_fixed", "true", "return_last_frame", "true",
					"safety_identifier", `"user-17"`, "service_tier", `"flex"`, "execution_expires_after", "7200", "tools", `[{"type":"web_search"}]`, "unheard_of", `{"a":[1]}`,
					"model", `"another"`, "callback_url", `"https://evil.example/"`, "durationSeconds", "9", "generate_audio", "null")(r)
				r.Size, r.Duration = "640x480", 9
			}),
			"parameters in the prompt": video(func(r *provider.Request) {
				r.Prompt = "a kite --rs 1080p --dur 12 over a well--known bay --wm true"
			}),
			"an endpoint": video(func(r *provider.Request) { r.UpstreamModel, r.Size = "seedance/ep-20260822-x7k2p", "auto" }),
			"an unheard of model": video(func(r *provider.Request) {
				r.UpstreamModel, r.Duration, r.Images = "wan-9-9", 99, urls(12)
			}),
		},
		Patience: map[string]time.Duration{"metadata wins": 2 * time.Hour},
		Refused:  refusedVideos(),
		Refusals: refusals(), StatusClasses: statusClasses,
		Job: provider.Job{UpstreamID: taskID, ClientRef: testRef, Kind: kinora.KindVideo, UpstreamModel: "doubao-seedance-1-5-pro-251215"}, Poll: polled,
		Carrying: func(reference string) providertest.Reply {
			return one("running", `,"safety_identifier":"`+reference+`"`)
		},
		Words: map[string]provider.State{
			"queued": provider.StateQueued, "running": provider.StateRunning, "succeeded": provider.StateSucceeded, "failed": provider.StateFailed,
			"cancelled": provider.StateCancelled, "canceled": provider.StateCancelled, "expired": provider.StateExpired, "SUCCEEDED": provider.StateSucceeded,
		},
		Reports: []providertest.PollCase{
			{Name: "queued", Reply: one("queued", `,"service_tier":"default"`), Want: provider.Report{State: provider.StateQueued, Progress: -1}},
			{Name: "running", Reply: one("running", ""), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{Name: "succeeded", Reply: one("succeeded", fmt.Sprintf(done, "")), Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: made}},
			{
				Name:  "with its last frame",
				Reply: one("succeeded", fmt.Sprintf(done, `,"last_frame_url":"https://tos.example/l.png?X-Tos-Signature=x"`)),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1,
					Outputs: append(slices.Clone(made), provider.Output{URL: "https://tos.example/l.png?X-Tos-Signature=x", Kind: kinora.KindImage})},
			},
			{
				Name: "refused output", Reply: one("failed", `,"error":{"code":"OutputVideoSensitiveContentDetected","message":"output rejected"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Moderation)},
			},
			{
				Name: "late complaint", Reply: one("failed", `,"error":{"code":"InvalidParameter.TaskTypeMismatch","message":"x"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Invalid)},
			},
			{
				Name: "fault", Reply: one("failed", `,"error":{"code":"InternalServiceError","message":"x"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)},
			},
			{
				Name: "the list's way to say why", Reply: one("failed", `,"failure_reason":{"code":"OutputVideoSensitiveContentDetected.PolicyViolation","message":"x"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Moderation)},
			},
			{
				Name: "an old SDK's way to say why", Reply: one("failed", `,"failure_reason":"something broke"`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)},
			},
			{Name: "expired", Reply: one("expired", ""), Want: provider.Report{State: provider.StateExpired, Progress: -1, Err: failedAs(provider.Generation)}},
			{Name: "success without a file", Reply: one("succeeded", `,"content":{}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)}},
			{Name: "odd types", Reply: one("running", `,"content":[],"error":7,"failure_reason":[],"safety_identifier":9`), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{Name: "another task", Reply: providertest.JSON(200, shown("cgt-9", "failed", "")), Class: provider.Unavailable},
			{Name: "wrong key", Reply: refusedWith(401, "AuthenticationError", ""), Class: provider.Credential},
			{Name: "too often", Reply: refusedWith(429, "AccountRateLimitExceeded", ""), Class: provider.Rate},
			{Name: "a proxy's 404", Reply: providertest.Reply{Status: 404, Body: "no route"}, Class: provider.Unavailable},
		},
		Complaint: complaint,
		Failed: func(message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return one("failed", fmt.Sprintf(`,"error":{"code":%s,"message":%s}`, m, m))
		},
		Cancelled: one("queued", ""), TooLate: one("running", ""),
		Found: listed(shown("cgt-1", "running", `,"safety_identifier":"user-17"`), shown(taskID, "queued", `,"safety_identifier":"`+testRef+`"`), shown("cgt-3", "failed", "")),
		// Nothing found proves nothing: the page shows the latest tasks only.
		NotFound: listed(shown("cgt-1", "running", "")), Uncertain: true,
		Callbacks: []providertest.CallbackCase{
			{Name: "waiting", In: inbound(shown(taskID, "queued", "")), Want: provider.Callback{UpstreamID: taskID, Handle: named}},
			{Name: "going on", In: inbound(shown(taskID, "running", "")), Want: provider.Callback{UpstreamID: taskID, Handle: named}},
			{Name: "a word that nobody documents", In: inbound(shown(taskID, "warming", "")), Want: provider.Callback{UpstreamID: taskID, Handle: named, Hint: true}},
			{Name: "an end", In: inbound(shown(taskID, "succeeded", fmt.Sprintf(done, ""))), Want: provider.Callback{UpstreamID: taskID, Handle: named, Hint: true}},
			{Name: "no task", In: inbound(`{"status":"succeeded"}`), Class: provider.Invalid},
			{Name: "no JSON", In: inbound(`succeeded`), Class: provider.Invalid},
		},
	})
}

func inbound(body string) provider.InboundCallback {
	return provider.InboundCallback{Method: "POST", Path: "/callbacks/ark/token", Body: []byte(body), Arrived: time.Unix(1785901950, 0)}
}

func refusedVideos() map[string]provider.Request {
	v1, v15, v2, v25 := "doubao-seedance-1-0-pro-250528", "doubao-seedance-1-5-pro-251215", "doubao-seedance-2-0-fast-260128", "doubao-seedance-2-5-260628"
	out := map[string]provider.Request{}
	add := func(says, model string, pairs ...string) { out[says] = video(meta(model, pairs...)) }
	with := func(says string, change func(*provider.Request)) { out[says] = video(change) }
	add("input.metadata.resolution must be one of 480p, 720p, 1080p, 4k", v1, "resolution", `"8k"`)
	add("input.metadata.ratio must be one of", v1, "ratio", `"2:1"`)
	add("input.metadata.service_tier must be one of default, flex", v1, "service_tier", `"slow"`)
	add("input.metadata.service_tier must be default for this model", v2, "service_tier", `"flex"`)
	add("input.metadata.execution_expires_after must be a whole number between 3600 and 259200 seconds", v1, "execution_expires_after", "3599")
	add("input.metadata.priority must be a whole number between 0 and 9", v2, "priority", "10")
	add("input.metadata.priority must be left out for this model", v1, "priority", "1")
	add("input.metadata.draft must be left out for this model", v2, "draft", "true")
	add("input.metadata.output_format must be one of mp4, mov", v25, "output_format", `"gif"`)
	add("input.metadata.output_format must be left out for this model", v2, "output_format", `"mov"`)
	add("input.metadata.omni_reference_task_type must be one of", v2, "omni_reference_task_type", `"x"`)
	add("input.metadata.watermark must be true or false", v1, "watermark", `"no"`)
	add("input.metadata.tools must be an array", v1, "tools", `{}`)
	add("input.metadata.seed must be a whole number", v1, "seed", "1.5")
	add("input.metadata.safety_identifier must be a string of at most 64 characters", v1, "safety_identifier", `"`+strings.Repeat("ä", 65)+`"`)
	add("input.metadata.frames must be a whole number between 29 and 289 of the form 25 + 4n", v1, "frames", "30")
	add("input.metadata.frames must be left out for this model", v15, "frames", "29")
	add("input.metadata.duration must be a whole number of seconds", v1, "duration", `"long"`)
	add("input.metadata.duration must be between 2 and 12 seconds for this model", v1, "duration", "13")
	add("input.metadata.duration must be between 4 and 15 seconds, or -1", v2, "duration", "16")
	add("input.metadata.duration must be between 4 and 30 seconds, or -1", v25, "duration", "31")
	with("input.duration must be between 2 and 12 seconds for this model", func(r *provider.Request) { r.UpstreamModel, r.Duration = v1, 1 })
	with("input.size must be pixels such as 1280x720", func(r *provider.Request) { r.Size = "large" })
	with("input.size must be pixels, auto, or one of 16:9", func(r *provider.Request) { r.Size = "3:2" })
	with("input.prompt must be more than parameters", func(r *provider.Request) { r.Prompt = " --rs 720p --dur 5" })
	with("input.images must be at most 9 reference images for this model", func(r *provider.Request) { r.UpstreamModel, r.Images = v2, urls(10) })
	with("input.images must be at most 30 reference images for this model", func(r *provider.Request) { r.UpstreamModel, r.Images = v25, urls(31) })
	with("input.images must be at most 4 reference images for this model", func(r *provider.Request) { r.UpstreamModel, r.Images = "seedance-1-0-lite-i2v-250428", urls(5) })
	add("input.metadata.content must be an array of objects with a type", v2, "content", `[{"role":"x"}]`)
	add("input.metadata.content must have an image or a video beside a reference audio", v2, "content", `[{"type":"audio_url","audio_url":{"url":"https://h/a.mp3"},"role":"reference_audio"}]`)
	add("input.metadata.content[0].video_url.url must be a URL", v2, "content", `[{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AAAA"}}]`)
	add("input.metadata.content[0].image_url.url must be an image of at most 30 MB", v2, "content", `[{"type":"image_url","image_url":{"url":"data:image/png;base64,`+strings.Repeat("A", 41<<20)+`"}}]`)
	item := `{"type":"video_url","video_url":{"url":"https://h/v.mp4"},"role":"reference_video"}`
	add("input.metadata.content must be at most 3 reference videos for this model", v2, "content", "["+strings.Repeat(item+",", 3)+item+"]")
	with("input.metadata.content must not mix first and last frames with references", func(r *provider.Request) {
		meta(v2, "content", "["+item+"]", "image_roles", `"first_frame"`)(r)
		r.Images = urls(1)
	})
	roles := func(says string, images int, value string) {
		with(says, func(r *provider.Request) { meta(v2, "image_roles", value)(r); r.Images = urls(images) })
	}
	roles("input.metadata.image_roles must be one role, or an array", 2, `["first_frame"]`)
	roles("input.metadata.image_roles must be of first_frame, last_frame, reference_image", 1, `"middle"`)
	roles("input.metadata.image_roles must not mix", 2, `["first_frame","reference_image"]`)
	roles("input.metadata.image_roles must be at most one first and one last frame", 2, `"first_frame"`)
	roles("input.metadata.image_roles must have a first frame beside the last", 1, `"last_frame"`)
	return out
}

func TestSeedream(t *testing.T) {
	made := func(urls ...string) *provider.Report {
		r := &provider.Report{State: provider.StateSucceeded, Progress: 100}
		for _, u := range urls {
			r.Outputs = append(r.Outputs, provider.Output{URL: u, Kind: kinora.KindImage})
		}
		return r
	}
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: account, Folder: "seedream", Update: *update,
		Request: image(plain),
		Accepted: providertest.JSON(200, `{"model":"doubao-seedream-4-0-250828","created":1785901861,"data":[{"url":"https://tos.example/i.jpeg","size":"2048x2048"},`+
			`{"error":{"code":"OutputImageSensitiveContentDetected","message":"no"}}],"usage":{"generated_images":1,"output_tokens":16384,"total_tokens":16384}}`),
		Want: provider.Accepted{Report: made("https://tos.example/i.jpeg")},
		Golden: map[string]provider.Request{
			"one source": image(func(r *provider.Request) { r.Images, r.Size = urls(1), "2048x1024" }),
			"sources":    image(func(r *provider.Request) { r.Images, r.Size = urls(3), "4K" }),
			"a ratio":    image(func(r *provider.Request) { r.Size = "16:9" }),
			"a ratio and a resolution": image(func(r *provider.Request) {
				meta("doubao-seedream-4-5-251128", "resolution", `"4k"`)(r)
				r.Size = "1:1"
			}),
			"a resolution":                image(meta("doubao-seedream-4-0-250828", "resolution", `"1K"`)),
			"several":                     image(meta("doubao-seedream-4-0-250828", "n", "4")),
			"adaptive":                    image(meta("doubao-seededit-3-0-i2i-250628", "size", `"adaptive"`, "seed", `"7"`, "guidance_scale", "5.5")),
			"an endpoint":                 image(func(r *provider.Request) { r.UpstreamModel = "seedream/ep-20260822-x7k2p" }),
			"an endpoint of unknown kind": image(func(r *provider.Request) { r.UpstreamModel = "ep-20260822-x7k2p" }),
			"an old model":                image(func(r *provider.Request) { r.UpstreamModel, r.Size = "doubao-seedream-3-0-t2i-250415", "1:1" }),
			"an old model and its fields": image(meta("doubao-seedream-3-0-t2i-250415", "seed", `"7"`, "guidance_scale", "2.5")),
			"metadata wins": image(func(r *provider.Request) {
				meta("doubao-seedream-5-0-260128", "watermark", "true", "size", `"3K"`, "image", `["https://cdn.example/x.png"]`, "sequential_image_generation", `"auto"`,
					"sequential_image_generation_options", `{"max_images":3}`, "optimize_prompt_options", `{"mode":"fast"}`, "output_format", `"png"`, "unheard_of", "1",
					"model", `"another"`, "prompt", `"another"`, "response_format", `"b64_json"`, "stream", "true", "callback_url", `"https://evil.example/"`, "durationSeconds", "5")(r)
				r.Size, r.Images = "1024x1024", urls(2)
			}),
		},
		Refused: map[string]provider.Request{
			"input.size must be pixels such as 2048x2048":                                       image(func(r *provider.Request) { r.Size = "large" }),
			"input.metadata.size must be pixels such as 2048x2048":                              image(meta("m", "size", "2048")),
			"input.metadata.resolution must be one of 1K, 2K, 3K, 4K":                           image(meta("m", "resolution", `"8K"`)),
			"input.metadata.n must be a whole number between 1 and 15":                          image(meta("m", "n", "16")),
			"input.images must be at most 10 for this model":                                    image(func(r *provider.Request) { r.Images = urls(11) }),
			"input.images must be at most 14 for this model":                                    image(func(r *provider.Request) { r.UpstreamModel, r.Images = "doubao-seedream-4-5-251128", urls(15) }),
			"input.metadata.image must be a string or an array of strings":                      image(meta("m", "image", "7")),
			"input.metadata.n must leave room for the source images: at most 15 together":       image(func(r *provider.Request) { meta("m", "n", "14")(r); r.Images = urls(2) }),
			"input.metadata.sequential_image_generation must be one of auto, disabled":          image(meta("m", "sequential_image_generation", `"on"`)),
			"input.metadata.sequential_image_generation_options must be an object whose max":    image(meta("m", "sequential_image_generation_options", `{"max_images":16}`)),
			"input.metadata.optimize_prompt_options must be an object whose mode is one of":     image(meta("m", "optimize_prompt_options", `{"mode":"best"}`)),
			"input.metadata.optimize_prompt_options must be an object whose thinking is one of": image(meta("m", "optimize_prompt_options", `{"thinking":"hard"}`)),
			"input.metadata.output_format must be one of png, jpeg":                             image(meta("m", "output_format", `"mp4"`)),
			"input.metadata.output_format must be left out for this model":                      image(meta("doubao-seedream-4-5-251128", "output_format", `"png"`)),
			"input.metadata.seed must be a whole number":                                        image(meta("doubao-seedream-3-0-t2i-250415", "seed", "1.5")),
			"input.metadata.seed must be left out for this model":                               image(meta("doubao-seedream-4-0-250828", "seed", "7")),
			"input.metadata.guidance_scale must be a number":                                    image(meta("doubao-seedream-3-0-t2i-250415", "guidance_scale", `"high"`)),
			"input.metadata.guidance_scale must be left out for this model":                     image(meta("doubao-seedream-5-0-260128", "guidance_scale", "5.5")),
			"input.metadata.watermark must be true or false":                                    image(meta("m", "watermark", "1")),
			"input.metadata.sequential_image_generation_options must leave room for the source": image(func(r *provider.Request) {
				meta("m", "sequential_image_generation_options", `{"max_images":15}`)(r)
				r.Images = urls(1)
			}),
		},
		Refusals: refusals(), StatusClasses: statusClasses,
		Complaint: complaint,
	})
}

// What the image route says with status 200 is success, failure, or not known.
func TestImageAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		state provider.State
		class provider.Class // of the failure, or of the error
	}{
		"one of two":        {`{"data":[{"error":{"code":"OutputImageSensitiveContentDetected"}},{"url":"https://h/1"}]}`, provider.StateSucceeded, ""},
		"all refused":       {`{"data":[{"error":{"code":"OutputImageSensitiveContentDetected","message":"x"}}],"usage":{"generated_images":0}}`, provider.StateFailed, provider.Moderation},
		"all failed":        {`{"data":[{"error":{"code":"InternalServiceError"}}]}`, provider.StateFailed, provider.Generation},
		"failed as a whole": {`{"data":null,"error":{"code":"InternalServiceError","message":"x"}}`, provider.StateFailed, provider.Generation},
		"a limit, too late": {`{"error":{"code":"ServerOverloaded"}}`, provider.StateFailed, provider.Generation},
		"nothing":           {`{"data":[]}`, "", provider.OutcomeUnknown},
		"nothing usable":    {`{"data":[{"b64_json":"AAAA"}]}`, "", provider.OutcomeUnknown},
	} {
		u := providertest.NewUpstream(t)
		u.Answer(providertest.JSON(200, c.body))
		got, err := New().Submit(t.Context(), u.With(account), image(plain))
		switch {
		case c.state == "":
			if e := provider.AsError(err, ""); err == nil || e.Class != c.class {
				t.Errorf("%s: %+v, error %v", name, got, err)
			}
		case err != nil || got.Report == nil || got.Report.State != c.state:
			t.Errorf("%s: %+v, error %v", name, got, err)
		case c.state == provider.StateFailed && got.Report.Err.Class != c.class:
			t.Errorf("%s: failed as %s, want %s", name, got.Report.Err.Class, c.class)
		}
	}
}
