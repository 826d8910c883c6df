package google

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
	"github.com/kinora/kinora/provider/providertest"
)

const flash, pro = "gemini-3.1-flash-image", "gemini-3-pro-image"

// generated is an answer of generateContent with parts.
func generated(reason string, parts ...string) providertest.Reply {
	return providertest.JSON(200, fmt.Sprintf(`{"candidates":[{"content":{"role":"model","parts":[%s]},"finishReason":%q}],"usageMetadata":{"promptTokenCount":270},"modelVersion":"x","responseId":"r1"}`,
		strings.Join(parts, ","), reason))
}

func part(content []byte) string {
	return `{"inlineData":{"mimeType":"image/png","data":"` + base64.StdEncoding.EncodeToString(content) + `"}}`
}

func thought(content []byte) string {
	return strings.TrimSuffix(part(content), "}") + `,"thought":true}`
}

func imageRefusals() []providertest.Refusal {
	out := refusals()
	for _, reason := range []string{"SAFETY", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "BLOCKLIST", "OTHER", "MODEL_ARMOR", "JAILBREAK"} {
		out = append(out, providertest.Refusal{Name: "blocked " + reason, Reply: providertest.JSON(200, `{"promptFeedback":{"blockReason":"`+reason+`"},"responseId":"r1"}`), Class: provider.Moderation})
	}
	return out
}

// What ran and brought nothing is an end of its own and no refusal: it may have been paid for.
func TestImagesThatCameToNothing(t *testing.T) {
	type end struct {
		reply providertest.Reply
		class provider.Class
	}
	ends := map[string]end{
		"thoughts alone": {generated("NO_IMAGE", thought(pngFile)), provider.Generation},
		"no picture":     {generated("STOP", part([]byte("plain text"))), provider.Generation},
	}
	for _, reason := range refusedReasons {
		ends[reason] = end{generated(reason), provider.Moderation}
	}
	for _, reason := range append([]string{"SOMETHING_NEW", ""}, emptyReasons...) {
		ends["ended by "+reason] = end{generated(reason, `{"text":"sorry"}`), provider.Generation}
	}
	u := providertest.NewUpstream(t)
	for name, e := range ends {
		u.Answer(e.reply)
		got, err := New().Submit(t.Context(), u.With(geminiAccount), picture(flash))
		if err != nil || got.UpstreamID == "" || got.Report == nil || got.Report.State != provider.StateFailed ||
			got.Report.Err == nil || got.Report.Err.Class != e.class || got.Report.Err.Message == "" || len(got.Report.Outputs) > 0 {
			t.Errorf("%s: %+v, %v; want a report that failed, class %s", name, got, err, e.class)
		}
	}
}

func succeeded(outputs ...provider.Output) provider.Accepted {
	return provider.Accepted{UpstreamID: "r1", Report: &provider.Report{UpstreamID: "r1", State: provider.StateSucceeded, Progress: 100, Outputs: outputs}}
}

func TestImages(t *testing.T) {
	many := make([]string, 15)
	for i := range many {
		many[i] = fmt.Sprintf("https://img.example/%d", i)
	}
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: geminiAccount, Folder: "image", Update: *update, Sources: inputs,
		Request: picture(flash), Accepted: generated("STOP", part(pngFile)), Want: succeeded(providertest.Stored(0, pngFile, "image/png")),
		Golden: map[string]provider.Request{
			"everything": showing(sized(picture(flash, "resolution", `"0.5K"`, "n", `3`, "google_search", `true`, "google_image_search", `true`, "official_fallback", `true`,
				"mask_url", `"https://img.example/2.png"`, "personGeneration", `"ALLOW_ADULT"`, "seed", `7`, "whatever", `{"x":9007199254740993}`, "labels", `{"a":"b"}`, "imageSize", `"2K"`, "quality", `"high"`, "nothing", `null`,
				"generationConfig", `{"topK":5}`,
				"model_params", `{"generationConfig":{"imageConfig":{"imageOutputOptions":{"mimeType":"image/jpeg"}},"responseModalities":["TEXT","IMAGE"]},"safetySettings":[]}`),
				"1920x1080"), firstPNG, "https://img.example/2.png"),
			"pro":    sized(picture(pro, "resolution", `"0.5K"`, "google_search", `"whatever"`), "4:3"),
			"search": picture(flash, "google_search", `true`),
			"2.5":    sized(picture("gemini-2.5-flash-image"), "auto"),
		},
		Refused: map[string]provider.Request{
			"input.images must be at most 14 items":                                showing(picture(flash), many...),
			"input.metadata.n must be between 1 and 4":                             picture(flash, "n", `5`),
			"input.metadata.resolution must be one of 0.5K, 1K, 2K, 4K":            picture(flash, "resolution", `"8K"`),
			"input.size must be a ratio such as 16:9, WxH in pixels, or auto":      sized(picture(flash), "big"),
			"input.metadata.google_search must be true or false":                   picture(flash, "google_search", `"yes"`),
			"input.metadata.official_fallback must be true or false":               picture(flash, "official_fallback", `1`),
			"input.metadata.mask_url must be an http or https URL":                 showing(picture(flash, "mask_url", `"data:x"`), firstPNG),
			"input.metadata.mask_url needs the image":                              picture(flash, "mask_url", `"https://img.example/2.png"`),
			"input.metadata.model_params must be an object":                        picture(flash, "model_params", `[1]`),
			"input.metadata.model_params.contents is not allowed":                  picture(flash, "model_params", `{"contents":[]}`),
			"input.metadata.model_params.cached_content is not allowed":            picture(flash, "model_params", `{"cached_content":"cachedContents/x"}`),
			"model_params.generationConfig.candidateCount must be 1":               picture(flash, "model_params", `{"generationConfig":{"candidateCount":4}}`),
			"model_params.generationConfig.responseModalities must be a list that": picture(flash, "model_params", `{"generationConfig":{"responseModalities":["TEXT"]}}`),
			"input.metadata.contents is not allowed":                               picture(flash, "contents", `[]`),
			"input.metadata.cachedContent is not allowed":                          picture(flash, "cachedContent", `"cachedContents/x"`),
			"input.metadata.candidate_count must be 1":                             picture(flash, "candidate_count", `4`),
			"input.metadata.generationConfig.candidateCount must be 1":             picture(flash, "generationConfig", `{"candidateCount":4}`),
			"input.metadata.responseModalities must be a list that holds":          picture(flash, "responseModalities", `["TEXT"]`),
			"spelled generationConfig":                                             picture(flash, "model_params", `{"generation_config":{}}`),
			"model must be configured as one that makes a file of kind image":      with(picture(flash), func(r *provider.Request) { r.Kind = kinora.KindVideo }),
		},
		Refusals: imageRefusals(), Complaint: complaint,
	})
}

func TestImagesOnVertex(t *testing.T) {
	tokens := newTokenEndpoint(t)
	providertest.Run(t, providertest.Suite{
		Provider: New(), Account: vertexAccount(tokens, SettingLocation, ""), Folder: "image-vertex", Update: *update, Sources: inputs,
		Request: picture(flash, "labels", `{"tenant":"t1"}`), Accepted: generated("STOP", part(pngFile)), Want: succeeded(providertest.Stored(0, pngFile, "image/png")),
		Refusals: imageRefusals(), Complaint: complaint,
		Redact: func(text string) string { return strings.ReplaceAll(text, testToken, "<token>") },
	})
}

func TestImagesOfAnAnswer(t *testing.T) {
	u := providertest.NewUpstream(t)
	second := append(append([]byte(nil), pngFile...), "two"...)
	for name, tc := range map[string]struct {
		reply providertest.Reply
		want  provider.Accepted
	}{
		"behind a thought": {generated("STOP", thought(pngFile), `{"text":"x"}`, part(second)), succeeded(providertest.Stored(1, second, "image/png"))},
		"two":              {generated("STOP", part(pngFile), part(second)), succeeded(providertest.Stored(0, pngFile, "image/png"), providertest.Stored(1, second, "image/png"))},
		"in the other spelling": {generated("", strings.ReplaceAll(part(pngFile), "inlineData", "inline_data")),
			succeeded(providertest.Stored(0, pngFile, "image/png"))},
		"text first, of no use": {generated("STOP", part([]byte("text")), part(second)), succeeded(providertest.Stored(0, second, "image/png"))},
	} {
		u.Answer(tc.reply)
		got, err := New().Submit(t.Context(), u.With(geminiAccount), picture(flash))
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v %+v, %v", name, got, got.Report, err)
		}
	}
	u.Answer(generated("STOP", part(pngFile)))
	lost := picture(flash)
	lost.Sink = &providertest.Sink{Fail: &provider.Error{Class: provider.OutcomeUnknown, Message: "the output could not be stored", Err: errors.New("disk")}}
	if _, err := New().Submit(t.Context(), u.With(geminiAccount), lost); provider.AsError(err, "").Class != provider.OutcomeUnknown {
		t.Errorf("storage that fails: %v", err)
	}
	lost.Sink = nil
	if _, err := New().Submit(t.Context(), u.With(geminiAccount), lost); provider.AsError(err, "").Class != provider.OutcomeUnknown {
		t.Errorf("no storage: %v", err)
	}
}

// The limit is on the caller's list alone: one more may be named beside it.
func TestAnImageBesideTheList(t *testing.T) {
	req := picture(flash)
	for range 15 {
		req.Images = append(req.Images, firstPNG)
	}
	req.ImageItems = 14
	if err := New().Validate(req); err != nil {
		t.Errorf("14 and one: %v", err)
	}
	req.Images, req.ImageItems = req.Images[:14], 15
	if err := New().Validate(req); err == nil {
		t.Error("15, of which two are the same, are taken")
	}
}

func TestParts(t *testing.T) {
	for n, want := range map[string]int{`1`: 1, `4`: 4, `"3"`: 3, `null`: 1, `0`: 1} {
		if got := New().Parts(picture(flash, "n", n)); got != want {
			t.Errorf("n %s: %d parts, want %d", n, got, want)
		}
	}
	if got := New().Parts(video("veo-3.1-generate-001", "n", `2`)); got != 1 {
		t.Errorf("a video: %d parts", got)
	}
}

func TestNearestRatio(t *testing.T) {
	for size, want := range map[string]string{
		"": "", "auto": "", "1024x1024": "1:1", "1920x1080": "16:9", "1080x1920": "9:16", "16:9": "16:9", "4:5": "4:5", "1000x1001": "1:1",
		"2560x1080": "21:9", "7:5": "4:3", "10:1": "8:1",
	} {
		if got := imageRatio(sized(picture(flash), size)); got != want {
			t.Errorf("%q: %q, want %q", size, got, want)
		}
	}
	if got := imageRatio(sized(picture(pro), "8:1")); got != "21:9" {
		t.Errorf("8:1 of a model without it: %s", got)
	}
	// Whatever is asked for, no documented shape is nearer than the one that is chosen.
	off := func(a, b int, ratio string) float64 {
		w, h, _, _ := lenient.Size(ratio)
		return math.Abs(math.Log(float64(a)/float64(b)) - math.Log(float64(w)/float64(h)))
	}
	for w := 64; w < 5000; w += 317 {
		for h := 64; h < 5000; h += 291 {
			got := imageRatio(sized(picture(pro), fmt.Sprintf("%dx%d", w, h)))
			for _, other := range imageRatios {
				if off(w, h, other) < off(w, h, got)-1e-9 {
					t.Fatalf("%dx%d: %s, and %s is nearer", w, h, got, other)
				}
			}
		}
	}
}
