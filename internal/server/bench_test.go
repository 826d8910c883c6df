package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
)

const benchBody = `{"model":"kling-v1","input":{"prompt":"A cat playing piano in the garden","size":"1280x720","images":["https://files.example/a.png"],"duration":5,"metadata":{"negative_prompt":"rain","mode":"pro","callback_url":"https://your.domain/hooks/kling"}},"webhook":{"url":"https://your.domain/hooks/tasks"},"reference":"order-17","metadata":{"row":7}}`

// instant accepts everything, to leave the server's own cost.
type instant struct{ fakeGenerations }

func (i *instant) Accept(_ context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	return &kinora.Accepted{Generation: &kinora.Generation{ID: taskOne, Input: s.Input, CreatedAt: testTime}}, nil
}

func benchServer(b *testing.B) *Server {
	b.Helper()
	registry := prometheus.NewRegistry()
	s, err := New(Config{
		Authenticator: fakeAuthenticator{}, Generations: &instant{}, Files: brokenFiles{}, FileSigner: &blob.Signer{},
		FileURL:  func(string) (string, time.Time) { return "", testTime },
		Gatherer: registry, Registerer: registry,
		Logger: slog.New(slog.DiscardHandler),
		Limits: Limits{Submit: Limit{PerMinute: 600_000_000}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// nullWriter is the cheapest ResponseWriter.
type nullWriter struct {
	header http.Header
	status int
}

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(status int)      { w.status = status }

// BenchmarkSubmit is the server's own share of a submit, from the parsed head to the answer.
func BenchmarkSubmit(b *testing.B) {
	for name, idempotency := range map[string]string{"plain": "", "idempotent": "order-17"} {
		b.Run(name, func(b *testing.B) {
			h := benchServer(b).Handler()
			b.ReportAllocs()
			for b.Loop() {
				r := &http.Request{
					Method: "POST", URL: &url.URL{Path: submitPath}, Header: http.Header{"Authorization": {"Bearer " + testKey}},
					Body: io.NopCloser(strings.NewReader(benchBody)), ContentLength: int64(len(benchBody)), RemoteAddr: "192.0.2.1:1",
				}
				if idempotency != "" {
					r.Header["Idempotency-Key"] = []string{idempotency}
				}
				w := &nullWriter{header: http.Header{}}
				h.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("answered %d", w.status)
				}
			}
		})
	}
}

// BenchmarkSubmitOverHTTP adds net/http and a client on the same machine: requests/s is the ceiling of the surface.
func BenchmarkSubmitOverHTTP(b *testing.B) {
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = HTTPServer(HTTPConfig{}, benchServer(b).Handler())
	srv.Start()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	defer client.CloseIdleConnections()
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest("POST", srv.URL+submitPath, strings.NewReader(benchBody))
			r.Header.Set("Authorization", "Bearer "+testKey)
			res, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Errorf("answered %d", res.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

func BenchmarkParseSubmit(b *testing.B) {
	body := []byte(benchBody)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		doc, err := parseJSON(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := parseSubmit(doc); err != nil {
			b.Fatal(err)
		}
	}
}
