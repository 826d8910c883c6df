package kling_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator"
	upstream "github.com/kinora/kinora/internal/simulator/kling"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/kling"
)

const (
	apiKey = "kl-simulated"
	hook   = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	newer  = "whsec_bmV3ZXJuZXdlcm5ld2VybmV3ZXJuZXdlcm5ld2Vy"
)

// world is the provider in front of the simulated Kling.
type world struct {
	*kling.Kling
	server *upstream.Simulator
	clock  *simulator.ManualClock
	keyed  provider.Upstream // with an API key
	paired provider.Upstream // with an access key and a secret key
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := simulator.NewManualClock(time.Now())
	server, err := upstream.New(upstream.Config{
		Accounts: []upstream.Account{{Key: apiKey, AccessKey: "ak_simulated", SecretKey: "sk_simulated", WebhookSecrets: []string{hook}}},
		MaxSide:  128, VideoTime: 10 * time.Second, ImageTime: 10 * time.Second, Clock: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		srv.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	with := func(settings map[string]string) provider.Upstream {
		return provider.Upstream{Client: client, Account: provider.Account{BaseURL: srv.URL, Settings: settings}}
	}
	return &world{
		kling.New(), server, clock,
		with(map[string]string{kling.SettingAPIKey: apiKey, kling.SettingWebhookSecret: hook}),
		with(map[string]string{kling.SettingAccessKey: "ak_simulated", kling.SettingSecretKey: "sk_simulated"}),
	}
}

// ask is a request for a model with images and metadata; words of the prompt are orders.
func ask(ref, model string, kind kinora.Kind, images int, prompt string, pairs ...string) provider.Request {
	r := provider.Request{
		ClientRef: ref + "_0", UpstreamModel: model, Kind: kind, Prompt: "two kites over a quiet bay " + prompt,
		Metadata: map[string]json.RawMessage{}, SubmittedAt: time.Now().Add(-time.Minute),
	}
	for i := range images {
		r.Images = append(r.Images, fmt.Sprintf("https://img.example/%d.png", i))
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Metadata[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return r
}

func film(model string, images int, pairs ...string) provider.Request {
	return ask("", model, kinora.KindVideo, images, "", pairs...)
}

func picture(model string, images int, pairs ...string) provider.Request {
	return ask("", model, kinora.KindImage, images, "", pairs...)
}

func job(r provider.Request, got provider.Accepted) provider.Job {
	return provider.Job{UpstreamID: got.UpstreamID, Handle: got.Handle, ClientRef: r.ClientRef, UpstreamModel: r.UpstreamModel, Kind: r.Kind}
}

// What the provider makes of every kind of request, Kling takes, and ends with outputs.
func TestEveryRoute(t *testing.T) {
	for name, r := range map[string]provider.Request{
		"text": film("kling-v1", 0), "text, default model's 2.6": film("kling-v2-6", 0, "mode", `"pro"`, "sound", `"on"`), "text, 3": film("kling-v3", 0, "duration", "12"),
		"first frame": film("kling-v1", 1), "both frames": film("kling-v1-6", 2), "references": film("kling-v1-6", 4),
		"motion": film("kling-v2-6", 1, "video_url", `"https://img.example/v.mp4"`, "character_orientation", `"image"`),
		"omni":   film("kling-v3-omni", 3), "omni, o1": film("kling-video-o1", 0),
		"shots": film("kling-v3", 0, "multi_shot", "true", "shot_type", `"customize"`, "multi_prompt", `[{"index":1,"prompt":"a","duration":"2"},{"index":2,"prompt":"b","duration":"3"}]`),
		"image": picture("kling-v3", 0, "n", `"3"`), "image of one": picture("kling-v2-1", 1, "image_reference", `"face"`), "image of several": picture("kling-v2-1", 3),
		"omni image": picture("kling-image-o1", 3, "resolution", `"4k"`), "base64": picture("kling-v3", 0, "image", `"data:image/png;base64,iVBORw0KGgo="`),

		"new text": film("kling-3.0", 0, "duration", `"7"`, "audio", `"native"`), "new text, turbo": film("kling-3.0-turbo", 0), "new text, 2.6": film("kling-2.6", 0), "new text, 2.5": film("kling-2.5-turbo", 0),
		"new first frame": film("kling-3.0-turbo", 1), "new both frames": film("kling-3.0", 2, "watermark_info", `{"enabled":true}`), "new both frames, 2.6": film("kling-2.6", 2, "resolution", `"1080p"`),
		"new motion": film("kling-2.6", 1, "video_url", `"https://img.example/v.mp4"`, "character_orientation", `"image"`),
		"new omni":   film("kling-3.0-omni", 7), "new omni, text": film("kling-3.0-omni", 0), "new omni, o1": film("kling-o1", 2),
		"new omni, own": film("kling-3.0-omni", 0, "contents", `[{"type":"base_video","url":"https://img.example/v.mp4"}]`, "audio", `"original"`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r.ClientRef, r.Size = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", "1280x720"
			if err := w.Validate(r); err != nil {
				t.Fatal(err)
			}
			got, err := w.Submit(t.Context(), w.keyed, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []struct {
				after time.Duration
				want  provider.State
			}{{0, provider.StateQueued}, {2 * time.Second, provider.StateRunning}, {8 * time.Second, provider.StateSucceeded}} {
				w.clock.Advance(step.after)
				reports, err := w.Poll(t.Context(), w.keyed, []provider.Job{job(r, got)})
				if err != nil || len(reports) != 1 || reports[0].State != step.want {
					t.Fatalf("after %v: %+v, %v", step.after, reports, err)
				}
				for _, o := range reports[0].Outputs {
					res, err := w.keyed.Client.Get(o.URL)
					if err != nil {
						t.Fatal(err)
					}
					res.Body.Close()
					if res.StatusCode != http.StatusOK || o.Kind != r.Kind {
						t.Errorf("output %+v: %d", o, res.StatusCode)
					}
				}
				if n := len(reports[0].Outputs); step.want == provider.StateSucceeded && n != map[bool]int{true: 3, false: 1}[name == "image"] {
					t.Errorf("%d outputs", n)
				}
			}
			if found, err := w.Reconcile(t.Context(), w.keyed, r); err != nil || found.UpstreamID != got.UpstreamID || string(found.Handle) != string(got.Handle) {
				t.Errorf("reconciled %+v, %v; submitted %+v", found, err, got)
			}
			if string(w.Route(r)) != string(got.Handle) {
				t.Errorf("route %s, handle %s", w.Route(r), got.Handle)
			}
		})
	}
}

// What the class says about the upstream must be true of it, for every code; and where
// nothing is known, the reference tells.
func TestFailuresGetTheirClass(t *testing.T) {
	for orders, want := range map[string]provider.Class{
		"fail=1000": provider.Credential, "fail=1003": provider.Credential, "fail=1004": provider.Credential,
		"fail=1100": provider.Balance, "fail=1101": provider.Balance, "fail=1102": provider.Balance, "fail=1103": provider.Permission,
		"fail=1200": provider.Invalid, "fail=1201": provider.Invalid, "fail=1202": provider.Invalid, "fail=1203": provider.ModelGone,
		"fail=1300": provider.Moderation, "fail=1301": provider.Moderation, "fail=1302": provider.Rate, "fail=1303": provider.Rate, "fail=1304": provider.Permission,
		"fail=5000": provider.OutcomeUnknown, "fail=5001": provider.OutcomeUnknown, "fail=5002": provider.OutcomeUnknown,
		"fail=1101 status=200": provider.Balance, "fail=1303 status=200": provider.Rate, "fail=5000 status=200": provider.OutcomeUnknown,
		"drop=before": provider.OutcomeUnknown, "drop=after": provider.OutcomeUnknown, "fial=1": provider.Invalid,
	} {
		for _, model := range []string{"kling-v1", "kling-3.0"} {
			w := newWorld(t)
			r := ask("task_01HF8Z3KQX2A6Y4N3R8M5W7V9P", model, kinora.KindVideo, 0, "[["+orders+"]]")
			_, err := w.Submit(t.Context(), w.keyed, r)
			var e *provider.Error
			if !errors.As(err, &e) || e.Class != want {
				t.Errorf("%s, %s: error %v, want class %s", model, orders, err, want)
			}
			made := w.server.Accepted()[strings.TrimSuffix(r.ClientRef, "_0")]
			if want != provider.OutcomeUnknown && made != 0 {
				t.Errorf("%s, %s: class %s although %d tasks were made", model, orders, want, made)
			}
			found, err := w.Reconcile(t.Context(), w.keyed, r)
			if made == 0 && !errors.Is(err, provider.ErrNotSubmitted) || made == 1 && (err != nil || found.UpstreamID == "") {
				t.Errorf("%s, %s: %d tasks were made, reconciled %+v, error %v", model, orders, made, found, err)
			}
		}
	}
	for orders, want := range map[string]provider.Class{"end=risk time=0": provider.Moderation, "end=fault time=0": provider.Generation} {
		for _, model := range []string{"kling-v1", "kling-3.0"} {
			w := newWorld(t)
			r := ask("a", model, kinora.KindVideo, 0, "[["+orders+"]]")
			got, err := w.Submit(t.Context(), w.keyed, r)
			if err != nil {
				t.Fatal(err)
			}
			reports, err := w.Poll(t.Context(), w.keyed, []provider.Job{job(r, got)})
			if err != nil || len(reports) != 1 || reports[0].State != provider.StateFailed || reports[0].Err.Class != want {
				t.Errorf("%s, %s: %+v, %v", model, orders, reports, err)
			}
		}
	}
}

// A second submit of one reference, after an answer that was lost and a look that came
// too early, makes nothing: Kling says that it has it, and the next look finds it.
func TestLateAppearance(t *testing.T) {
	for _, model := range []string{"kling-v1", "kling-3.0"} {
		w := newWorld(t)
		r := ask("task_01HF8Z3KQX2A6Y4N3R8M5W7V9P", model, kinora.KindVideo, 0, "[[drop=after hidden=1]]")
		if _, err := w.Submit(t.Context(), w.keyed, r); err == nil {
			t.Fatal("the answer was not lost")
		}
		if _, err := w.Reconcile(t.Context(), w.keyed, r); !errors.Is(err, provider.ErrNotSubmitted) {
			t.Fatalf("%s: it shows already: %v", model, err)
		}
		_, err := w.Submit(t.Context(), w.keyed, r)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.OutcomeUnknown {
			t.Errorf("%s: the second submit: %v", model, err)
		}
		if found, err := w.Reconcile(t.Context(), w.keyed, r); err != nil || found.UpstreamID == "" {
			t.Errorf("%s: %+v, %v", model, found, err)
		}
		if n := len(w.server.Stats().Tasks); n != 1 {
			t.Errorf("%s: %d tasks", model, n)
		}
	}
}

// A token opens the older family, and nothing but it.
func TestTokens(t *testing.T) {
	w := newWorld(t)
	r := film("kling-v1", 0)
	got, err := w.Submit(t.Context(), w.paired, r)
	if err != nil {
		t.Fatal(err)
	}
	if reports, err := w.Poll(t.Context(), w.paired, []provider.Job{job(r, got)}); err != nil || len(reports) != 1 {
		t.Errorf("%+v, %v", reports, err)
	}
	wrong := w.paired
	wrong.Account.Settings = map[string]string{kling.SettingAccessKey: "ak_simulated", kling.SettingSecretKey: "another"}
	for code, change := range map[string]func() provider.Upstream{
		"1000": func() provider.Upstream { return wrong },
		"1004": func() provider.Upstream { w.clock.Advance(time.Hour); return w.paired },
	} {
		_, err := w.Submit(t.Context(), change(), film("kling-v1", 0))
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.Credential || code == "1004" && e.Code != code {
			t.Errorf("%s: %+v", code, err)
		}
	}
	if _, err := w.Submit(t.Context(), w.paired, film("kling-3.0", 0)); err == nil {
		t.Error("the newer family was opened")
	}
}

// Many tasks of the newer family are read in one call; those that are gone are left out.
func TestManyInOneCall(t *testing.T) {
	w := newWorld(t)
	var jobs []provider.Job
	for i := range 20 {
		orders := ""
		if i == 7 {
			orders = "[[gone time=0]]"
		}
		r := ask(fmt.Sprint("r", i), "kling-3.0", kinora.KindVideo, 0, orders)
		got, err := w.Submit(t.Context(), w.keyed, r)
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job(r, got))
	}
	reports, err := w.Poll(t.Context(), w.keyed, jobs)
	if err != nil || len(reports) != 19 || w.server.Stats().Polls != 1 {
		t.Errorf("%d reports, %v, %d calls", len(reports), err, w.server.Stats().Polls)
	}
}

// Callbacks as they arrive are verified, through a rotation too; forged and stale ones
// are not, and what an unsigned one of the older family says is a hint.
func TestCallbacksForReal(t *testing.T) {
	type outcome struct {
		provider.Callback
		err error
	}
	for _, c := range []struct {
		model, orders     string
		secret            string
		good, bad, unsure int
	}{
		{"kling-3.0", "", hook, 3, 0, 0},
		{"kling-v1", "", hook, 3, 0, 0},
		{"kling-3.0", "", newer + " " + hook, 3, 0, 0},
		{"kling-3.0", "", newer, 0, 3, 0},
		{"kling-3.0", "", "", 0, 0, 3},
		{"kling-3.0", "callback=unsigned", hook, 0, 3, 0},
		{"kling-v1", "callback=unsigned", hook, 0, 0, 3},
		{"kling-3.0", "callback=stale", hook, 0, 3, 0},
		{"kling-v1", "callback=forged", hook, 3, 1, 0},
		{"kling-3.0", "callback=duplicate", hook, 6, 0, 0},
	} {
		w := newWorld(t)
		up := w.keyed
		up.Account.Settings = map[string]string{kling.SettingAPIKey: apiKey, kling.SettingWebhookSecret: c.secret}
		outcomes := make(chan outcome, 10)
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got, err := w.VerifyCallback(up, provider.InboundCallback{
				Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header, Body: body, Arrived: w.clock.Now(), UpstreamModel: c.model,
			})
			outcomes <- outcome{got, err}
		}))
		r := ask("a", c.model, kinora.KindVideo, 0, "[["+c.orders+"]]")
		r.CallbackURL = receiver.URL + "/callbacks/kling/token"
		accepted, err := w.Submit(t.Context(), up, r)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(10 * time.Second)
		good, bad, unsure, hints := 0, 0, 0, 0
		for range c.good + c.bad + c.unsure {
			o := <-outcomes
			if o.Hint {
				hints++
			}
			var e *provider.Error
			switch {
			case errors.As(o.err, &e) && e.Class == provider.Credential:
				bad++
			case o.err != nil || o.UpstreamID != accepted.UpstreamID:
				t.Errorf("%s %s: %+v, %v", c.model, c.orders, o.Callback, o.err)
			case o.Verified:
				good++
			default:
				unsure++
			}
		}
		if good != c.good || bad != c.bad || unsure != c.unsure {
			t.Errorf("%s %q with secrets %q: %d good, %d bad, %d unsure", c.model, c.orders, c.secret, good, bad, unsure)
		}
		// Of submitted, processing and the end, the last is worth a look.
		if want := (c.good + c.unsure) / 3; hints != want {
			t.Errorf("%s %q with secrets %q: %d callbacks are worth a look, want %d", c.model, c.orders, c.secret, hints, want)
		}
		receiver.Close()
	}
}
