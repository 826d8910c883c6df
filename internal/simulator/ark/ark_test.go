package ark

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

const key = "ark-key-1"

// world is a simulator behind HTTP, on a clock that the test moves.
type world struct {
	t     *testing.T
	s     *Simulator
	url   string
	http  *http.Client
	clock *simulator.ManualClock
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Unix(1785901861, 0))
	cfg := Config{Accounts: []Account{{Key: key}, {Key: "ark-key-2"}}, Clock: clock, MaxSide: 160}
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
	return &world{t: t, s: s, url: srv.URL, http: srv.Client(), clock: clock}
}

// answer is a reply, read.
type answer struct {
	status int
	body   []byte
	json   map[string]any
}

func (a answer) code() string {
	e, _ := a.json["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

func (a answer) text(name string) string { s, _ := a.json[name].(string); return s }

func (w *world) call(method, path, body string, authorization ...string) answer {
	w.t.Helper()
	a, err := w.try(method, path, body, authorization...)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) try(method, path, body string, authorization ...string) (a answer, err error) {
	if strings.HasPrefix(path, "/") {
		path = w.url + "/api/v3" + path
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if len(authorization) > 0 {
		req.Header.Set("Authorization", authorization[0])
	}
	res, err := w.http.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a.status = res.StatusCode
	a.body, err = io.ReadAll(res.Body)
	_ = json.Unmarshal(a.body, &a.json) // files are not JSON
	return a, err
}

const tasksRoute = "/contents/generations/tasks"

// submit submits a text with more fields and returns the task's id.
func (w *world) submit(text, more string) string {
	w.t.Helper()
	a := w.call("POST", tasksRoute, video(text, more))
	if a.status != 200 || !strings.HasPrefix(a.text("id"), "cgt-") {
		w.t.Fatalf("submit: %d %s", a.status, a.body)
	}
	return a.text("id")
}

func video(text, more string) string {
	return fmt.Sprintf(`{"model":"doubao-seedance-1-5-pro-251215","content":[{"type":"text","text":%q}]%s}`, text, more)
}

func (w *world) look(id string) answer { w.t.Helper(); return w.call("GET", tasksRoute+"/"+id, "") }

// The vendor's own example, from submit to file.
func TestExampleToItsEnd(t *testing.T) {
	w := newWorld(t, nil)
	a := w.call("POST", tasksRoute, `{"model":"doubao-seedance-1-5-pro-251215","content":[{"type":"text","text":"a kite over a beach"},
		{"type":"image_url","image_url":{"url":"https://cdn.example/first.png"},"role":"first_frame"}],
		"resolution":"480p","ratio":"16:9","duration":4,"watermark":false,"generate_audio":true,"return_last_frame":true,
		"execution_expires_after":7200,"safety_identifier":"user-1"}`)
	id := a.text("id")
	if a.status != 200 || len(a.json) != 2 || a.text("safety_identifier") != "user-1" {
		t.Fatalf("submit: %d %s", a.status, a.body)
	}
	if a := w.look(id); a.text("status") != "queued" || a.json["created_at"] != 1785901861.0 || a.json["execution_expires_after"] != 7200.0 || a.text("service_tier") != "default" {
		t.Errorf("at first: %s", a.body)
	}
	w.clock.Advance(2 * time.Second)
	if a := w.look(id); a.text("status") != "running" || a.json["content"] != nil {
		t.Errorf("then: %s", a.body)
	}
	w.clock.Advance(3 * time.Second)
	a = w.look(id)
	if a.status != 200 || a.text("status") != "succeeded" || a.json["duration"] != 4.0 || a.json["framespersecond"] != 24.0 || a.text("resolution") != "480p" ||
		a.json["error"] != nil || !bytes.Contains(a.body, []byte(`"error":null`)) || a.json["updated_at"] != 1785901866.0 || a.text("safety_identifier") != "user-1" {
		t.Fatalf("at the end: %s", a.body)
	}
	content := a.json["content"].(map[string]any)
	clip := w.call("GET", content["video_url"].(string), "")
	if clip.status != 200 || !bytes.Contains(clip.body[:16], []byte("ftyp")) {
		t.Errorf("the clip: %d, %d bytes", clip.status, len(clip.body))
	}
	still := w.call("GET", content["last_frame_url"].(string), "")
	if _, format, err := image.DecodeConfig(bytes.NewReader(still.body)); err != nil || format != "png" {
		t.Errorf("the last frame: %s, %v", format, err)
	}
	w.clock.Advance(24*time.Hour - time.Second)
	if a := w.call("GET", content["video_url"].(string), ""); a.status != 200 {
		t.Errorf("the URL before its end: %d", a.status)
	}
	w.clock.Advance(2 * time.Second)
	if a := w.call("GET", content["video_url"].(string), ""); a.status != 403 {
		t.Errorf("the URL after its end: %d", a.status)
	}
	if a := w.call("GET", strings.Replace(content["video_url"].(string), "Signature=", "Signature=0", 1), ""); a.status != 403 {
		t.Errorf("a forged URL: %d", a.status)
	}
	w.clock.Advance(6 * 24 * time.Hour)
	if a := w.look(id); a.status != 404 || a.code() != "ResourceNotFound" {
		t.Errorf("after seven days: %d %s", a.status, a.body)
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t, nil)
	id := w.submit("x", "")
	for _, authorization := range []string{"", key, "Bearer", "Bearer wrong", "Token " + key, "bearer " + key, "HMAC-SHA256 Credential=AK/20260822/cn-beijing/ark/request"} {
		for _, call := range [][2]string{{"POST", tasksRoute}, {"GET", tasksRoute + "/" + id}, {"GET", tasksRoute}, {"DELETE", tasksRoute + "/" + id}, {"POST", "/images/generations"}} {
			if a := w.call(call[0], call[1], video("x", ""), authorization); a.status != 401 || a.code() != "AuthenticationError" {
				t.Errorf("%v with %q: %d %s", call, authorization, a.status, a.body)
			}
		}
	}
	if a := w.call("GET", tasksRoute+"/"+id, "", "Bearer ark-key-2"); a.status != 404 {
		t.Errorf("another account's task: %d", a.status)
	}
	if a := w.call("GET", tasksRoute, "", "Bearer ark-key-2"); a.json["total"] != 0.0 {
		t.Errorf("another account's list: %s", a.body)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Accounts[0].Closed = []string{"doubao-seedance-1-0-pro-250528"} })
	image := func(role string) string {
		return `{"type":"image_url","image_url":{"url":"https://h/1.png"},"role":"` + role + `"}`
	}
	model := func(model, content string) string {
		return fmt.Sprintf(`{"model":%q,"content":[%s]}`, model, content)
	}
	for name, c := range map[string]struct {
		body, code, param string
		status            int
	}{
		"no JSON":          {`{`, "InvalidParameter", "", 400},
		"no model":         {`{"content":[]}`, "MissingParameter", "model", 400},
		"no content":       {`{"model":"doubao-seedance-1-5-pro-251215"}`, "MissingParameter", "content", 400},
		"unknown model":    {`{"model":"seedans"}`, "InvalidEndpointOrModel.NotFound", "", 404},
		"model not opened": {`{"model":"doubao-seedance-1-0-pro-250528"}`, "ModelNotOpen", "", 404},
		"closed endpoint":  {`{"model":"ep-closed-1"}`, "InvalidEndpoint.ClosedEndpoint", "model", 400},
		"a text duration":  {video("x", `,"duration":"5"`), "InvalidParameter", "duration", 400},
		"a long duration":  {video("x", `,"duration":99`), "InvalidParameter", "duration", 400},
		"resolution":       {video("x", `,"resolution":"8k"`), "InvalidParameter", "resolution", 400},
		"ratio":            {video("x", `,"ratio":"2:1"`), "InvalidParameter", "ratio", 400},
		"frames":           {video("x", `,"frames":30`), "InvalidParameter", "frames", 400},
		"expiry":           {video("x", `,"execution_expires_after":60`), "InvalidParameter", "execution_expires_after", 400},
		"identifier":       {video("x", `,"safety_identifier":"`+strings.Repeat("x", 65)+`"`), "InvalidParameter", "safety_identifier", 400},
		"callback":         {video("x", `,"callback_url":"ftp://h/"`), "InvalidParameter", "callback_url", 400},
		"flex":             {`{"model":"doubao-seedance-2-0-260128","service_tier":"flex","content":[{"type":"text","text":"x"}]}`, "InvalidParameter", "service_tier", 400},
		"mixed modes":      {model("doubao-seedance-2-0-260128", image("first_frame")+","+image("reference_image")), "InvalidParameter.TaskTypeConstraint", "content", 400},
		"lonely last":      {model("doubao-seedance-2-0-260128", image("last_frame")), "InvalidParameter.TaskTypeConstraint", "content", 400},
		"lonely audio":     {model("doubao-seedance-2-0-260128", `{"type":"audio_url","audio_url":{"url":"https://h/a.mp3"}}`), "InvalidParameter.TaskTypeConstraint", "content", 400},
		"ten references":   {model("doubao-seedance-2-0-260128", strings.Repeat(image("reference_image")+",", 9)+image("reference_image")), "InvalidParameter.TaskTypeConstraint", "content", 400},
		"inline video":     {model("doubao-seedance-2-0-260128", `{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AA"}}`), "InvalidParameter", "content[0].video_url.url", 400},
		"role":             {model("doubao-seedance-2-0-260128", image("middle_frame")), "InvalidParameter", "content[0].role", 400},
		"moderation":       {video("x [[refuse=InputTextSensitiveContentDetected]]", ""), "InputTextSensitiveContentDetected", "", 400},
		"balance":          {video("x [[refuse=SetLimitExceeded]]", ""), "SetLimitExceeded", "", 429},
		"fault":            {video("x [[refuse=InternalServiceError]]", ""), "InternalServiceError", "", 500},
	} {
		a := w.call("POST", tasksRoute, c.body)
		e, _ := a.json["error"].(map[string]any)
		if a.status != c.status || a.code() != c.code || e["param"] != c.param || e["type"] == "" || e["message"] == "" || e["request_id"] == "" {
			t.Errorf("%s: %d %s, want %d %s %s", name, a.status, a.body, c.status, c.code, c.param)
		}
	}
	if n := len(w.s.Stats().Tasks); n != 0 {
		t.Errorf("%d tasks were accepted", n)
	}
}

// Parameters in the text change what is made; those of the body outrank them.
func TestTextParameters(t *testing.T) {
	w := newWorld(t, nil)
	w.submit("a kite --dur 12 --rs 480p", "")
	w.submit("a kite --dur 12 --rs nonsense", `,"duration":4,"resolution":"720p"`)
	tasks := w.s.Stats().Tasks
	if tasks[0].Seconds != 12 || tasks[0].Prompt != "a kite" || tasks[1].Seconds != 4 {
		t.Errorf("%+v", tasks)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Accounts = []Account{{Key: key, PerMinute: 3, Running: 1, Queued: 2}, {Key: "ark-key-2", Overdue: true}}
	})
	first, second := w.submit("a", ""), w.submit("b", "")
	if a := w.call("POST", tasksRoute, video("c", "")); a.status != 429 || a.code() != "QuotaExceeded" {
		t.Errorf("a third in the queue: %d %s", a.status, a.body)
	}
	if a := w.call("POST", tasksRoute, video("d", "")); a.status != 429 || a.code() != "ModelAccountRpmRateLimitExceeded" {
		t.Errorf("a fourth in a minute: %d %s", a.status, a.body)
	}
	if a := w.call("POST", tasksRoute, video("d", ""), "Bearer ark-key-2"); a.status != 403 || a.code() != "AccountOverdueError" {
		t.Errorf("overdue: %d %s", a.status, a.body)
	}
	w.clock.Advance(4 * time.Second)
	if a, b := w.look(first).text("status"), w.look(second).text("status"); a != "running" || b != "queued" {
		t.Errorf("one may run: %s, %s", a, b)
	}
	w.clock.Advance(time.Second)
	if a, b := w.look(first).text("status"), w.look(second).text("status"); a != "succeeded" || b != "running" {
		t.Errorf("then the next: %s, %s", a, b)
	}
}

// Whoever waits behind a task that is cancelled moves up.
func TestCancelledTasksMakeRoom(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Accounts[0].Running = 1 })
	first, second, third := w.submit("a [[time=1m]]", ""), w.submit("b [[time=1h]]", ""), w.submit("c", "")
	w.clock.Advance(2 * time.Second)
	if a := w.call("DELETE", tasksRoute+"/"+second, ""); a.status != 200 {
		t.Fatalf("cancel: %d %s", a.status, a.body)
	}
	w.clock.Advance(time.Minute)
	if a, b := w.look(first).text("status"), w.look(third).text("status"); a != "succeeded" || b != "running" {
		t.Errorf("%s, %s", a, b)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t, nil)
	waiting, other := w.submit("a [[queue=1h]]", ""), w.submit("b", "")
	if a := w.call("DELETE", tasksRoute+"/"+waiting, ""); a.status != 200 || string(a.body) != "{}" {
		t.Errorf("queued: %d %s", a.status, a.body)
	}
	if a := w.look(waiting); a.text("status") != "cancelled" {
		t.Errorf("then: %s", a.body)
	}
	if a := w.call("DELETE", tasksRoute+"/"+waiting, ""); a.status != 409 {
		t.Errorf("cancelled: %d %s", a.status, a.body)
	}
	w.clock.Advance(2 * time.Second)
	if a := w.call("DELETE", tasksRoute+"/"+other, ""); a.status != 409 {
		t.Errorf("running: %d %s", a.status, a.body)
	}
	w.clock.Advance(5 * time.Second)
	if a := w.call("DELETE", tasksRoute+"/"+other, ""); a.status != 200 || string(a.body) != "{}" {
		t.Errorf("succeeded: %d %s", a.status, a.body)
	}
	if a := w.look(other); a.status != 404 {
		t.Errorf("its record: %d %s", a.status, a.body)
	}
	w.clock.Advance(24 * time.Hour)
	if a := w.look(waiting); a.status != 404 {
		t.Errorf("a cancelled record after a day: %d %s", a.status, a.body)
	}
	if s := w.s.Stats(); s.Cancelled != 1 || s.Destroyed != 1 {
		t.Errorf("%+v", s)
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t, nil)
	var ids []string
	for i := range 12 {
		w.clock.Advance(time.Second / 100)
		text := fmt.Sprint("kite ", i)
		if i == 3 {
			text += " [[fail=OutputVideoSensitiveContentDetected queue=0s time=0s]]"
		}
		ids = append(ids, w.submit(text, `,"safety_identifier":"r`+fmt.Sprint(i)+`"`))
	}
	list := func(query string) (int, []map[string]any) {
		t.Helper()
		a := w.call("GET", tasksRoute+"?"+query, "")
		if a.status != 200 {
			t.Fatalf("%s: %d %s", query, a.status, a.body)
		}
		var items []map[string]any
		for _, item := range a.json["items"].([]any) {
			items = append(items, item.(map[string]any))
		}
		return int(a.json["total"].(float64)), items
	}
	if total, items := list(""); total != 12 || len(items) != 10 || items[0]["id"] != ids[11] || items[0]["safety_identifier"] != "r11" {
		t.Errorf("all: %d, %v", total, items)
	}
	if total, items := list("page_num=2&page_size=5"); total != 12 || len(items) != 5 || items[0]["id"] != ids[6] {
		t.Errorf("a page: %d, %v", total, items)
	}
	if total, items := list("page_num=9&page_size=500"); total != 12 || len(items) != 0 {
		t.Errorf("beyond the end: %d, %v", total, items)
	}
	total, items := list(url.Values{"filter.task_ids": {ids[0], ids[3], "cgt-unknown", ids[3]}}.Encode())
	if total != 2 || items[0]["id"] != ids[3] || items[0]["error"] != nil || items[0]["failure_reason"].(map[string]any)["code"] != "OutputVideoSensitiveContentDetected" {
		t.Errorf("two: %d, %v", total, items)
	}
	if total, _ := list("filter.status=failed"); total != 1 {
		t.Errorf("failed ones: %d", total)
	}
	if total, _ := list("filter.model=another"); total != 0 {
		t.Errorf("another model's: %d", total)
	}
	if a := w.look(ids[3]); a.json["error"].(map[string]any)["code"] != "OutputVideoSensitiveContentDetected" || a.json["failure_reason"] != nil {
		t.Errorf("the same by itself: %s", a.body)
	}
	for _, query := range []string{"page_size=0", "page_size=501", "page_num=x"} {
		if a := w.call("GET", tasksRoute+"?"+query, ""); a.status != 400 {
			t.Errorf("%s: %d", query, a.status)
		}
	}
}

func TestEndings(t *testing.T) {
	w := newWorld(t, nil)
	expires, gone, word, over := w.submit("a [[expire]]", ""), w.submit("b [[gone]]", ""), w.submit("c [[word=warming_up]]", ""), w.submit("d [[time=2h]]", `,"execution_expires_after":3600`)
	w.clock.Advance(2 * time.Second)
	if a := w.look(word); a.text("status") != "warming_up" {
		t.Errorf("%s", a.body)
	}
	w.clock.Advance(4 * time.Second)
	if a := w.look(expires); a.text("status") != "expired" {
		t.Errorf("%s", a.body)
	}
	if a := w.look(gone); a.status != 404 {
		t.Errorf("%d", a.status)
	}
	w.clock.Advance(time.Hour)
	if a := w.look(over); a.text("status") != "expired" {
		t.Errorf("%s", a.body)
	}
}

func TestMishaps(t *testing.T) {
	w := newWorld(t, nil)
	id := w.submit("a [[busy=1 cut=1]]", "")
	if a := w.look(id); a.status != 503 {
		t.Errorf("%d", a.status)
	}
	if a := w.call("GET", tasksRoute+"?filter.task_ids="+id, ""); a.status != 200 || a.json != nil {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.look(id); a.text("status") != "queued" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, drop := range []string{"before", "after"} {
		if _, err := w.try("POST", tasksRoute, video("b [[drop="+drop+"]]", "")); err == nil {
			t.Errorf("drop=%s: answered", drop)
		}
	}
	if n := len(w.s.Stats().Tasks); n != 2 {
		t.Errorf("%d tasks", n)
	}
	for i, want := range []int{429, 429, 200} {
		if a := w.call("POST", tasksRoute, video("c [[refuse=ServerOverloaded times=2]]", "")); a.status != want {
			t.Errorf("try %d: %d %s", i, a.status, a.body)
		}
	}
	w.s.Faults().Inject(simulator.Fault{Op: "poll", Times: 1, Status: 502})
	if a := w.look(id); a.status != 502 {
		t.Errorf("%d", a.status)
	}
	broken := w.submit("d [[broken=1]]", `,"resolution":"480p"`)
	w.clock.Advance(time.Minute)
	u := w.look(broken).json["content"].(map[string]any)["video_url"].(string)
	if _, err := w.try("GET", u, ""); err == nil {
		t.Error("a broken download arrived whole")
	}
	if a := w.call("GET", u, ""); a.status != 200 {
		t.Errorf("the second download: %d", a.status)
	}
}

func TestOrders(t *testing.T) {
	o, rest, err := readOrders(http.Header{"X-Simulate": {"late=2s"}}, "two kites [[refuse=QuotaExceeded times=2 queue=1s]] over [[bad expire]]")
	want := orders{refuse: "QuotaExceeded", times: 2, queue: time.Second, time: -1, late: 2 * time.Second, bad: 1, expire: true}
	if err != nil || o != want || rest != "two kites  over" {
		t.Errorf("%+v, %q, %v", o, rest, err)
	}
	for _, wrong := range []string{"[[nonsense]]", "[[drop=maybe]]", "[[callback=loud]]"} {
		if _, _, err := readOrders(nil, wrong); err == nil {
			t.Errorf("%s: taken", wrong)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no account":   {},
		"no key":       {Accounts: []Account{{}}},
		"a limit":      {Accounts: []Account{{Key: "k", PerMinute: -1}}},
		"a duration":   {Accounts: []Account{{Key: "k"}}, RunTime: -1},
		"an address":   {Accounts: []Account{{Key: "k"}}, PublicURL: "here"},
		"a last slash": {Accounts: []Account{{Key: "k"}}, PublicURL: "https://h/"},
	} {
		if s, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
			_ = s.Close()
		}
	}
}
