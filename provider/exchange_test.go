package provider_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
)

func upstream(t *testing.T, h http.HandlerFunc) (provider.Upstream, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return provider.Upstream{Client: s.Client()}, s.URL
}

func call(t *testing.T, up provider.Upstream, effect provider.Effect, ctx context.Context, url string) (provider.Answer, *provider.Error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url+"/v1/jobs?token=secret-token", strings.NewReader(`{"prompt":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	a, err := provider.Do(ctx, up, effect, req)
	if err == nil {
		return a, nil
	}
	var pe *provider.Error
	if !errors.As(err, &pe) {
		t.Fatalf("error %v is no *provider.Error", err)
	}
	if strings.Contains(err.Error(), "secret-token") || pe.Err != nil && strings.Contains(pe.Err.Error(), "secret-token") {
		t.Errorf("the URL shows in %v", err)
	}
	return a, pe
}

// The rule of ambiguous submits: what was never sent created nothing; what was sent and
// not answered may have.
func TestLostAnswers(t *testing.T) {
	cut := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, _ := w.(http.Hijacker).Hijack()
		_ = c.Close()
	}
	truncated := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"id":`))
		w.(http.Flusher).Flush()
		c, _, _ := w.(http.Hijacker).Hijack()
		_ = c.Close()
	}
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(n) }
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 1<<20)
		for range provider.MaxAnswer>>20 + 2 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	cases := map[string]http.HandlerFunc{
		"cut": cut, "truncated": truncated, "500": status(500), "502": status(502), "503": status(503), "408": status(408), "499": status(499), "too large": endless,
	}
	for name, h := range cases {
		t.Run(name, func(t *testing.T) {
			up, url := upstream(t, h)
			if _, err := call(t, up, provider.Creates, t.Context(), url); err == nil || err.Class != provider.OutcomeUnknown {
				t.Errorf("a creating call = %v, want outcome_unknown", err)
			}
			if _, err := call(t, up, provider.Reads, t.Context(), url); err == nil || err.Class != provider.Unavailable {
				t.Errorf("a reading call = %v, want unavailable", err)
			}
		})
	}
	t.Run("time-out after sending", func(t *testing.T) {
		up, url := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has gone
			<-r.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := call(t, up, provider.Creates, ctx, url); err == nil || err.Class != provider.OutcomeUnknown {
			t.Errorf("got %v, want outcome_unknown", err)
		}
	})
	t.Run("nothing listens", func(t *testing.T) {
		up := provider.Upstream{Client: &http.Client{}}
		if _, err := call(t, up, provider.Creates, t.Context(), "http://127.0.0.1:1"); err == nil || err.Class != provider.Unavailable {
			t.Errorf("got %v, want unavailable: nothing was sent", err)
		}
	})
	t.Run("TLS fails", func(t *testing.T) {
		s := httptest.NewTLSServer(http.NotFoundHandler())
		defer s.Close()
		up := provider.Upstream{Client: &http.Client{}}
		if _, err := call(t, up, provider.Creates, t.Context(), s.URL); err == nil || err.Class != provider.Unavailable {
			t.Errorf("got %v, want unavailable: nothing was sent", err)
		}
	})
}

// A redirect says where to ask anew, or where what was made is to be found.
func TestRedirectsOfACreatingCall(t *testing.T) {
	for n, unknown := range map[int]bool{300: true, 301: false, 302: false, 303: true, 304: true, 307: false, 308: false, 399: true} {
		up, url := upstream(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(n) })
		up.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if _, err := call(t, up, provider.Creates, t.Context(), url); (err != nil) != unknown || unknown && err.Class != provider.OutcomeUnknown {
			t.Errorf("a creating call answered with %d = %v", n, err)
		}
		if _, err := call(t, up, provider.Reads, t.Context(), url); err != nil {
			t.Errorf("a reading call answered with %d = %v", n, err)
		}
	}
}

func TestAnswersBelow500AreTheProvidersMatter(t *testing.T) {
	for _, n := range []int{200, 202, 302, 400, 401, 404, 409, 429} {
		up, url := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(n)
			_, _ = w.Write([]byte(`{}`))
		})
		up.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		a, err := call(t, up, provider.Creates, t.Context(), url)
		if err != nil || a.Status != n || string(a.Body) != "{}" || a.RetryAfter(time.Now()) != 7*time.Second {
			t.Errorf("%d: %+v, %v", n, a, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "12": 12 * time.Second, "-3": 0, "soon": 0, now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		a := provider.Answer{Header: http.Header{"Retry-After": {text}}}
		if got := a.RetryAfter(now); got != want {
			t.Errorf("%q = %v, want %v", text, got, want)
		}
	}
}

func TestTraitsOfNothing(t *testing.T) {
	if got := (provider.Description{}).Model("any"); got != (provider.Traits{}) {
		t.Errorf("traits %+v", got)
	}
}

func TestHost(t *testing.T) {
	d := provider.Description{Hosts: []provider.Host{{Region: "global", BaseURL: "https://a.example"}, {Region: "china", BaseURL: "https://b.example"}}}
	for region, want := range map[string]string{"": "https://a.example", "global": "https://a.example", "china": "https://b.example", "moon": ""} {
		if got, ok := d.Host(region); got != want || ok != (want != "") {
			t.Errorf("%q = %q, %v", region, got, ok)
		}
	}
	if _, ok := (provider.Description{}).Host(""); ok {
		t.Error("a host of nothing")
	}
}

// A request that broke off on this side was never whole, so that nothing can have come of it.
func TestABodyThatFailsCreatesNothing(t *testing.T) {
	up, base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the upstream read a whole request")
		}
	})
	for name, tc := range map[string]struct {
		fault   error
		class   provider.Class
		message string
	}{
		"a file":   {provider.Errorf(provider.Invalid, "input.image must be an image"), provider.Invalid, "input.image must be an image"},
		"anything": {errors.New("disk read of /secret"), provider.Unavailable, "the request could not be put together"},
	} {
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), faulty{tc.fault})
		req, err := http.NewRequest(http.MethodPost, base, io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("not again") }
		_, err = provider.Do(t.Context(), up, provider.Creates, req)
		var pe *provider.Error
		if !errors.As(err, &pe) || pe.Class != tc.class || pe.Message != tc.message {
			t.Errorf("%s: %v; want %s: %s", name, err, tc.class, tc.message)
		}
	}
}

type faulty struct{ err error }

func (f faulty) Read([]byte) (int, error) { return 0, f.err }

func TestSourcesNameTheField(t *testing.T) {
	up := provider.Upstream{}
	_, _, err := up.OpenSource(t.Context(), "input.image", "https://a.example/?hush", []string{"image/png"})
	if pe := provider.AsError(err, provider.Generation); pe.Class != provider.Unavailable || pe.Message != "input.image could not be fetched" {
		t.Errorf("without sources: %v", err)
	}
	up.Sources = sources{provider.Errorf(provider.Invalid, "must be an image or a video")}
	_, _, err = up.OpenSource(t.Context(), "input.images[2]", "https://a.example/?hush", []string{"image/png"})
	if pe := provider.AsError(err, provider.Generation); pe.Class != provider.Invalid || pe.Message != "input.images[2] must be an image or a video" {
		t.Errorf("a refusal: %v", err)
	}
}

type sources struct{ err error }

func (s sources) Open(context.Context, string) (io.ReadCloser, string, error) { return nil, "", s.err }
