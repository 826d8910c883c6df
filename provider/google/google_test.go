package google

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey   = "AIza-test-secret-key"
	testToken = "ya29.test-access-token"
	ref       = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0"
	hook      = "https://gw.example/callbacks/google/JOBTOKEN"
)

// The smallest files that pass for what they are.
var (
	pngFile  = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR-a-picture")
	gifFile  = []byte("GIF89a-a-picture")
	mp4File  = []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom-a-clip")
	png64    = base64.StdEncoding.EncodeToString(pngFile)
	mp464    = base64.StdEncoding.EncodeToString(mp4File)
	inputs   = providertest.Sources{"https://img.example/1.png": pngFile, "https://img.example/2.png": append(pngFile, "!"...), "https://img.example/1.gif": gifFile, "https://img.example/1.mp4": mp4File}
	firstPNG = "https://img.example/1.png"
)

var geminiAccount = provider.Account{Name: "gemini", BaseURL: geminiURL, Settings: map[string]string{SettingAPIKey: testKey}}

var privateKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// tokenEndpoint hands out access tokens as Google does, and counts them.
type tokenEndpoint struct {
	*httptest.Server
	fetched atomic.Int32
	status  atomic.Int32 // instead of 200; 0 = none
	life    atomic.Int32 // seconds; 0 = an hour
}

func newTokenEndpoint(t *testing.T) *tokenEndpoint {
	e := &tokenEndpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := e.fetched.Add(1)
		if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || strings.Count(r.FormValue("assertion"), ".") != 2 {
			t.Errorf("asked for a token with %v", r.Form)
		}
		if status := e.status.Load(); status != 0 {
			w.WriteHeader(int(status))
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"no %s"}`, r.FormValue("assertion"))
			return
		}
		life := e.life.Load()
		if life == 0 {
			life = 3600
		}
		text := testToken
		if n > 1 {
			text += fmt.Sprint("-", n)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, text, life)
	}))
	t.Cleanup(e.Close)
	return e
}

// serviceAccountJSON is what Google's console hands out.
func serviceAccountJSON(tokenURI string) string {
	der, err := x509.MarshalPKCS8PrivateKey(privateKey())
	if err != nil {
		panic(err)
	}
	out, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "proj-from-json", "private_key_id": "k1", "client_email": "kinora@proj.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokenURI,
	})
	if err != nil {
		panic(err)
	}
	return string(out)
}

func vertexAccount(e *tokenEndpoint, pairs ...string) provider.Account {
	a := provider.Account{Name: "vertex", BaseURL: geminiURL, Settings: map[string]string{
		SettingProject: "proj-1", SettingLocation: "us-central1", SettingServiceAccount: serviceAccountJSON(e.URL),
	}}
	for i := 0; i < len(pairs); i += 2 {
		a.Settings[pairs[i]] = pairs[i+1]
	}
	return a
}

func raw(pairs ...string) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return out
}

func video(model string, pairs ...string) provider.Request {
	return provider.Request{
		ClientRef: ref, Model: model, UpstreamModel: model, Kind: kinora.KindVideo, Prompt: "fog over a harbour, slow push in",
		CallbackURL: hook, SubmittedAt: time.Date(2026, 8, 22, 4, 5, 6, 0, time.UTC), Metadata: raw(pairs...),
	}
}

func picture(model string, pairs ...string) provider.Request {
	r := video(model, pairs...)
	r.Kind, r.CallbackURL, r.Prompt = kinora.KindImage, "", "put this mug on a walnut desk"
	r.Sink = &providertest.Sink{}
	return r
}

func with(r provider.Request, change func(*provider.Request)) provider.Request {
	change(&r)
	return r
}

func sized(r provider.Request, size string) provider.Request {
	return with(r, func(r *provider.Request) { r.Size = size })
}

func lasting(r provider.Request, seconds int) provider.Request {
	return with(r, func(r *provider.Request) { r.Duration = seconds })
}

func showing(r provider.Request, urls ...string) provider.Request {
	return with(r, func(r *provider.Request) { r.Images = urls })
}

// complaint is Google's error envelope with a text wherever one may stand.
func complaint(status int, message string) providertest.Reply {
	out, _ := json.Marshal(map[string]any{"error": map[string]any{
		"code": status, "message": message, "status": message,
		"details": []any{map[string]any{"reason": message, "fieldViolations": []any{map[string]any{"field": message, "description": message}}}},
	}})
	return providertest.JSON(status, string(out))
}

func refused(status int, word, message string, details ...string) providertest.Reply {
	return providertest.JSON(status, fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"details":[%s]}}`, status, message, word, strings.Join(details, ",")))
}

// refusals hold for every submit (section 2.4).
func refusals() []providertest.Refusal {
	return []providertest.Refusal{
		{Name: "a bad value", Reply: refused(400, "INVALID_ARGUMENT", "aspectRatio 2:1 is not supported"), Class: provider.Invalid},
		{Name: "a wrong key", Reply: refused(400, "INVALID_ARGUMENT", "API key not valid.", `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}`), Class: provider.Credential},
		{Name: "in an array", Reply: providertest.JSON(401, `[{"error":{"code":401,"message":"x","status":"UNAUTHENTICATED"}}]`), Class: provider.Credential},
		{Name: "not allowed", Reply: refused(403, "PERMISSION_DENIED", "no"), Class: provider.Permission},
		{Name: "an API that is off", Reply: refused(403, "PERMISSION_DENIED", "no", `{"reason":"SERVICE_DISABLED"}`), Class: provider.Permission},
		{Name: "no billing", Reply: refused(403, "PERMISSION_DENIED", "no", `{"reason":"BILLING_DISABLED"}`), Class: provider.Balance},
		{Name: "a retired model", Reply: refused(404, "NOT_FOUND", "models/x is not found"), Class: provider.ModelGone},
		{Name: "too many", Reply: refused(429, "RESOURCE_EXHAUSTED", "slow down", `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17s"}`), Class: provider.Rate},
		{Name: "unsafe", Reply: refused(400, "INVALID_ARGUMENT", "The prompt violates our usage guidelines. Support codes: 15236754"), Class: provider.Moderation},
		{Name: "a word for a code", Reply: providertest.JSON(400, `{"error":{"code":"invalid_request","message":"x"}}`), Class: provider.Invalid},
		{Name: "a fault", Reply: refused(503, "UNAVAILABLE", "overloaded"), Class: provider.OutcomeUnknown},
	}
}

func TestRetryInfoIsHeeded(t *testing.T) {
	p := readProblem([]byte(`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"17s"},{"fieldViolations":[{"field":"parameters.durationSeconds"}]}]}}`))
	e := &provider.Error{Class: p.class()}
	p.describe(provider.Upstream{Account: geminiAccount}, e)
	if e.Class != provider.Rate || e.RetryAfter != 17*time.Second || e.Code != "RESOURCE_EXHAUSTED" || e.Detail != "field parameters.durationSeconds" {
		t.Errorf("%+v", e)
	}
}

// Whatever an error answer is made of, it has a class and a message of ours, and is quoted by its words alone.
func FuzzRefusal(f *testing.F) {
	for _, r := range refusals() {
		f.Add(r.Reply.Status, []byte(r.Reply.Body))
	}
	f.Add(400, []byte(`[[[{"error":{"details":[{"reason":7},{"fieldViolations":{}}]}}]]]`))
	up := provider.Upstream{Account: geminiAccount}
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		if status < 300 || status > 499 {
			return
		}
		e := refusal(&site{up: up}, provider.Answer{Status: status, Header: http.Header{}, Body: text})
		if !slices.Contains(provider.Classes(), e.Class) || e.Message == "" || strings.ContainsAny(e.Code+e.Detail, "\n:/<>\"") {
			t.Errorf("%+v", e)
		}
		p := readProblem(text)
		if r := p.ended(up); !r.State.Final() || r.State == provider.StateSucceeded {
			t.Errorf("%+v", r)
		}
	})
}

// refusedVeo are what Validate refuses of Veo requests.
func refusedVeo() map[string]provider.Request {
	const m, old = "veo-3.1-generate-001", "veo-3.0-generate-001"
	return map[string]provider.Request{
		"model must be configured as one that makes a file of kind video": with(video(m), func(r *provider.Request) { r.Kind = kinora.KindImage }),
		"input.size must be WxH":                                         sized(video(m), "large"),
		"input.metadata.aspectRatio must be one of 16:9, 9:16":           video(m, "aspectRatio", `"1:1"`),
		"input.metadata.resolution must be one of 720p, 1080p, 4k":       video(m, "resolution", `"8k"`),
		"input.metadata.resolution must be 720p or 1080p for this model": video(old, "resolution", `"4k"`),
		"input.size must be below 3840 pixels":                           sized(video(old), "3840x2160"),
		"input.metadata.durationSeconds must be a whole number":          video(m, "durationSeconds", `"long"`),
		"input.metadata.durationSeconds must be 4, 6 or 8 seconds":       video(m, "durationSeconds", `5`),
		"input.duration must be 4, 6 or 8 seconds":                       lasting(video(m), 7),
		"input.metadata.negativePrompt must be a string":                 video(m, "negativePrompt", `7`),
		"input.metadata.seed must be a whole number":                     video(m, "seed", `"x"`),
		"input.metadata.generateAudio must be true or false":             video(m, "generateAudio", `"yes"`),
		"input.metadata.storageUri must be of the form gs://":            video(m, "storageUri", `"s3://x"`),
		"input.metadata.lastFrame must be an http or https URL":          video(m, "lastFrame", `{"gcsUri":"gs://secret/x"}`),
		"input.metadata.referenceImages must be a list of at most 3":     video(m, "referenceImages", `["https://a.example/1","https://a.example/2","https://a.example/3","https://a.example/4"]`),
		"input.metadata.n must be between 1 and 4":                       video(m, "n", `5`),
	}
}

func TestVideoShape(t *testing.T) {
	for size, want := range map[string][2]string{
		"": {"16:9", "720p"}, "1280x720": {"16:9", "720p"}, "720x1280": {"9:16", "720p"}, "1920x1080": {"16:9", "1080p"},
		"1080x1920": {"9:16", "1080p"}, "3840x2160": {"16:9", "4k"}, "1919x1": {"16:9", "720p"}, "3839x1": {"16:9", "1080p"},
		"1000x1000": {"16:9", "720p"}, "9:16": {"9:16", "720p"}, "auto": {"16:9", "720p"},
	} {
		ratio, resolution := videoShape(sized(video("veo-3.1-generate-001"), size))
		if ratio != want[0] || resolution != want[1] {
			t.Errorf("%q: %s %s, want %v", size, ratio, resolution, want)
		}
	}
	ratio, resolution := videoShape(sized(video("veo-3.1-generate-001", "resolution", `"720p"`, "aspectRatio", `"9:16"`), "3840x2160"))
	if ratio != "9:16" || resolution != "720p" {
		t.Errorf("metadata does not outrank size: %s %s", ratio, resolution)
	}
}
