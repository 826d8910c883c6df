package minimax

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-simulated"

var start = time.Unix(1785901861, 0)

// world is a simulator behind HTTP, with a clock that the test moves.
type world struct {
	*Simulator
	t     *testing.T
	url   string
	http  *http.Client
	clock *simulator.ManualClock
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	clock := simulator.NewManualClock(start)
	cfg := Config{Accounts: []Account{{Key: key}, {Key: "another"}}, Clock: clock, VideoTime: 10 * time.Second, MaxSide: 256}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{Simulator: s, t: t, url: srv.URL, http: srv.Client(), clock: clock}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// get walks into an answer by keys and indexes: "task.content.url".
func (a answer) get(path string) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return "not JSON: " + string(a.body)
	}
	for _, step := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(at) {
				return ""
			}
			v = at[i]
		default:
			return ""
		}
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (w *world) call(method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, got}, err
}

func (w *world) do(method, path, body string, header ...string) answer {
	w.t.Helper()
	a, err := w.call(method, path, body, header...)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// expect wants values at places of an answer.
func (w *world) expect(what string, a answer, status int, pairs ...string) answer {
	w.t.Helper()
	if a.status != status {
		w.t.Errorf("%s: status %d, want %d: %s", what, a.status, status, a.body)
	}
	for i := 0; i < len(pairs); i += 2 {
		if got := a.get(pairs[i]); got != pairs[i+1] {
			w.t.Errorf("%s: %s is %q, want %q in %s", what, pairs[i], got, pairs[i+1], a.body)
		}
	}
	return a
}

// receiver takes callbacks and answers challenges as told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	came   chan []byte
}

func newReceiver(t *testing.T, challenge func(w http.ResponseWriter, word string)) *receiver {
	r := &receiver{came: make(chan []byte, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var in struct{ Challenge string }
		if json.Unmarshal(body, &in) == nil && in.Challenge != "" {
			challenge(w, in.Challenge)
			return
		}
		r.mu.Lock()
		r.bodies = append(r.bodies, body)
		r.mu.Unlock()
		r.came <- body
	}))
	t.Cleanup(r.Close)
	return r
}

func echo(w http.ResponseWriter, word string) { fmt.Fprintf(w, `{"challenge":%q}`, word) }

func (r *receiver) next(t *testing.T) answer {
	t.Helper()
	select {
	case body := <-r.came:
		return answer{body: body}
	case <-time.After(20 * time.Second):
		t.Fatal("no callback came")
	}
	return answer{}
}

const (
	hailuoBody = `{"model":"MiniMax-Hailuo-2.3","prompt":"a fox in snow [Push in]","duration":6,"resolution":"768P","prompt_optimizer":true}`
	h3Body     = `{"model":"MiniMax-H3","content":[{"type":"text","text":"harbour at dawn"}],"resolution":"768P","duration":6,"ratio":"16:9"}`
	imageBody  = `{"model":"image-01","prompt":"a red kettle","aspect_ratio":"1:1","n":1,"response_format":"url"}`
)

// The reference's own examples, from submit to file.
func TestHailuoFromSubmitToFile(t *testing.T) {
	w := newWorld(t, nil)
	a := w.expect("submit", w.do("POST", "/v1/video_generation", hailuoBody), 200, "base_resp.status_code", "0", "base_resp.status_msg", "success")
	if len(a.header.Get("Trace-Id")) != 32 {
		t.Errorf("Trace-Id %q", a.header.Get("Trace-Id"))
	}
	id := a.get("task_id")
	query := "/v1/query/video_generation?task_id=" + id
	for _, step := range []struct {
		after time.Duration
		word  string
	}{{0, "Preparing"}, {1500 * time.Millisecond, "Queueing"}, {time.Second, "Processing"}, {7 * time.Second, "Processing"}} {
		w.clock.Advance(step.after)
		w.expect("query", w.do("GET", query, ""), 200, "task_id", id, "status", step.word, "file_id", "", "base_resp.status_code", "0")
	}
	w.clock.Advance(time.Second)
	a = w.expect("query", w.do("GET", query, ""), 200, "status", "Success", "video_width", "1366", "video_height", "768")
	fileID := a.get("file_id")
	if !strings.Contains(string(a.body), `"file_id":"`+fileID+`"`) {
		t.Errorf("file_id is no string: %s", a.body)
	}
	retrieve := "/v1/files/retrieve?file_id=" + fileID
	a = w.expect("file", w.do("GET", retrieve, ""), 200, "file.file_id", fileID, "file.purpose", "video_generation", "base_resp.status_code", "0")
	if !strings.Contains(string(a.body), `"file_id":`+fileID+`,`) {
		t.Errorf("file_id is no number: %s", a.body)
	}
	address := strings.TrimPrefix(a.get("file.download_url"), w.url)
	got := w.do("GET", address, "", "Authorization", "")
	if got.status != 200 || got.header.Get("Content-Type") != "video/mp4" || !bytes.Contains(got.body[:32], []byte("ftyp")) {
		t.Errorf("download: %d %v", got.status, got.header)
	}
	w.clock.Advance(time.Hour)
	w.expect("dead address", w.do("GET", address, ""), 403)
	fresh := strings.TrimPrefix(w.do("GET", retrieve, "").get("file.download_url"), w.url)
	w.expect("fresh address", w.do("GET", fresh, ""), 200)
	w.expect("forged address", w.do("GET", strings.Replace(fresh, "Signature=", "Signature=0", 1), ""), 403)
	w.expect("another account", w.do("GET", query, "", "Authorization", "Bearer another"), 200, "task_id", "", "base_resp.status_code", "2013")
	w.expect("another account's file", w.do("GET", retrieve, "", "Authorization", "Bearer another"), 200, "base_resp.status_code", "2013")
	w.expect("no such task", w.do("GET", "/v1/query/video_generation?task_id=1", ""), 200, "base_resp.status_code", "2013")
}

func TestH3FromSubmitToFile(t *testing.T) {
	w := newWorld(t, nil)
	a := w.expect("submit", w.do("POST", "/v2/video_generation", h3Body), 200, "base_resp", "")
	id := a.get("task_id")
	query := "/v2/query/video_generation/" + id
	w.expect("queued", w.do("GET", query, ""), 200, "task.id", id, "task.status", "queued", "task.model", "MiniMax-H3", "task.ratio", "16:9", "task.duration", "6", "task.created_at", "1785901861")
	w.clock.Advance(2 * time.Second)
	w.expect("running", w.do("GET", query, ""), 200, "task.status", "running", "task.content", "")
	w.clock.Advance(8 * time.Second)
	a = w.expect("succeeded", w.do("GET", query, ""), 200, "task.status", "succeeded", "task.usage.output_seconds", "6", "task.task_type", "generation", "task.error", "")
	if got := w.do("GET", strings.TrimPrefix(a.get("task.content.url"), w.url), ""); got.status != 200 || got.header.Get("Content-Type") != "video/mp4" {
		t.Errorf("download: %d %v", got.status, got.header)
	}
	w.expect("another account", w.do("GET", query, "", "Authorization", "Bearer another"), 400, "error.message", "invalid task_id (2013)")
	w.clock.Advance(7 * 24 * time.Hour)
	w.expect("too old", w.do("GET", query, ""), 400, "type", "error", "error.type", "bad_request_error", "error.http_code", "400", "error.message", "invalid task_id (2013)")
}

func TestH3List(t *testing.T) {
	w := newWorld(t, nil)
	var ids []string
	for i := range 5 {
		ids = append(ids, w.do("POST", "/v2/video_generation", strings.Replace(h3Body, "dawn", fmt.Sprint("dawn [[time=", 10+i, "]]"), 1)).get("task_id"))
	}
	w.do("POST", "/v2/video_generation", h3Body, "Authorization", "Bearer another")
	w.clock.Advance(10 * time.Second)
	list := func(query string) answer { return w.do("GET", "/v2/query/video_generation"+query, "") }
	w.expect("all, newest first", list(""), 200, "total", "5", "items.0.id", ids[4], "items.4.id", ids[0])
	w.expect("a page", list("?page_num=2&page_size=2"), 200, "total", "5", "items.0.id", ids[2], "items.1.id", ids[1], "items.2", "")
	w.expect("by id", list("?filter.task_ids="+ids[0]+"&filter.task_ids="+ids[3]+"&filter.task_ids=1"), 200, "total", "2", "items.0.id", ids[3], "items.1.status", "succeeded")
	w.expect("by status", list("?filter.status=succeeded"), 200, "total", "1")
	w.expect("by model", list("?filter.model=MiniMax-H3-Max"), 200, "total", "0", "items.0", "")
	w.expect("by type", list("?filter.task_type=regeneration"), 200, "total", "0")
	w.expect("a bad page", list("?page_num=0"), 400)
	if w.Stats().Lists != 7 {
		t.Errorf("%d lists", w.Stats().Lists)
	}
}

// DELETE cancels what is queued and destroys what has ended.
func TestH3Delete(t *testing.T) {
	w := newWorld(t, nil)
	submit := func(order string) string {
		return w.do("POST", "/v2/video_generation", strings.Replace(h3Body, "dawn", order, 1)).get("task_id")
	}
	remove := func(id string) answer { return w.do("DELETE", "/v2/video_generation/"+id, "") }
	waiting, done, bad := submit("x"), submit("[[time=1s]]"), submit("[[time=1s fail]]")
	w.expect("queued", remove(waiting), 200, "task_id", waiting, "action", "cancelled", "status", "cancelled")
	w.expect("cancelled", w.do("GET", "/v2/query/video_generation/"+waiting, ""), 200, "task.status", "cancelled")
	w.expect("cancelled twice", remove(waiting), 400, "error.type", "bad_request_error")
	w.clock.Advance(time.Second)
	long, patient := submit("y"), submit("[[queue=4s]]")
	w.clock.Advance(3 * time.Second)
	w.expect("queued for long", remove(patient), 200, "action", "cancelled")
	w.expect("running", remove(long), 400)
	for _, id := range []string{done, bad} {
		w.expect("ended", remove(id), 200, "action", "deleted", "status", "deleted")
		w.expect("deleted", w.do("GET", "/v2/query/video_generation/"+id, ""), 400)
		w.expect("deleted twice", remove(id), 400)
	}
}

func TestImages(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ImageTime = time.Nanosecond; c.Clock = simulator.SystemClock{} })
	a := w.expect("one", w.do("POST", "/v1/image_generation", imageBody), 200, "metadata.success_count", "1", "metadata.failed_count", "0", "base_resp.status_code", "0")
	if len(a.get("id")) != 32 {
		t.Errorf("id %q", a.get("id"))
	}
	got := w.do("GET", strings.TrimPrefix(a.get("data.image_urls.0"), w.url), "")
	if cfg, format, err := image.DecodeConfig(bytes.NewReader(got.body)); err != nil || format != "jpeg" || cfg.Width != 1024 || cfg.Height != 1024 {
		t.Errorf("%+v %s %v", cfg, format, err)
	}
	w.expect("blocked", w.do("POST", "/v1/image_generation", `{"model":"image-01","prompt":"x [[blocked=2]]","width":512,"height":520,"n":3}`), 200,
		"metadata.success_count", "1", "metadata.failed_count", "2", "data.image_urls.1", "")
	w.expect("all blocked", w.do("POST", "/v1/image_generation", `{"model":"image-01","prompt":"x [[blocked=9]]"}`), 200, "metadata.success_count", "0", "data.image_urls", "")
	if a := w.do("POST", "/v1/image_generation", `{"model":"image-01-live","prompt":"x","response_format":"base64","width":512,"height":512}`); len(a.get("data.image_base64.0")) < 1000 {
		t.Errorf("embedded: %.200s", a.body)
	}
	w.expect("refused at the end", w.do("POST", "/v1/image_generation", `{"model":"image-01","prompt":"[[fail=1027]]"}`), 200, "base_resp.status_code", "1027", "task_id", "")
}

func TestValidation(t *testing.T) {
	w := newWorld(t, nil)
	frame := `"first_frame_image":"https://h/a.png"`
	for path, bodies := range map[string]map[string]string{
		"/v1/video_generation": {
			`{"model":"Hailuo","prompt":"x"}`: "model",
			`{"model":"T2V-01"}`:              "prompt is required",
			`{"model":"T2V-01","prompt":"` + strings.Repeat("x", 2001) + `"}`:                            "2000",
			`{"model":"T2V-01","prompt":"x","duration":6}`:                                               "duration",
			`{"model":"T2V-01","prompt":"x",` + frame + `}`:                                              "first frame",
			`{"model":"I2V-01","prompt":"x"}`:                                                            "text",
			`{"model":"S2V-01","prompt":"x"}`:                                                            "text",
			`{"model":"S2V-01","subject_reference":[{"type":"character","image":["https://h/a","b"]}]}`:  "subject_reference",
			`{"model":"MiniMax-Hailuo-2.3","prompt":"x","last_frame_image":"https://h/a"}`:               "last frame",
			`{"model":"MiniMax-Hailuo-2.3","prompt":"x","duration":8}`:                                   "duration 8",
			`{"model":"MiniMax-Hailuo-2.3","prompt":"x","duration":"6"}`:                                 "duration has the wrong type",
			`{"model":"MiniMax-Hailuo-2.3","prompt":"x","duration":10,"resolution":"1080P"}`:             "duration 10",
			`{"model":"MiniMax-Hailuo-02","prompt":"x","resolution":"512P","duration":10,` + frame + `}`: "duration 10",
			`{"model":"MiniMax-Hailuo-02","prompt":"x","resolution":"512P"}`:                             "resolution",
			`{"model":"MiniMax-Hailuo-02","first_frame_image":"ftp://h/a"}`:                              "URL",
			`{"model":"MiniMax-Hailuo-2.3","prompt":"x","callback_url":"here"}`:                          "callback_url",
			`{`: "JSON",
		},
		"/v1/image_generation": {
			`{"model":"image-02","prompt":"x"}`:                                                     "model",
			`{"model":"image-01","prompt":" "}`:                                                     "prompt is required",
			`{"model":"image-01","prompt":"` + strings.Repeat("x", 1501) + `"}`:                     "1500",
			`{"model":"image-01","prompt":"x","n":10}`:                                              "n must be",
			`{"model":"image-01","prompt":"x","aspect_ratio":"5:4"}`:                                "aspect_ratio",
			`{"model":"image-01","prompt":"x","width":513,"height":512}`:                            "width",
			`{"model":"image-01","prompt":"x","width":512}`:                                         "width",
			`{"model":"image-01","prompt":"x","response_format":"png"}`:                             "response_format",
			`{"model":"image-01","prompt":"x","subject_reference":[{"type":"cat","image_file":1}]}`: "image_file",
		},
	} {
		for body, says := range bodies {
			a := w.expect(body, w.do("POST", path, body), 200, "base_resp.status_code", "2013", "task_id", "")
			if !strings.Contains(a.get("base_resp.status_msg"), says) {
				t.Errorf("%s: %s does not say %q", body, a.body, says)
			}
		}
	}
	content := func(model, items, rest string) string {
		return `{"model":"` + model + `","content":[` + items + `],` + rest + `}`
	}
	text, rest := `{"type":"text","text":"x"}`, `"resolution":"768P","duration":5,"ratio":"16:9"`
	first, last := `{"type":"image_url","image_url":{"url":"https://h/a"}}`, `{"type":"image_url","image_url":{"url":"mm_file://1"},"role":"last_frame"}`
	reference := `{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"},"role":"reference_image"}`
	for body, says := range map[string]string{
		content("MiniMax-H2", text, rest):  "model",
		content("MiniMax-H3", first, rest): "content must include a non-empty text item",
		content("MiniMax-H3", `{"type":"text","text":"`+strings.Repeat("x", 7001)+`"}`, rest):                                "7000",
		content("MiniMax-H3", text+","+first+","+reference, rest):                                                            "mixes",
		content("MiniMax-H3", text+","+last+","+last, rest):                                                                  "more than one",
		content("MiniMax-H3", text+","+last, rest):                                                                           "without a first",
		content("MiniMax-H3", text+`,{"type":"audio_url","audio_url":{"url":"https://h/a"},"role":"reference_audio"}`, rest): "without an image or a video",
		content("MiniMax-H3", text+strings.Repeat(","+reference, 10), rest):                                                  "too many",
		content("MiniMax-H3", text+`,{"type":"image_url"}`, rest):                                                            "without its address",
		content("MiniMax-H3", text+`,{"type":"video_url","video_url":{"url":"https://h/v"}}`, rest):                          "role",
		content("MiniMax-H3", text, `"resolution":"480P","duration":5,"ratio":"16:9"`):                                       "resolution",
		content("MiniMax-H3-Max", text, `"resolution":"2K","duration":5,"ratio":"16:9"`):                                     "resolution",
		content("MiniMax-H3-Max", text, `"resolution":"768P","duration":4,"ratio":"16:9"`):                                   "duration",
		content("MiniMax-H3", text, `"resolution":"768P","ratio":"16:9"`):                                                    "duration",
		content("MiniMax-H3", text, `"resolution":"768P","duration":5`):                                                      "ratio is required",
		content("MiniMax-H3", text, `"resolution":"768P","duration":5,"ratio":"5:4"`):                                        "ratio",
	} {
		a := w.expect(body, w.do("POST", "/v2/video_generation", body), 400, "type", "error", "error.type", "bad_request_error", "error.http_code", "400")
		if words := a.get("error.message"); !strings.Contains(words, says) || !strings.HasSuffix(words, "(2013)") || len(a.get("request_id")) != 32 {
			t.Errorf("%s: %s does not say %q", body, a.body, says)
		}
	}
	if got := w.Stats(); got.Accepted != 0 || got.Submits == 0 {
		t.Errorf("stats %+v", got)
	}
	for what, body := range map[string]string{
		"frames":     content("MiniMax-H3", text+","+first+","+last, `"resolution":"2K","duration":15,"ratio":"adaptive"`),
		"references": content("MiniMax-H3-Max", text+","+reference, `"resolution":"480P","duration":5`),
	} {
		w.expect(what, w.do("POST", "/v2/video_generation", body), 200)
	}
}

func TestAuthentication(t *testing.T) {
	w := newWorld(t, nil)
	for header, code := range map[string]string{"": "1004", "Bearer": "1004", "Token " + key: "1004", "Bearer wrong": "2049"} {
		w.expect(header, w.do("POST", "/v1/video_generation", hailuoBody, "Authorization", header), 200, "base_resp.status_code", code, "task_id", "")
		a := w.expect(header, w.do("POST", "/v2/video_generation", h3Body, "Authorization", header), 401, "error.type", "authorized_error")
		if !strings.HasSuffix(a.get("error.message"), "("+code+")") {
			t.Errorf("%q: %s", header, a.body)
		}
	}
	if w.Stats().Submits != 0 {
		t.Error("a stranger's submit was read")
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Accounts = []Account{{Key: key, VideosPerMinute: 2, ImagesPerMinute: 1, H3PerMinute: 3, MaxInFlight: 1}}
		c.ImageTime = time.Nanosecond
	})
	for i, want := range []string{"0", "0", "1002"} {
		w.expect(fmt.Sprint("video ", i), w.do("POST", "/v1/video_generation", hailuoBody), 200, "base_resp.status_code", want)
	}
	w.clock.Advance(30 * time.Second)
	w.expect("a new minute", w.do("POST", "/v1/video_generation", hailuoBody), 200, "base_resp.status_code", "0")
	w.expect("in flight", w.do("POST", "/v2/video_generation", h3Body), 200)
	w.expect("too many in flight", w.do("POST", "/v2/video_generation", h3Body), 429, "error.type", "rate_limit_error", "error.message", "conn limit (1041)")
	w.clock.Advance(10 * time.Second)
	w.expect("after its end", w.do("POST", "/v2/video_generation", h3Body), 200)
	w.expect("too often", w.do("POST", "/v2/video_generation", h3Body), 429, "error.message", "rate limit (1002)")
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no account": {}, "no key": {Accounts: []Account{{}}}, "bad URL": {Accounts: []Account{{Key: key}}, PublicURL: "here/"},
		"negative": {Accounts: []Account{{Key: key}}, VideoTime: -1}, "tiny": {Accounts: []Account{{Key: key}}, MaxSide: 1},
	} {
		if s, err := New(cfg); err == nil {
			t.Errorf("%s: taken", name)
			_ = s.Close()
		}
	}
}
