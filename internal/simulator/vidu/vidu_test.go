package vidu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "vda_test_secret"

var start = time.Date(2026, 8, 22, 4, 5, 6, 789e6, time.UTC)

// world is a simulator on a clock that stands still.
type world struct {
	*Simulator
	clock *simulator.ManualClock
	url   string
	http  *http.Client
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{clock: simulator.NewManualClock(start)}
	cfg := Config{Accounts: []Account{{Key: key}, {Key: "vda_other"}}, Clock: w.clock, MaxSide: 256}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	w.Simulator, w.url, w.http = s, srv.URL, srv.Client()
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// call makes one request as Vidu's documents show it, and decodes the answer.
func (w *world) call(t *testing.T, method, path, body string, header ...string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+"/ent/v2/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, answer
}

// submit makes a task on a route and returns its id.
func (w *world) submit(t *testing.T, route, body string) string {
	t.Helper()
	status, answer := w.call(t, "POST", route, body)
	if status != 200 {
		t.Fatalf("%s: status %d, %v", route, status, answer)
	}
	return answer["task_id"].(string)
}

func (w *world) text(t *testing.T, prompt string) string {
	t.Helper()
	return w.submit(t, "text2video", `{"model":"viduq3-turbo","prompt":"`+prompt+`"}`)
}

func (w *world) look(t *testing.T, id string) map[string]any {
	t.Helper()
	status, answer := w.call(t, "GET", "tasks/"+id+"/creations", "")
	if status != 200 {
		t.Fatalf("look at %s: status %d, %v", id, status, answer)
	}
	return answer
}

func (w *world) state(t *testing.T, id string) string {
	t.Helper()
	return w.look(t, id)["state"].(string)
}

func TestAuthentication(t *testing.T) {
	w := newWorld(t, nil)
	for _, value := range []string{"Bearer " + key, "token " + key, "Token", "Token  " + key, key, "Token wrong", ""} {
		status, answer := w.call(t, "GET", "tasks", "", "Authorization", value)
		if status != 401 || answer["reason"] != "Unauthorized" || answer["code"] != 401.0 || answer["metadata"].(map[string]any)["trace_id"] == "" {
			t.Errorf("%q: status %d, %v", value, status, answer)
		}
	}
	id := w.text(t, "a lantern festival")
	if status, answer := w.call(t, "GET", "tasks/"+id+"/creations", "", "Authorization", "Token vda_other"); status != 404 || answer["reason"] != "TaskNotFound" {
		t.Errorf("another account's task: status %d, %v", status, answer)
	}
	if status, answer := w.call(t, "GET", "credits", ""); status != 404 || answer["reason"] != "NotFound" {
		t.Errorf("no such route: status %d, %v", status, answer)
	}
}

// The documented example, field by field.
func TestSubmitAnswer(t *testing.T) {
	w := newWorld(t, nil)
	status, got := w.call(t, "POST", "text2video", `{"model":"viduq3-turbo","prompt":"a lantern festival","duration":5,"aspect_ratio":"16:9",
		"resolution":"720p","seed":123,"movement_amplitude":"auto","off_peak":false,"payload":"job_01JA","callback_url":"https://gw.example/cb/vidu/JOBTOKEN"}`)
	id, _ := got["task_id"].(string)
	delete(got, "task_id")
	want := map[string]any{
		"state": "created", "model": "viduq3-turbo", "prompt": "a lantern festival", "images": []any{}, "duration": 5.0, "seed": 123.0,
		"aspect_ratio": "16:9", "resolution": "720p", "movement_amplitude": "auto", "payload": "job_01JA", "off_peak": false, "credits": 20.0,
		"created_at": "2026-08-22T04:05:06.789Z",
	}
	if status != 200 || fmt.Sprint(got) != fmt.Sprint(want) || len(id) != 18 {
		t.Errorf("status %d, id %q, %v\nwant %v", status, id, got, want)
	}
}

func TestFromSubmitToFile(t *testing.T) {
	w := newWorld(t, nil)
	id := w.submit(t, "reference2image", `{"model":"viduq2","prompt":"two kites","payload":"r1","aspect_ratio":"9:16","watermark":true}`)
	for _, step := range []struct {
		wait time.Duration
		want string
	}{{0, "created"}, {500 * time.Millisecond, "queueing"}, {500 * time.Millisecond, "processing"}, {3 * time.Second, "success"}, {time.Hour, "success"}} {
		w.clock.Advance(step.wait)
		if got := w.state(t, id); got != step.want {
			t.Errorf("after another %v: %s, want %s", step.wait, got, step.want)
		}
	}
	shown := w.look(t, id)
	creation := shown["creations"].([]any)[0].(map[string]any)
	if shown["id"] != id || shown["err_code"] != "" || shown["payload"] != "r1" || creation["watermarked_url"] == nil {
		t.Errorf("shows %v", shown)
	}
	get := func(url string, header ...string) (int, []byte) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(header) > 0 {
			req.Header.Set(header[0], header[1])
		}
		res, err := w.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		content, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, content
	}
	file := creation["url"].(string)
	status, content := get(file)
	picture, _, err := image.DecodeConfig(bytes.NewReader(content))
	if status != 200 || err != nil || picture.Width >= picture.Height {
		t.Errorf("the file: status %d, %+v, error %v", status, picture, err)
	}
	if status, _ := get(creation["cover_url"].(string)); status != 200 {
		t.Errorf("the cover: status %d", status)
	}
	if status, _ := get(file, "Authorization", "Token "+key); status != 403 {
		t.Errorf("with a key: status %d", status)
	}
	if status, _ := get(strings.Replace(file, "%7E", "~", 1)); status != 403 {
		t.Errorf("spelt otherwise: status %d", status)
	}
	w.clock.Advance(23 * time.Hour)
	if status, _ := get(file); status != 403 {
		t.Errorf("a day later: status %d", status)
	}
	// The query shows the same URL again, with the same end.
	if again := w.look(t, id)["creations"].([]any)[0].(map[string]any)["url"]; again != file {
		t.Errorf("another URL %v", again)
	}
}

func TestVideosAreVideos(t *testing.T) {
	w := newWorld(t, nil)
	for route, body := range map[string]string{
		"text2video":      `{"model":"viduq3-pro","prompt":"x","duration":1,"resolution":"540p"}`,
		"img2video":       `{"model":"viduq2-pro","images":["https://img.example/1.png"],"duration":1}`,
		"start-end2video": `{"model":"viduq2-turbo","images":["https://img.example/1.png","data:image/png;base64,AAAA"],"duration":1}`,
		"reference2video": `{"model":"viduq2","prompt":"x","subjects":[{"name":"l"}],"duration":1}`,
		"template":        `{"template":"hugging","images":["https://img.example/1.png"]}`,
		"template-story":  `{"story":"love_story","images":["https://img.example/1.png"]}`,
		"multiframe":      `{"model":"viduq2-pro","start_image":"https://img.example/1.png","image_settings":[{"key_image":"https://img.example/2.png","duration":2},{"key_image":"https://img.example/3.png","duration":2}]}`,
	} {
		id := w.submit(t, route, body)
		w.clock.Advance(time.Minute)
		shown := w.look(t, id)
		res, err := w.http.Get(shown["creations"].([]any)[0].(map[string]any)["url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.Header.Get("Content-Type") != "video/mp4" || !bytes.Contains(content[:32], []byte("ftyp")) {
			t.Errorf("%s: %s, %d bytes, error %v", route, res.Header.Get("Content-Type"), len(content), err)
		}
	}
}

// Five run at once; the others follow in their order, also when one in the middle goes.
func TestTasksWaitInLine(t *testing.T) {
	w := newWorld(t, nil)
	var ids []string
	for range 8 {
		ids = append(ids, w.text(t, "a lantern festival"))
	}
	count := func() (out []string) {
		for _, id := range ids {
			out = append(out, w.state(t, id))
		}
		return out
	}
	w.clock.Advance(3 * time.Second)
	p, q := "processing", "queueing"
	if got, want := count(), []string{p, p, p, p, p, q, q, q}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	if status, _ := w.call(t, "POST", "tasks/"+ids[5]+"/cancel", `{"id":"`+ids[5]+`"}`); status != 200 {
		t.Errorf("a task that waits cannot be cancelled: status %d", status)
	}
	w.clock.Advance(8 * time.Second)
	s, f := "success", "failed"
	if got, want := count(), []string{s, s, s, s, s, f, p, p}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	w.clock.Advance(8 * time.Second)
	if got, want := count()[6:], []string{s, s}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, nil)
	id := w.text(t, "a lantern festival")
	cancel := func(id, body string) (int, map[string]any) { return w.call(t, "POST", "tasks/"+id+"/cancel", body) }
	if status, answer := cancel(id, `{"id":"1"}`); status != 400 || answer["reason"] != "FieldInvalid" {
		t.Errorf("another id: status %d, %v", status, answer)
	}
	if status, answer := cancel("1", `{"id":"1"}`); status != 404 || answer["reason"] != "TaskNotFound" {
		t.Errorf("no such task: status %d, %v", status, answer)
	}
	if status, answer := cancel(id, `{"id":"`+id+`"}`); status != 200 || len(answer) != 0 {
		t.Errorf("status %d, %v", status, answer)
	}
	if shown := w.look(t, id); shown["state"] != "failed" || shown["err_code"] != "UserCancelled" || shown["credits"] != 0.0 {
		t.Errorf("a cancelled task shows %v", shown)
	}
	for wait, want := range map[time.Duration]string{3 * time.Second: "task state is scheduled, can not cancel", time.Minute: "task state is success, can not cancel"} {
		id := w.text(t, "a lantern festival")
		w.clock.Advance(wait)
		status, answer := cancel(id, `{"id":"`+id+`"}`)
		if status != 400 || answer["reason"] != "BadRequest" || answer["message"] != want {
			t.Errorf("after %v: status %d, %v", wait, status, answer)
		}
		if w.state(t, id) == "failed" {
			t.Error("a refused cancel had an effect")
		}
	}
}

func TestList(t *testing.T) {
	w := newWorld(t, nil)
	var ids []string
	for i := range 12 {
		ids = append(ids, w.text(t, fmt.Sprintf("task %d [[time=%ds]]", i, 1+i*10)))
		w.clock.Advance(time.Second)
	}
	w.submit(t, "text2video", `{"model":"viduq1","prompt":"[[unlisted]]"}`)
	list := func(query string) (out []string, next string) {
		t.Helper()
		status, answer := w.call(t, "GET", "tasks?"+query, "")
		if status != 200 {
			t.Fatalf("%s: status %d, %v", query, status, answer)
		}
		for _, item := range answer["tasks"].([]any) {
			out = append(out, item.(map[string]any)["id"].(string))
		}
		return out, answer["next_page_token"].(string)
	}
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	got, next := list("")
	if !slices.Equal(got, newest[:10]) || next == "" {
		t.Errorf("the first page is %v, next %q", got, next)
	}
	for _, q := range []string{"pager.page_token=" + next, "pager.page=1", "paper.page=1"} {
		if got, next := list(q); !slices.Equal(got, newest[10:]) || next != "" {
			t.Errorf("%s: %v, next %q", q, got, next)
		}
	}
	if got, _ := list("pager.pagesz=100"); !slices.Equal(got, newest) {
		t.Errorf("a large page is %v", got)
	}
	if got, _ := list("task_ids=" + ids[1] + "&task_ids=" + ids[7] + "&task_ids=1&task_ids=" + ids[1]); !slices.Equal(got, []string{ids[7], ids[1]}) {
		t.Errorf("by ids: %v", got)
	}
	if got, _ := list("states=success"); !slices.Equal(got, []string{ids[1], ids[0]}) {
		t.Errorf("those that succeeded: %v", got)
	}
	window := "created_at.from=" + stamp(start.Add(time.Second)) + "&created_at.to=" + stamp(start.Add(2*time.Second))
	if got, _ := list(window); !slices.Equal(got, []string{ids[2], ids[1]}) {
		t.Errorf("by time: %v", got)
	}
	for query, reason := range map[string]string{
		"pager.pagesz=101": "PageSizeOutOfRange", "pager.pagesz=0": "PageSizeOutOfRange", "pager.page=x": "FieldInvalid",
		"created_at.from=yesterday": "FieldInvalid", "pager.page_token=x": "FieldInvalid",
	} {
		if status, answer := w.call(t, "GET", "tasks?"+query, ""); status != 400 || answer["reason"] != reason {
			t.Errorf("%s: status %d, %v", query, status, answer)
		}
	}
	w.clock.Advance(8 * 24 * time.Hour)
	if got, _ := list(""); len(got) != 0 {
		t.Errorf("after eight days: %v", got)
	}
	w.text(t, "one more")
	if n := len(w.Stats().Tasks); n != 1 {
		t.Errorf("remembers %d tasks", n)
	}
}

func TestOlderShapes(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Older, c.BareLists = true, true })
	id := w.text(t, "a lantern festival")
	if _, ok := w.look(t, id)["id"]; ok {
		t.Error("the query names the task")
	}
	_, answer := w.call(t, "GET", "tasks?task_ids="+id, "")
	item := answer["tasks"].([]any)[0].(map[string]any)
	if item["id"] != id || item["state"] != nil || item["payload"] != nil || item["model"] != "viduq3-turbo" {
		t.Errorf("the list shows %v", item)
	}
}

// What a task costs is refunded when it fails; without credits nothing is made.
func TestLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Accounts = []Account{{Key: key, Credits: 40, Concurrent: 1, Waiting: 1, SubmitsPerSecond: 2}}
	})
	refused := func(reason string, want int) {
		t.Helper()
		if status, answer := w.call(t, "POST", "text2video", `{"model":"viduq3-turbo","prompt":"x"}`); status != want || answer["reason"] != reason {
			t.Errorf("status %d, %v; want %s", status, answer, reason)
		}
		w.clock.Advance(500 * time.Millisecond)
	}
	w.text(t, "[[end=CreationPolicyViolation]]")
	w.clock.Advance(500 * time.Millisecond)
	w.text(t, "x")
	refused("CreditInsufficient", 400)
	w.clock.Advance(20 * time.Second) // the first has failed, the second runs
	w.text(t, "x")
	w.clock.Advance(time.Hour)
	w2 := newWorld(t, func(c *Config) { c.Accounts = []Account{{Key: key, Concurrent: 1, Waiting: 1}} })
	w2.text(t, "x")
	w2.text(t, "x")
	if status, answer := w2.call(t, "POST", "text2video", `{"model":"viduq3-turbo","prompt":"x"}`); status != 429 || answer["reason"] != "QuotaExceeded" {
		t.Errorf("too many wait: status %d, %v", status, answer)
	}
	w3 := newWorld(t, func(c *Config) { c.Accounts = []Account{{Key: key, SubmitsPerSecond: 1}} })
	w3.text(t, "x")
	if status, answer := w3.call(t, "POST", "text2video", `{"model":"viduq3-turbo","prompt":"x"}`); status != 429 || answer["reason"] != "TooManyRequests" {
		t.Errorf("too fast: status %d, %v", status, answer)
	}
}

func TestOffPeak(t *testing.T) {
	w := newWorld(t, nil)
	submit := func(orders string) string {
		return w.submit(t, "text2video", `{"model":"viduq3-turbo","prompt":"x `+orders+`","off_peak":true}`)
	}
	soon, never, cancelled := submit(""), submit("[[never]]"), submit("[[never]]")
	w.clock.Advance(30 * time.Second)
	if got := w.state(t, soon); got != "queueing" {
		t.Errorf("an off-peak task is %s after half a minute", got)
	}
	w.clock.Advance(time.Hour)
	if shown := w.look(t, soon); shown["state"] != "success" || shown["credits"] != 10.0 || shown["off_peak"] != true {
		t.Errorf("shows %v", shown)
	}
	if status, _ := w.call(t, "POST", "tasks/"+cancelled+"/cancel", `{"id":"`+cancelled+`"}`); status != 200 {
		t.Errorf("cancel: status %d", status)
	}
	w.clock.Advance(47 * time.Hour)
	if shown := w.look(t, never); shown["state"] != "failed" || shown["err_code"] != "" || shown["credits"] != 0.0 {
		t.Errorf("after 48 hours shows %v", shown)
	}
	if shown := w.look(t, cancelled); shown["err_code"] != "UserCancelled" {
		t.Errorf("the cancelled one shows %v", shown)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no account": {}, "no key": {Accounts: []Account{{}}}, "one key twice": {Accounts: []Account{{Key: "a"}, {Key: "a"}}},
		"files too small": {Accounts: []Account{{Key: "a"}}, MaxSide: 8},
	} {
		if s, err := New(cfg); err == nil {
			_ = s.Close()
			t.Errorf("%s: taken", name)
		}
	}
}
