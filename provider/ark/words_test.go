package ark

import (
	"regexp"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

func TestCleanPrompt(t *testing.T) {
	for prompt, want := range map[string]string{
		"a kite -- red -- over a bay":                    "a kite -- red -- over a bay",
		"  spaces  stay ":                                "  spaces  stay ",
		"a kite --rs 1080p --dur 12":                     "a kite",
		"a kite --resolution=4k --ratio 21:9 over a bay": "a kite over a bay",
		"a kite --RS 1080P--DUR 5":                       "a kite",
		"a kite--wm true":                                "a kite",
		"a kite --seed -1 --cf false":                    "a kite",
		"a kite --dur over a bay":                        "a kite over a bay",
		"a kite --unheard_of 5":                          "a kite —unheard_of 5",
		"a kite ---rs 720p":                              "a kite -",
		"--r--dur 5s":                                    "—r",
		"--r--dur s":                                     "—r s",
		"a well--known kite":                             "a well—known kite",
		"风筝 --时长 5":                                      "风筝 —时长 5",
		"--ratio adaptive":                               "",
		"a kite\n--dur\n12\nin the sky":                  "a kite in the sky",
	} {
		if got := cleanPrompt(prompt); got != want {
			t.Errorf("%q becomes %q, want %q", prompt, got, want)
		}
	}
}

// FuzzCleanPrompt: whatever a user types, nothing that could be a parameter is left.
func FuzzCleanPrompt(f *testing.F) {
	f.Add("a kite --rs 1080p --dur 12")
	f.Add("----rs--dur 5--rs rs")
	f.Add("--r--dur 5s 720p -" + "-rs")
	parameter := regexp.MustCompile(`--\pL`)
	f.Fuzz(func(t *testing.T, prompt string) {
		got := cleanPrompt(prompt)
		if parameter.MatchString(got) {
			t.Errorf("%q becomes %q", prompt, got)
		}
		if !strings.Contains(prompt, "--") && got != prompt {
			t.Errorf("%q becomes %q without need", prompt, got)
		}
	})
}

func TestVideoShapes(t *testing.T) {
	for size, want := range map[string]string{
		"": " ", "auto": " ", "16:9": "16:9 ", "21:9": "21:9 ",
		"1280x720": "16:9 720p", "1920x1080": "16:9 1080p", "720x1280": "9:16 720p", "864x480": "16:9 480p", "3840x2160": "16:9 4k",
		"1024x1024": "1:1 720p", "640x640": "1:1 480p", "1440x1440": "1:1 1080p", "1470x630": "21:9 720p", "834x1112": "3:4 720p", "640x480": "4:3 480p",
	} {
		ratio, resolution := shape(size)
		if got := ratio + " " + resolution; got != want {
			t.Errorf("%s means %q, want %q", size, got, want)
		}
	}
}

// No ratio gives more pixels than the square that its resolution names.
func TestImageShapes(t *testing.T) {
	for _, c := range []struct{ ratio, resolution, want string }{
		{"1:1", "", "2048x2048"}, {"16:9", "1K", "1360x768"}, {"9:16", "4K", "3072x5456"}, {"21:9", "2K", "3120x1328"}, {"1:1", "3k", "3072x3072"},
	} {
		req := image(func(r *provider.Request) {
			r.Size = c.ratio
			if c.resolution != "" {
				r.Metadata = raw("resolution", `"`+c.resolution+`"`)
			}
		})
		if got := imageSize(req); got != c.want {
			t.Errorf("%s at %q is %s, want %s", c.ratio, c.resolution, got, c.want)
		}
	}
}

func TestFamilies(t *testing.T) {
	for model, want := range map[string]family{
		"doubao-seedance-2-5-260628": tasks, "dreamina-seedance-2-0-260128": tasks, "Doubao-Seedance-1.0": tasks, "seedance/ep-1": tasks,
		"doubao-seedream-4-0-250828": images, "dola-seedream-5-0-pro-260628": images, "doubao-seededit-3-0-i2i-250628": images, "seedream/ep-1": images, "SeeDream/ep-1": images,
		"ep-20260822-x7k2p": unknown, "": unknown, "wan2-1-14b-t2v-250225": unknown,
	} {
		if got := familyOf(model); got != want {
			t.Errorf("%q is of family %d, want %d", model, got, want)
		}
	}
	for _, m := range New().Describe().Models {
		if m.UpstreamModel == "" {
			m.UpstreamModel = m.Name
		}
		if synchronous(m.UpstreamModel, "") != (m.Kind == kinora.KindImage) || !generationOf(m.UpstreamModel).known() {
			t.Errorf("built-in model %+v: generation %+v", m, generationOf(m.UpstreamModel))
		}
	}
	if id := modelID("SeeDream/ep-1"); id != "ep-1" {
		t.Errorf("id %q", id)
	}
	if id := modelID("seedance/"); id != "seedance/" {
		t.Errorf("id %q", id)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"id":"cgt-1","status":"succeeded","content":{"video_url":"https://h/1"}}`))
	f.Add([]byte(`{"id":"cgt-1","status":"failed","failure_reason":{"code":"OutputVideoSensitiveContentDetected"}}`))
	f.Add([]byte(`{"data":[{"url":"https://h/1"},{"error":{"code":7}}],"error":{"code":"x","param":"content[0]"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		up := provider.Upstream{Account: account}
		if got, err := New().VerifyCallback(up, provider.InboundCallback{Body: answer}); err == nil && got.UpstreamID == "" {
			t.Errorf("callback %+v", got)
		}
		if got, err := acceptedImages(up, provider.Answer{Status: 200, Body: answer}); err == nil {
			if r := got.Report; r.State == provider.StateSucceeded && len(r.Outputs) == 0 || r.State == provider.StateFailed && r.Err == nil {
				t.Errorf("report %+v", r)
			}
		}
		for _, status := range []int{301, 400, 404, 429} {
			a := provider.Answer{Status: status, Body: answer}
			for _, e := range []*provider.Error{refusal(up, a, video(plain)), unread(up, a)} {
				if e.Class == "" || e.Class == provider.OutcomeUnknown || e.Message == "" {
					t.Errorf("refusal %+v", e)
				}
			}
		}
	})
}
