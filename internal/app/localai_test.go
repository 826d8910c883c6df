package app_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/simulator/localai"
)

// Images of a LocalAI in one's own network, configured as its page says: by base64, with a key. Without the setting they are
// read from the address that the server names, which has to be its account's own.
func TestImagesOfLocalAI(t *testing.T) {
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	sims := map[string]*localai.Simulator{}
	for name, settings := range map[string]map[string]config.Secret{
		"flux": {"api_key": "local-key", "response_format": "b64_json"}, "flux-by-address": {},
	} {
		sim, err := localai.New(localai.Config{Key: string(settings["api_key"]), Models: []string{"flux.1-dev"}, Time: 10 * time.Millisecond, MaxSide: 128})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(sim)
		t.Cleanup(srv.Close)
		sims[name] = sim
		cfg.Accounts = append(cfg.Accounts, config.Account{Name: name, Provider: "openai", BaseURL: srv.URL + "/v1", Settings: settings})
		cfg.Models = append(cfg.Models, config.Model{Name: name, Kind: "image", Provider: "openai", UpstreamModel: "images:flux.1-dev", Accounts: []string{name}})
	}
	a := startOpenAI(t, cfg)
	c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	for model, sim := range sims {
		task, err := c.Submit(t.Context(), client.SubmitRequest{Model: model, Input: client.Input{Prompt: "a tram depot", Size: "128x128", Metadata: map[string]any{"n": 2}}})
		if err != nil {
			t.Fatal(err)
		}
		if task, err = c.Wait(t.Context(), task.ID, client.WaitOptions{}); err != nil || len(task.Files) != 2 || task.Files[0].URL == task.Files[1].URL {
			t.Errorf("%s: %+v, error %v", model, task, err)
			continue
		}
		if status, header, content := fetch(t, task.Files[1].URL, nil); status != 200 || header.Get("Content-Type") != "image/png" || len(content) < 100 {
			t.Errorf("%s: the second image: %d %v, %d bytes", model, status, header, len(content))
		}
		if n := len(sim.Made()); n != 1 {
			t.Errorf("%s: %d calls were made", model, n)
		}
	}
}
