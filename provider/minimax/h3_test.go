package minimax

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// task is V2's answer to a poll of the suite's task.
func task(fields string) providertest.Reply {
	return providertest.JSON(200, `{"task":{"id":"420000000000001","model":"MiniMax-H3",`+fields+`}}`)
}

// entries is n entries of content.
func entries(n int, entry string) string {
	list := slices.Repeat([]string{entry}, n)
	return "[" + strings.Join(append(list, `{"type":"text","text":"x"}`), ",") + "]"
}

// frameOf is an image of content with a role.
func frameOf(role string) string {
	return `{"type":"image_url","image_url":{"url":"x"},"role":"` + role + `"}`
}

func TestH3(t *testing.T) {
	frame := "https://cdn.example/a.png?x=1&y=2"
	reference := `{"type":"image_url","image_url":{"url":"mm_file://1"},"role":"reference_image"}`
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: account, Folder: "h3", Update: *update,
		Request:  video("MiniMax-H3", nil),
		Accepted: providertest.JSON(200, `{"task_id":"420000000000001"}`),
		Want:     provider.Accepted{UpstreamID: "420000000000001"},
		Golden: map[string]provider.Request{
			"submit documented": video("MiniMax-H3", func(r *provider.Request) {
				r.Prompt, r.Size, r.Duration, r.CallbackURL = "harbour at dawn", "1366x768", 6, "https://gw.example/cb/minimax/JOBTOKEN"
			}),
			"submit first frame": video("MiniMax-H3", func(r *provider.Request) { r.Size, r.Images = "9:16", []string{frame} }),
			"submit frames":      video("MiniMax-H3-Max", func(r *provider.Request) { r.Size, r.Images = "854x480", []string{frame, "https://cdn.example/b.png"} }),
			"submit references":  video("MiniMax-H3", func(r *provider.Request) { r.Size, r.Images = "2560x1440", []string{"a", "b", "c"} }),
			"submit references adaptive": video("MiniMax-H3", func(r *provider.Request) {
				r.Size, r.Images = "auto", []string{"a", "b", "c"}
			}),
			"submit content": video("MiniMax-H3", func(r *provider.Request) {
				r.Images, r.Duration = []string{"https://cdn.example/unused.png"}, 9
				r.Metadata = raw("content", `[`+reference+`,{"type":"video_url","video_url":{"url":"https://cdn.example/v.mp4?a=1&b=2"},"role":"reference_video"},{"type":"audio_url","audio_url":{"url":"https://cdn.example/a.wav"},"role":"reference_audio"}]`,
					"ratio", `"4:3"`, "resolution", `"2k"`, "duration", `"7"`, "aigc_watermark", "true", "future", "1", "model", `"another"`, "callback_url", `"https://evil.example/"`)
			}),
			"submit content with text": video("MiniMax-H3-Max", withMetadata("content", `[{"type":"text","text":"mine"}]`, "extra", `{"prompt_expansion_mode":"quality"}`)),
			"submit ultrawide":         video("MiniMax-H3", func(r *provider.Request) { r.Size = "2000x900" }),
			"submit portrait":          video("MiniMax-H3-Max", func(r *provider.Request) { r.Size = "1080x1920" }),
		},
		Refused: map[string]provider.Request{
			"input.prompt must be at most 7000 characters":                     video("MiniMax-H3", func(r *provider.Request) { r.Prompt = strings.Repeat("ä", 7001) }),
			"input.metadata.content must be at most 7000 characters":           video("MiniMax-H3", withMetadata("content", `[{"type":"text","text":"`+strings.Repeat("x", 7001)+`"}]`)),
			"input.metadata.content must be a list of objects":                 video("MiniMax-H3", withMetadata("content", `{"type":"text"}`)),
			"input.metadata.content must be a list of":                         video("MiniMax-H3", withMetadata("content", `["x"]`)),
			"input.metadata.content must be either frames or references":       video("MiniMax-H3", withMetadata("content", `[`+reference+`,{"type":"image_url","image_url":{"url":"x"}}]`)),
			"input.metadata.content must be at most 9 images":                  video("MiniMax-H3", withMetadata("content", entries(10, reference))),
			"input.images must be at most 9 images":                            video("MiniMax-H3", withImages(strings.Split("abcdefghij", "")...)),
			"input.metadata.content must be of at most one first and":          video("MiniMax-H3", withMetadata("content", entries(2, `{"type":"image_url","image_url":{"url":"x"}}`))),
			"input.metadata.content must be of at most one":                    video("MiniMax-H3", withMetadata("content", `[`+frameOf("first_frame")+`,`+frameOf("last_frame")+`,`+frameOf("last_frame")+`]`)),
			"input.metadata.content must be given a first frame beside":        video("MiniMax-H3", withMetadata("content", `[`+frameOf("last_frame")+`]`)),
			"input.metadata.content must be given an image or a video":         video("MiniMax-H3", withMetadata("content", entries(1, `{"type":"audio_url","audio_url":{"url":"x"},"role":"reference_audio"}`))),
			"input.metadata must be smaller: the upstream takes at most 64 MB": video("MiniMax-H3", withMetadata("future", strings.Repeat(" ", 64<<20)+"1")),
			"input.metadata.content must be at most 3 videos":                  video("MiniMax-H3", withMetadata("content", entries(4, `{"type":"video_url","role":"reference_video"}`))),
			"input.metadata.content must be at most 3 audio clips":             video("MiniMax-H3", withMetadata("content", `[`+reference+`,`+entries(4, `{"type":"audio_url","role":"reference_audio"}`)[1:])),
			"input.size must be one of 21:9, 16:9":                             video("MiniMax-H3", func(r *provider.Request) { r.Size = "3:2" }),
			"input.size must be WxH":                                           video("MiniMax-H3", func(r *provider.Request) { r.Size = "0x9" }),
			"input.metadata.ratio must be one of adaptive, 21:9":               video("MiniMax-H3", withMetadata("ratio", `"3:2"`)),
			"input.metadata.ratio must be one of 21:9":                         video("MiniMax-H3", withMetadata("ratio", `"adaptive"`)),
			"input.metadata.resolution must be one of 768P, 2K":                video("MiniMax-H3", withMetadata("resolution", `"480P"`)),
			"input.metadata.resolution must be one of 480P, 768P":              video("MiniMax-H3-Max", withMetadata("resolution", `"2K"`)),
			"input.duration must be between 4 and 15 seconds for MiniMax-H3":   video("MiniMax-H3", func(r *provider.Request) { r.Duration = 16 }),
			"input.duration must be between 5 and 15 seconds for MiniMax-H3-":  video("MiniMax-H3-Max", func(r *provider.Request) { r.Duration = 4 }),
			"input.metadata.duration must be between 4 and 15":                 video("MiniMax-H3", withMetadata("duration", "3")),
			"input.metadata.duration must be between":                          video("MiniMax-H3", withMetadata("duration", "5.5")),
			"input.metadata.aigc_watermark must be true or false":              video("MiniMax-H3", withMetadata("aigc_watermark", "1")),
		},
		Refusals: []providertest.Refusal{
			{Name: "parameters", Reply: v2(400, "bad_request_error", "invalid params, content must include a non-empty text item (prompt is required) (2013)"), Class: provider.Invalid, Says: "input.metadata.content"},
			{Name: "an unreachable callback URL", Reply: v2(400, "bad_request_error", "invalid params, fail to check callback url (2013)"), Class: provider.Invalid, Says: "callback URL did not answer"},
			{Name: "key", Reply: v2(401, "authorized_error", "login fail: Please carry the API secret key in the 'Authorization' field of the request header (1004)"), Class: provider.Credential},
			{Name: "balance", Reply: v2(402, "insufficient_balance_error", "insufficient balance (1008)"), Class: provider.Balance},
			{Name: "moderation", Reply: v2(422, "unprocessable_entity_error", "video description contains sensitive content (1026)"), Class: provider.Moderation},
			{Name: "moderation of an output", Reply: v2(422, "unprocessable_entity_error", "no (1027) "), Class: provider.Moderation},
			{Name: "unprocessable", Reply: v2(422, "unprocessable_entity_error", "no"), Class: provider.Invalid},
			{Name: "rate", Reply: v2(429, "rate_limit_error", "rate limit exceeded (1002)"), Class: provider.Rate},
			{Name: "rate that is money", Reply: v2(429, "rate_limit_error", "usage limit exceeded (2056)"), Class: provider.Balance},
			{Name: "fault, perhaps created", Reply: v2(500, "server_error", "internal error (1000)"), Class: provider.OutcomeUnknown},
			{Name: "overload, nothing created", Reply: v2(529, "overloaded_error", "overloaded"), Class: provider.Unavailable},
			{Name: "overload that is a fault", Reply: v2(529, "overloaded_error", "system (1033)"), Class: provider.OutcomeUnknown},
			{Name: "an error under 200", Reply: v2(200, "insufficient_balance_error", "no"), Class: provider.Balance},
			{Name: "V1's words", Reply: v1(200, "1008", "no"), Class: provider.Balance},
		},
		StatusClasses: statusClasses,

		Job: provider.Job{UpstreamID: "420000000000001", UpstreamModel: "MiniMax-H3", Kind: kinora.KindVideo},
		Poll: func(words map[string]string) providertest.Reply {
			var list []string
			for id, word := range words {
				list = append(list, fmt.Sprintf(`{"id":%q,"status":%s}`, id, quote(word)))
			}
			if len(list) == 1 {
				return providertest.JSON(200, `{"task":`+list[0]+`}`)
			}
			slices.Sort(list)
			return providertest.JSON(200, `{"items":[`+strings.Join(list, ",")+`],"total":476}`)
		},
		Words: map[string]provider.State{
			"queued": provider.StateQueued, "running": provider.StateRunning, "succeeded": provider.StateSucceeded, "failed": provider.StateFailed,
			"cancelled": provider.StateCancelled, "canceled": provider.StateCancelled, "Running": provider.StateRunning, "expired": provider.StateExpired,
		},
		Reports: []providertest.PollCase{
			{
				Name: "succeeded",
				Reply: task(`"status":"succeeded","error":null,"created_at":1785901861,"updated_at":1785901990,"content":{"url":"https://cdn.example/v.mp4?sig=x","prompt":"harbour at dawn"},` +
					`"resolution":"768P","duration":6,"ratio":"16:9","task_type":"generation","usage":{"total_seconds":6,"input_seconds":0,"output_seconds":6}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: []provider.Output{{URL: "https://cdn.example/v.mp4?sig=x", Kind: kinora.KindVideo}}},
			},
			{Name: "succeeded without an output", Reply: task(`"status":"succeeded","content":{}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Generation)}},
			{Name: "input refused", Reply: task(`"status":"failed","error":{"code":"1026","message":"input sensitive"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Moderation)}},
			{Name: "output refused, by a number", Reply: task(`"status":"failed","error":{"code":1027}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Moderation)}},
			{Name: "failed by a fault", Reply: task(`"status":"failed","error":{"code":"1000"}`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Generation)}},
			{Name: "failed, without a reason", Reply: task(`"status":"failed","content":"","error":"?"`), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Generation)}},
			{Name: "an id that is a number", Reply: providertest.JSON(200, `{"task":{"id":420000000000001,"status":"running"}}`), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{Name: "another task", Reply: providertest.JSON(200, `{"task":{"id":"1","status":"failed"}}`), Class: provider.Unavailable},
			{Name: "too old", Reply: v2(400, "bad_request_error", "invalid task_id"), Class: provider.Gone},
			{Name: "no such task", Reply: v2(404, "bad_request_error", "no (2013)"), Class: provider.Gone},
			{Name: "fault", Reply: v2(500, "server_error", "internal error (1000)"), Class: provider.Unavailable},
			{Name: "wrong key", Reply: v2(401, "authorized_error", "no (1004)"), Class: provider.Credential},
			{Name: "no such route", Reply: providertest.JSON(404, `{}`), Class: provider.Unavailable},
		},
		Complaint: func(status int, message string) providertest.Reply { return v2(status, message, message) },
		Failed: func(message string) providertest.Reply {
			return task(`"status":"failed","error":{"code":` + quote(message) + `,"message":` + quote(message) + `}`)
		},
		// One body answers both the look and the DELETE after it.
		Cancelled: providertest.JSON(200, `{"task":{"id":"420000000000001","status":"queued"},"task_id":"420000000000001","action":"cancelled","status":"cancelled"}`),
		TooLate:   task(`"status":"running"`),
		Callbacks: callbacks(),
	})
}

// The DELETE that cancels a queued task destroys a finished one: it is sent for a queued one only.
func TestCancelDestroysNothing(t *testing.T) {
	u := providertest.NewUpstream(t)
	job := provider.Job{UpstreamID: "1", UpstreamModel: "MiniMax-H3"}
	shows := func(status string) providertest.Reply {
		return providertest.JSON(200, `{"task":{"id":"1","status":"`+status+`","content":{"url":"https://cdn.example/v.mp4"}}}`)
	}
	for name, c := range map[string]struct {
		task, removal providertest.Reply
		deletes       int
		err           func(error) bool
	}{
		"queued":          {shows("queued"), providertest.JSON(200, `{"task_id":"1","action":"cancelled","status":"cancelled"}`), 1, func(err error) bool { return err == nil }},
		"an older answer": {shows("queued"), providertest.JSON(200, `{"task_id":"1","action":"cancel"}`), 1, func(err error) bool { return err == nil }},
		"begun meanwhile": {shows("queued"), v2(400, "bad_request_error", "no"), 1, func(err error) bool { return errors.Is(err, provider.ErrNotCancellable) }},
		"ended meanwhile": {shows("queued"), providertest.JSON(200, `{"task_id":"1","action":"deleted","status":"deleted"}`), 1, func(err error) bool {
			return provider.AsError(err, "").Class == provider.Gone && errors.Is(err, provider.ErrResultLost)
		}},
		"lost":        {shows("queued"), providertest.Reply{Cut: providertest.CutAnswer}, 1, func(err error) bool { return provider.AsError(err, "").Class == provider.Unavailable }},
		"unreadable":  {shows("queued"), providertest.JSON(200, `{}`), 1, func(err error) bool { return provider.AsError(err, "").Class == provider.Unavailable }},
		"wrong key":   {shows("queued"), v2(401, "authorized_error", "no"), 1, func(err error) bool { return provider.AsError(err, "").Class == provider.Credential }},
		"running":     {shows("running"), providertest.Reply{}, 0, func(err error) bool { return errors.Is(err, provider.ErrNotCancellable) }},
		"succeeded":   {shows("succeeded"), providertest.Reply{}, 0, func(err error) bool { return errors.Is(err, provider.ErrNotCancellable) }},
		"failed":      {shows("failed"), providertest.Reply{}, 0, func(err error) bool { return errors.Is(err, provider.ErrNotCancellable) }},
		"cancelled":   {shows("cancelled"), providertest.Reply{}, 0, func(err error) bool { return errors.Is(err, provider.ErrNotCancellable) }},
		"a new word":  {shows("finishing"), providertest.Reply{}, 0, func(err error) bool { return errors.Is(err, provider.ErrNotCancellable) }},
		"cannot tell": {providertest.Reply{Status: 500}, providertest.Reply{}, 0, func(err error) bool { return provider.AsError(err, "").Class == provider.Unavailable }},
	} {
		u.AnswerWith(func(r providertest.Recorded) providertest.Reply {
			if r.Method == "DELETE" {
				return c.removal
			}
			return c.task
		})
		if err := New().Cancel(t.Context(), u.With(account), job); !c.err(err) {
			t.Errorf("%s: error %v", name, err)
		}
		deletes := 0
		for _, r := range u.Take() {
			if r.Method == "DELETE" {
				deletes++
			}
		}
		if deletes != c.deletes {
			t.Errorf("%s: %d DELETEs, want %d", name, deletes, c.deletes)
		}
	}
	// After a DELETE that was taken the task is looked at once more.
	for after, want := range map[string]error{"running": provider.ErrNotCancellable, "succeeded": provider.ErrNotCancellable, "cancelled": nil, "queued": nil, "": nil} {
		deleted := false
		u.AnswerWith(func(r providertest.Recorded) providertest.Reply {
			switch {
			case r.Method == "DELETE":
				deleted = true
				return providertest.JSON(200, `{"task_id":"1","action":"cancelled","status":"cancelled"}`)
			case !deleted:
				return shows("queued")
			case after == "":
				return providertest.Reply{Status: 500}
			}
			return shows(after)
		})
		if err := New().Cancel(t.Context(), u.With(account), job); !errors.Is(err, want) {
			t.Errorf("%q after the DELETE: error %v, want %v", after, err, want)
		}
		if n := len(u.Take()); n != 3 {
			t.Errorf("%q after the DELETE: %d calls, want a look, the DELETE and a look", after, n)
		}
	}
	for _, model := range []string{"MiniMax-Hailuo-2.3", "image-01"} {
		if err := New().Cancel(t.Context(), u.With(account), provider.Job{UpstreamID: "1", UpstreamModel: model}); !errors.Is(err, provider.ErrNotCancellable) || len(u.Take()) != 0 {
			t.Errorf("%s: error %v", model, err)
		}
	}
}

// Several tasks are one call to the list; one that it lacks is left out.
func TestListOfTasks(t *testing.T) {
	u := providertest.NewUpstream(t)
	var jobs []provider.Job
	for i := range maxBatch {
		jobs = append(jobs, provider.Job{UpstreamID: fmt.Sprint(i), UpstreamModel: "MiniMax-H3", Kind: kinora.KindVideo})
	}
	u.Answer(providertest.JSON(200, `{"items":[{"id":"0","status":"succeeded","content":{"url":"https://cdn.example/v.mp4"}},{"id":1,"status":"queued"},{"id":"1","status":"failed"},{"id":"other","status":"failed"}],"total":"4"}`))
	reports, err := New().Poll(t.Context(), u.With(account), jobs)
	if err != nil || len(reports) != 2 || reports[0].State != provider.StateSucceeded || reports[1].State != provider.StateQueued {
		t.Errorf("%+v, error %v", reports, err)
	}
	asked := u.Take()
	if len(asked) != 1 || !strings.HasPrefix(asked[0].Target, "/v2/query/video_generation?filter.task_ids=0&filter.task_ids=1&") || !strings.HasSuffix(asked[0].Target, "&page_num=1&page_size=20") {
		t.Errorf("asked %+v", asked)
	}
	for _, reply := range []providertest.Reply{providertest.JSON(200, `{}`), providertest.JSON(200, `{"items":null}`), {Status: 500}, {Cut: providertest.CutAnswer}} {
		u.Answer(reply)
		if reports, err := New().Poll(t.Context(), u.With(account), jobs); err == nil || len(reports) > 0 || provider.AsError(err, "").Class != provider.Unavailable {
			t.Errorf("%+v: %+v, error %v", reply, reports, err)
		}
	}
}
