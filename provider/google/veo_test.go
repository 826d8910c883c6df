package google

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

const (
	geminiOp = "models/veo-3.1-generate-preview/operations/op-1"
	vertexOp = "projects/123/locations/us-central1/publishers/google/models/veo-3.1-generate-001/operations/8f1c"
)

// operationReply is an operation with members beside its name.
func operationReply(name, members string) providertest.Reply {
	return providertest.JSON(200, fmt.Sprintf(`{"name":%q,"metadata":{"@type":"x"}%s}`, name, members))
}

// onlyOf shows the one job with a word that Veo does not have: it has no states.
func onlyOf(name string) func(map[string]string) providertest.Reply {
	return func(words map[string]string) providertest.Reply {
		for _, word := range words {
			return operationReply(name, fmt.Sprintf(`,"state":%q`, word))
		}
		return operationReply(name, "")
	}
}

// endings are section 2.3, for both back ends.
func endings(name string) []providertest.PollCase {
	failed := func(class provider.Class) provider.Report {
		return provider.Report{State: provider.StateFailed, Progress: -1, Err: &provider.Error{Class: class}}
	}
	ended := func(code int) providertest.Reply {
		return operationReply(name, fmt.Sprintf(`,"done":true,"error":{"code":%d,"message":"x"}`, code))
	}
	running := provider.Report{State: provider.StateRunning, Progress: -1}
	return []providertest.PollCase{
		{Name: "no done", Reply: operationReply(name, ""), Want: running},
		{Name: "not done", Reply: operationReply(name, `,"done":false`), Want: running},
		{Name: "cancelled", Reply: ended(1), Want: provider.Report{State: provider.StateCancelled, Progress: -1}},
		{Name: "invalid", Reply: ended(3), Want: failed(provider.Invalid)},
		{Name: "gone", Reply: ended(5), Want: failed(provider.Gone)},
		{Name: "exhausted", Reply: ended(8), Want: failed(provider.Rate)},
		{Name: "internal", Reply: ended(13), Want: failed(provider.Unavailable)},
		{Name: "unavailable", Reply: ended(14), Want: failed(provider.Unavailable)},
		{Name: "unknown code", Reply: ended(99), Want: failed(provider.Generation)},
		{Name: "unsafe", Reply: operationReply(name, `,"done":true,"error":{"code":3,"message":"violates usage guidelines"}`), Want: failed(provider.Moderation)},
		{Name: "nothing", Reply: operationReply(name, `,"done":true,"response":{}`), Want: failed(provider.Generation)},
		{Name: "no response", Reply: operationReply(name, `,"done":true`), Want: failed(provider.Generation)},
	}
}

func TestVeoOnTheGeminiAPI(t *testing.T) {
	const model = "veo-3.1-generate-preview"
	base := endings(geminiOp)
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: geminiAccount, Folder: "veo", Update: *update, Sources: inputs,
		Request: video(model), Accepted: providertest.JSON(200, `{"name":"`+geminiOp+`"}`), Want: provider.Accepted{UpstreamID: geminiOp},
		Golden: map[string]provider.Request{
			"everything": showing(sized(lasting(video(model, "resolution", `"4k"`, "negativePrompt", `"rain"`, "personGeneration", `"allow_all"`,
				"lastFrame", `"https://img.example/2.png"`, "somethingNew", `{"a":1}`, "n", `2`,
				"seed", `7`, "generateAudio", `true`, "storageUri", `"gs://elsewhere/x"`, "compressionQuality", `"lossless"`), 6), "1080x1920"),
				firstPNG, "https://img.example/never-fetched.png"),
			"references":     video(model, "referenceImages", `["https://img.example/1.png","https://img.example/2.png"]`, "durationSeconds", `"4"`),
			"without a hook": with(video(model), func(r *provider.Request) { r.CallbackURL = "" }),
		},
		Refused: refusedVeo(), Refusals: refusals(),
		Job:  provider.Job{UpstreamID: geminiOp, ClientRef: ref, UpstreamModel: model, Kind: kinora.KindVideo},
		Poll: onlyOf(geminiOp), Words: map[string]provider.State{"PROCESSING": provider.StateRunning},
		Reports: append(base,
			providertest.PollCase{Name: "filtered", Reply: operationReply(geminiOp, `,"done":true,"response":{"generateVideoResponse":{"raiMediaFilteredCount":1,"raiMediaFilteredReasons":["x"]}}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: &provider.Error{Class: provider.Moderation}}},
			providertest.PollCase{Name: "a video elsewhere", Reply: operationReply(geminiOp, `,"done":true,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://cdn.example/v.mp4"}}]}}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "https://cdn.example/v.mp4", Kind: kinora.KindVideo}}}},
			providertest.PollCase{Name: "an encoded video", Reply: operationReply(geminiOp, `,"done":true,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"encodedVideo":"`+mp464+`","encoding":"video/mp4"}}]}}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{place{Inline: "response/generateVideoResponse/generatedSamples/0/video/encodedVideo"}.output()}}},
			providertest.PollCase{Name: "busy", Reply: refused(429, "RESOURCE_EXHAUSTED", "x"), Class: provider.Rate},
		),
		Complaint: complaint,
		Failed: func(message string) providertest.Reply {
			return operationReply(geminiOp, fmt.Sprintf(`,"done":true,"error":{"code":13,"message":%q,"status":%q}`, message, message))
		},
		Callbacks: callbackCases(model),
	})
}

func TestVeoOnVertex(t *testing.T) {
	const model = "veo-3.1-generate-001"
	tokens := newTokenEndpoint(t)
	base := endings(vertexOp)
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: vertexAccount(tokens, SettingStorageURI, "gs://bucket/veo/"), Folder: "vertex", Update: *update, Sources: inputs,
		Request: video(model), Accepted: providertest.JSON(200, `{"name":"`+vertexOp+`"}`), Want: provider.Accepted{UpstreamID: vertexOp},
		Golden: map[string]provider.Request{
			"everything": showing(sized(video(model, "seed", `7`, "generateAudio", `true`, "storageUri", `"gs://bucket/veo/mine/"`, "compressionQuality", `"lossless"`,
				"resizeMode", `"pad"`, "fps", `24`, "labels", `{"tenant":"t1"}`, "pubsubTopic", `"projects/x/topics/y"`, "durationSeconds", `8`), "1920x1080"), firstPNG),
		},
		Refused: refusedVeo(), Refusals: refusals(),
		Job:  provider.Job{UpstreamID: vertexOp, ClientRef: ref, UpstreamModel: model, Kind: kinora.KindVideo},
		Poll: onlyOf(vertexOp), Words: map[string]provider.State{"PROCESSING": provider.StateRunning},
		Carrying: func(reference string) providertest.Reply {
			return operationReply(vertexOp, `,"done":true,"response":{"videos":[{"gcsUri":"gs://bucket/veo/`+reference+`/sample_0.mp4","mimeType":"video/mp4"}]}`)
		},
		Reports: append(base,
			providertest.PollCase{Name: "in a bucket", Reply: operationReply(vertexOp, `,"done":true,"response":{"raiMediaFilteredCount":0,"videos":[{"gcsUri":"gs://bucket/veo/a b.mp4","mimeType":"video/mp4"}]}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{place{GCS: "gs://bucket/veo/a b.mp4"}.output()}}},
			providertest.PollCase{Name: "inline and large", Reply: operationReply(vertexOp, `,"done":true,"response":{"videos":[{"bytesBase64Encoded":"`+strings.Repeat("A", provider.MaxAnswer+1)+`"},{"bytesBase64Encoded":"AAAA"}]}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{
					place{Inline: "response/videos/0/bytesBase64Encoded"}.output(), place{Inline: "response/videos/1/bytesBase64Encoded"}.output(),
				}}},
			providertest.PollCase{Name: "filtered", Reply: operationReply(vertexOp, `,"done":true,"response":{"raiMediaFilteredCount":"2"}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: &provider.Error{Class: provider.Moderation}}},
		),
		Complaint: complaint,
		Failed: func(message string) providertest.Reply {
			return operationReply(vertexOp, fmt.Sprintf(`,"done":true,"error":{"code":3,"message":%q}`, message))
		},
		Redact: func(s string) string { return strings.ReplaceAll(s, testToken, "<token>") },
	})
	if n := tokens.fetched.Load(); n > 100 { // each refusal costs one
		t.Errorf("%d tokens were fetched: they are not kept", n)
	}
}

func TestInputsAreCheckedBeforeAnythingIsSent(t *testing.T) {
	u := providertest.NewUpstream(t)
	up := u.With(geminiAccount)
	up.Sources = inputs
	for url, says := range map[string]string{
		"https://img.example/missing.png": "input.image could not be fetched: its server answered with status 404",
		"https://img.example/1.gif":       "input.image must be of one of the types image/png, image/jpeg, image/webp",
	} {
		_, err := New().Submit(t.Context(), up, showing(video("veo-3.1-generate-preview"), url))
		if e := provider.AsError(err, ""); e.Class != provider.Invalid || e.Message != says {
			t.Errorf("%s: %v", url, err)
		}
	}
	tokens := newTokenEndpoint(t)
	for _, own := range []string{"", "gs://bucket/veo"} {
		up.Account = u.With(vertexAccount(tokens, SettingStorageURI, own)).Account
		_, err := New().Submit(t.Context(), up, video("veo-3.1-generate-001", "storageUri", `"gs://bucket/veo-of-others/"`))
		if e := provider.AsError(err, ""); e.Class != provider.Invalid || !strings.Contains(e.Message, "input.metadata.storageUri") {
			t.Errorf("another's storage: %v", err)
		}
	}
	if n := len(u.Take()); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

// A refusal for this server's own address is no reason to fail: it is submitted without.
func TestARefusedHookIsTold(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(refused(400, "INVALID_ARGUMENT", "webhookConfig.uris[0] is not reachable"))
	req := video("veo-3.1-generate-preview")
	_, err := New().Submit(t.Context(), u.With(geminiAccount), req)
	if e := provider.AsError(err, ""); e.Class != provider.Invalid || !e.CallbackRefused {
		t.Errorf("with a hook: %v", err)
	}
	req.CallbackURL = ""
	_, err = New().Submit(t.Context(), u.With(geminiAccount), req)
	if e := provider.AsError(err, ""); e.CallbackRefused {
		t.Errorf("without a hook: %v", err)
	}
}

func TestOutputsOfVeo(t *testing.T) {
	g, tokens := New(), newTokenEndpoint(t)
	u := providertest.NewUpstream(t)
	gemini := u.With(geminiAccount)
	vertex := u.With(vertexAccount(tokens, SettingStorageURL, u.URL))
	geminiJob := provider.Job{UpstreamID: geminiOp, UpstreamModel: "veo-3.1-generate-preview"}
	vertexJob := provider.Job{UpstreamID: vertexOp, UpstreamModel: "veo-3.1-generate-001"}
	read := func(up provider.Upstream, job provider.Job, at place) (string, error) {
		res, err := g.OpenOutput(t.Context(), up, job, at.output())
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		content, err := io.ReadAll(res.Body)
		return string(content), err
	}

	u.Answer(providertest.Reply{Body: "a clip"})
	got, err := read(gemini, geminiJob, place{File: u.URL + "/v1beta/files/f1:download?alt=media"})
	if r := u.Take(); got != "a clip" || err != nil || r[0].Target != "/v1beta/files/f1:download?alt=media" || r[0].Header.Get("X-Goog-Api-Key") != testKey {
		t.Errorf("a file: %q, %v, asked %+v", got, err, r)
	}
	got, err = read(vertex, vertexJob, place{GCS: "gs://bucket/veo/a b/sample_0.mp4"})
	if r := u.Take(); got != "a clip" || err != nil || r[0].Target != "/storage/v1/b/bucket/o/veo%2Fa%20b%2Fsample_0.mp4?alt=media" || r[0].Header.Get("Authorization") != "Bearer "+testToken {
		t.Errorf("an object: %q, %v, asked %+v", got, err, r)
	}

	// Of an answer with two videos the second is wanted; the first is never held.
	u.Answer(operationReply(vertexOp, `,"done":true,"response":{"videos":[{"bytesBase64Encoded":"`+strings.Repeat("A", 1<<20)+`"},{"bytesBase64Encoded":"`+mp464+`","mimeType":"video/mp4"}]}`))
	got, err = read(vertex, vertexJob, place{Inline: "response/videos/1/bytesBase64Encoded"})
	if r := u.Take(); got != string(mp4File) || err != nil || len(r) != 1 || !strings.HasSuffix(r[0].Target, ":fetchPredictOperation") {
		t.Errorf("inline: %q, %v, asked %+v", got, err, r)
	}
	if _, err = read(vertex, vertexJob, place{Inline: "response/videos/2/bytesBase64Encoded"}); provider.AsError(err, "").Class != provider.Gone {
		t.Errorf("inline, and not there: %v", err)
	}
	for name, body := range map[string]string{"cut off": `{"response":{"videos":[{"bytesBase64Encoded":"AAAA`, "not base64": `{"response":{"videos":[{"bytesBase64Encoded":"!!!!"}]}}`} {
		u.Answer(providertest.JSON(200, body))
		if _, err = read(vertex, vertexJob, place{Inline: "response/videos/0/bytesBase64Encoded"}); provider.AsError(err, "").Class != provider.Unavailable {
			t.Errorf("inline, %s: %v", name, err)
		}
	}
	// A caller who wants no more of it leaves nothing behind: goleak sees.
	u.Answer(operationReply(vertexOp, `,"response":{"videos":[{"bytesBase64Encoded":"`+strings.Repeat("A", 8<<20)+`"}]}`))
	res, err := g.OpenOutput(t.Context(), vertex, vertexJob, place{Inline: "response/videos/0/bytesBase64Encoded"}.output())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	u.Take()

	// The key goes to the account's own origin only, and not along with a redirect.
	var moved *provider.Moved
	foreign := place{File: "https://evil.example/v1beta/files/f1"}
	if _, err := read(gemini, geminiJob, foreign); !errors.As(err, &moved) || moved.URL != foreign.File || len(u.Take()) != 0 {
		t.Errorf("a foreign address: %v", err)
	}
	u.Answer(providertest.Reply{Status: 302, Header: map[string]string{"Location": "https://storage.example/x?sig=1"}})
	if _, err := read(gemini, geminiJob, place{File: u.URL + "/v1beta/files/f1"}); !errors.As(err, &moved) || moved.URL != "https://storage.example/x?sig=1" {
		t.Errorf("a redirect: %v", err)
	}
	u.Answer(refused(404, "NOT_FOUND", "no"))
	if _, err := read(gemini, geminiJob, place{File: u.URL + "/v1beta/files/f1"}); provider.AsError(err, "").Class != provider.Gone {
		t.Errorf("a file that is gone: %v", err)
	}
	for _, bad := range []place{{GCS: "gs://bucket"}, {GCS: "gs:///x"}} {
		if _, err := read(vertex, vertexJob, bad); provider.AsError(err, "").Class != provider.Generation {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
