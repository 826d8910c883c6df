package google

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

const key = "AIza-simulated"

// world is a simulator whose time stands still, behind HTTP.
type world struct {
	*Simulator
	t     *testing.T
	clock *simulator.ManualClock
	url   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	s, err := New(Config{Accounts: []Account{{Key: key}, {Key: key + "-2"}}, MaxSide: 128, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{s, t, clock, srv.URL}
}

// call makes a call with the first account's key and returns the status and the answer.
func (w *world) call(method, path, body string) (int, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Goog-Api-Key", key)
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var out map[string]any
	_ = json.Unmarshal(text, &out) // what is no object has no members
	return res.StatusCode, out
}

// at reads a member deep in an answer.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

const (
	veoPath   = "/v1beta/models/veo-3.1-generate-preview:predictLongRunning"
	omniPath  = "/v1beta/interactions"
	imagePath = "/v1beta/models/gemini-3.1-flash-image:generateContent"
)

func TestVeoRunsToItsEnd(t *testing.T) {
	w := newWorld(t)
	status, made := w.call("POST", veoPath, `{"instances":[{"prompt":"fog"}],"parameters":{"aspectRatio":"9:16","durationSeconds":4}}`)
	name, _ := made["name"].(string)
	if status != 200 || !strings.HasPrefix(name, "models/veo-3.1-generate-preview/operations/") {
		t.Fatalf("%d %v", status, made)
	}
	if _, shown := w.call("GET", "/v1beta/"+name, ""); shown["done"] != nil || shown["name"] != name {
		t.Errorf("while it runs: %v", shown)
	}
	w.clock.Advance(10 * time.Second)
	_, shown := w.call("GET", "/v1beta/"+name, "")
	uri, _ := at(shown, "response", "generateVideoResponse", "generatedSamples", 0, "video", "uri").(string)
	if shown["done"] != true || !strings.HasSuffix(uri, ":download?alt=media") {
		t.Fatalf("at its end: %v", shown)
	}
	if status, _ := w.call("GET", strings.TrimPrefix(uri, w.url), ""); status != 200 {
		t.Errorf("its file: %d", status)
	}
	w.clock.Advance(48*time.Hour + time.Minute)
	if status, _ := w.call("GET", strings.TrimPrefix(uri, w.url), ""); status != 404 {
		t.Errorf("its file after two days: %d", status)
	}
	if got := w.Stats(); got.Submits != 1 || got.Polls != 2 || len(got.Jobs) != 1 || got.Jobs[0].State != "ended" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNotDocumentedIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string][2]string{
		"no prompt":           {veoPath, `{"instances":[{}]}`},
		"five seconds":        {veoPath, `{"instances":[{"prompt":"x"}],"parameters":{"durationSeconds":5}}`},
		"seconds as a string": {veoPath, `{"instances":[{"prompt":"x"}],"parameters":{"durationSeconds":"4"}}`},
		"a seed":              {veoPath, `{"instances":[{"prompt":"x"}],"parameters":{"seed":1}}`},
		"a square":            {veoPath, `{"instances":[{"prompt":"x"}],"parameters":{"aspectRatio":"1:1"}}`},
		"an image by URL":     {veoPath, `{"instances":[{"prompt":"x","image":{"gcsUri":"gs://x"}}]}`},
		"bare seconds":        {omniPath, `{"model":"gemini-omni-1.1-flash","background":true,"input":"x","response_format":{"type":"video","duration":8}}`},
		"a bucket":            {omniPath, `{"model":"gemini-omni-1.1-flash","background":true,"input":"x","response_format":{"type":"video","gcs_uri":"gs://x"}}`},
		"no modality":         {imagePath, `{"contents":[{"parts":[{"text":"x"}]}]}`},
		"a small k":           {imagePath, `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"responseModalities":["IMAGE"],"imageConfig":{"imageSize":"2k"}}}`},
		"an odd shape":        {imagePath, `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"responseModalities":["IMAGE"],"imageConfig":{"aspectRatio":"7:5"}}}`},
		"a wrong order":       {veoPath, `{"instances":[{"prompt":"x [[tmie=2s]]"}]}`},
		"as ordered":          {veoPath, `{"instances":[{"prompt":"x [[fail=INVALID_ARGUMENT]]"}]}`},
	} {
		if status, got := w.call("POST", tc[0], tc[1]); status != 400 || at(got, "error", "status") != "INVALID_ARGUMENT" {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	if status, got := w.call("POST", "/v1beta/models/gemini-2.5-pro:predictLongRunning", `{"instances":[{"prompt":"x"}]}`); status != 404 {
		t.Errorf("another model: %d %v", status, got)
	}
	if n := len(w.Stats().Jobs); n != 0 {
		t.Errorf("%d jobs were made", n)
	}
}

func TestInteractions(t *testing.T) {
	w := newWorld(t)
	make := func(prompt string) string {
		t.Helper()
		status, made := w.call("POST", omniPath, fmt.Sprintf(`{"model":"gemini-omni-1.1-flash","background":true,"input":[{"type":"text","text":%q}],"response_format":{"type":"video","duration":"3s","delivery":"uri"}}`, prompt))
		id, _ := made["id"].(string)
		if status != 200 || id == "" || made["status"] != "queued" {
			t.Fatalf("%d %v", status, made)
		}
		return id
	}
	plain, cancelled, inline, refused := make("fog"), make("sea"), make("sun [[inline]]"), make("no [[end=refused]]")
	if status, got := w.call("POST", omniPath+"/"+cancelled+"/cancel", ""); status != 200 || got["status"] != "cancelled" {
		t.Errorf("cancel: %d %v", status, got)
	}
	w.clock.Advance(10 * time.Second)
	if status, _ := w.call("POST", omniPath+"/"+plain+"/cancel", ""); status != 400 {
		t.Errorf("a cancel that comes too late: %d", status)
	}
	_, shown := w.call("GET", omniPath+"/"+plain, "")
	uri, _ := at(shown, "steps", 1, "content", 0, "uri").(string)
	file, _, _ := strings.Cut(strings.TrimPrefix(uri, w.url), ":download")
	if _, got := w.call("GET", file, ""); got["state"] != "PROCESSING" {
		t.Errorf("its file at once: %v", got)
	}
	w.clock.Advance(time.Second)
	if _, got := w.call("GET", file, ""); got["state"] != "ACTIVE" {
		t.Errorf("its file after a second: %v", got)
	}
	if _, got := w.call("GET", omniPath+"/"+inline, ""); at(got, "steps", 1, "content", 0, "data") == nil {
		t.Errorf("inline: %v", got["status"])
	}
	if _, got := w.call("GET", omniPath+"/"+refused, ""); got["status"] != "completed" || at(got, "steps", 1, "content", 0, "type") != "text" {
		t.Errorf("refused: %v", got)
	}
	if status, _ := w.call("DELETE", omniPath+"/"+plain, ""); status != 200 {
		t.Errorf("delete: %d", status)
	}
	if status, _ := w.call("GET", omniPath+"/"+plain, ""); status != 404 {
		t.Errorf("a deleted one: %d", status)
	}
}

func TestWebhooksAreSignedByAPublishedKey(t *testing.T) {
	w := newWorld(t)
	type posted struct {
		token string
		body  map[string]any
	}
	calls := make(chan posted, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := posted{token: r.Header.Get("Webhook-Signature")}
		_ = json.NewDecoder(r.Body).Decode(&p.body)
		calls <- p
	}))
	defer receiver.Close()
	hook := receiver.URL + "/hook"
	if status, got := w.call("POST", veoPath, `{"instances":[{"prompt":"fog"}],"webhookConfig":{"uris":["`+hook+`"],"userMetadata":{"job":"j1"}}}`); status != 200 {
		t.Fatalf("%d %v", status, got)
	}
	if status, got := w.call("POST", veoPath, `{"instances":[{"prompt":"no [[end=3]]"}],"webhookConfig":{"uris":["`+hook+`"]}}`); status != 200 {
		t.Fatalf("%d %v", status, got)
	}
	w.clock.Advance(10 * time.Second)
	var got posted
	select {
	case got = <-calls:
	case <-time.After(time.Minute):
		t.Fatal("no webhook came")
	}
	if got.body["type"] != "video.generated" || at(got.body, "user_metadata", "job") != "j1" {
		t.Errorf("%v", got.body)
	}
	_, set := w.call("GET", "/.well-known/jwks.json", "")
	number := func(name string) *big.Int {
		text, _ := at(set, "keys", 0, name).(string)
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(raw)
	}
	parts := strings.Split(got.token, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", got.token)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	public := &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature); err != nil {
		t.Errorf("the signature: %v", err)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), hook) {
		t.Errorf("claims %s, %v", claims, err)
	}
	for w.Stats().Callbacks.Sent == 0 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if n := w.Stats().Callbacks.Sent + int64(w.schedule.Waiting()); n != 1 {
		t.Errorf("%d webhooks were sent; a failed video has none", n)
	}
}

func TestImagesAnswerWhenTheyAreThere(t *testing.T) {
	w := newWorld(t)
	for prompt, want := range map[string]func(map[string]any) bool{
		"mug [[time=0]]":             func(a map[string]any) bool { return at(a, "candidates", 0, "content", "parts", 0, "inlineData") != nil },
		"mug [[time=0 thought]]":     func(a map[string]any) bool { return at(a, "candidates", 0, "content", "parts", 0, "thought") == true },
		"mug [[time=0 end=SAFETY]]":  func(a map[string]any) bool { return at(a, "candidates", 0, "finishReason") == "SAFETY" },
		"mug [[time=0 block=OTHER]]": func(a map[string]any) bool { return at(a, "promptFeedback", "blockReason") == "OTHER" },
	} {
		status, got := w.call("POST", imagePath, fmt.Sprintf(`{"contents":[{"parts":[{"text":%q}]}],"generationConfig":{"responseModalities":["IMAGE"],"imageConfig":{"imageSize":"1K"}}}`, prompt))
		if status != 200 || !want(got) {
			t.Errorf("%s: %d %.200s", prompt, status, fmt.Sprint(got))
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]int{
		"/v1beta/models/veo-3.1-generate-preview/operations/x":                                                     400,
		"/v1/projects/p/locations/us-central1/publishers/google/models/veo-3.1-generate-001:fetchPredictOperation": 401,
		"/nowhere": 404,
	} {
		method := "GET"
		if strings.Contains(path, "fetch") {
			method = "POST"
		}
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if _, err := New(Config{Accounts: []Account{{Project: "p"}}}); err == nil {
		t.Error("a project without a service account is taken")
	}
}
