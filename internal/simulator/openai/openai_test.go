package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

const testKey = "sk-simulated"

// upstream is a simulator behind a real server.
type upstream struct {
	*Simulator
	url   string
	clock *simulator.ManualClock
}

func start(t *testing.T, cfg Config) *upstream {
	t.Helper()
	clock := simulator.NewManualClock(time.Unix(1_790_000_000, 0))
	cfg.Clock, cfg.MaxSide = clock, 128
	if cfg.Dialect == Vendor {
		cfg.Accounts = append(cfg.Accounts, Account{Key: testKey})
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		_ = s.Close()
	})
	return &upstream{s, srv.URL, clock}
}

// call makes a request and returns its status and body; a body that begins with "{" is JSON.
func (u *upstream) call(t *testing.T, method, path, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, u.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, string(out) + " " + err.Error()
	}
	return res.StatusCode, string(out)
}

// form is a multipart body and its content type.
func form(pairs ...string) (body, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if name, file := strings.CutPrefix(pairs[i], "@"); file {
			part, _ := w.CreateFormFile(name, "x")
			_, _ = io.WriteString(part, pairs[i+1])
			continue
		}
		_ = w.WriteField(pairs[i], pairs[i+1])
	}
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}

func field(t *testing.T, body, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return fmt.Sprint(fields[name])
}

func TestWhoMayAsk(t *testing.T) {
	u := start(t, Config{})
	for header, want := range map[string]int{"Bearer " + testKey: 404, "Bearer x": 401, "": 401, "Token " + testKey: 401} {
		if status, body := u.call(t, "GET", "/v1/videos/video_x", "", "Authorization", header); status != want || !strings.Contains(body, `{"error":{"code":`) {
			t.Errorf("%q: %d %s", header, status, body)
		}
	}
	own := start(t, Config{Dialect: SGLang})
	if status, body := own.call(t, "GET", "/v1/videos/x", "", "Authorization", ""); status != 404 || body != `{"detail":"Video not found"}` {
		t.Errorf("%d %s", status, body)
	}
	for _, cfg := range []Config{{}, {Accounts: []Account{{}}}, {Dialect: "x"}, {Dialect: SGLang, VideoTime: -1}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// Each server takes seconds in its own way, and vLLM-Omni forms only.
func TestHowVideosAreSubmitted(t *testing.T) {
	inForm, formType := form("model", "m", "prompt", "a boat", "seconds", "8", "@input_reference", "\x89PNG\r\n\x1a\n")
	notAnImage, notType := form("model", "m", "prompt", "a boat", "@input_reference", "text")
	for _, c := range []struct {
		dialect   Dialect
		body, typ string
		status    int
		says      string
	}{
		{Vendor, `{"model":"sora-2","prompt":"a boat","seconds":"8","size":"1280x720"}`, "", 200, `"status":"queued"`},
		{Vendor, `{"model":"sora-2","prompt":"a boat","seconds":8}`, "", 400, "Invalid type for 'seconds'"},
		{Vendor, `{"model":"sora-2","prompt":"a boat","seconds":"5"}`, "", 400, `"param":"seconds"`},
		{Vendor, `{"model":"sora-2","prompt":"a boat","size":"1024x1792"}`, "", 400, `"param":"size"`},
		{Vendor, `{"model":"sora-2"}`, "", 400, `"param":"prompt"`},
		{Vendor, `{"prompt":"a boat"}`, "", 400, `"param":"model"`},
		{Vendor, `{"model":"sora-2","prompt":"a boat","input_reference":{"image_url":"ftp://x"}}`, "", 400, "input_reference"},
		{Vendor, `{"model":"sora-2","prompt":"a boat","input_reference":{"image_url":"https://h/x.png"}}`, "", 200, "video_"},
		{Vendor, `{"model":"sora-2","prompt":"a boat [[tyme=1s]]"}`, "", 400, "unknown order"},
		{Vendor, inForm, formType, 200, `"seconds":"8"`},
		{Vendor, notAnImage, notType, 400, "invalid_image_file"},
		{Vendor, "x", "text/plain", 415, ""},
		{Vendor, "{", "", 400, "could not parse"},
		{SGLang, `{"prompt":"a boat","seconds":8}`, "", 200, `"status":"queued"`},
		{SGLang, `{"prompt":"a boat","seconds":"8"}`, "", 422, `{"detail":`},
		{VLLM, `{"prompt":"a boat"}`, "", 422, "Field required"},
		{VLLM, inForm, formType, 200, "video_gen_"},
	} {
		u := start(t, Config{Dialect: c.dialect})
		typ := c.typ
		if typ == "" {
			typ = "application/json"
		}
		if status, body := u.call(t, "POST", "/v1/videos", c.body, "Content-Type", typ); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%q, %.60s: %d %s", c.dialect, c.body, status, body)
		}
	}
}

func TestTheLifeOfAVideo(t *testing.T) {
	for _, dialect := range []Dialect{Vendor, SGLang} {
		u := start(t, Config{Dialect: dialect})
		_, body := u.call(t, "POST", "/v1/videos", `{"model":"m","prompt":"a boat"}`)
		path := "/v1/videos/" + field(t, body, "id")
		u.clock.Advance(5 * time.Second)
		_, body = u.call(t, "GET", path, "")
		if status, progress := field(t, body, "status"), field(t, body, "progress"); dialect == Vendor && (status != "in_progress" || progress != "50") || dialect == SGLang && (status != "queued" || progress != "0") {
			t.Errorf("%q: half way %s", dialect, body)
		}
		if status, body := u.call(t, "GET", path+"/content", ""); status != 404 || !strings.Contains(body, "still in-progress") {
			t.Errorf("%q: too early: %d %s", dialect, status, body)
		}
		if status, _ := u.call(t, "DELETE", path, ""); dialect == Vendor && status != 400 || dialect == SGLang && status != 200 {
			t.Errorf("%q: deleted while it is made: %d", dialect, status)
		}
		u.clock.Advance(5 * time.Second)
		if dialect == SGLang {
			if status, _ := u.call(t, "GET", path, ""); status != 404 {
				t.Errorf("a video that was forgotten: %d", status)
			}
			continue
		}
		_, body = u.call(t, "GET", path, "")
		if field(t, body, "status") != "completed" || !strings.Contains(body, `"expires_at":1790003610`) {
			t.Errorf("at the end %s", body)
		}
		if status, body := u.call(t, "GET", path+"/content?variant=video", ""); status != 200 || !strings.Contains(body[:16], "ftyp") {
			t.Errorf("the file: %d", status)
		}
		_, body = u.call(t, "GET", "/v1/videos?limit=1", "")
		if !strings.Contains(body, path[len("/v1/videos/"):]) || field(t, body, "has_more") != "false" {
			t.Errorf("the list: %s", body)
		}
		u.clock.Advance(time.Hour)
		if status, _ := u.call(t, "GET", path+"/content", ""); status != 404 {
			t.Errorf("an old file: %d", status)
		}
		if status, body := u.call(t, "DELETE", path, ""); status != 200 || field(t, body, "deleted") != "true" {
			t.Errorf("deleted: %d %s", status, body)
		}
	}
}

func TestImageRules(t *testing.T) {
	u := start(t, Config{})
	for body, want := range map[string]string{
		`{"model":"gpt-image-2","prompt":"x","response_format":"url"}`:                "unknown_parameter",
		`{"model":"gpt-image-2","prompt":"x","resolution":"2k"}`:                      "unknown_parameter",
		`{"model":"gpt-image-2","prompt":"x","size":"1920x1080"}`:                     "multiples of 16",
		`{"model":"gpt-image-2","prompt":"x","size":"4096x4096"}`:                     "at most 3840x2160",
		`{"model":"gpt-image-2","prompt":"x","size":"2048x512"}`:                      "ratio",
		`{"model":"gpt-image-2","prompt":"x","n":11}`:                                 "between 1 and 10",
		`{"model":"gpt-image-2","prompt":"x","quality":"best"}`:                       `"param":"quality"`,
		`{"model":"gpt-image-2","prompt":"x","partial_images":4}`:                     `"param":"partial_images"`,
		`{"model":"gpt-image-2","prompt":"x","images":[{"image_url":"https://h/1"}]}`: "unknown_parameter",
		`{"model":"gpt-image-2"}`:                                                     `"param":"prompt"`,
	} {
		if status, got := u.call(t, "POST", "/v1/images/generations", body); status != 400 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	for body, want := range map[string]string{
		`{"model":"gpt-image-2","prompt":"x"}`:                            `"param":"image"`,
		`{"model":"gpt-image-2","prompt":"x","images":[{"file_id":"f"}]}`: "image_file_not_found",
		`{"model":"gpt-image-2","prompt":"x","images":[{}]}`:              "either image_url or file_id",
	} {
		if status, got := u.call(t, "POST", "/v1/images/edits", body); status != 400 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	_, stream := u.call(t, "POST", "/v1/images/generations", `{"model":"gpt-image-2","prompt":"x [[time=0s]]","stream":true,"partial_images":2}`)
	if n := strings.Count(stream, "event: image_generation.partial_image\n"); n != 2 || strings.Count(stream, "event: image_generation.completed\n") != 1 {
		t.Errorf("%d unfinished images came in %.200s", n, stream)
	}
	if s := u.Stats(); s.Made != 1 || len(s.Images) != 1 || s.ImageCalls != 14 {
		t.Errorf("%+v", s)
	}
}

func TestAccountsThatMayNot(t *testing.T) {
	u := start(t, Config{
		Accounts: []Account{{Key: "broke", Broke: true}, {Key: "unverified", Unverified: true}, {Key: "slow", PerMinute: 1}}, Retired: []string{"gpt-image-1"},
	})
	const order = `{"model":"gpt-image-2","prompt":"x [[time=0s]]"}`
	for _, c := range []struct {
		key, body, says string
		status          int
	}{
		{"broke", order, "insufficient_quota", 429}, {"unverified", order, "must be verified", 403},
		{"slow", order, "b64_json", 200}, {"slow", order, "rate_limit_exceeded", 429}, {testKey, `{"model":"gpt-image-1","prompt":"x"}`, "model_not_found", 404},
	} {
		if status, got := u.call(t, "POST", "/v1/images/generations", c.body, "Authorization", "Bearer "+c.key); status != c.status || !strings.Contains(got, c.says) {
			t.Errorf("%s: %d %.200s", c.key, status, got)
		}
	}
}

// What is not stored vanishes, and what has ended is not cancelled.
func TestResponses(t *testing.T) {
	u := start(t, Config{})
	order := func(store string) string {
		status, body := u.call(t, "POST", "/v1/responses", `{"model":"gpt-5.6","background":true,`+store+`"input":"a tram","tools":[{"type":"image_generation","size":"256x128"}]}`)
		if status != 200 || field(t, body, "status") != "queued" {
			t.Fatalf("%d %s", status, body)
		}
		return "/v1/responses/" + field(t, body, "id")
	}
	kept, vanishing := order(`"store":true,`), order("")
	u.clock.Advance(2 * time.Second)
	if _, body := u.call(t, "GET", kept, ""); !strings.Contains(body, `"status":"generating"`) {
		t.Errorf("while it is made: %s", body)
	}
	u.clock.Advance(time.Minute)
	if _, body := u.call(t, "POST", kept+"/cancel", ""); field(t, body, "status") != "completed" {
		t.Errorf("a cancel that comes too late: %s", body)
	}
	u.clock.Advance(10 * time.Minute)
	if _, body := u.call(t, "GET", kept, ""); !strings.Contains(body, `"result":"iVBOR`) {
		t.Errorf("at the end: %.300s", body)
	}
	if status, _ := u.call(t, "GET", vanishing, ""); status != 404 {
		t.Errorf("what was not stored is still there: %d", status)
	}
	if status, _ := u.call(t, "POST", "/v1/responses", `{"model":"gpt-5.6","input":"x","tools":[{"type":"image_generation"}]}`); status != 400 {
		t.Errorf("one in the foreground: %d", status)
	}
}
