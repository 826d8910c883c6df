package quality_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/quality"
)

const (
	secret    = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	oldSecret = "whsec_b2xkc2VjcmV0b2xkc2VjcmV0b2xkc2VjcmV0b2xkIQ=="
)

// checker is an operator's own; secrets are what the organisation signs with.
func checker(t *testing.T, handler http.HandlerFunc, secrets ...string) func(gate kinora.Gate, content []byte) (kinora.Verdict, error) {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	if secrets == nil {
		secrets = []string{secret, oldSecret}
	}
	counted := prometheus.NewRegistry()
	t.Cleanup(func() {
		if found, err := counted.Gather(); err != nil || len(found) < 2 {
			t.Errorf("metrics %v, %v", found, err)
		}
	})
	source := jpegFile(t, room(1, sceneW, sceneH), 90)
	j := quality.New(quality.Config{
		SourceOf: func(context.Context, *kinora.Generation) (*quality.Source, error) {
			return &quality.Source{AssetID: "src_1", Width: sceneW, Height: sceneH, BlobKey: "assets/1.jpg", Open: opener(source)}, nil
		},
		Secrets: func(_ context.Context, org string) (out []kinora.WebhookSecret, _ error) {
			if org != "org_1" {
				t.Errorf("secrets of %s", org)
			}
			for _, text := range secrets {
				out = append(out, kinora.WebhookSecret{Text: text})
			}
			return out, nil
		},
		FileURL: func(key string) (string, time.Time) {
			return "https://files.example/files/" + key + "?sig=x", time.Unix(1790000900, 0).UTC()
		},
		Client:    &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		UserAgent: "Kinora/test", Metrics: counted,
	})
	return func(gate kinora.Gate, content []byte) (kinora.Verdict, error) {
		gate.Hook = kinora.GateHook{URL: srv.URL + "/check?token=private", Timeout: 20 * time.Second}
		g := generation(gate)
		g.Request = &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean"}
		return j.Judge(t.Context(), g, &kinora.Output{ID: "out_1", Kind: kinora.KindImage, BlobKey: "outputs/1.jpg", ContentType: "image/jpeg", Width: 9, Height: 8}, opener(content))
	}
}

// TestHookIsSigned holds the request against the official library, with each secret that signs.
func TestHookIsSigned(t *testing.T) {
	var got quality.Question
	ask := checker(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &got) != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "Kinora/test" {
			t.Errorf("%s %v %s", r.Method, r.Header, body)
		}
		for _, text := range []string{secret, oldSecret} {
			hook, err := standardwebhooks.NewWebhook(text)
			if err != nil {
				t.Error(err)
				return
			}
			if err := hook.Verify(body, r.Header); err != nil {
				t.Errorf("the official library: %v", err)
			}
		}
		if len(r.Header.Get("x-katalo-signature")) != 64 || r.Header.Get("webhook-id") != "chk_out_1" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.WriteString(w, `{"pass":true,"score":0.4,"reason":"well lit"}`)
	})
	content := jpegFile(t, room(1, sceneW, sceneH), 80)
	v, err := ask(kinora.Gate{Structure: 0.5}, content)
	if err != nil || !v.Passed {
		t.Fatalf("%+v, %v", v, err)
	}
	if c := check(t, v, quality.CheckHook); !c.Passed || c.Value != 0.4 || c.Detail != "well lit" || v.Score > 0.75 || v.Score < 0.65 {
		t.Errorf("verdict %+v", v)
	}
	if got.Type != "quality.check" || got.GenerationID != "job_1" || got.OutputID != "out_1" || got.Request.Mode != "clean" || got.Source == nil ||
		got.Source.URL != "https://files.example/files/assets/1.jpg?sig=x" || got.Candidate.URL != "https://files.example/files/outputs/1.jpg?sig=x" ||
		got.Candidate.ContentType != "image/jpeg" || !got.Verdict.Passed || len(got.Verdict.Checks) != 2 {
		t.Errorf("question %+v", got)
	}
}

func TestHookAnswers(t *testing.T) {
	content := jpegFile(t, room(1, sceneW, sceneH), 80)
	for name, tc := range map[string]struct {
		status int
		body   string
		passed bool
		fails  bool
	}{
		"pass":            {200, `{"pass":true}`, true, false},
		"refusal":         {200, `{"pass":false,"reason":"a hand with six fingers"}`, false, false},
		"created":         {201, `{"pass":true,"more":1}`, true, false},
		"a server error":  {503, `{"pass":true}`, false, true},
		"not its address": {404, `{"pass":true}`, false, true},
		"a redirect":      {302, `{"pass":true}`, false, true},
		"not JSON":        {200, `OK`, false, true},
		"no word of it":   {200, `{}`, false, true},
		"a wrong score":   {200, `{"pass":true,"score":7}`, false, true},
		"far too much":    {200, `{"pass":true,"reason":"` + strings.Repeat("x", 70_000) + `"}`, false, true},
	} {
		ask := checker(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		v, err := ask(kinora.Gate{}, content)
		if (err != nil) != tc.fails || v.Passed != tc.passed {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if err != nil && strings.Contains(err.Error(), "private") {
			t.Errorf("%s: the error shows the address: %v", name, err)
		}
	}
}

func TestHookIsOnlyAskedAboutWhatPassed(t *testing.T) {
	asked := 0
	ask := checker(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{"pass":true}`)
	})
	v, err := ask(kinora.Gate{MinWidth: 5000}, jpegFile(t, room(1, sceneW, sceneH), 80))
	if err != nil || v.Passed || asked != 0 {
		t.Errorf("%+v, %v, asked %d times", v, err, asked)
	}
}

func TestHookWithoutAStandardSecret(t *testing.T) {
	ask := checker(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("webhook-id") != "" || r.Header.Get("x-katalo-signature") == "" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.WriteString(w, `{"pass":true}`)
	}, "imported from elsewhere")
	if v, err := ask(kinora.Gate{}, jpegFile(t, room(1, sceneW, sceneH), 80)); err != nil || !v.Passed {
		t.Errorf("%+v, %v", v, err)
	}
	unsigned := checker(t, func(http.ResponseWriter, *http.Request) { t.Error("asked without a signature") }, make([]string, 0)...)
	if v, err := unsigned(kinora.Gate{}, jpegFile(t, room(1, sceneW, sceneH), 80)); err == nil || v.Passed {
		t.Errorf("without a secret: %+v, %v", v, err)
	}
}

func TestHookThatHangs(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	j := quality.New(quality.Config{
		SourceOf: func(context.Context, *kinora.Generation) (*quality.Source, error) { return nil, nil },
		Secrets: func(context.Context, string) ([]kinora.WebhookSecret, error) {
			return []kinora.WebhookSecret{{Text: secret}}, nil
		},
		FileURL: func(string) (string, time.Time) { return "", time.Time{} }, Client: http.DefaultClient,
	})
	gate := kinora.Gate{Hook: kinora.GateHook{URL: srv.URL, Timeout: 100 * time.Millisecond}}
	v, err := j.Judge(t.Context(), generation(gate), &kinora.Output{ID: "out_1", Kind: kinora.KindImage}, opener(jpegFile(t, room(1, 64, 64), 80)))
	if err == nil || !strings.Contains(err.Error(), "did not answer in time") || v.Passed {
		t.Errorf("%+v, %v", v, err)
	}
}
