package google

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

const omniModel = "gemini-omni-1.1-flash"

// interactionReply is an interaction with a status and more members.
func interactionReply(status, members string) providertest.Reply {
	word, _ := json.Marshal(status)
	return providertest.JSON(200, fmt.Sprintf(`{"id":"v1_abc","object":"interaction","status":%s,"model":"gemini-omni-1.1-flash"%s}`, word, members))
}

func shownInteraction(words map[string]string) providertest.Reply {
	for _, word := range words {
		return interactionReply(word, "")
	}
	return interactionReply("", "")
}

func step(content string) string {
	return `,"steps":[{"type":"user_input","content":[{"type":"image","data":"AAAA"}]},{"type":"model_output","content":[{"type":"text","text":"here"},` + content + `]}]`
}

const videoTokens = `,"usage":{"output_tokens_by_modality":[{"modality":"text","tokens":4},{"modality":"video","tokens":1234}]}`

func omniReports() []providertest.PollCase {
	failed := func(class provider.Class) provider.Report {
		return provider.Report{State: provider.StateFailed, Progress: -1, Err: &provider.Error{Class: class}}
	}
	done := func(outputs ...provider.Output) provider.Report {
		return provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: outputs}
	}
	return []providertest.PollCase{
		{Name: "inline", Reply: interactionReply("completed", step(`{"type":"video","mime_type":"video/mp4","data":"`+strings.Repeat("A", provider.MaxAnswer+1)+`"}`)),
			Want: done(place{Inline: "steps/1/content/1/data"}.output())},
		{Name: "elsewhere", Reply: interactionReply("completed", step(`{"type":"video","uri":"https://cdn.example/v.mp4"}`)),
			Want: done(provider.Output{URL: "https://cdn.example/v.mp4", Kind: kinora.KindVideo})},
		{Name: "flattened", Reply: interactionReply("completed", `,"output_video":{"type":"video","data":"AAAA"}`), Want: done(place{Inline: "output_video/data"}.output())},
		{Name: "in a bucket", Reply: interactionReply("completed", step(`{"type":"video","uri":"gs://bucket/x.mp4"}`)), Want: done(place{GCS: "gs://bucket/x.mp4"}.output())},
		{Name: "text only", Reply: interactionReply("completed", step(`{"type":"text","text":"I cannot"}`)), Want: failed(provider.Moderation)},
		{Name: "billed, and not there", Reply: interactionReply("completed", videoTokens), Want: failed(provider.Generation)},
		{Name: "failed", Reply: interactionReply("failed", `,"error":{"code":"internal","message":"x"}`), Want: failed(provider.Unavailable)},
		{Name: "failed without a reason", Reply: interactionReply("failed", ""), Want: failed(provider.Generation)},
		{Name: "incomplete", Reply: interactionReply("incomplete", ""), Want: failed(provider.Generation)},
		{Name: "requires action", Reply: interactionReply("requires_action", ""), Want: failed(provider.Generation)},
		{Name: "budget", Reply: interactionReply("budget_exceeded", ""), Want: failed(provider.Balance)},
		{Name: "a bare 400", Reply: refused(400, "INVALID_ARGUMENT", "Request contains an invalid argument."), Class: provider.Unavailable},
		{Name: "busy", Reply: providertest.JSON(429, `{"error":{"code":429,"message":"x"}}`), Class: provider.Rate},
	}
}

func omniSuite(folder string, account provider.Account) providertest.Suite {
	return providertest.Suite{
		Provider: New(), Account: account, Folder: folder, Update: *update, Sources: inputs,
		Request: lasting(video(omniModel), 8), Accepted: providertest.JSON(200, `{"id":"v1_abc","object":"interaction","status":"in_progress"}`), Want: provider.Accepted{UpstreamID: "v1_abc"},
		Golden: map[string]provider.Request{
			"everything": showing(sized(video(omniModel, "duration", `"9s"`, "task", `"reference_to_video"`, "safety_settings", `[{"x":1}]`, "resolution", `"360p"`,
				"n", `1`, "seed", `7`, "negative_prompt", `"rain"`, "generation_config", `{"temperature":0.4}`, "callback_url", `null`), "720x1280"), firstPNG, "https://img.example/1.mp4"),
			"parameters": video("models/"+omniModel, "task", `"EDIT"`, "model_params",
				`{"generation_config":{"temperature":0.4,"video_config":{"motion":"slow"}},"response_format":{"fps":24},"tools":[{"type":"google_search"}]}`),
		},
		Refused: map[string]provider.Request{
			"input.duration must be between 3 and 10 seconds":                     lasting(video(omniModel), 11),
			"input.metadata.duration must be between 3 and 10 seconds":            video(omniModel, "duration", `"2s"`),
			"input.metadata.durationSeconds must be a whole number":               video(omniModel, "durationSeconds", `"8m"`),
			"input.duration must be between 3 and 15 seconds":                     lasting(video("gemini-omni-1.2-flash"), 16),
			"input.metadata.resolution must be one of 360p, 720p, 1080p, 4k":      video(omniModel, "resolution", `"2k"`),
			"input.metadata.aspect_ratio must be one of 16:9, 9:16":               video(omniModel, "aspect_ratio", `"4:3"`),
			"input.metadata.task must be one of text_to_video":                    video(omniModel, "task", `"dream"`),
			"model must be configured as one that makes a file of kind video":     with(video(omniModel), func(r *provider.Request) { r.Kind = kinora.KindImage }),
			"input.metadata.model_params must be an object":                       video(omniModel, "model_params", `[]`),
			"input.metadata.model_params.previousInteractionId is not allowed":    video(omniModel, "model_params", `{"previousInteractionId":"v1_x"}`),
			"input.metadata.previous_interaction_id is not allowed":               video(omniModel, "previous_interaction_id", `"v1_of_somebody_else"`),
			"input.metadata.Webhook_Config is not allowed":                        video(omniModel, "Webhook_Config", `{}`),
			"input.metadata.store is not allowed":                                 video(omniModel, "store", `true`),
			"input.metadata.response_format.delivery is not allowed":              video(omniModel, "response_format", `{"delivery":"inline"}`),
			"input.metadata.n must be 1 for this model":                           video(omniModel, "n", `2`),
			"input.metadata.model_params.webhook_config is not allowed":           video(omniModel, "model_params", `{"webhook_config":{}}`),
			"input.metadata.model_params.response_format.gcs_uri is not allowed":  video(omniModel, "model_params", `{"response_format":{"gcs_uri":"gs://x/y"}}`),
			"input.metadata.model_params.responseFormat must be an object, spell": video(omniModel, "model_params", `{"responseFormat":{}}`),
			"input.size must be WxH in pixels, such as 1280x720":                  sized(video(omniModel), "big"),
			"input.metadata.durationSeconds must be between 3 and 10 seconds fo":  video(omniModel, "durationSeconds", `30`, "duration", `5`),
		},
		Refusals: refusals(),
		Job:      provider.Job{UpstreamID: "v1_abc", ClientRef: ref, UpstreamModel: omniModel, Kind: kinora.KindVideo},
		Poll:     shownInteraction,
		Words: map[string]provider.State{
			"queued": provider.StateQueued, "in_progress": provider.StateRunning, "cancelled": provider.StateCancelled, "canceled": provider.StateCancelled,
			"CANCELLED": provider.StateCancelled, "failed": provider.StateFailed, "incomplete": provider.StateFailed, "requires_action": provider.StateFailed,
			"budget_exceeded": provider.StateFailed, "completed": provider.StateFailed,
		},
		Reports: omniReports(), Complaint: complaint,
		Failed: func(message string) providertest.Reply {
			return interactionReply("failed", fmt.Sprintf(`,"error":{"code":%q,"message":%q}`, message, message))
		},
		Cancelled: interactionReply("cancelled", ""), TooLate: refused(400, "FAILED_PRECONDITION", "already completed"),
	}
}

func TestOmni(t *testing.T) {
	s := omniSuite("omni", geminiAccount)
	s.Callbacks = callbackCases(omniModel)
	providertest.Run(t, s)
}

func TestOmniOnVertex(t *testing.T) {
	tokens := newTokenEndpoint(t)
	s := omniSuite("omni-vertex", vertexAccount(tokens, SettingStorageURI, "gs://bucket/omni"))
	s.Redact = func(text string) string { return strings.ReplaceAll(text, testToken, "<token>") }
	providertest.Run(t, s)
}

// A file may still be in the works when its interaction is complete (section 6, trap 5).
func TestOmniWaitsForItsFile(t *testing.T) {
	g, u := New(), providertest.NewUpstream(t)
	up := u.With(geminiAccount)
	job := provider.Job{UpstreamID: "v1_abc", UpstreamModel: omniModel}
	uri := u.URL + "/v1beta/files/f1:download?alt=media"
	for _, tc := range []struct {
		file  providertest.Reply
		state provider.State
		class provider.Class
	}{
		{providertest.JSON(200, `{"name":"files/f1","state":"PROCESSING"}`), provider.StateRunning, ""},
		{providertest.JSON(200, `{"file":{"name":"files/f1","state":"PROCESSING"}}`), provider.StateRunning, ""},
		{providertest.JSON(200, `{"name":"files/f1","state":"ACTIVE"}`), provider.StateSucceeded, ""},
		{providertest.JSON(200, `{"name":"files/f1"}`), provider.StateSucceeded, ""},
		{refused(403, "PERMISSION_DENIED", "no"), provider.StateSucceeded, ""},
		{providertest.JSON(200, `{"name":"files/f1","state":"FAILED"}`), provider.StateFailed, provider.Generation},
		{refused(429, "RESOURCE_EXHAUSTED", "no"), "", provider.Rate},
		{providertest.Reply{Status: 500}, "", provider.Unavailable},
	} {
		u.AnswerWith(func(r providertest.Recorded) providertest.Reply {
			if strings.HasPrefix(r.Target, "/v1beta/files/") {
				return tc.file
			}
			return interactionReply("completed", step(`{"type":"video","mime_type":"video/mp4","uri":"`+uri+`"}`))
		})
		reports, err := g.Poll(t.Context(), up, []provider.Job{job})
		if tc.state == "" {
			if provider.AsError(err, "").Class != tc.class {
				t.Errorf("%+v: %+v, %v", tc.file, reports, err)
			}
			continue
		}
		if err != nil || len(reports) != 1 || reports[0].State != tc.state || tc.class != "" && reports[0].Err.Class != tc.class {
			t.Errorf("%+v: %+v, %v", tc.file, reports, err)
		}
		if tc.state == provider.StateSucceeded && string(reports[0].Outputs[0].Handle) != string(place{File: uri}.output().Handle) {
			t.Errorf("the output is %s", reports[0].Outputs[0].Handle)
		}
	}
	for _, r := range u.Take() {
		if strings.Contains(r.Target, "files") && r.Target != "/v1beta/files/f1" {
			t.Errorf("asked %s", r.Target)
		}
	}
}

func TestOmniThatIsGone(t *testing.T) {
	u := providertest.NewUpstream(t)
	job := provider.Job{UpstreamID: "v1_abc", UpstreamModel: omniModel}
	for _, reply := range []providertest.Reply{refused(404, "NOT_FOUND", "x"), refused(400, "INVALID_ARGUMENT", "Invalid interaction name: v1_abc")} {
		u.Answer(reply)
		if reports, err := New().Poll(t.Context(), u.With(geminiAccount), []provider.Job{job}); err != nil || len(reports) != 0 {
			t.Errorf("%+v: %+v, %v", reply, reports, err)
		}
	}
	u.Answer(refused(404, "NOT_FOUND", "x"))
	if err := New().Cancel(t.Context(), u.With(geminiAccount), job); provider.AsError(err, "").Class != provider.Gone {
		t.Errorf("cancel: %v", err)
	}
	u.Take()
	for _, id := range []string{"", "../files/x", "a/b", "a?b"} {
		job.UpstreamID = id
		if reports, err := New().Poll(t.Context(), u.With(geminiAccount), []provider.Job{job}); err == nil || len(u.Take()) != 0 {
			t.Errorf("%q: %+v, %v", id, reports, err)
		}
	}
}

func TestOmniInlineOutput(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(interactionReply("completed", step(`{"type":"video","mime_type":"video/mp4","data":"`+mp464+`"}`)))
	job := provider.Job{UpstreamID: "v1_abc", UpstreamModel: omniModel}
	res, err := New().OpenOutput(t.Context(), u.With(geminiAccount), job, place{Inline: "steps/1/content/1/data"}.output())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if content, err := io.ReadAll(res.Body); err != nil || string(content) != string(mp4File) {
		t.Errorf("%q, %v", content, err)
	}
}
