package comfyui

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "proxy-token-secret"
	ref   = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0"
)

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

func workflow(t *testing.T, name string) *Workflow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "workflows", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := ParseWorkflow(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newProvider(t *testing.T) *ComfyUI {
	return New(map[string]*Workflow{"portrait": workflow(t, "portrait"), "clip": workflow(t, "clip")})
}

func request(model string, pairs ...string) provider.Request {
	return provider.Request{
		ClientRef: ref, Model: model, UpstreamModel: model, Kind: kinora.KindImage, Prompt: `a fox, "quoted"`, Metadata: raw(pairs...),
	}
}

func with(r provider.Request, change func(*provider.Request)) provider.Request {
	change(&r)
	return r
}

// shown is the history with a job in a status word.
func shown(id, word, fields string) providertest.Reply {
	w, _ := json.Marshal(word)
	return providertest.JSON(200, fmt.Sprintf(`{%q:{"prompt":[1,%q,{},{},["9"]],"meta":{},"status":{"status_str":%s,"completed":false,"messages":[["execution_start",{}]%s`, id, id, w, fields))
}

const nothingMade = `]},"outputs":{}}}`

func TestProvider(t *testing.T) {
	id := promptID(ref)
	file := json.RawMessage(`{"filename":"a_00001_.png","subfolder":"kinora","type":"output"}`)
	providertest.Run(t, providertest.Suite{
		Provider: newProvider(t), Update: *update,
		Account:  provider.Account{Settings: map[string]string{SettingAPIKey: token}},
		Request:  request("portrait"),
		Accepted: providertest.JSON(200, `{"prompt_id":"`+id+`","number":7,"node_errors":{}}`), Want: provider.Accepted{UpstreamID: id},
		Golden: map[string]provider.Request{
			"filled": with(request("portrait", "steps", "30", "cfg", "3.5", "negative_prompt", `"blurred {{prompt}}"`, "seed", "18446744", "n", "4", "unknown", "{}"), func(r *provider.Request) { r.Size = "1000x1500" }),
			"ratio":  with(request("portrait"), func(r *provider.Request) { r.Size = "16:9" }),
		},
		Refused: map[string]provider.Request{
			"input.image is required":                                    request("clip"),
			"input.images must be absent":                                with(request("portrait"), func(r *provider.Request) { r.Images = []string{"https://a.example/1.png"} }),
			"input.images must be at most one image":                     with(request("clip"), func(r *provider.Request) { r.Images = []string{"https://a.example/1.png", "https://a.example/2.png"} }),
			"input.metadata.steps must be a number":                      request("portrait", "steps", `"many"`),
			"input.metadata.negative_prompt must be a text":              request("portrait", "negative_prompt", "5"),
			"input.metadata.negative_prompt must not be or hold a URL":   request("portrait", "negative_prompt", `"http://10.0.0.1/x.png"`),
			"input.metadata.cfg must be a text, a number, true or false": request("portrait", "cfg", "[7]"),
			"input.metadata.n must be a whole number from 1 to 64":       request("portrait", "n", "65"),
			"input.metadata.seed must be a whole number from 0":          request("portrait", "seed", "-1"),
			`input.size must be "WxH", "W:H" or "auto"`:                  with(request("portrait"), func(r *provider.Request) { r.Size = "large" }),
			"input.size must be from 8 to 16384 pixels a side":           with(request("portrait"), func(r *provider.Request) { r.Size = "20000x20000" }),
			"input.size is too narrow a ratio":                           with(request("portrait"), func(r *provider.Request) { r.Size = "100:1" }),
		},
		Refusals: []providertest.Refusal{
			{Name: "a caller's value", Reply: providertest.JSON(400, `{"error":{"type":"prompt_outputs_failed_validation","message":"x"},"node_errors":{"5":{"errors":[
				{"type":"value_bigger_than_max","extra_info":{"input_name":"width"}},{"type":"value_bigger_than_max","extra_info":{"input_name":"batch_size"}}]}}}`),
				Class: provider.Invalid, Says: "the upstream refused input.metadata.n, input.size"},
			{Name: "the workflow's own value", Reply: providertest.JSON(400, `{"error":{"type":"prompt_outputs_failed_validation"},"node_errors":{"4":{"errors":[
				{"type":"value_not_in_list","extra_info":{"input_name":"ckpt_name"}}]}}}`), Class: provider.ModelGone},
			{Name: "a node that is not installed", Reply: providertest.JSON(400, `{"error":{"type":"missing_node_type"},"node_errors":{}}`), Class: provider.ModelGone},
			{Name: "a proxy's refusal", Reply: providertest.JSON(401, `unauthorized`), Class: provider.Credential},
		},
		Job: provider.Job{UpstreamID: id, ClientRef: ref, UpstreamModel: "portrait", Kind: kinora.KindImage},
		Poll: func(words map[string]string) providertest.Reply {
			for id, word := range words {
				return shown(id, word, nothingMade)
			}
			return providertest.JSON(200, "{}")
		},
		Words: map[string]provider.State{"success": provider.StateSucceeded, "error": provider.StateFailed},
		Reports: []providertest.PollCase{
			{Name: "files in the order of their nodes", Reply: shown(id, "success", `]},"outputs":{
				"12":{"images":[{"filename":"b.png","subfolder":"","type":"output"}],"text":["x"],"animated":[false]},
				"9":{"images":[{"filename":"a_00001_.png","subfolder":"kinora","type":"output"},{"filename":"clip.mp4","subfolder":"","type":"output"}]},
				"2":{"images":[{"filename":"preview.png","subfolder":"","type":"temp"}]}}}}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: []provider.Output{
					{Kind: kinora.KindImage, Handle: file}, {Kind: kinora.KindImage, Handle: json.RawMessage(`{"filename":"b.png","subfolder":"","type":"output"}`)}}}},
			{Name: "previews alone", Reply: shown(id, "success", `]},"outputs":{"2":{"images":[{"filename":"p.webp","subfolder":"","type":"temp"}]}}}}`),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: []provider.Output{
					{Kind: kinora.KindImage, Handle: json.RawMessage(`{"filename":"p.webp","subfolder":"","type":"temp"}`)}}}},
			{Name: "nothing of the kind", Reply: shown(id, "success", `]},"outputs":{"2":{"gifs":[{"filename":"p.mp4","subfolder":"","type":"output"}]}}}}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: provider.Errorf(provider.Generation, "")}},
			{Name: "out of memory", Reply: shown(id, "error", `,["execution_error",{"node_type":"KSampler","exception_type":"torch.OutOfMemoryError","exception_message":"/home/x"}]]},"outputs":{}}}`),
				Want: provider.Report{State: provider.StateFailed, Progress: -1, Err: provider.Errorf(provider.Generation, "")}},
			{Name: "interrupted", Reply: shown(id, "error", `,["execution_interrupted",{"node_type":"KSampler"}]]},"outputs":{}}}`),
				Want: provider.Report{State: provider.StateCancelled, Progress: -1}},
		},
		Complaint: func(status int, message string) providertest.Reply {
			out, _ := json.Marshal(map[string]any{"error": map[string]any{"type": message, "message": message, "details": message}, "node_errors": map[string]any{
				message: map[string]any{"class_type": message, "errors": []any{map[string]any{"type": message, "message": message, "extra_info": map[string]any{"input_name": message}}}}}})
			return providertest.JSON(status, string(out))
		},
		Failed: func(message string) providertest.Reply {
			m, _ := json.Marshal(message)
			return shown(id, "error", `,["execution_error",{"node_type":`+string(m)+`,"exception_type":`+string(m)+`,"exception_message":`+string(m)+`}]]},"outputs":{}}}`)
		},
		// The queue is asked before the job itself is cancelled or looked for.
		Cancelled: providertest.JSON(200, `{"queue_running":[],"queue_pending":[[3,"`+id+`",{},{},[]]]}`),
		TooLate:   providertest.JSON(200, `{"queue_running":[],"queue_pending":[]}`),
		Found:     providertest.JSON(200, `{"queue_running":[[3,"`+id+`",{},{},[]]],"queue_pending":[]}`),
		NotFound:  providertest.JSON(200, `{"queue_running":[],"queue_pending":[]}`),
		Output:    provider.Output{Kind: kinora.KindImage, Handle: file},
		Content:   providertest.Reply{Header: map[string]string{"Content-Type": "image/png"}, Body: "\x89PNG..."},
		// What the history lacks is looked for in the queue, and what the queue shows is cancelled there.
		Auxiliary: func(r providertest.Recorded) (providertest.Reply, bool) {
			waits := providertest.JSON(200, `{"queue_running":[],"queue_pending":[]}`)
			return waits, r.Target == "/queue" && r.Method == "POST"
		},
		ReconcileAuxiliary: func(r providertest.Recorded) (providertest.Reply, bool) {
			return providertest.JSON(200, "{}"), strings.HasPrefix(r.Target, "/history/")
		},
	})
}

func TestPlaces(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                        "no JSON object",
		`[]`:                       "no JSON object",
		`{}`:                       "no nodes",
		`{"nodes":[],"links":[]}`:  "API format",
		`{"1":5}`:                  "node 1: it is no object",
		`{"1":{"inputs":{}}}`:      "node 1: it has no class_type",
		`{"1":{"class_type":"X"}}`: "its inputs are no object",
		`{"1":{"class_type":"X","inputs":{"a":"{{promt}}"}}}`:                          `node 1, input a: there is nothing called "promt"`,
		`{"1":{"class_type":"X","inputs":{"a":["{{prompt}"]}}}`:                        "cannot be read",
		`{"1":{"class_type":"X","inputs":{"a":{"b":"{{ }}"}}}}`:                        "cannot be read",
		`{"1":{"class_type":"X","inputs":{"a":"{{width|wide}}"}}}`:                     "the default of width must be a number",
		`{"1":{"class_type":"X","inputs":{"a":"{{prompt*2}}"}}}`:                       "no number to reckon with",
		`{"1":{"class_type":"X","inputs":{"a":"{{image2}}"}}}`:                         "none for image",
		`{"1":{"class_type":"X","inputs":{"a":"{{metadata.}}"}}}`:                      "nothing called",
		`{"1":{"class_type":"X","inputs":{"a":"{{image17|x}} and {{image16|none}}"}}}`: "nothing called",
	} {
		if _, err := ParseWorkflow([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		}
	}
}

func TestFilling(t *testing.T) {
	for _, c := range []struct{ input, want string }{
		{`"{{prompt}}"`, `"a {{seed}} \"fox\""`}, // a caller's text is never read for places
		{`"{{ prompt }}, {{width}} wide, {{metadata.on|true}}"`, `"a {{seed}} \"fox\", 640 wide, true"`},
		{`"{{width}}"`, `640`}, {`" {{width*0.5}} "`, `320`}, {`"{{width*0.3}}"`, `192`}, {`"{{duration*16+1|81}}"`, `81`}, {`"{{width*2+1|3}}"`, `1281`},
		{`"{{metadata.lora|null}}"`, `"null"`}, {`"{{metadata.strength|0.80}}"`, `0.80`}, {`"{{metadata.name|two words}}"`, `"two words"`}, {`"{{metadata.empty|}}"`, `""`},
		{`[["{{width}}","4"],{"deep":"{{seed}}"}]`, `[[640,"4"],{"deep":18446744073709551615}]`},
		{`18446744073709551615`, `18446744073709551615`}, {`true`, `true`}, {`"plain"`, `"plain"`},
	} {
		w, err := ParseWorkflow([]byte(`{"1":{"class_type":"X","_meta":{"title":"t"},"inputs":{"a":` + c.input + `}}}`))
		if err != nil {
			t.Errorf("%s: %v", c.input, err)
			continue
		}
		got, err := w.fill(map[string]any{"prompt": `a {{seed}} "fox"`, "width": 640, "seed": json.Number("18446744073709551615")})
		if err != nil {
			t.Error(err)
			continue
		}
		var out map[string]struct {
			Inputs map[string]json.RawMessage
			Meta   map[string]string `json:"_meta"`
		}
		if err := json.Unmarshal(got, &out); err != nil {
			t.Fatal(err)
		}
		if string(out["1"].Inputs["a"]) != c.want || out["1"].Meta["title"] != "t" {
			t.Errorf("%s becomes %s, want %s", c.input, out["1"].Inputs["a"], c.want)
		}
	}
}

// A graph that ComfyUI keeps apart from the request cannot be changed by it.
func TestAWorkflowIsNotChangedByItsUse(t *testing.T) {
	w := workflow(t, "portrait")
	first, err := w.fill(map[string]any{"prompt": "one"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fill(map[string]any{"prompt": "two", "width": 64}); err != nil {
		t.Fatal(err)
	}
	again, err := w.fill(map[string]any{"prompt": "one"})
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("the second use differs (error %v):\n%s\n%s", err, first, again)
	}
}

func TestPromptID(t *testing.T) {
	id := promptID(ref)
	if id != promptID(ref) || id == promptID(ref+"1") || len(id) != 36 || id[14] != '8' || !strings.ContainsRune("89ab", rune(id[19])) || id != strings.ToLower(id) {
		t.Errorf("id %s is no lower-case UUID of the attempt's", id)
	}
}

func TestOrderOfNodes(t *testing.T) {
	for _, pair := range [][2]string{{"2", "10"}, {"9", "9:1"}, {"9:2", "9:10"}, {"3", "x"}} {
		if byNumber(pair[0], pair[1]) >= 0 || byNumber(pair[1], pair[0]) <= 0 {
			t.Errorf("%s does not come before %s", pair[0], pair[1])
		}
	}
}

// A long queue of large workflows, which others have filled, must not hide a job. What a job's
// neighbours hold is skipped, whatever it is.
func TestALongQueue(t *testing.T) {
	u := providertest.NewUpstream(t)
	graph := `{"1":{"inputs":{"text":"` + strings.Repeat("x", 1<<20) + `","list":[[1,"a"],{}]}}}`
	var pending []string
	for i := range 10 {
		pending = append(pending, fmt.Sprintf(`[%d,"other-%d",%s,{},["9"]]`, i, i, graph))
	}
	answer := func(running, pending string) providertest.Reply {
		return providertest.JSON(200, `{"queue_pending":[`+pending+`],"extra":[{"a":null}],"queue_running":[`+running+`]}`)
	}
	for name, tc := range map[string]struct {
		reply providertest.Reply
		state provider.State
	}{
		"waits":   {answer("", strings.Join(pending, ",")+`,[11,"mine",`+graph+`,{},[]]`), provider.StateQueued},
		"runs":    {answer(`[1,"mine",{},{},[]]`, strings.Join(pending, ",")), provider.StateRunning},
		"in both": {answer(`[1,"mine",{},{},[]]`, `[1,"mine",{},{},[]]`), provider.StateRunning},
		"none":    {answer("", strings.Join(pending, ",")), ""},
	} {
		u.Answer(tc.reply)
		if q, err := queue(t.Context(), u.With(provider.Account{})); err != nil || q.state("mine") != tc.state {
			t.Errorf("%s: %q, %v; want %q", name, q.state("mine"), err, tc.state)
		}
	}
	for _, body := range []string{`{}`, `[]`, `{"queue_running":[]}`, `{"queue_running":[],"queue_pending":[[1]]}`, `{"queue_running":[],"queue_pending":[[1,2]]}`,
		`{"queue_running":null,"queue_pending":[]}`, `{"queue_running":[],"queue_pending":[[1,"a",{`} {
		u.Answer(providertest.JSON(200, body))
		if q, err := queue(t.Context(), u.With(provider.Account{})); provider.AsError(err, "").Class != provider.Unavailable {
			t.Errorf("%s: %v, %v", body, q, err)
		}
	}
}

// A place whose default is an address takes others.
func TestPlacesForAddresses(t *testing.T) {
	w, err := ParseWorkflow([]byte(`{"1":{"class_type":"LoadImageFromUrl","inputs":{"url":"{{metadata.source|https://assets.example/blank.png}}","label":"{{metadata.label|none}}"}},
		"2":{"class_type":"SaveImage","inputs":{"images":["1",0],"text":"{{prompt}}"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	c := New(map[string]*Workflow{"fetching": w})
	if err := c.Validate(request("fetching", "source", `"https://a.example/1.png"`, "label", `"16:9"`)); err != nil {
		t.Error(err)
	}
	for _, value := range []string{`"https://a.example/1.png"`, `"{\"u\":\"file:///etc/passwd\"}"`} {
		if err := c.Validate(request("fetching", "label", value)); err == nil || !strings.Contains(err.Error(), "input.metadata.label must not be or hold a URL") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
