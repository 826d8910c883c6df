package kling

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	_ "image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

var start = time.Unix(1785901861, 504e6)

const (
	testKey   = "kl-key"
	otherKey  = "kl-other"
	hook      = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	newerHook = "whsec_bmV3ZXJuZXdlcm5ld2VybmV3ZXJuZXdlcm5ld2Vy"
)

// world is a simulator behind a real listener, with a clock that stands still.
type world struct {
	t     *testing.T
	clock *simulator.ManualClock
	*Simulator
	url    string
	client *http.Client
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	clock := simulator.NewManualClock(start)
	cfg := Config{
		Accounts:  []Account{{Key: testKey, AccessKey: "ak_test", SecretKey: "sk_test", WebhookSecrets: []string{hook}}, {Key: otherKey}},
		VideoTime: 10 * time.Second, ImageTime: 5 * time.Second, MaxSide: 128, Clock: clock,
	}
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
	return &world{t, clock, s, srv.URL, srv.Client()}
}

type reply struct {
	status int
	Code   int
	Data   json.RawMessage
	body   []byte
	err    error
}

func (w *world) call(method, path, auth, body string) reply {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	r := reply{status: res.StatusCode}
	if r.body, r.err = io.ReadAll(res.Body); r.err == nil {
		_ = json.Unmarshal(r.body, &r) // what is no JSON has neither code nor data
	}
	return r
}

func (w *world) post(path, body string) reply { return w.call("POST", path, "Bearer "+testKey, body) }
func (w *world) get(path string) reply        { return w.call("GET", path, "Bearer "+testKey, "") }

// taken wants a submit to be accepted.
func (w *world) taken(path, body string) (id string) {
	w.t.Helper()
	r := w.post(path, body)
	var out struct {
		ID     string
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal(r.Data, &out); r.err != nil || r.status != 200 || r.Code != 0 || err != nil || out.ID+out.TaskID == "" {
		w.t.Fatalf("POST %s %s: %d %s %v", path, body, r.status, r.body, r.err)
	}
	return out.ID + out.TaskID
}

func (w *world) refused(path, body string, code int) {
	w.t.Helper()
	r := w.post(path, body)
	if r.err != nil || r.Code != code || r.status != statuses[code] {
		w.t.Errorf("POST %s %.300s: %d %s %v, want code %d", path, body, r.status, r.body, r.err, code)
	}
}

const (
	t2v = "/v1/videos/text2video"
	i2v = "/v1/videos/image2video"
	gen = "/v1/images/generations"
)

// The example of the older family, from its submit to its output.
func TestLegacyTask(t *testing.T) {
	w := newWorld(t, nil)
	r := w.post(t2v, `{"model_name":"kling-v2-6","prompt":"a paper boat crossing a puddle","negative_prompt":"blur","mode":"pro","sound":"off",
 "aspect_ratio":"16:9","duration":"5","external_task_id":"job_01J8"}`)
	var got struct {
		Code    int
		Message string
		ID      string `json:"request_id"`
		Data    struct {
			TaskID string `json:"task_id"`
			Status string `json:"task_status"`
			Info   struct {
				External string `json:"external_task_id"`
			} `json:"task_info"`
			Created int64 `json:"created_at"`
			Updated int64 `json:"updated_at"`
		}
	}
	if err := json.Unmarshal(r.body, &got); err != nil || r.status != 200 || got.Message != "SUCCEED" || got.ID == "" || got.Data.Status != "submitted" ||
		got.Data.Info.External != "job_01J8" || got.Data.Created != 1785901861504 || got.Data.Updated != 1785901861504 || len(got.Data.TaskID) != 18 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	look := func(at string) shownLegacy {
		t.Helper()
		r := w.get(t2v + "/" + at)
		var s shownLegacy
		if err := json.Unmarshal(r.Data, &s); err != nil || r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return s
	}
	id := got.Data.TaskID
	if s := look(id); s.Status != "submitted" || s.Result != nil {
		t.Errorf("at first %+v", s)
	}
	w.clock.Advance(2 * time.Second)
	if s := look("job_01J8"); s.Status != "processing" || s.TaskID != id || s.UpdatedAt != start.Add(2*time.Second).UnixMilli() {
		t.Errorf("then, by the reference, %+v", s)
	}
	w.clock.Advance(8 * time.Second)
	s := look(id)
	if s.Status != "succeed" || s.UnitDeduction != "5" || len(s.Result.Videos) != 1 || s.Result.Videos[0].Duration != "5.0" || s.Result.Videos[0].WatermarkURL != "" {
		t.Fatalf("at the end %+v", s)
	}
	res, err := w.client.Get(s.Result.Videos[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	film, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "video/mp4" || !bytes.Contains(film[:64], []byte("ftyp")) {
		t.Errorf("the output: %d %v, %d bytes, %v", res.StatusCode, res.Header, len(film), err)
	}
	for path, code := range map[string]int{
		i2v + "/" + id: 1203, t2v + "/nothing": 1203, "/v1/nothing": 1203, "/tasks?task_ids=" + id: 0,
	} {
		if r := w.get(path); r.Code != code || code == 0 && string(r.Data) != "[]" {
			t.Errorf("GET %s: %d %s, want code %d", path, r.status, r.body, code)
		}
	}
	if r := w.call("GET", t2v+"/"+id, "Bearer "+otherKey, ""); r.Code != 1203 {
		t.Errorf("another account sees it: %s", r.body)
	}
	if r := w.call("DELETE", t2v+"/"+id, "Bearer "+testKey, ""); r.Code != 1202 || r.status != 404 {
		t.Errorf("DELETE: %d %s", r.status, r.body)
	}
}

func TestImages(t *testing.T) {
	w := newWorld(t, nil)
	id := w.taken(gen, `{"model_name":"kling-v3","prompt":"two kites","n":2,"aspect_ratio":"1:1","watermark_info":{"enabled":true}}`)
	w.clock.Advance(5 * time.Second)
	var s shownLegacy
	if err := json.Unmarshal(w.get(gen+"/"+id).Data, &s); err != nil || len(s.Result.Images) != 2 || *s.Result.Images[1].Index != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	for _, url := range []string{s.Result.Images[1].URL, s.Result.Images[0].WatermarkURL} {
		res, err := w.client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		picture, format, err := image.DecodeConfig(res.Body)
		res.Body.Close()
		if err != nil || format != "png" || picture.Width != 128 || picture.Height != 128 {
			t.Errorf("%s: %+v %s %v", url, picture, format, err)
		}
	}
	fetch := func(url string, referer string) int {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if referer != "" {
			req.Header.Set("Referer", referer)
		}
		res, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	url := s.Result.Images[0].URL
	if got := fetch(url, "https://elsewhere.example/"); got != 403 {
		t.Errorf("a hot link: %d", got)
	}
	bare, _, _ := strings.Cut(url, "?")
	if got := fetch(bare, ""); got != 403 {
		t.Errorf("without the signature: %d", got)
	}
	w.clock.Advance(30 * 24 * time.Hour)
	if got := fetch(url, ""); got != 403 {
		t.Errorf("after thirty days: %d", got)
	}
}

// The example of the newer family, its query of many and its list.
func TestModernTasks(t *testing.T) {
	w := newWorld(t, nil)
	first := w.taken("/image-to-video/kling-3.0", `{"contents":[{"type":"prompt","text":"camera slowly rises"},{"type":"first_frame","url":"https://cdn.example/in.png"}],
 "settings":{"resolution":"1080p","duration":5},
 "options":{"external_task_id":"job_01J9","watermark_info":{"enabled":false}}}`)
	w.clock.Advance(9 * time.Second)
	second := w.taken("/text-to-video/kling-2.6", `{"prompt":"two kites [[end=risk]]","options":{"external_task_id":"job_2"}}`)
	w.clock.Advance(time.Second)
	list := func(query string) (out []shownModern) {
		t.Helper()
		r := w.get("/tasks?" + query)
		if err := json.Unmarshal(r.Data, &out); err != nil || r.status != 200 || r.Code != 0 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return out
	}
	got := list("task_ids=" + second + ",nothing," + first)
	if len(got) != 2 || got[0].Status != "submitted" || got[1].Status != "succeeded" || got[1].ExternalID != "job_01J9" ||
		len(got[1].Outputs) != 1 || got[1].Outputs[0].Type != "video" || got[1].Billing[0].Amount != "5" {
		t.Fatalf("%+v", got)
	}
	w.clock.Advance(time.Hour)
	if got := list("external_task_ids=job_2"); len(got) != 1 || got[0].Status != "failed" || got[0].Message != "Failure to pass the risk control system" || got[0].Outputs == nil {
		t.Errorf("%+v", got)
	}
	if got := list("external_task_ids=nobody"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	for _, query := range []string{"", "?task_ids=1&external_task_ids=2"} {
		if r := w.get("/tasks" + query); r.Code != 1201 {
			t.Errorf("/tasks%s: %s", query, r.body)
		}
	}
	type page struct {
		Result []shownModern
		Count  int
		Next   string `json:"next_cursor"`
		More   bool   `json:"has_more"`
	}
	cursor := func(body string) (p page) {
		t.Helper()
		if r := w.post("/tasks", body); json.Unmarshal(r.Data, &p) != nil || r.Code != 0 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return p
	}
	p := cursor(`{"limit":1}`)
	if p.Count != 1 || !p.More || p.Result[0].ID != second {
		t.Fatalf("%+v", p)
	}
	if p = cursor(`{"limit":1,"cursor":"` + p.Next + `"}`); p.Count != 1 || p.More || p.Result[0].ID != first {
		t.Fatalf("%+v", p)
	}
	if p = cursor(`{"filters":[{"key":"status","values":["failed"]},{"key":"product_type","values":["video"]}]}`); p.Count != 1 || p.Result[0].ID != second {
		t.Errorf("%+v", p)
	}
	if p = cursor(fmt.Sprintf(`{"start_time":%d,"end_time":"%d"}`, start.UnixMilli(), start.Add(time.Second).UnixMilli())); p.Count != 1 || p.Result[0].ID != first {
		t.Errorf("%+v", p)
	}
	w.refused("/tasks", `{"limit":501}`, 1201)
}

func TestLegacyPages(t *testing.T) {
	w := newWorld(t, nil)
	var ids []string
	for range 3 {
		ids = append(ids, w.taken(t2v, `{"prompt":"x"}`))
	}
	w.taken(gen, `{"prompt":"x"}`)
	for query, want := range map[string][]string{"": {ids[2], ids[1], ids[0]}, "?pageNum=2&pageSize=2": {ids[0]}, "?pageNum=9": {}} {
		var got []shownLegacy
		if r := w.get(t2v + query); json.Unmarshal(r.Data, &got) != nil || len(got) != len(want) {
			t.Fatalf("%s: %s", query, r.body)
		}
		for i, id := range want {
			if got[i].TaskID != id {
				t.Errorf("%s: %+v", query, got)
			}
		}
	}
	for _, query := range []string{"?pageNum=0", "?pageNum=1001", "?pageSize=501", "?pageSize=x"} {
		if r := w.get(t2v + query); r.Code != 1201 {
			t.Errorf("%s: %s", query, r.body)
		}
	}
}

// jwt makes a token by hand.
func jwt(head, claims, secret string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestAuthentication(t *testing.T) {
	const vector = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJha190ZXN0IiwiZXhwIjoxNzAwMDAxODAwLCJuYmYiOjE2OTk5OTk5OTV9.eDa_F6Qhv7yHoYstKBIL6uubYWDLHLekl_49ClsUCf4"
	const head = `{"alg":"HS256","typ":"JWT"}`
	claims := `{"iss":"ak_test","exp":1700001800,"nbf":1699999995}`
	if got := jwt(head, claims, "sk_test"); got != vector {
		t.Fatalf("the helper makes %s", got)
	}
	w := newWorld(t, func(c *Config) { c.Clock = simulator.NewManualClock(time.Unix(1700000000, 0)) })
	for _, c := range []struct {
		name, header string
		path         string
		code         int
	}{
		{"nothing", "", t2v, 1001},
		{"another scheme", "Token " + testKey, t2v, 1002},
		{"no key", "Bearer ", t2v, 1002},
		{"two spaces", "Bearer  " + testKey, t2v, 1002},
		{"another key", "Bearer nobody", t2v, 1000},
		{"the key", "Bearer " + testKey, t2v, 0},
		{"the vector", "Bearer " + vector, t2v, 0},
		{"the vector, newer family", "Bearer " + vector, "/text-to-video/kling-3.0", 1000},
		{"the key, newer family", "Bearer " + testKey, "/text-to-video/kling-3.0", 0},
		{"another signature", "Bearer " + jwt(head, claims, "sk_other"), t2v, 1000},
		{"another issuer", "Bearer " + jwt(head, strings.Replace(claims, "ak_test", "ak_nobody", 1), "sk_test"), t2v, 1000},
		{"a claim too many", "Bearer " + jwt(head, strings.Replace(claims, "}", `,"iat":1}`, 1), "sk_test"), t2v, 1002},
		{"a claim too few", "Bearer " + jwt(head, `{"iss":"ak_test","exp":1700001800}`, "sk_test"), t2v, 1002},
		{"another algorithm", "Bearer " + jwt(`{"alg":"none","typ":"JWT"}`, claims, "sk_test"), t2v, 1002},
		{"not base64", "Bearer a.b.c", t2v, 1002},
		{"not yet", "Bearer " + jwt(head, `{"iss":"ak_test","exp":1700001800,"nbf":1700000001}`, "sk_test"), t2v, 1003},
		{"not any more", "Bearer " + jwt(head, `{"iss":"ak_test","exp":1700000000,"nbf":1699999995}`, "sk_test"), t2v, 1004},
	} {
		r := w.call("POST", c.path, c.header, `{"prompt":"x"}`)
		if r.Code != c.code || c.code != 0 && r.status != 401 {
			t.Errorf("%s: %d %s, want code %d", c.name, r.status, r.body, c.code)
		}
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Accounts[0].Concurrent = 3 })
	w.taken(gen, `{"prompt":"x","n":2}`)
	w.refused(gen, `{"prompt":"x","n":2}`, 1303)
	w.taken(gen, `{"prompt":"x","model_name":"kling-v3","n":3}`) // another model has its own
	w.taken(t2v, `{"prompt":"x"}`)                               // and so has another kind
	w.clock.Advance(5 * time.Second)
	w.taken(gen, `{"prompt":"x","n":2}`)

	w = newWorld(t, func(c *Config) { c.Accounts[0].Units = 14 })
	w.taken(t2v, `{"prompt":"x","duration":"10"}`)
	w.refused(t2v, `{"prompt":"x"}`, 1102)
	w.taken(gen, `{"prompt":"x","n":4}`)

	w = newWorld(t, nil)
	w.taken(t2v, `{"prompt":"x","external_task_id":"a"}`)
	w.refused(gen, `{"prompt":"x","external_task_id":"a"}`, 1201)
	if r := w.call("POST", gen, "Bearer "+otherKey, `{"prompt":"x","external_task_id":"a"}`); r.Code != 0 {
		t.Errorf("another account: %s", r.body)
	}
	if got := w.Accepted(); got["a"] != 2 {
		t.Errorf("accepted %v", got)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no account":        {},
		"no key":            {Accounts: []Account{{}}},
		"the same key":      {Accounts: []Account{{Key: "a"}, {Key: "a"}}},
		"half a pair":       {Accounts: []Account{{Key: "a", AccessKey: "b"}}},
		"a secret of sorts": {Accounts: []Account{{Key: "a", WebhookSecrets: []string{"secret"}}}},
		"tiny files":        {Accounts: []Account{{Key: "a"}}, MaxSide: 16},
	} {
		if s, err := New(cfg); err == nil {
			t.Errorf("%s: started", name)
			_ = s.Close()
		} else if strings.Contains(err.Error(), "secret of sorts") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
