package vidu

import (
	"encoding/json"
	"flag"
	"fmt"
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
	testKey = "vda_test_secret"
	oldKey  = "vda_older_secret"
	ref     = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0"
	taskID  = "860000000000000001"
)

var account = provider.Account{
	BaseURL: "https://api.vidu.com", Settings: map[string]string{SettingAPIKey: testKey, SettingOldKeys: oldKey},
}

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
		ClientRef: ref, Model: model, UpstreamModel: model, Kind: kinora.KindVideo, Prompt: "a lantern festival",
		CallbackURL: "https://gw.example/cb/vidu/JOBTOKEN", SubmittedAt: time.Date(2026, 8, 22, 4, 5, 6, 0, time.UTC),
		Metadata: raw(pairs...),
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

func with(r provider.Request, change func(*provider.Request)) provider.Request {
	change(&r)
	return r
}

func sized(r provider.Request, size string) provider.Request {
	return with(r, func(r *provider.Request) { r.Size = size })
}

func lasting(r provider.Request, seconds int) provider.Request {
	return with(r, func(r *provider.Request) { r.Duration = seconds })
}

// refused is Vidu's error answer.
func refused(status int, reason, message string) providertest.Reply {
	out, _ := json.Marshal(map[string]any{
		"code": status, "reason": reason, "message": message, "metadata": map[string]string{"trace_id": "0f3c9d"},
	})
	return providertest.JSON(status, string(out))
}

// shown answers a query about one task, or the list about several, with status words.
func shown(words map[string]string) providertest.Reply {
	var items []string
	for id, word := range words {
		w, _ := json.Marshal(word)
		items = append(items, fmt.Sprintf(`{"id":%q,"state":%s,"err_code":"","credits":20,"payload":"","creations":[]}`, id, w))
	}
	sort.Strings(items)
	if len(items) == 1 {
		return providertest.JSON(200, items[0])
	}
	return providertest.JSON(200, `{"next_page_token":"","tasks":[`+strings.Join(items, ",")+`]}`)
}

// queried answers a query about the suite's task with fields; the vendor's own sample
// names no id.
func queried(fields string) providertest.Reply { return providertest.JSON(200, `{`+fields+`}`) }

const created = `{"task_id":"860000000000000001","state":"created","model":"viduq3-turbo","prompt":"a lantern festival","images":[],` +
	`"duration":5,"seed":123,"aspect_ratio":"16:9","resolution":"720p","movement_amplitude":"auto",` +
	`"payload":"` + ref + `","off_peak":false,"credits":20,"created_at":"2026-08-22T04:05:06.789Z"}`

// suite is what all routes share.
func suite(folder string, req provider.Request) providertest.Suite {
	return providertest.Suite{
		Provider: New(), Account: account, Folder: folder, Update: *update,
		Request: req, Accepted: providertest.JSON(200, created), Want: provider.Accepted{UpstreamID: taskID},
		Refusals: refusals(),
		Job:      provider.Job{UpstreamID: taskID, ClientRef: ref, UpstreamModel: req.UpstreamModel, Kind: req.Kind},
		Poll:     shown,
		Carrying: func(reference string) providertest.Reply {
			return queried(`"state":"processing","payload":"` + reference + `"`)
		},
		Words: map[string]provider.State{
			"created": provider.StateQueued, "queueing": provider.StateQueued, "processing": provider.StateRunning,
			"success": provider.StateSucceeded, "failed": provider.StateFailed,
			"SUCCESS": provider.StateSucceeded, "Queueing": provider.StateQueued,
		},
		Reports: reports(req.Kind),
		Complaint: func(status int, message string) providertest.Reply {
			out, _ := json.Marshal(map[string]any{
				"code": status, "reason": message, "message": message, "metadata": map[string]string{"trace_id": message},
			})
			return providertest.JSON(status, string(out))
		},
		Failed: func(message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return queried(`"state":"failed","err_code":` + string(m))
		},
		Cancelled: providertest.JSON(200, `{}`),
		TooLate:   refused(400, "BadRequest", "task state is scheduled, can not cancel"),
		Found: providertest.JSON(200, `{"next_page_token":"","tasks":[{"id":"1","payload":"another"},{"id":"2"},`+
			`{"id":"`+taskID+`","state":"processing","payload":"`+ref+`"}]}`),
		NotFound: providertest.JSON(200, `{"next_page_token":"","tasks":[]}`), Uncertain: true,
		Callbacks: callbacks(),
	}
}

func refusals() []providertest.Refusal {
	list := []providertest.Refusal{
		{Name: "a route that is not there", Reply: refused(404, "NotFound", "not found"), Class: provider.ModelGone},
		{Name: "field", Reply: refused(400, "FieldInvalid", "invalid field: duration"), Class: provider.Invalid, Says: "the upstream refused input.duration"},
		{Name: "field without a name", Reply: refused(400, "FieldInvalid", "invalid field: credit_card"), Class: provider.Invalid, Says: "the upstream refused the request"},
		{Name: "image", Reply: refused(400, "ImageDownloadFailure", "image download failure"), Class: provider.Invalid, Says: "could not download an image"},
		{Name: "a 400 that is moderation", Reply: refused(400, "AuditSubmitIllegal", "submit is illegal"), Class: provider.Moderation},
		{Name: "a new word of the same kind", Reply: refused(400, "ImageCheckSomethingNew", "x"), Class: provider.Invalid, Says: "an image"},
		{Name: "a new moderation word", Reply: refused(400, "PhotoAuditNotPass", "x"), Class: provider.Moderation},
		{Name: "an unknown word", Reply: refused(400, "TheMoonIsFull", "x"), Class: provider.Invalid},
		{Name: "wrong key", Reply: refused(401, "Unauthorized", "unauthorized"), Class: provider.Credential},
		{Name: "a 429 that is balance", Reply: refused(429, "CreditInsufficient", "insufficient credits"), Class: provider.Balance},
		{Name: "conflict", Reply: refused(409, "Conflict", "resource conflict"), Class: provider.Invalid},
		{Name: "client gone", Reply: refused(499, "Canceled", "request canceled by client"), Class: provider.OutcomeUnknown},
		{Name: "fault", Reply: refused(500, "InternalServiceFailure", "internal service failure"), Class: provider.OutcomeUnknown},
	}
	status := map[provider.Class]int{provider.Permission: 403, provider.Rate: 429}
	for reason, class := range byReason {
		switch class {
		case provider.Gone, provider.Unavailable, provider.Credential:
			continue // of queries, and above
		}
		code := status[class]
		if code == 0 || reason == "OperationInProcess" {
			code = 400
		}
		list = append(list, providertest.Refusal{Name: reason, Reply: refused(code, reason, "x"), Class: class})
	}
	return list
}

func failed(class provider.Class) *provider.Error { return &provider.Error{Class: class} }

func reports(kind kinora.Kind) []providertest.PollCase {
	end := func(code string) providertest.Reply {
		return queried(`"state":"failed","err_code":"` + code + `","credits":0,"payload":"` + ref + `","creations":[]`)
	}
	list := []providertest.PollCase{
		{Name: "running", Reply: queried(`"id":"860000000000000001","state":"processing","err_code":"","credits":20,"payload":"` + ref + `","creations":[]`),
			Want: provider.Report{State: provider.StateRunning, Progress: -1}},
		{Name: "queued off-peak", Reply: queried(`"state":"queueing","off_peak":true`),
			Want: provider.Report{State: provider.StateQueued, Progress: -1, PollAfter: 2 * time.Minute}},
		{Name: "succeeded", Reply: queried(`"id":"860000000000000001","state":"success","err_code":"","credits":20,"payload":"` + ref + `","bgm":false,"off_peak":false,` +
			`"creations":[{"id":"c1","url":"https://cdn.example/v.mp4","cover_url":"https://cdn.example/c.jpg","watermarked_url":"https://cdn.example/w.mp4"},` +
			`{"id":"c2","url":"","watermarked_url":"https://cdn.example/w2.mp4"},{"id":"c3"}]`),
			Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{
				{URL: "https://cdn.example/v.mp4", Kind: kind}, {URL: "https://cdn.example/w2.mp4", Kind: kind},
			}}},
		{Name: "the vendor's own sample", Reply: queried(`"state":"success","err_code":"","credits":4,"payload":"","creations":[{"id":"x","url":"https://cdn.example/1","cover_url":"y"}]`),
			Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "https://cdn.example/1", Kind: kind}}}},
		{Name: "odd types", Reply: queried(`"id":860000000000000001,"state":"success","err_code":null,"credits":"20","off_peak":"false","creations":{"id":1,"url":"https://cdn.example/1"}`),
			Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "https://cdn.example/1", Kind: kind}}}},
		{Name: "success without files", Reply: queried(`"state":"success","creations":[]`),
			Want: provider.Report{State: provider.StateFailed, Progress: 100, Err: failed(provider.Generation)}},
		{Name: "cancelled", Reply: end("UserCancelled"), Want: provider.Report{State: provider.StateCancelled, Progress: -1}},
		{Name: "no such task", Reply: refused(400, "BadRequest", "x"), Class: provider.Invalid},
		{Name: "overload", Reply: refused(429, "SystemThrottling", "x"), Class: provider.Rate},
		{Name: "a proxy's not found", Reply: providertest.Reply{Status: 404, Body: "<html>"}, Class: provider.Unavailable},
		{Name: "fault", Reply: refused(500, "InternalServiceFailure", "x"), Class: provider.Unavailable},
		{Name: "no state", Reply: queried(`"err_code":""`), Class: provider.Unavailable},
	}
	for code, class := range map[string]provider.Class{
		"CreationPolicyViolation": provider.Moderation, "TaskPromptPolicyViolation": provider.Moderation, "AuditSubmitIllegal": provider.Moderation,
		"ImageDownloadFailure": provider.Invalid, "ImageFormatInvalid": provider.Invalid, "ModelUnavailable": provider.ModelGone,
		"CreditInsufficient": provider.Balance, "InternalServiceFailure": provider.Generation, "SystemThrottling": provider.Generation,
		"": provider.Generation, "SomethingNew": provider.Generation,
	} {
		list = append(list, providertest.PollCase{Name: "failed with " + code, Reply: end(code),
			Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(class)}})
	}
	return list
}

func TestConformanceVideos(t *testing.T) {
	s := suite("video", video("viduq3-turbo", 0))
	s.Golden = map[string]provider.Request{
		"text sized":              sized(lasting(video("viduq3-turbo", 0), 8), "1920x1080"),
		"text ratio":              sized(video("viduq2", 0), "3:4"),
		"text everything":         sized(lasting(video("viduq3-pro", 0, "duration", `"12"`, "aspect_ratio", `"1:1"`, "resolution", `"540p"`, "seed", "7", "audio", "true", "off_peak", "true", "watermark", "true", "wm_position", "3", "meta_data", `"{}"`, "new_thing", `{"a":[1]}`, "route", `"text2video"`, "model", `"other"`, "durationSeconds", "12"), 5), "16:9"),
		"text own payload":        video("viduq1", 0, "payload", `"order <17> & more"`),
		"image":                   sized(lasting(video("viduq2-pro", 1), 4), "1280x720"),
		"start and end":           sized(video("viduq2-turbo", 2, "movement_amplitude", `"large"`, "bgm", "true"), "16:9"),
		"references":              sized(video("viduq2-turbo", 3), "16:9"),
		"one reference":           video("viduq2", 1),
		"subjects":                video("viduq3", 0, "subjects", `[{"name":"lin","images":["https://img.example/l.png"]}]`),
		"two references by route": video("viduq1", 2, "route", `"reference2video"`),
		"images in metadata":      video("viduq3-pro", 1, "images", `["https://img.example/a.png","https://img.example/b.png"]`),
		"template":                video("viduq2", 1, "template", `"hugging"`, "area", `"uk"`),
		"template story":          video("viduq2", 1, "story", `"love_story"`),
		"frames":                  sized(lasting(video("viduq2-pro", 3, "route", `"multiframe"`), 4), "1080x1920"),
		"frames in metadata":      video("viduq2-turbo", 0, "start_image", `"https://img.example/s.png"`, "image_settings", `[{"key_image":"https://img.example/1.png"},{"key_image":"https://img.example/2.png"}]`),
		"unknown model":           sized(video("viduq9-ultra", 1), "21:9"),
		"without a callback":      with(video("viduq3-turbo", 0), func(r *provider.Request) { r.CallbackURL = "" }),
		"callback with a query":   with(video("viduq3-turbo", 0), func(r *provider.Request) { r.CallbackURL = "http://h/a%2Fb?x=1&y=<ü>" }),
	}
	s.Patience = map[string]time.Duration{"text everything": 49 * time.Hour}
	s.Refused = map[string]provider.Request{
		"input.prompt must be at most 5000":                                with(video("viduq3-turbo", 0), func(r *provider.Request) { r.Prompt = strings.Repeat("ü", 5001) }),
		"input.metadata.prompt must be a string":                           video("viduq3-turbo", 0, "prompt", "1"),
		"input.images must be exactly 1 for img2video":                     video("viduq3-turbo", 2, "route", `"img2video"`),
		"input.images must be exactly 2 for start-end2video":               video("viduq3-turbo", 1, "route", `"start-end2video"`),
		"input.images must be at most 7":                                   video("viduq2", 8),
		"input.metadata.images must be a list of strings":                  video("viduq2", 0, "images", `"https://img.example"`),
		"input.images must be at least 1 for template":                     video("viduq2", 0, "template", `"hugging"`),
		"input.metadata.template must be the name":                         video("viduq2", 1, "route", `"template"`),
		"input.metadata.story must be the name":                            video("viduq2", 1, "route", `"template-story"`),
		"input.images must be a first frame and 1 to 9 more":               video("viduq2-pro", 1, "route", `"multiframe"`),
		"input.images must be the frames":                                  video("viduq2-pro", 0, "image_settings", `[{},{}]`),
		"input.metadata.image_settings must be a list of 1 to 9":           video("viduq2-pro", 1, "image_settings", `[]`),
		"input.metadata.start_image must be a string":                      video("viduq2-pro", 1, "start_image", `1`),
		"input.metadata.route must be one of text2video":                   video("viduq2", 0, "route", `"../../credits"`),
		"input.duration must be between 1 and 16":                          lasting(video("viduq3-turbo", 0), 17),
		"input.duration must be between 1 and 10":                          lasting(video("viduq2", 0), 11),
		"input.duration must be 5 seconds":                                 lasting(video("viduq1-classic", 1), 4),
		"input.duration must be between 2 and 7":                           lasting(video("viduq2-pro", 3, "route", `"multiframe"`), 8),
		"input.metadata.duration must be between 1 and 16":                 lasting(video("viduq3-turbo", 0, "duration", "20"), 5),
		"input.metadata.duration must be a whole number":                   video("viduq3-turbo", 0, "duration", `"long"`),
		"input.metadata.aspect_ratio must be one of 16:9, 9:16":            video("viduq1", 0, "aspect_ratio", `"4:3"`),
		"input.metadata.aspect_ratio must be a string":                     video("viduq3-turbo", 0, "aspect_ratio", `43`),
		"input.metadata.resolution must be one of 540p":                    video("viduq3-turbo", 0, "resolution", `"4K"`),
		"input.metadata.resolution must be one of 1080p":                   video("viduq1", 0, "resolution", `"720p"`),
		"input.metadata.resolution must be a string":                       video("viduq3-turbo", 0, "resolution", `720`),
		"input.metadata.movement_amplitude must be one of auto":            video("viduq1", 0, "movement_amplitude", `"huge"`),
		"input.metadata.style must be one of general":                      video("viduq1", 0, "style", `"noir"`),
		"input.metadata.style must be left out":                            video("viduq3-turbo", 0, "style", `"anime"`),
		"input.metadata.style must be left out for":                        video("viduq2", 0, "style", `"general"`),
		"input.metadata.bgm must be false":                                 video("viduq3-pro", 1, "bgm", "true"),
		"input.metadata.aspect_ratio must be one of 16:9":                  video("vidu2.0", 0, "aspect_ratio", `"3:4"`),
		"input.size must be of one of the ratios 16:9, 9:16, 1:1":          sized(video("vidu1.5", 3), "4:3"),
		"input.metadata.resolution must be one of 360p":                    video("vidu2.0", 1, "resolution", `"4K"`),
		"input.metadata.resolution must be one of 360p, 540p":              video("vidu1.5", 3, "resolution", `"1440p"`),
		"input.metadata.images[0] must be of one of the types":             video("viduq2-pro", 0, "images", `["data:image/gif;base64,R0lGODlhAQABAAAAACw="]`),
		"input.metadata must be smaller: the upstream takes at most 20 MB": video("viduq2-pro", 0, "images", `["data:image/png;base64,`+strings.Repeat("A", 20<<20)+`"]`),
		"input.metadata.bgm must be true or false":                         video("viduq1", 0, "bgm", `"true"`),
		"input.metadata.off_peak must be true or false":                    video("viduq1", 0, "off_peak", `1`),
		"input.metadata.seed must be a whole number":                       video("viduq1", 0, "seed", `1.5`),
		"input.metadata.wm_position must be a whole number":                video("viduq1", 0, "wm_position", `5`),
		"input.metadata.meta_data must be a string":                        video("viduq1", 0, "meta_data", `{}`),
		"input.metadata.payload must be a string of at most":               video("viduq1", 0, "payload", `"`+strings.Repeat("x", 1<<20+1)+`"`),
		"input.size must be WxH":                                           sized(video("viduq3-turbo", 0), "large"),
		"input.size must be of one of the ratios 16:9":                     sized(video("viduq3-turbo", 0), "2:1"),
		"input.size must be at most 1080 pixels on the shorter":            sized(video("viduq3-turbo", 0), "3840x2160"),
		"input.size must be 1080 pixels on the shorter side":               sized(video("viduq1", 1), "1280x720"),
		"input.metadata.voice_id must be a string":                         video("viduq2-pro", 1, "voice_id", "1"),
	}
	providertest.Run(t, s)
}

func TestConformanceImages(t *testing.T) {
	s := suite("image", picture("viduq2", 0))
	s.Golden = map[string]provider.Request{
		"square":     sized(lasting(picture("viduq2", 0), 5), "1024x1024"),
		"4K":         sized(picture("viduq2", 1), "3840x2160"),
		"ratio":      sized(picture("viduq2", 1), "2:3"),
		"auto":       sized(picture("viduq1", 7, "seed", "0"), "auto"),
		"everything": sized(picture("viduq2", 2, "aspect_ratio", `"auto"`, "resolution", `"2K"`, "images", `["https://img.example/z.png"]`, "route", `"reference2image"`), "1:1"),
	}
	s.Refused = map[string]provider.Request{
		"input.prompt must be at most 2000":                             with(picture("viduq2", 0), func(r *provider.Request) { r.Prompt = strings.Repeat("x", 2001) }),
		"input.images must be at least 1":                               picture("viduq1", 0),
		"input.images must be at most 7":                                picture("viduq2", 8),
		"input.metadata.route must be reference2image":                  picture("viduq2", 1, "route", `"img2video"`),
		"input.size must be of one of the ratios 16:9":                  sized(picture("viduq2", 0), "5:4"),
		"input.size must be at most 4096 pixels on the longer":          sized(picture("viduq2", 0), "8000x4500"),
		"input.metadata.resolution must be one of 1080p, 2K, 4K":        picture("viduq2", 0, "resolution", `"8K"`),
		"input.metadata.aspect_ratio must be one of 16:9, 9:16, 1:1, 3": picture("viduq2", 0, "aspect_ratio", `"wide"`),
	}
	providertest.Run(t, s)
}
