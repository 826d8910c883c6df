package localai_test

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kinora/kinora"
	upstream "github.com/kinora/kinora/internal/simulator/localai"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/localai"
	"github.com/kinora/kinora/provider/providertest"
)

// A server makes a video while the call lasts, and whatever is lost of it is not taken for nothing.
func TestBeforeASimulatedServer(t *testing.T) {
	sim, err := upstream.New(upstream.Config{Key: "local-key", Models: []string{"ltx"}, Time: 10 * time.Millisecond, MaxSide: 128})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(srv.Close)
	up := provider.Upstream{Client: srv.Client(), Account: provider.Account{BaseURL: srv.URL, Settings: map[string]string{localai.SettingAPIKey: "local-key"}}}
	up.Sources = providertest.Sources{"https://a.example/1.png": []byte("\x89PNG\r\n\x1a\n and more")}
	submit := func(model, orders string, images ...string) (*providertest.Sink, provider.Accepted, error) {
		sink := &providertest.Sink{}
		got, err := localai.New().Submit(t.Context(), up, provider.Request{
			ClientRef: "task_a_0", UpstreamModel: model, Kind: kinora.KindVideo, Prompt: "a tram " + orders, Size: "128x128", Sink: sink, Images: images,
		})
		return sink, got, err
	}
	sink, got, err := submit("ltx", "")
	if err != nil || len(got.Report.Outputs) != 1 || len(sink.Kept(0)) == 0 || got.Report.Outputs[0].Kind != kinora.KindVideo {
		t.Errorf("%+v, error %v", got, err)
	}
	if _, got, err := submit("ltx", "", "https://a.example/1.png", "https://a.example/1.png"); err != nil || len(got.Report.Outputs) != 1 {
		t.Errorf("with frames: %+v, error %v", got, err)
	}
	sink, got, err = submit("ltx", "[[url]]")
	if err != nil || len(got.Report.Outputs) != 1 || sink.Kept(0) != nil {
		t.Fatalf("%+v, error %v", got, err)
	}
	res, err := localai.New().OpenOutput(t.Context(), up, provider.Job{}, got.Report.Outputs[0])
	if err != nil || res.ContentLength == 0 {
		t.Fatalf("opened %v, error %v", res, err)
	}
	_ = res.Body.Close()
	for _, c := range []struct {
		model, orders string
		want          provider.Class
	}{{"ltx", "[[drop]]", provider.OutcomeUnknown}, {"ltx", "[[fail]]", provider.OutcomeUnknown}, {"gone", "", provider.ModelGone}} {
		var e *provider.Error
		if _, _, err := submit(c.model, c.orders); !errors.As(err, &e) || e.Class != c.want {
			t.Errorf("%s %s: error %v, want class %s", c.model, c.orders, err, c.want)
		}
	}
}
