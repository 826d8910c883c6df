package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/simulator/fleet"
)

// firstWrite ends a context once something complete was written.
type firstWrite struct {
	mu   sync.Mutex
	text bytes.Buffer
	when string // a part of the text
	then func()
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	if strings.Contains(w.text.String(), w.when) {
		w.then()
	}
	return n, err
}

func TestSimulateRunsUntilItIsStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &firstWrite{when: "\n}\n"}
	out.then = func() {
		var shown simulateShape
		if err := json.Unmarshal(out.text.Bytes(), &shown); err != nil || len(shown.Upstreams) != 2 {
			t.Errorf("shown %s: %v", out.text.String(), err)
		}
		for _, u := range shown.Upstreams {
			res, err := http.Get(u.URL) //nolint:forbidigo,noctx // the simulator's own address
			if err != nil {
				t.Error(err)
				continue
			}
			_ = res.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
		stop()
	}
	var failed bytes.Buffer
	if code := newConsole(strings.NewReader(""), out, &failed).run(ctx, []string{"simulate", "--port", "0", "--only", "ark,vidu", "--json"}); code != 0 {
		t.Errorf("exit code %d: %s", code, failed.String())
	}
}

// The text is a configuration as it stands.
func TestSimulateShowsAConfiguration(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(strings.NewReader(""), &out, &out)
	const account = `{"client_email":"o'neill@example","private_key":"-----BEGIN\nx#y\n"}`
	c.showFleet(&fleet.Fleet{Upstreams: []fleet.Upstream{
		{Name: "kling", Provider: "kling", URL: "http://127.0.0.1:9701", Settings: map[string]string{"api_key": "k", "webhook_secret": "whsec_x="}},
		{Name: "google-vertex", Provider: "google", URL: "http://127.0.0.1:9711", Settings: map[string]string{"service_account": account}},
	}})
	file := filepath.Join(t.TempDir(), "kinora.yaml")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil || len(cfg.Accounts) != 2 {
		t.Fatalf("%s\n%+v, %v", out.String(), cfg.Accounts, err)
	}
	if a := cfg.Accounts[1]; a.Name != "google-vertex-simulated" || a.Provider != "google" || a.Settings["service_account"].Reveal() != account {
		t.Errorf("%s\n%+v", out.String(), a)
	}
	if a := cfg.Accounts[0]; a.Settings["webhook_secret"].Reveal() != "whsec_x=" || a.BaseURL != "http://127.0.0.1:9701" || cfg.PublicURL == "" {
		t.Errorf("%s\n%+v", out.String(), a)
	}
}

func TestSimulateRefuses(t *testing.T) {
	for _, args := range [][]string{{"--port", "70000"}, {"--only", "nobody"}, {"--job-time", "-1s"}} {
		var out bytes.Buffer
		if code := newConsole(strings.NewReader(""), &out, &out).run(t.Context(), append([]string{"simulate"}, args...)); code == 0 {
			t.Errorf("%v: taken: %s", args, out.String())
		}
	}
}
