package minimax

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// query is V1's answer to a poll of the suite's task.
func query(fields string) providertest.Reply {
	return providertest.JSON(200, `{"task_id":"106916112212032",`+fields+`}`)
}

// file answers the second read of a task that has succeeded, as documented: the id that was
// a string is a number now.
func file(r providertest.Recorded) (providertest.Reply, bool) {
	if r.Method != "GET" || r.Target != "/v1/files/retrieve?file_id=205258526306433" || r.Header.Get("Authorization") != "Bearer "+testKey {
		return providertest.Reply{}, false
	}
	return providertest.JSON(200, `{"file":{"file_id":205258526306433,"bytes":0,"created_at":1785901990,"filename":"output_aigc.mp4","purpose":"video_generation",`+
		`"download_url":"https://cdn.example/v.mp4?Signature=x"},"base_resp":{"status_code":0,"status_msg":"success"}}`), true
}

func TestHailuo(t *testing.T) {
	ok := `"base_resp":{"status_code":0,"status_msg":"success"}`
	fails := func(code string) providertest.Reply {
		return query(`"status":"Fail","base_resp":{"status_code":` + code + `,"status_msg":"no"}`)
	}
	frame := "https://cdn.example/a.png?x=1&y=2"
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: account, Folder: "hailuo", Update: *update,
		Request:  video("MiniMax-Hailuo-2.3", nil),
		Accepted: providertest.JSON(200, `{"task_id":"106916112212032",`+ok+`}`),
		Want:     provider.Accepted{UpstreamID: "106916112212032"},
		Golden: map[string]provider.Request{
			"submit documented": video("MiniMax-Hailuo-2.3", func(r *provider.Request) {
				r.Prompt, r.Duration, r.Metadata = "a fox in snow [Push in]", 6, raw("resolution", `"768P"`, "prompt_optimizer", "true")
				r.CallbackURL = "https://gw.example/cb/minimax/JOBTOKEN"
			}),
			"submit everything": video("MiniMax-Hailuo-02", func(r *provider.Request) {
				r.Size, r.Duration, r.Images, r.CallbackURL = "1366x768", 10, []string{frame, "https://cdn.example/b.png"}, "https://gw.example/cb?a=b&c=%2F"
				r.Metadata = raw("fast_pretreatment", "false", "aigc_watermark", "true", "future", `{"a":[1]}`, "nothing", "null", "durationSeconds", "10",
					"model", `"another"`, "callback_url", `"https://evil.example/"`)
			}),
			"submit metadata wins": video("MiniMax-Hailuo-02", func(r *provider.Request) {
				r.Size, r.Duration, r.Images = "1920x1080", 10, []string{frame, "https://cdn.example/b.png"}
				r.Metadata = raw("resolution", `"768p"`, "duration", `"6"`, "first_frame_image", `"https://cdn.example/c.png"`, "last_frame_image", `"https://cdn.example/d.png"`, "prompt", `"another"`)
			}),
			"submit small and long":     video("MiniMax-Hailuo-02", func(r *provider.Request) { r.Size, r.Duration, r.Images = "512x512", 10, []string{frame} }),
			"submit small":              video("MiniMax-Hailuo-02", func(r *provider.Request) { r.Size, r.Images = "512x512", []string{frame} }),
			"submit small without it":   video("MiniMax-Hailuo-2.3", func(r *provider.Request) { r.Size = "512x512" }),
			"submit large":              video("MiniMax-Hailuo-2.3", func(r *provider.Request) { r.Size = "1080x1920" }),
			"submit a ratio":            video("MiniMax-Hailuo-2.3", func(r *provider.Request) { r.Size = "9:16" }),
			"submit 01 has no duration": video("T2V-01", func(r *provider.Request) { r.Size, r.Duration = "1280x720", 6 }),
			"submit I2V":                video("I2V-01-live", withImages(frame)),
			"submit S2V":                video("S2V-01", withImages(frame)),
			"submit last frame only":    video("MiniMax-Hailuo-02", withMetadata("last_frame_image", `"https://cdn.example/d.png"`)),
		},
		Refused: map[string]provider.Request{
			"input.prompt must be at most 2000 characters": video("MiniMax-Hailuo-2.3", func(r *provider.Request) { r.Prompt = strings.Repeat("ä", 2001) }),
			"input.metadata.prompt must be at most 2000":   video("T2V-01", withMetadata("prompt", `"`+strings.Repeat("x", 2001)+`"`)),
			"input.metadata.prompt must be a string":       video("T2V-01", withMetadata("prompt", "7")),
			"input.size must be WxH":                       video("MiniMax-Hailuo-2.3", func(r *provider.Request) { r.Size = "large" }),
			"input.duration must be 6 or 10 seconds":       video("MiniMax-Hailuo-2.3", func(r *provider.Request) { r.Duration = 8 }),
			"input.metadata.duration must be 6 or 10":      video("MiniMax-Hailuo-2.3", withMetadata("duration", `"ten"`)),
			"input.duration must be 6 seconds at 1080P":    video("MiniMax-Hailuo-02", func(r *provider.Request) { r.Duration, r.Size = 10, "1920x1080" }),
			"input.metadata.resolution must be one of 768P, 1080P: 512P": video("MiniMax-Hailuo-02", func(r *provider.Request) {
				r.Duration, r.Images, r.Metadata = 10, []string{frame}, raw("resolution", `"512P"`)
			}),
			"input.metadata.first_frame_image must be an image of at least 301": video("MiniMax-Hailuo-02", withMetadata("first_frame_image", `"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="`)),
			"input.duration must be 6 seconds for T2V-01":                       video("T2V-01", func(r *provider.Request) { r.Duration = 10 }),
			"input.metadata.duration must be 6 seconds for I2V-01":              video("I2V-01", func(r *provider.Request) { r.Images, r.Metadata = []string{frame}, raw("duration", "5.5") }),
			"input.metadata.resolution must be one of 768P, 1080P":              video("MiniMax-Hailuo-2.3", withMetadata("resolution", `"512P"`)),
			"input.metadata.resolution must be one of 512P, 768P, 1080P":        video("MiniMax-Hailuo-02", func(r *provider.Request) { r.Images, r.Metadata = []string{frame}, raw("resolution", `"4K"`) }),
			"input.metadata.resolution must be one of":                          video("MiniMax-Hailuo-2.3", withMetadata("resolution", "768")),
			"input.images must be absent: T2V-01":                               video("T2V-01", withImages(frame)),
			"input.metadata.first_frame_image must be absent: S2V-01":           video("S2V-01", func(r *provider.Request) { r.Images, r.Metadata = []string{frame}, raw("first_frame_image", `"x"`) }),
			"input.images must be at most 1 for MiniMax-Hailuo-2.3":             video("MiniMax-Hailuo-2.3", withImages(frame, "b")),
			"input.images must be at most 1 for S2V-01":                         video("S2V-01", withImages(frame, "b")),
			"input.images must be at most 2 for MiniMax-Hailuo-02":              video("MiniMax-Hailuo-02", withImages(frame, "b", "c")),
			"input.metadata.last_frame_image must be absent":                    video("MiniMax-Hailuo-2.3", withMetadata("last_frame_image", `"x"`)),
			"input.image must be given: MiniMax-Hailuo-2.3-Fast":                video("MiniMax-Hailuo-2.3-Fast", nil),
			"input.image must be given: I2V-01-Director":                        video("I2V-01-Director", nil),
			"input.image must be given: S2V-01":                                 video("S2V-01", nil),
			"input.metadata.subject_reference must be one entry with one i":     video("S2V-01", withMetadata("subject_reference", `[{"type":"character","image":["a","b"]}]`)),
			"input.metadata.prompt_optimizer must be true or false":             video("MiniMax-Hailuo-2.3", withMetadata("prompt_optimizer", `"yes"`)),
		},
		Refusals:      v1Codes(),
		StatusClasses: statusClasses,

		Job:       provider.Job{UpstreamID: "106916112212032", UpstreamModel: "MiniMax-Hailuo-2.3", Kind: kinora.KindVideo},
		Auxiliary: file,
		Poll: func(words map[string]string) providertest.Reply {
			for id, word := range words {
				return providertest.JSON(200, fmt.Sprintf(`{"task_id":%q,"status":%s,"file_id":"205258526306433",%s}`, id, quote(word), ok))
			}
			return providertest.Reply{}
		},
		Words: map[string]provider.State{
			"Preparing": provider.StateQueued, "Queueing": provider.StateQueued, "Processing": provider.StateRunning,
			"Success": provider.StateSucceeded, "Fail": provider.StateFailed,
			// The words of the callbacks, should they come here.
			"processing": provider.StateRunning, "success": provider.StateSucceeded, "failed": provider.StateFailed,
		},
		Reports: []providertest.PollCase{
			{Name: "processing", Reply: query(`"status":"Processing",` + ok), Want: provider.Report{State: provider.StateRunning, Progress: -1}},
			{
				Name: "success", Reply: query(`"status":"Success","file_id":"205258526306433","video_width":1366,"video_height":768,` + ok),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: []provider.Output{{URL: "https://cdn.example/v.mp4?Signature=x", Kind: kinora.KindVideo}}},
			},
			{
				Name: "success with numbers", Reply: providertest.JSON(200, `{"task_id":106916112212032,"status":"success","file_id":205258526306433,"base_resp":{"status_code":"0"}}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: []provider.Output{{URL: "https://cdn.example/v.mp4?Signature=x", Kind: kinora.KindVideo}}},
			},
			{Name: "success without a file", Reply: query(`"status":"Success","file_id":"",` + ok), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Generation)}},
			{Name: "output refused", Reply: fails("1027"), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Moderation)}},
			{Name: "input refused", Reply: fails("1026"), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Moderation)}},
			{Name: "failed by a fault", Reply: fails("1033"), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Generation)}},
			{Name: "failed by parameters", Reply: fails("2013"), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Invalid)}},
			{Name: "failed without a code", Reply: fails("0"), Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: failed(provider.Generation)}},
			{Name: "another task", Reply: providertest.JSON(200, `{"task_id":"1","status":"Fail",`+ok+`}`), Class: provider.Unavailable},
			{Name: "fault", Reply: v1(200, "1000", "no"), Class: provider.Unavailable},
			{Name: "no such task", Reply: v1(200, "2013", "invalid params"), Class: provider.Gone},
			{Name: "wrong key", Reply: v1(200, "1004", "no"), Class: provider.Credential},
			{Name: "too often", Reply: v1(200, "1002", "no"), Class: provider.Rate},
			{Name: "no money", Reply: v1(200, "1008", "no"), Class: provider.Balance},
			{Name: "nobody's code", Reply: v1(200, "7777", "no"), Class: provider.Unavailable},
			{Name: "no such route", Reply: providertest.JSON(404, `{}`), Class: provider.Unavailable},
		},
		Complaint: func(status int, message string) providertest.Reply {
			return providertest.JSON(status, fmt.Sprintf(`{"task_id":"","base_resp":{"status_code":%s,"status_msg":%s}}`, quote(message), quote(message)))
		},
		Failed: func(message string) providertest.Reply {
			return query(`"status":"Fail","base_resp":{"status_code":` + quote(message) + `,"status_msg":` + quote(message) + `}`)
		},
		Callbacks: callbacks(),
	})
}

// A file's address is a second read, whose failures are no failures of the task.
func TestHailuoFile(t *testing.T) {
	u := providertest.NewUpstream(t)
	job := provider.Job{UpstreamID: "1", UpstreamModel: "T2V-01", Kind: kinora.KindVideo}
	for name, c := range map[string]struct {
		file  providertest.Reply
		class provider.Class // empty = an output
	}{
		"there":           {providertest.JSON(200, `{"file":{"file_id":7,"download_url":"https://cdn.example/v.mp4"},"base_resp":{"status_code":0}}`), ""},
		"no address yet":  {providertest.JSON(200, `{"file":{"file_id":7,"download_url":""},"base_resp":{"status_code":0}}`), provider.Unavailable},
		"fault":           {v1(200, "1000", "no"), provider.Unavailable},
		"too often":       {v1(200, "1002", "no"), provider.Rate},
		"gone":            {v1(200, "2013", "no"), provider.Gone},
		"503":             {providertest.Reply{Status: 503}, provider.Unavailable},
		"no answer":       {providertest.Reply{Cut: providertest.CutAnswer}, provider.Unavailable},
		"no JSON":         {providertest.JSON(200, `<html>`), provider.Unavailable},
		"output refused":  {v1(200, "1027", "no"), provider.Moderation},
		"another's words": {providertest.JSON(200, `{"file":null}`), provider.Unavailable},
	} {
		u.AnswerWith(func(r providertest.Recorded) providertest.Reply {
			if strings.HasPrefix(r.Target, "/v1/files/retrieve?") {
				return c.file
			}
			return providertest.JSON(200, `{"task_id":"1","status":"Success","file_id":7,"base_resp":{"status_code":0}}`)
		})
		reports, err := New().Poll(t.Context(), u.With(account), []provider.Job{job})
		if n := len(u.Take()); n != 2 && c.file.Cut == providertest.CutNone { // net/http itself repeats a read that is cut
			t.Errorf("%s: %d requests, want 2", name, n)
		}
		switch {
		case c.class == "" && (err != nil || len(reports) != 1 || reports[0].State != provider.StateSucceeded):
			t.Errorf("%s: %+v, error %v", name, reports, err)
		case c.class != "" && (err == nil || len(reports) != 0 || provider.AsError(err, "").Class != c.class):
			t.Errorf("%s: %+v, error %v, want class %s", name, reports, err, c.class)
		}
	}
}

// An id beside a code that is no documented refusal is proof of a task: it is kept.
func TestTaskBesideACode(t *testing.T) {
	u := providertest.NewUpstream(t)
	for code, accepted := range map[string]bool{"0": true, "1000": true, "9999": true, "1026": false, "2013": false, "1002": false} {
		u.Answer(providertest.JSON(200, `{"task_id":106916112212032,"base_resp":{"status_code":`+code+`,"status_msg":"?"}}`))
		got, err := New().Submit(t.Context(), u.With(account), video("MiniMax-Hailuo-2.3", nil))
		if accepted != (err == nil) || accepted && got.UpstreamID != "106916112212032" {
			t.Errorf("code %s: %+v, error %v", code, got, err)
		}
	}
}
