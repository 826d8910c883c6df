package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"maps"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey = "sk-test-0123456789abcdef"
	ref     = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0"
	videoID = "video_9f2"
)

// with is the test's account with settings.
// with is an account at OpenAI. The suite puts its own address in place of OpenAI's, so that URLs have to be asked for.
func with(pairs ...string) provider.Account {
	a := provider.Account{BaseURL: "https://api.openai.com/v1", Settings: map[string]string{SettingAPIKey: testKey, SettingSources: asURL}}
	for i := 0; i < len(pairs); i += 2 {
		a.Settings[pairs[i]] = pairs[i+1]
	}
	return a
}

// boundary is what differs between two forms.
var boundary = regexp.MustCompile(`[0-9a-f]{60}`)

func redact(s string) string { return boundary.ReplaceAllString(s, "<boundary>") }

func aRequest(model string, kind kinora.Kind, changes ...func(*provider.Request)) provider.Request {
	r := provider.Request{
		ClientRef: ref, Model: model, UpstreamModel: model, Kind: kind, Prompt: "a paper boat on a rainy street",
		Metadata: map[string]json.RawMessage{},
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

func aVideo(changes ...func(*provider.Request)) provider.Request {
	return aRequest("sora-2", kinora.KindVideo, changes...)
}

func aPicture(changes ...func(*provider.Request)) provider.Request {
	kept := func(r *provider.Request) { r.Sink = &providertest.Sink{} }
	return aRequest("gpt-image-2", kinora.KindImage, append([]func(*provider.Request){kept}, changes...)...)
}

func model(name string) func(*provider.Request) {
	return func(r *provider.Request) { r.UpstreamModel = name }
}

func size(s string) func(*provider.Request) { return func(r *provider.Request) { r.Size = s } }
func seconds(n int) func(*provider.Request) { return func(r *provider.Request) { r.Duration = n } }
func prompt(text string) func(*provider.Request) {
	return func(r *provider.Request) { r.Prompt = text }
}

func sources(n int) func(*provider.Request) {
	return func(r *provider.Request) {
		for i := range n {
			r.Images = append(r.Images, fmt.Sprintf("https://img.example/%d.png?a=1&b=2", i+1))
		}
	}
}

func meta(pairs ...string) func(*provider.Request) {
	return func(r *provider.Request) {
		r.Metadata = maps.Clone(r.Metadata)
		for i := 0; i < len(pairs); i += 2 {
			r.Metadata[pairs[i]] = json.RawMessage(pairs[i+1])
		}
	}
}

// dot is a picture of a few bytes.
func dot(shade int) []byte {
	var b bytes.Buffer
	one := image.NewGray(image.Rect(0, 0, 1, 1))
	one.Pix[0] = uint8(shade)
	_ = png.Encode(&b, one) // memory does not fail
	return b.Bytes()
}

func encoded(content []byte) string { return base64.StdEncoding.EncodeToString(content) }

func refused(status int, code, kind, param string) providertest.Reply {
	out, _ := json.Marshal(map[string]any{"error": map[string]any{"message": "no: " + kind, "type": kind, "param": param, "code": code}})
	return providertest.JSON(status, string(out))
}

func complaint(status int, message string) providertest.Reply {
	r := refused(status, message, message, message)
	r.Header["x-request-id"] = message
	return r
}

func header(r providertest.Reply, name, value string) providertest.Reply {
	r.Header = maps.Clone(r.Header)
	r.Header[name] = value
	return r
}

func refusals() []providertest.Refusal {
	const invalidRequest = "invalid_request_error"
	return []providertest.Refusal{
		{Name: "moderation", Reply: refused(400, "moderation_blocked", "image_generation_user_error", ""), Class: provider.Moderation},
		{Name: "moderation by its type", Reply: refused(400, "", "image_generation_user_error", ""), Class: provider.Moderation},
		{Name: "content policy", Reply: refused(400, "content_policy_violation", invalidRequest, ""), Class: provider.Moderation},
		{Name: "a model that is not there", Reply: refused(404, "model_not_found", invalidRequest, "model"), Class: provider.ModelGone},
		{Name: "a model that is not there, as invalid", Reply: refused(400, "model_not_found", invalidRequest, "model"), Class: provider.ModelGone},
		{Name: "quota", Reply: refused(429, "insufficient_quota", "insufficient_quota", ""), Class: provider.Balance},
		{Name: "billing limit", Reply: refused(400, "billing_hard_limit_reached", "billing_limit_user_error", ""), Class: provider.Balance},
		{Name: "rate", Reply: refused(429, "rate_limit_exceeded", "requests", ""), Class: provider.Rate},
		{Name: "not worth a retry", Reply: header(refused(429, "", "", ""), "x-should-retry", "false"), Class: provider.Balance},
		{Name: "worth a retry", Reply: header(refused(400, "", "", ""), "x-should-retry", "true"), Class: provider.Unavailable},
		{Name: "a conflict", Reply: refused(409, "", "", ""), Class: provider.Unavailable},
		{Name: "key", Reply: refused(401, "invalid_api_key", invalidRequest, ""), Class: provider.Credential},
		{
			Name: "verification", Class: provider.Permission, Says: "must be verified",
			Reply: providertest.JSON(403, `{"error":{"message":"Your organization must be verified to use the model.","type":"invalid_request_error","param":null,"code":null}}`),
		},
		{Name: "a field", Reply: refused(400, "invalid_value", invalidRequest, "size"), Class: provider.Invalid, Says: "the upstream refused input.size"},
		{Name: "an image", Reply: refused(400, "failed_to_download_image", invalidRequest, ""), Class: provider.Invalid, Says: "could not download an image"},
		{Name: "an image file", Reply: refused(400, "invalid_image_file", invalidRequest, ""), Class: provider.Invalid, Says: "cannot use an image"},
		{Name: "a validation of FastAPI's", Reply: providertest.JSON(422, `{"detail":[{"loc":["body","prompt"],"msg":"field required"}]}`), Class: provider.Invalid, Says: "input.prompt"},
		{Name: "an error of vLLM's", Reply: providertest.JSON(400, `{"object":"error","message":"no","type":"BadRequestError","param":"seconds","code":400}`), Class: provider.Invalid, Says: "input.duration"},
		{Name: "a detail", Reply: providertest.JSON(400, `{"detail":"no"}`), Class: provider.Invalid},
	}
}

// statusClasses are those of answers that are not the vendor's.
var statusClasses = map[int]provider.Class{
	400: provider.Invalid, 402: provider.Balance, 404: provider.ModelGone, 409: provider.Unavailable, 410: provider.ModelGone, 422: provider.Invalid,
}

func failedAs(class provider.Class) *provider.Error { return &provider.Error{Class: class} }

// videoAnswer is a video as the vendor shows it.
func videoAnswer(fields string) providertest.Reply {
	return providertest.JSON(200, `{"id":"`+videoID+`","object":"video","model":"sora-2","created_at":1790000000,"completed_at":null,`+fields+
		`,"seconds":"8","size":"1280x720","prompt":"A paper boat ...","remixed_from_video_id":null}`)
}

func videoSuite() providertest.Suite {
	made := []provider.Output{{Kind: kinora.KindVideo, Handle: json.RawMessage(`{"video":"video_9f2"}`)}}
	words := map[string]provider.State{}
	for word, state := range map[string]provider.State{
		"queued": provider.StateQueued, "pending": provider.StateQueued, "submitted": provider.StateQueued, "not_start": provider.StateQueued, "NOT_START": provider.StateQueued,
		"preparing": provider.StateQueued, "unknown": provider.StateQueued, "created": provider.StateQueued, "starting": provider.StateQueued,
		"in_progress": provider.StateRunning, "processing": provider.StateRunning, "running": provider.StateRunning, "generating": provider.StateRunning,
		"completed": provider.StateSucceeded, "complete": provider.StateSucceeded, "success": provider.StateSucceeded, "SUCCESS": provider.StateSucceeded,
		"succeeded": provider.StateSucceeded, "finished": provider.StateSucceeded,
		"failed": provider.StateFailed, "failure": provider.StateFailed, "fail": provider.StateFailed, "error": provider.StateFailed,
		"cancelled": provider.StateCancelled, "canceled": provider.StateCancelled,
	} {
		words[word] = state
	}
	return providertest.Suite{
		Provider: New(), Account: with(), Folder: "videos", Update: *update,
		Request: aVideo(size("1280x720"), seconds(8)), Accepted: header(videoAnswer(`"status":"queued","progress":0,"expires_at":null,"error":null`), "openai-poll-after-ms", "2500"),
		Want: provider.Accepted{UpstreamID: videoID, PollAfter: 2500e6},
		Golden: map[string]provider.Request{
			"plain":         aVideo(),
			"reference":     aVideo(sources(1), size("9:16"), seconds(4)),
			"pro":           aVideo(model("sora-2-pro-2025-10-06"), size("1792x1024"), seconds(12)),
			"metadata wins": aVideo(size("1280x720"), seconds(4), meta("size", `"720x1280"`, "seconds", `"8"`, "model", `"another"`, "callback_url", `"https://evil.example/"`, "unheard_of", `{"a":[1]}`, "seed", `"7"`, "negative_prompt", "null")),
			"another server": aVideo(model("videos:Wan-AI/Wan2.2-T2V-A14B"), size("832x480"), seconds(5),
				meta("num_inference_steps", "40", "guidance_scale", "4.5", "negative_prompt", `"blur"`, "durationSeconds", "6")),
		},
		Refused: map[string]provider.Request{
			"input.prompt must not be longer than 32000 characters":    aVideo(prompt(string(bytes.Repeat([]byte("x"), 32001)))),
			"input.size must be one of 720x1280, 1280x720":             aVideo(size("1024x1792")),
			"input.metadata.size must be one of":                       aVideo(meta("size", `"1:1"`)),
			"input.metadata.size must be a string":                     aVideo(model("wan"), meta("size", "5")),
			"input.duration must be 4, 8 or 12 for this model":         aVideo(seconds(5)),
			"input.metadata.seconds must be 4, 8 or 12":                aVideo(meta("seconds", `"20"`)),
			"input.metadata.durationSeconds must be a whole number of": aVideo(model("wan"), meta("durationSeconds", `"long"`)),
			"input.images must be at most one image":                   aVideo(sources(2)),
		},
		Refusals: refusals(), StatusClasses: statusClasses,
		Job: provider.Job{UpstreamID: videoID, Kind: kinora.KindVideo, UpstreamModel: "sora-2"},
		Poll: func(words map[string]string) providertest.Reply {
			w, _ := json.Marshal(words[videoID])
			return videoAnswer(`"status":` + string(w) + `,"progress":12`)
		},
		Words: words,
		Reports: []providertest.PollCase{
			{
				Name: "in progress", Reply: header(videoAnswer(`"status":"in_progress","progress":37,"error":null`), "openai-poll-after-ms", "1000.5"),
				Want: provider.Report{State: provider.StateRunning, Progress: 37, PollAfter: 1000500e3},
			},
			{Name: "without progress", Reply: videoAnswer(`"status":"in_progress"`), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{Name: "done", Reply: videoAnswer(`"status":"completed","progress":100,"expires_at":4102444800`), Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: made}},
			{Name: "done long ago", Reply: videoAnswer(`"status":"completed","progress":100,"expires_at":1790000000`), Want: provider.Report{State: provider.StateExpired, Progress: 100, Err: failedAs(provider.Gone)}},
			{
				Name: "a look-alike's id", Reply: providertest.JSON(200, `{"task_id":"`+videoID+`","status":"SUCCESS","progress":"100%"}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: made},
			},
			{Name: "refused", Reply: videoAnswer(`"status":"failed","progress":80,"error":{"code":"moderation_blocked","message":"x"}`), Want: provider.Report{State: provider.StateFailed, Progress: 80, Err: failedAs(provider.Moderation)}},
			{Name: "failed", Reply: videoAnswer(`"status":"failed","error":{"code":"internal_error","message":"x"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)}},
			{Name: "failed with a text", Reply: videoAnswer(`"status":"failed","error":"out of memory"`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)}},
			{Name: "another's", Reply: providertest.JSON(200, `{"id":"video_other","status":"completed"}`), Class: provider.Unavailable},
		},
		Complaint: complaint,
		Failed: func(message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return videoAnswer(`"status":"failed","error":{"code":` + string(m) + `,"message":` + string(m) + `}`)
		},
		Output:  provider.Output{Kind: kinora.KindVideo, Handle: json.RawMessage(`{"video":"video_9f2"}`)},
		Content: providertest.Reply{Status: 200, Header: map[string]string{"Content-Type": "video/mp4"}, Body: "the bytes of a video"},
	}
}

func TestVideos(t *testing.T) { providertest.Run(t, videoSuite()) }

// TestVideosAsForms is the dialect as vLLM-Omni wants it, with SGLang's seconds and without a key.
func TestVideosAsForms(t *testing.T) {
	s := videoSuite()
	s.Folder, s.Account, s.Redact = "forms", with(SettingSubmit, "multipart", SettingSeconds, "integer"), redact
	delete(s.Account.Settings, SettingAPIKey)
	s.Sources = providertest.Sources{"https://img.example/1.png?a=1&b=2": dot(1)}
	s.Golden = map[string]provider.Request{"reference": aVideo(sources(1), size("1280x720"), seconds(4), meta("generate_sound", "true", "extra_params", `{"a":1}`))}
	// Dots are no text: in the golden file they stand as such.
	s.Redact = func(text string) string {
		return redact(string(bytes.ReplaceAll([]byte(text), dot(1), []byte("<a picture>"))))
	}
	providertest.Run(t, s)
}

// imageReply is an answer with pictures.
func imageReply(contents ...[]byte) providertest.Reply {
	type item struct {
		Image string `json:"b64_json"`
	}
	var data []item
	for _, c := range contents {
		data = append(data, item{encoded(c)})
	}
	out, _ := json.Marshal(map[string]any{"created": 1795000000, "data": data, "usage": map[string]int{"total_tokens": 1386}})
	return providertest.JSON(200, string(out))
}

func imageSuite(folder string) providertest.Suite {
	return providertest.Suite{
		Provider: New(), Account: with(), Folder: folder, Update: *update, Request: aPicture(), Accepted: imageReply(dot(1), dot(2)),
		Want: provider.Accepted{Report: &provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{
			providertest.Stored(0, dot(1), "image/png"), providertest.Stored(1, dot(2), "image/png"),
		}}},
		Refusals: refusals(), StatusClasses: statusClasses, Complaint: complaint,
	}
}

func TestImages(t *testing.T) {
	s := imageSuite("images")
	s.Golden = map[string]provider.Request{
		"several":           aPicture(meta("n", `"3"`), size("1024x1024")),
		"a ratio":           aPicture(size("16:9")),
		"a ratio in 4k":     aPicture(size("16:9"), meta("resolution", `"4k"`)),
		"a resolution":      aPicture(meta("resolution", `"2k"`)),
		"pixels in 2k":      aPicture(size("1536x1024"), meta("resolution", `"2K"`)),
		"more than fits":    aPicture(size("8192x4096"), meta("resolution", `"4k"`)),
		"a word of its own": aPicture(model("images:z"), size("1024x1024"), meta("resolution", `"8k"`)),
		"a familiar size":   aPicture(size("1920x1080")),
		"auto":              aPicture(size("auto"), meta("partial_images", "3")),
		"many fields": aPicture(model("gpt-image-2.6-flare"), meta("quality", `"max"`, "complexity", `"high"`, "background", `"transparent"`, "moderation", `"low"`,
			"output_format", `"webp"`, "output_compression", `"80"`, "user", `"u-1"`, "response_format", `"url"`, "stream", "false", "model", `"x"`, "n", "1", "unheard_of", "[1]")),
		"an edit":         aPicture(sources(1)),
		"an edit of many": aPicture(sources(3), meta("mask_url", `"https://img.example/mask.png"`, "input_fidelity", `"high"`)),
		"another model":   aPicture(model("images:Qwen/Qwen-Image"), size("1:1"), meta("num_inference_steps", "30")),
	}
	s.Refused = map[string]provider.Request{
		"input.metadata.n must be between 1 and 10":                   aPicture(meta("n", "11")),
		"input.metadata.n must be a whole number from 1":              aPicture(meta("n", "0")),
		"input.size must be pixels such as":                           aPicture(size("large")),
		"input.size must be between 1:3 and 3:1":                      aPicture(size("4:1")),
		"input.size must be at most 3840x2160":                        aPicture(size("4096x4096")),
		"input.metadata.size must be pixels":                          aPicture(meta("size", "5")),
		"input.images must be at most 16 images":                      aPicture(sources(17)),
		"input.metadata.mask_url needs input.image":                   aPicture(meta("mask_url", `"https://h/m.png"`)),
		"input.metadata.output_format must be png or webp":            aPicture(meta("background", `"transparent"`, "output_format", `"jpeg"`)),
		"input.metadata.mask_url must be an http":                     aPicture(sources(1), meta("mask_url", `"data:image/png;base64,AA"`)),
		"input.metadata.output_format must be a format of pixels":     aPicture(meta("output_format", `"svg"`)),
		"input.metadata.output_compression must be between 0 and 100": aPicture(meta("output_compression", "101")),
		"input.metadata.partial_images must be between 0 and 3":       aPicture(meta("partial_images", "4")),
	}
	providertest.Run(t, s)
}

// TestImagesAsForms is image edits with files, and a server of one's own that is asked for base64.
func TestImagesAsForms(t *testing.T) {
	s := imageSuite("image_forms")
	s.Account = with(SettingEdits, "multipart", SettingStream, "off", SettingResponseFormat, "b64_json", SettingAuth, "api-key")
	s.Request = aPicture(sources(1))
	s.Sources = providertest.Sources{
		"https://img.example/1.png?a=1&b=2": dot(1), "https://img.example/2.png?a=1&b=2": dot(2), "https://img.example/mask.png": dot(1),
	}
	s.Golden = map[string]provider.Request{
		"two and a mask": aPicture(sources(2), meta("mask_url", `"https://img.example/mask.png"`, "n", "2", "quality", `"low"`)),
		"no source":      aPicture(),
	}
	s.Redact = func(text string) string {
		for _, side := range []int{1, 2} {
			text = string(bytes.ReplaceAll([]byte(text), dot(side), []byte("<a picture>")))
		}
		return redact(text)
	}
	providertest.Run(t, s)
}

const responseID = "resp_0c1"

func responseAnswer(fields string) providertest.Reply {
	return providertest.JSON(200, `{"id":"`+responseID+`","object":"response","background":true,"model":"gpt-5.6-terra",`+fields+`}`)
}

func TestResponses(t *testing.T) {
	const name = "responses:gpt-5.6-terra+gpt-image-2.6-flare"
	reply := `"error":null,"incomplete_details":null,"status":"completed","output":[{"id":"rs_1","type":"reasoning","summary":[]},` +
		`{"id":"ig_1","type":"image_generation_call","status":"completed","result":"` + encoded(dot(3)) + `"}]`
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: with(), Folder: "responses", Update: *update,
		Request: aPicture(model(name), size("1536x1024")), Accepted: responseAnswer(`"status":"queued","output":[]`),
		Want: provider.Accepted{UpstreamID: responseID},
		Golden: map[string]provider.Request{
			"an edit":  aPicture(model("responses:gpt-5.6-terra"), sources(2), meta("mask_url", `"https://img.example/mask.png"`, "quality", `"medium"`, "type", `"shell"`, "stream", "true")),
			"one only": aPicture(model(name), meta("n", "2", "output_format", `"webp"`)),
		},
		Refused:  map[string]provider.Request{"input.metadata.n must be between 1 and 10": aPicture(model(name), meta("n", "11"))},
		Refusals: refusals(), StatusClasses: statusClasses, Complaint: complaint,
		Job: provider.Job{UpstreamID: responseID, Kind: kinora.KindImage, UpstreamModel: name},
		Poll: func(words map[string]string) providertest.Reply {
			w, _ := json.Marshal(words[responseID])
			return responseAnswer(`"status":` + string(w) + `,"output":[{"type":"image_generation_call","status":"completed","result":"QUJD"}]`)
		},
		Words: map[string]provider.State{
			"queued": provider.StateQueued, "in_progress": provider.StateRunning, "completed": provider.StateSucceeded, "failed": provider.StateFailed,
			"incomplete": provider.StateFailed, "cancelled": provider.StateCancelled,
		},
		Reports: []providertest.PollCase{
			{Name: "done", Reply: responseAnswer(reply), Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{
				{Kind: kinora.KindImage, Handle: json.RawMessage(`{"response":"resp_0c1","item":1}`)},
			}}},
			{Name: "running", Reply: responseAnswer(`"status":"in_progress","output":[{"type":"image_generation_call","status":"generating","result":null}]`), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{Name: "without an image", Reply: responseAnswer(`"status":"completed","output":[{"type":"message","content":[{"type":"refusal"}]}]`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Moderation)}},
			{Name: "without its image", Reply: responseAnswer(`"status":"completed","output":[{"type":"image_generation_call","status":"failed","result":""}]`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)}},
			{Name: "refused", Reply: responseAnswer(`"status":"failed","error":{"code":"image_content_policy_violation","message":"x"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Moderation)}},
			{Name: "a bad image", Reply: responseAnswer(`"status":"failed","error":{"code":"image_too_large","message":"x"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Invalid)}},
			{Name: "a fault", Reply: responseAnswer(`"status":"failed","error":{"code":"server_error","message":"x"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Generation)}},
			{Name: "filtered", Reply: responseAnswer(`"status":"incomplete","incomplete_details":{"reason":"content_filter"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failedAs(provider.Moderation)}},
		},
		Failed: func(message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return responseAnswer(`"status":"failed","error":{"code":` + string(m) + `,"message":` + string(m) + `}`)
		},
		Cancelled: responseAnswer(`"status":"cancelled"`), TooLate: responseAnswer(`"status":"completed"`),
	})
}
