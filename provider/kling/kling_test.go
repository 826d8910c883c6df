package kling

import (
	"encoding/json"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"sort"
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

const (
	testKey    = "kl_test_api_key_0123"
	testAccess = "ak_test_0123456789"
	testSecret = "sk_test_0123456789"
	hookSecret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	ref        = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0"
	external   = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	taskID     = "800000000000000001"
)

var (
	keyed = provider.Account{BaseURL: "https://api.kling.example", Settings: map[string]string{SettingAPIKey: testKey, SettingWebhookSecret: hookSecret}}
	pair  = provider.Account{BaseURL: "https://api.kling.example", Settings: map[string]string{SettingAccessKey: testAccess, SettingSecretKey: testSecret}}
)

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

// video is a request for a model with images and metadata.
func video(model string, images int, pairs ...string) provider.Request {
	r := provider.Request{
		ClientRef: ref, Model: model, UpstreamModel: model, Kind: kinora.KindVideo, Prompt: "a paper boat crossing a puddle",
		CallbackURL: "https://gw.example/cb/kling/JOBTOKEN?a=1&b=<2>", SubmittedAt: time.UnixMilli(1785901861504), Metadata: raw(pairs...),
	}
	for i := range images {
		r.Images = append(r.Images, fmt.Sprintf("https://img.example/%d.png?a=1&b=2", i+1))
	}
	return r
}

func picture(model string, images int, pairs ...string) provider.Request {
	r := video(model, images, pairs...)
	r.Kind = kinora.KindImage
	return r
}

func sized(r provider.Request, size string) provider.Request {
	r.Size = size
	return r
}

func lasting(r provider.Request, seconds int) provider.Request {
	r.Duration = seconds
	return r
}

// said is Kling's envelope.
func said(status, code int, message, data string) providertest.Reply {
	m, _ := json.Marshal(message)
	if data != "" {
		data = `,"data":` + data
	}
	return providertest.JSON(status, fmt.Sprintf(`{"code":%d,"message":%s,"request_id":"r-1"%s}`, code, m, data))
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func refusals() []providertest.Refusal {
	list := []providertest.Refusal{
		{Name: "fault in a 200", Reply: said(200, 5000, "internal", ""), Class: provider.OutcomeUnknown},
		{Name: "unknown code in a 200", Reply: said(200, 77, "?", ""), Class: provider.OutcomeUnknown},
		{Name: "balance in a 200", Reply: said(200, 1101, "in arrears", ""), Class: provider.Balance},
		{Name: "our reference twice", Reply: said(400, 1201, "duplicate external_task_id", ""), Class: provider.OutcomeUnknown},
		{Name: "conflict", Reply: said(409, 1201, "task already exists", ""), Class: provider.OutcomeUnknown},
		{Name: "maintenance", Reply: said(503, 5001, "maintenance", ""), Class: provider.OutcomeUnknown},
	}
	for code, c := range map[int]struct {
		status int
		class  provider.Class
	}{
		1000: {401, provider.Credential}, 1001: {401, provider.Credential}, 1002: {401, provider.Credential}, 1003: {401, provider.Credential}, 1004: {401, provider.Credential},
		1100: {429, provider.Balance}, 1101: {429, provider.Balance}, 1102: {429, provider.Balance}, 1103: {403, provider.Permission},
		1200: {400, provider.Invalid}, 1201: {400, provider.Invalid}, 1202: {404, provider.Invalid}, 1203: {404, provider.ModelGone},
		1300: {400, provider.Moderation}, 1301: {400, provider.Moderation}, 1302: {429, provider.Rate}, 1303: {429, provider.Rate}, 1304: {429, provider.Permission},
	} {
		list = append(list, providertest.Refusal{Name: fmt.Sprint("code ", code), Reply: said(c.status, code, "no", ""), Class: c.class})
	}
	return list
}

// signature is the part of a golden file that differs from run to run.
var signature = regexp.MustCompile(`Bearer ey[0-9A-Za-z_.-]+`)

// suite is what all families share.
func suite(folder string, account provider.Account, req provider.Request) providertest.Suite {
	return providertest.Suite{
		Provider: New(), Account: account, Folder: folder, Update: *update, Request: req, Refusals: refusals(),
		Job: provider.Job{UpstreamID: taskID, ClientRef: ref, UpstreamModel: req.UpstreamModel, Kind: req.Kind},
		Complaint: func(status int, message string) providertest.Reply {
			return providertest.JSON(status, `{"code":1201,"message":`+quoted(message)+`,"request_id":`+quoted(message)+`}`)
		},
		Redact: func(s string) string { return signature.ReplaceAllString(s, "Bearer (a token)") },
	}
}

const legacyAccepted = `{"task_id":"` + taskID + `","task_status":"submitted","task_info":{"external_task_id":"` + external + `"},` +
	`"created_at":1785901861504,"updated_at":1785901861504}`

func legacySuite(folder string, account provider.Account, req provider.Request, path, result string) providertest.Suite {
	s := suite(folder, account, req)
	s.Accepted = said(200, 0, "SUCCEED", legacyAccepted)
	s.Want = provider.Accepted{UpstreamID: taskID, Handle: json.RawMessage(`{"path":"` + path + `"}`)}
	s.Job.Handle = s.Want.Handle
	s.Poll = func(words map[string]string) providertest.Reply {
		for id, word := range words {
			return said(200, 0, "SUCCEED", fmt.Sprintf(`{"task_id":%q,"task_status":%s}`, id, quoted(word)))
		}
		return said(404, 1203, "task not found", "")
	}
	s.Words = map[string]provider.State{
		"submitted": provider.StateQueued, "processing": provider.StateRunning, "succeed": provider.StateSucceeded, "failed": provider.StateFailed,
		"Succeed": provider.StateSucceeded,
	}
	good := provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "https://cdn.example/1", Kind: req.Kind}, {URL: "https://cdn.example/w", Kind: req.Kind}}}
	shown := func(fields string) providertest.Reply {
		return said(200, 0, "SUCCEED", `{"task_id":"`+taskID+`",`+fields+`}`)
	}
	s.Reports = []providertest.PollCase{
		{Name: "succeeded", Reply: shown(`"task_status":"succeed","task_status_msg":"","final_unit_deduction":"3.5","task_result":` + result), Want: good},
		{Name: "without an output", Reply: shown(`"task_status":"succeed","task_result":{}`), Want: failed(provider.Generation)},
		{Name: "refused", Reply: shown(`"task_status":"failed","task_status_msg":"Failure to pass the risk control system"`), Want: failed(provider.Moderation)},
		{Name: "failed", Reply: shown(`"task_status":"failed","task_status_msg":"out of cheese"`), Want: failed(provider.Generation)},
		{Name: "numbers for strings", Reply: said(200, 0, "SUCCEED", `{"task_id":`+taskID+`,"task_status":"processing","created_at":"1785901861504"}`), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
		{Name: "arrears", Reply: said(429, 1101, "in arrears", ""), Class: provider.Balance},
		{Name: "too fast", Reply: said(429, 1302, "slow down", ""), Class: provider.Rate},
		{Name: "no such route", Reply: said(404, 1202, "wrong method", ""), Class: provider.Invalid},
	}
	s.Failed = func(message string) providertest.Reply {
		return shown(`"task_status":"failed","task_status_msg":` + quoted(message))
	}
	s.Carrying = func(reference string) providertest.Reply {
		return shown(`"task_status":"processing","task_info":{"external_task_id":"` + ourReference(reference) + `"}`)
	}
	s.Found, s.NotFound = shown(`"task_status":"processing","task_info":{"external_task_id":"`+external+`"}`), said(404, 1203, "task not found", "")
	s.Callbacks = legacyCallbacks()
	return s
}

func failed(class provider.Class) provider.Report {
	return provider.Report{State: provider.StateFailed, Progress: -1, Err: &provider.Error{Class: class}}
}

func TestLegacyVideos(t *testing.T) {
	s := legacySuite("v1", keyed, video("kling-v2-6", 0, "mode", `"pro"`, "sound", `"off"`), textToVideo,
		`{"videos":[{"id":"v-1","url":"https://cdn.example/1","watermark_url":"","duration":"5.1"},{"url":"","watermark_url":"https://cdn.example/w"},{}]}`)
	s.Golden = map[string]provider.Request{
		"first frame":     lasting(sized(video("kling-v1-6", 1, "cfg_scale", "0.5"), "16:9"), 10),
		"both frames":     video("kling-v2-1-master", 2, "negative_prompt", `"blur"`),
		"several images":  video("kling-v1-6", 3),
		"omni":            video("kling-v3-omni", 2),
		"ratio and words": lasting(sized(video("kling-v3", 0, "duration", "7", "seed", "42", "unknown", `{"a":[1]}`, "durationSeconds", "9", "model", `"x"`), "1080x1920"), 5),
		"own reference":   video("kling-v1", 0, "external_task_id", `"order-17"`, "callback_url", `"https://elsewhere.example"`),
		"chosen route":    video("kling-v1-6", 1, "route", `"multi-image2video"`),
		"forced family":   video("legacy:kling-next", 0),
		"motion":          lasting(sized(video("kling-v2-6", 1, "video_url", `"https://img.example/move.mp4"`, "character_orientation", `"video"`), "720x1280"), 5),
		"base64":          video("kling-v1", 0, "image", `"data:image/png;base64,iVBORw0KGgo="`, "image_tail", `"iVBORw0KGgo="`),
		"shots":           lasting(video("kling-v3", 0, "multi_shot", "true", "shot_type", `"customize"`, "multi_prompt", `[{"index":1,"prompt":"a","duration":"2"},{"index":2,"prompt":"b","duration":"3"}]`), 5),
	}
	s.Refused = map[string]provider.Request{
		"input.metadata.mode must be one of std, pro":                  video("kling-v2-6", 0, "mode", `"4k"`),
		"input.metadata.mode must be pro for a video with sound":       video("kling-v2-6", 0, "sound", `"on"`),
		"input.metadata.mode must be pro for a video with":             video("kling-v3", 0, "sound", `"on"`, "mode", `"std"`),
		"input.metadata.sound is not known to this model":              video("kling-v2-5-turbo", 0, "sound", `"off"`),
		"input.metadata.multi_shot is not known":                       video("kling-v2-6", 0, "multi_shot", "true"),
		"input.metadata.shot_type is not known":                        video("kling-v1-6", 0, "shot_type", `"customize"`),
		"input.metadata.multi_prompt is not known":                     video("kling-v2-master", 0, "multi_prompt", `[{"prompt":"a","duration":"5"}]`),
		"input.metadata.voice_list is not known":                       video("kling-v2-6", 0, "voice_list", `[{"voice_id":"1"}]`),
		"input.metadata.element_list is not known":                     video("kling-v1", 1, "element_list", `[{"element_id":1}]`),
		"input.metadata.multi_prompt must be shots of 5 seconds":       video("kling-v3", 0, "multi_prompt", `[{"prompt":"a","duration":"2"},{"prompt":"b","duration":"4"}]`),
		"input.metadata.image_list must be a list of at most 4 images": video("kling-v1-6", 0, "image_list", `[{},{},{},{},{}]`),
		"input.metadata.image_list must be a list of at most 7 images": video("kling-v3-omni", 0, "image_list", `[{},{},{},{},{},{},{},{}]`),
		"input.images must be at most 2 for this model":                video("kling-v1", 3, "route", `"image2video"`, "contents", `[]`),
		"input.metadata.image must be an image of at least 300":        video("kling-v1", 0, "image", `"`+tinyPicture+`"`),
		"input.metadata.image_tail must be of one of the types":        video("kling-v1", 1, "image_tail", `"data:image/gif;base64,R0lGODlhAQABAAAAACw="`),
		"input.metadata.cfg_scale is not known":                        video("kling-v2-master", 0, "cfg_scale", "0.5"),
		"input.metadata.cfg_scale must be a number between 0 and 1":    video("kling-v1", 0, "cfg_scale", "2"),
		"input.duration must be 5 or 10":                               lasting(video("kling-v2-6", 0), 7),
		"input.metadata.duration must be between 3 and 15":             video("kling-v3", 0, "duration", `"16"`),
		"input.metadata.duration must be a whole number":               video("kling-v3", 0, "duration", `"long"`),
		"input.size must be of one of the ratios":                      sized(video("kling-v1", 0), "4:3"),
		"input.metadata.aspect_ratio must be one of":                   video("kling-v1", 0, "aspect_ratio", `"4:3"`),
		"input.prompt must be at most 2500":                            {UpstreamModel: "kling-v1", Kind: kinora.KindVideo, Prompt: strings.Repeat("ü", 2501)},
		"input.metadata.negative_prompt must be a string":              video("kling-v1", 0, "negative_prompt", "7"),
		"input.metadata.camera_control.type must be one of":            video("kling-v1", 0, "camera_control", `{"type":"spin"}`),
		"input.metadata.camera_control.config.zoom must be a number":   video("kling-v1", 0, "camera_control", `{"type":"simple","config":{"zoom":11}}`),
		"input.metadata.camera_control must be an object":              video("kling-v1", 0, "camera_control", `"simple"`),
		"input.metadata.multi_prompt must be a list of at most 6":      video("kling-v3", 0, "multi_prompt", `[{},{},{},{},{},{},{}]`),
		"input.metadata.multi_prompt[0].prompt must be at most 512":    video("kling-v3", 0, "multi_prompt", `[{"prompt":"`+strings.Repeat("x", 513)+`"}]`),
		"exclude each other":                                           video("kling-v1", 2, "camera_control", `{"type":"simple"}`),
		"input.metadata.voice_list and input.metadata.element_list ex": video("kling-v3", 0, "voice_list", `[]`, "element_list", `[]`),
		"input.metadata.element_list must be a list of at most 3":      video("kling-v3", 1, "element_list", `[{},{},{},{}]`),
		"input.metadata.dynamic_masks must be a list of at most 6":     video("kling-v1", 1, "dynamic_masks", `[{},{},{},{},{},{},{}]`),
		"input.metadata.route must be one of":                          video("kling-v1", 0, "route", `"text-to-video"`),
		"input.images must be at most 0":                               video("kling-v1", 1, "route", `"text2video"`),
		"input.metadata.external_task_id must be a string":             video("kling-v1", 0, "external_task_id", "7"),
		"input.metadata.shot_type must be one of":                      video("kling-v3", 0, "shot_type", `"x"`),
		"input.metadata.multi_prompt must be shots of 6 seconds":       lasting(video("kling-v3", 0, "multi_prompt", `[{"prompt":"a","duration":"2"},{"prompt":"b","duration":"3"}]`), 6),
		"input.metadata.multi_prompt[1].duration must be a whole":      video("kling-v3", 0, "multi_prompt", `[{},{"duration":"long"}]`),
		"input.metadata.multi_prompt[0] must be an object":             video("kling-v3", 0, "multi_prompt", `[7]`),
		"input.metadata.multi_prompt must be a list":                   video("kling-v3", 0, "multi_prompt", `7`),
		"input.metadata.dynamic_masks[0].trajectories must be a list":  video("kling-v1", 1, "dynamic_masks", `[{"trajectories":[{"x":1,"y":1}]}]`),
		"input.metadata.camera_control.config must be of one movement": video("kling-v1", 0, "camera_control", `{"type":"simple","config":{"zoom":1,"pan":2}}`),
		"input.metadata.camera_control.config must be an object":       video("kling-v1", 0, "camera_control", `{"type":"simple","config":7}`),
		"input.metadata.prompt must be a string of at most 2500":       video("kling-v1", 0, "prompt", `"`+strings.Repeat("x", 2501)+`"`),
		"input.metadata.watermark_info must be an object":              video("kling-v1", 0, "watermark_info", `true`),
		"input.images must be at most 2 for":                           video("kling-v2-6", 3),
		"input.images must be at most 4":                               video("kling-v1-6", 5),
		"input.images must be at most 7":                               video("kling-video-o1", 8),
		"input.duration must be between 3 and 10":                      lasting(video("kling-video-o1", 0), 11),
		"input.size must be at most 1080 pixels":                       sized(video("kling-v2-6", 0), "3840x2160"),
		"input.size must be at most 2160 pixels":                       sized(video("kling-v3", 0), "7680x4320"),
	}
	providertest.Run(t, s)
}

func TestLegacyImagesWithATokenOfTwoKeys(t *testing.T) {
	s := legacySuite("images", pair, picture("kling-v2-1", 0, "n", "2"), imageRoute,
		`{"images":[{"index":0,"url":"https://cdn.example/1"},{"index":1,"watermark_url":"https://cdn.example/w"}]}`)
	s.Golden = map[string]provider.Request{
		"reference": sized(picture("kling-v3", 1, "image_reference", `"subject"`), "2048x1536"),
		"omni":      sized(picture("kling-image-o1", 3, "aspect_ratio", `"auto"`), "4096x2304"),
		"subjects":  sized(picture("kling-v2-1", 2, "n", `"3"`), "4:3"),
		"unheard":   picture("kling-9", 0),
	}
	// Of a token of two keys these are tried twice: TestTokenIsSignedOnceMore.
	s.Refusals = slices.DeleteFunc(s.Refusals, func(r providertest.Refusal) bool { return r.Name == "code 1003" || r.Name == "code 1004" })
	s.Refused = map[string]provider.Request{
		"input.metadata.n must be a whole number between 1 and 9":       picture("kling-v3", 0, "n", "10"),
		"input.metadata.resolution must be one of 1k, 2k":               picture("kling-v3", 0, "resolution", `"8k"`),
		"input.metadata.negative_prompt cannot be used with a referenc": picture("kling-v3", 1, "negative_prompt", `"blur"`),
		"input.metadata.image_reference must be one of":                 picture("kling-v3", 1, "image_reference", `"hand"`),
		"input.metadata.image_fidelity must be a number":                picture("kling-v3", 1, "image_fidelity", `"high"`),
		"input.images must be at most 1":                                picture("kling-v3", 2),
		"input.metadata.image_list must be a list of at most 10":        picture("kling-v3-omni", 0, "image_list", `[{},{},{},{},{},{},{},{},{},{},{}]`),
		"input.metadata.subject_image_list must be a list of at most 4": picture("kling-v2-1", 0, "subject_image_list", `[{},{},{},{},{}]`),
		"input.images must be at most 10":                               picture("kling-v3-omni", 11),
		"input.size must be at most 2048 pixels":                        sized(picture("kling-v3", 0), "4096x4096"),
		"input.size must be at most 4096 pixels":                        sized(picture("kling-image-o1", 0), "8192x8192"),
		"input.images must be at most 4":                                picture("kling-v2-1", 5),
		"input.metadata.image_fidelity must be a number between 0 and ": picture("kling-v2-1", 1, "image_fidelity", "1.5"),
		"input.metadata.resolution must be one of 1k, 2k, 4k":           picture("kling-image-o1", 0, "resolution", `"8k"`),
		"input.metadata.route must be one of generations, multi-image2": picture("kling-v3", 0, "route", `"text2video"`),
	}
	providertest.Run(t, s)
}

const modernAccepted = `{"id":"` + taskID + `","status":"submitted","create_time":1785901861504,"update_time":1785901861504,"external_id":"` + external + `"}`

// tinyPicture is a PNG of 1 × 1 pixels.
const tinyPicture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// frames are contents of these types.
func frames(types ...string) string {
	var items []string
	for _, kind := range types {
		items = append(items, `{"type":"`+kind+`","url":"https://img.example/f.png"}`)
	}
	return "[" + strings.Join(items, ",") + "]"
}

func TestModernVideos(t *testing.T) {
	s := suite("new", keyed, video("kling-3.0", 0, "audio", `"native"`))
	s.Accepted, s.Want = said(200, 0, "SUCCEED", modernAccepted), provider.Accepted{UpstreamID: taskID}
	s.Golden = map[string]provider.Request{
		"first frame":    lasting(sized(video("kling-2.6", 1), "1920x1080"), 5),
		"both frames":    video("kling-3.0", 2, "watermark_info", `{"enabled":false}`),
		"references":     video("kling-3.0-omni", 3),
		"all settings":   sized(video("kling-3.0", 0, "resolution", `"4k"`, "duration", `"12"`, "seed", "7", "settings", `{"extra":true}`, "options", `{"more":1,"watermark_info":{"enabled":true}}`, "prompt", `"another"`), "9:16"),
		"own reference":  video("kling-3.0", 0, "external_task_id", `"order-17"`),
		"an unknown one": video("kling-9.9-ultra/x", 0),
		"motion":         lasting(sized(video("kling-2.6", 1, "video_url", `"https://img.example/move.mp4"`, "character_orientation", `"video"`), "720x1280"), 5),
		"own contents":   video("kling-3.0-omni", 1, "contents", `[{"type":"first_frame","url":"https://img.example/f.png"},{"type":"element","element_id":"1","id":"a"}]`),
		"settings win":   lasting(sized(video("kling-3.0", 0, "duration", `"7"`, "resolution", `"720p"`, "settings", `{"duration":"9","multi_shot":false}`, "options", `{"external_task_id":"order-17"}`), "3840x2160"), 5),
	}
	s.Refused = map[string]provider.Request{
		"input.metadata.resolution must be one of 720p, 1080p":            video("kling-2.6", 0, "resolution", `"4k"`),
		"input.size must be at most 1080 pixels":                          sized(video("kling-2.6", 0), "3840x2160"),
		"input.size must be of one of the ratios":                         sized(video("kling-3.0", 0), "21:9"),
		"input.prompt must be at most 3072":                               {UpstreamModel: "kling-3.0", Kind: kinora.KindVideo, Prompt: strings.Repeat("ü", 3073)},
		"input.prompt must be at most 2500":                               {UpstreamModel: "kling-2.6", Kind: kinora.KindVideo, Prompt: strings.Repeat("ü", 2501)},
		"input.metadata.settings.duration must be 5 or 10":                lasting(video("kling-2.6", 0, "settings", `{"duration":6}`), 5),
		"input.metadata.settings.audio must be one of native":             video("kling-2.6", 0, "settings", `{"audio":"loud"}`),
		"input.metadata.audio must be one of native, original":            video("kling-3.0-omni", 0, "audio", `"loud"`),
		"input.metadata.audio must be one of original, off":               video("kling-2.6", 1, "video_url", `"https://v.example/v"`, "character_orientation", `"image"`, "audio", `"native"`),
		"input.metadata.resolution must be 1080p for a first":             video("kling-2.6", 2),
		"input.metadata.multi_shot must be true or false":                 video("kling-3.0", 0, "multi_shot", `"yes"`),
		"input.metadata.character_orientation must be image or":           video("kling-2.6", 1, "video_url", `"https://v.example/v"`),
		"input.metadata.video_url must be the URL":                        video("kling-2.6", 1, "character_orientation", `"image"`),
		"input.images must be the image of a character":                   video("kling-2.6", 0, "video_url", `"https://v.example/v"`, "character_orientation", `"image"`),
		"input.images must be at most 7":                                  video("kling-3.0-omni", 8),
		"input.metadata.options.callback_url is not allowed":              video("kling-3.0", 0, "options", `{"callback_url":"https://elsewhere.example"}`),
		"input.metadata.options.external_task_id must be a str":           video("kling-3.0", 0, "options", `{"external_task_id":7}`),
		"input.metadata.multi_shot is not known to this":                  video("kling-2.6", 0, "multi_shot", "true"),
		"input.metadata.contents must be a list without a last":           video("kling-3.0-turbo", 0, "contents", frames("first_frame", "last_frame")),
		"input.metadata.contents must be a list of at most one":           video("kling-3.0", 0, "contents", frames("first_frame", "first_frame")),
		"input.metadata.contents must be a list with a first":             video("kling-3.0", 0, "contents", frames("last_frame")),
		"input.metadata.contents must be a list of at most 7 ref":         video("kling-3.0-omni", 0, "contents", frames(slices.Repeat([]string{"refer_image"}, 8)...)),
		"input.metadata.contents must be a list of at most one image":     video("kling-2.6", 0, "character_orientation", `"image"`, "contents", frames("image", "image", "video")),
		"input.metadata.contents[0].url must be an image of at least 300": video("kling-3.0", 0, "contents", `[{"type":"first_frame","url":"`+tinyPicture+`"}]`),
		"input.metadata.contents must be a list":                          video("kling-3.0", 0, "contents", `"x"`),
		"input.metadata.audio must be one of native, off":                 video("kling-3.0", 0, "audio", "true"),
		"input.metadata.audio must be off, or the resolution 10":          video("kling-2.6", 0, "audio", `"native"`),
		"input.duration must be 5 or 10":                                  lasting(video("kling-2.6", 0), 6),
		"input.duration must be between 3 and 15":                         lasting(video("kling-3.0", 0), 2),
		"input.images must be at most 1":                                  video("kling-3.0-turbo", 2),
		"input.metadata.settings must be an object":                       video("kling-3.0", 0, "settings", "[]"),
		"input.metadata.route must be one of image-to-video":              video("kling-3.0", 0, "route", `"text2video"`),
	}
	s.Poll = func(words map[string]string) providertest.Reply {
		var items []string
		for id, word := range words {
			items = append(items, fmt.Sprintf(`{"id":%q,"status":%s,"message":"","outputs":[],"billing":[]}`, id, quoted(word)))
		}
		sort.Strings(items)
		return said(200, 0, "SUCCEED", "["+strings.Join(items, ",")+"]")
	}
	s.Words = map[string]provider.State{
		"submitted": provider.StateQueued, "processing": provider.StateRunning, "succeeded": provider.StateSucceeded, "failed": provider.StateFailed,
		"SUCCEEDED": provider.StateSucceeded,
	}
	shown := func(fields string) providertest.Reply {
		return said(200, 0, "SUCCEED", `[{"id":"`+taskID+`",`+fields+`}]`)
	}
	s.Reports = []providertest.PollCase{
		{Name: "succeeded", Reply: shown(`"status":"succeeded","outputs":[{"type":"video","id":"v-1","url":"https://cdn.example/1","duration":"5.1"},{"type":"audio","mp3_url":"https://cdn.example/a"},{"type":"image","url":"https://cdn.example/2"}]`),
			Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "https://cdn.example/1", Kind: kinora.KindVideo}, {URL: "https://cdn.example/2", Kind: kinora.KindImage}}}},
		{Name: "refused", Reply: shown(`"status":"failed","message":"Content violates our policies"`), Want: failed(provider.Moderation)},
		{Name: "failed", Reply: shown(`"status":"failed","message":"oops"`), Want: failed(provider.Generation)},
		{Name: "only a sound", Reply: shown(`"status":"succeeded","outputs":[{"type":"audio","url":"https://cdn.example/a"}]`), Want: failed(provider.Generation)},
		{Name: "no permission", Reply: said(403, 1103, "no", ""), Class: provider.Permission},
		{Name: "no such route", Reply: said(404, 1203, "no", ""), Class: provider.Unavailable},
	}
	s.Failed = func(message string) providertest.Reply {
		return shown(`"status":"failed","message":` + quoted(message))
	}
	s.Carrying = func(reference string) providertest.Reply {
		return shown(`"status":"processing","external_id":"` + ourReference(reference) + `"`)
	}
	s.Found, s.NotFound = shown(`"status":"processing","external_id":"`+external+`"`), said(200, 0, "SUCCEED", "[]")
	s.Callbacks = modernCallbacks()
	providertest.Run(t, s)
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"code":0,"data":` + legacyAccepted + `}`))
	f.Add([]byte(`{"code":0,"data":[` + modernAccepted + `]}`))
	f.Add([]byte(`{"code":0,"data":{"task_id":7,"task_status":"succeed","task_result":{"images":[{"url":"u"}],"series_images":{}}}}`))
	f.Add([]byte(`{"code":1201,"message":"duration and aspect_ratio","request_id":{}}`))
	f.Add([]byte(`{"code":"0","data":[{"id":"1","status":null,"outputs":7}]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		env, ok := readEnvelope(answer)
		if ok {
			list, _ := env.many()
			if one, ok := env.one(); ok {
				list = append(list, *one)
			}
			for _, shown := range list {
				r := shown.report(provider.Job{UpstreamID: shown.id(), Kind: kinora.KindVideo})
				if r.State == "" || r.Progress < -1 || r.State == provider.StateFailed && r.Err == nil || r.State == provider.StateSucceeded && len(r.Outputs) == 0 {
					t.Errorf("report %+v", r)
				}
			}
		}
		for _, status := range []int{301, 400, 404, 409, 429} {
			a := provider.Answer{Status: status, Body: answer}
			if e := refused(a, video("kling-v1", 0)); e.Class == "" || e.Class == provider.OutcomeUnknown || e.Message == "" {
				t.Errorf("refusal %+v", e)
			}
		}
	})
}
