package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

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

// The text is YAML that a configuration can take as it is.
func TestSimulateShowsAConfiguration(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(strings.NewReader(""), &out, &out)
	c.showFleet(&fleet.Fleet{Upstreams: []fleet.Upstream{{Name: "kling", URL: "http://127.0.0.1:9701", Settings: map[string]string{"api_key": "k", "webhook_secret": "whsec_x="}}}})
	var doc struct {
		Accounts []struct {
			Name, Provider string
			BaseURL        string            `yaml:"base_url"`
			Settings       map[string]string `yaml:"settings"`
		} `yaml:"accounts"`
	}
	if err := yaml.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Accounts) != 1 || doc.Accounts[0].Settings["webhook_secret"] != "whsec_x=" || doc.Accounts[0].BaseURL == "" {
		t.Errorf("%s\n%+v, %v", out.String(), doc, err)
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
