package fleet_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator/fleet"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/ark"
	"github.com/kinora/kinora/provider/kling"
	"github.com/kinora/kinora/provider/minimax"
	"github.com/kinora/kinora/provider/sandbox"
	"github.com/kinora/kinora/provider/vidu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every upstream that is started takes a job of its provider's with the settings that it
// tells, and hands out what was made.
func TestEveryUpstreamWorks(t *testing.T) {
	f, err := fleet.Start(t.Context(), fleet.Options{JobTime: 40 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := f.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	models := map[string]struct {
		provider provider.Provider
		model    string
	}{
		"sandbox": {sandbox.New(), "sandbox-video"}, "kling": {kling.New(), "kling-v2-6"}, "ark": {ark.New(), "doubao-seedance-1-0-pro-250528"},
		"minimax": {minimax.New(), "MiniMax-Hailuo-02"}, "vidu": {vidu.New(), "viduq3-turbo"},
	}
	if len(f.Upstreams) != len(models) || len(fleet.Names()) != len(models) {
		t.Fatalf("started %+v", f.Upstreams)
	}
	for _, u := range f.Upstreams {
		t.Run(u.Name, func(t *testing.T) {
			c := models[u.Name]
			up := provider.Upstream{Account: provider.Account{Name: "x", Provider: u.Name, BaseURL: u.URL, Settings: u.Settings}, Client: client}
			req := provider.Request{ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", Model: c.model, UpstreamModel: c.model, Kind: kinora.KindVideo, Prompt: "two kites over a quiet bay"}
			if err := c.provider.Validate(req); err != nil {
				t.Fatal(err)
			}
			got, err := c.provider.Submit(t.Context(), up, req)
			if err != nil {
				t.Fatal(err)
			}
			job := provider.Job{UpstreamID: got.UpstreamID, Handle: got.Handle, ClientRef: req.ClientRef, UpstreamModel: c.model, Kind: req.Kind}
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				reports, err := c.provider.Poll(t.Context(), up, []provider.Job{job})
				if err != nil {
					t.Fatal(err)
				}
				if len(reports) == 1 && reports[0].State == provider.StateSucceeded {
					download(t, client, reports[0].Outputs[0].URL)
					return
				}
				if time.Now().After(end) {
					t.Fatalf("it does not end: %+v", reports)
				}
			}
		})
	}
}

func download(t *testing.T, client *http.Client, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n == 0 || res.StatusCode != http.StatusOK {
		t.Errorf("status %d, %d bytes, %v", res.StatusCode, n, err)
	}
}

func TestWhatCannotStartLeavesNothing(t *testing.T) {
	if _, err := fleet.Start(t.Context(), fleet.Options{Only: []string{"kling", "klinge"}}); err == nil || !strings.Contains(err.Error(), "klinge") {
		t.Errorf("error %v", err)
	}
	first, err := fleet.Start(t.Context(), fleet.Options{Only: []string{"vidu"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close(context.Background()) }()
	address, err := url.Parse(first.Upstreams[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	// Vidu's port is taken: what was started before it must end again (goleak looks).
	at := 0
	for i, name := range fleet.Names() {
		if name == "vidu" {
			at = i
		}
	}
	if _, err := fleet.Start(t.Context(), fleet.Options{Port: port - at}); err == nil {
		t.Error("two listen on one port")
	}
}
