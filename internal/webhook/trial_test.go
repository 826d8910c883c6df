package webhook_test

import (
	"context"
	"encoding/json"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	verify "github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// A test event is a genuine one, and its answer is there at once; nothing else comes of it.
func TestTrial(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, func(c *call) answer {
			if c.path == "/broken" {
				return answer{status: 500, body: "oops"}
			}
			return answer{status: 200, body: "thanks"}
		})
		org := w.organisation("org_1", rcv.url())
		d := w.run(t, nil)
		real := w.event(org) // what a real one looks like
		d.Nudge("org_1")
		w.until(t, real.ID, kinora.DeliveryDelivered)

		got, err := d.SendTrial(context.Background(), kinora.TrialRequest{Organisation: org})
		if err != nil || !got.Delivered || got.Attempt.Status != 200 || got.Attempt.Response != "thanks" || got.Attempt.Address != rcv.listener.Addr().String() || got.Attempt.FirstByte <= 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		calls := rcv.seen()
		c := calls[1]
		if c.err != nil || c.event.EventType != verify.GenerationCompleted || c.event.ID != got.EventID || c.job() != got.JobID || c.header.Get("X-Katalo-Delivery-Id") != got.ID {
			t.Errorf("%+v: %v", c.event, c.err)
		}
		if !regexp.MustCompile(`^task_TEST`).MatchString(got.JobID) || !id.WellFormed(got.JobID, id.Task) {
			t.Errorf("job %s", got.JobID)
		}
		var body struct {
			Outputs []struct {
				URL string `json:"url"`
			} `json:"outputs"`
			Metadata struct {
				Test bool `json:"test"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(c.body, &body); err != nil || !body.Metadata.Test || len(body.Outputs) != 1 || !strings.Contains(body.Outputs[0].URL, "sig=") {
			t.Errorf("%s: %v", c.body, err)
		}
		if diff := cmp.Diff(names(calls[0]), names(c)); diff != "" {
			t.Errorf("not the headers of a real one: %s", diff)
		}
		if shown := query.ReplaceAllString(string(c.body), "?[hidden]"); got.Attempt.RequestBody != shown {
			t.Errorf("sent %s, shown %s", shown, got.Attempt.RequestBody)
		}

		failed, err := d.SendTrial(context.Background(), kinora.TrialRequest{Organisation: org, URL: rcv.url()[:len(rcv.url())-len("/hook")] + "/broken"})
		if err != nil || failed.Delivered || failed.Attempt.Status != 500 || failed.Attempt.Fault != kinora.FaultHTTP || failed.Attempt.Response != "oops" {
			t.Errorf("%+v, %v", failed, err)
		}
		list, err := d.Trials(context.Background(), org)
		if err != nil || len(list) != 2 || list[0].ID != failed.ID || list[0].Delivered || !list[1].Delivered || list[1].Attempt.RequestBody != got.Attempt.RequestBody {
			t.Errorf("%+v, %v", list, err)
		}
		if len(rcv.seen()) != 3 || w.count(`1 = 1`) != 1 {
			t.Errorf("%d calls, %d deliveries", len(rcv.seen()), w.count(`1 = 1`))
		}
		w.view(func(tx *store.Tx) error {
			if _, err := tx.Generation("", got.JobID); err != store.ErrNotFound {
				t.Errorf("the generation that never was: %v", err)
			}
			return nil
		})
		w.update(func(tx *store.Tx) error {
			n, err := tx.TrimTrials(w.clock.now().Add(time.Minute), 10)
			if n != 2 || len(must(tx.DeliveryAttempts(got.ID))) != 0 {
				t.Errorf("%d trimmed", n)
			}
			return err
		})
	})
}

// What a test event tells of can be chosen, and is shown again as it was sent.
func TestTrialSamples(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, func(*call) answer { return answer{status: 200} })
		org := w.organisation("org_1", rcv.url())
		d := w.run(t, nil)
		types := map[kinora.EventType]string{kinora.EventCompleted: "video", kinora.EventFailed: string(kinora.FailureTimeout)}
		for eventType, sample := range types {
			got, err := d.SendTrial(t.Context(), kinora.TrialRequest{Organisation: org, EventType: eventType, Sample: sample})
			if err != nil || !got.Delivered || got.EventType != eventType || got.Sample != sample {
				t.Fatalf("%+v, %v", got, err)
			}
			calls := rcv.seen()
			c := calls[len(calls)-1]
			want := map[string]string{"video": `"content_type":"video/mp4"`, "timeout": `"failure":{"code":"timeout"`}[sample]
			if c.err != nil || c.event.EventType != string(eventType) || !strings.Contains(string(c.body), want) || c.header.Get("X-Katalo-Event") != string(eventType) {
				t.Errorf("%s: %s, %v", sample, c.body, c.err)
			}
		}
		list, err := d.Trials(t.Context(), org)
		if err != nil || len(list) != 2 {
			t.Fatalf("%d, %v", len(list), err)
		}
		for i, one := range list {
			sent := query.ReplaceAllString(string(rcv.seen()[len(list)-1-i].body), "?[hidden]")
			if one.Sample != types[one.EventType] || one.Attempt.RequestBody != sent {
				t.Errorf("%+v: sent %s", one, sent)
			}
		}
		for _, ask := range []kinora.TrialRequest{{EventType: "endpoint.disabled"}, {Sample: "timeout"}, {EventType: kinora.EventFailed, Sample: "image"}} {
			ask.Organisation = org
			if _, err := d.SendTrial(t.Context(), ask); kinora.CodeOf(err) != kinora.ErrInvalid {
				t.Errorf("%+v: %v", ask, err)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// names are the names of the headers that came, the spelling of values apart.
func names(c *call) map[string]bool {
	list := map[string]bool{}
	for name := range c.header {
		list[name] = true
	}
	return list
}

func TestTrialRefusals(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	forbidden, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer forbidden.Close()
	accepted := make(chan struct{}, 1)
	go func() {
		if c, err := forbidden.Accept(); err == nil {
			c.Close()
			accepted <- struct{}{}
		}
	}()
	org, narrow, none := w.organisation("org_1", "http://10.0.0.1/"), w.organisation("org_2", "", "hooks.example"), w.organisation("org_3", "")
	d := w.dispatcher(t, nil)
	ctx := context.Background()
	for name, tc := range map[string]struct {
		ask  kinora.TrialRequest
		code kinora.ErrorCode
		says string
	}{
		"unknown organisation": {kinora.TrialRequest{Organisation: "org_9"}, kinora.ErrNotFound, "organisation"},
		"unknown endpoint":     {kinora.TrialRequest{Organisation: org, Endpoint: "ep_9"}, kinora.ErrNotFound, "endpoint"},
		"both":                 {kinora.TrialRequest{Organisation: org, Endpoint: "ep_9", URL: "https://a.example"}, kinora.ErrInvalid, "not both"},
		"no default":           {kinora.TrialRequest{Organisation: none}, kinora.ErrInvalid, "no default"},
		"private default":      {kinora.TrialRequest{Organisation: org}, kinora.ErrInvalid, "webhook.url"},
		"not on the allowlist": {kinora.TrialRequest{Organisation: narrow, URL: "http://" + forbidden.Addr().String()}, kinora.ErrInvalid, "allowlist"},
		"no URL":               {kinora.TrialRequest{Organisation: org, URL: "::"}, kinora.ErrInvalid, "webhook.url"},
	} {
		if _, err := d.SendTrial(ctx, tc.ask); kinora.CodeOf(err) != tc.code || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	select {
	case <-accepted:
		t.Error("a refused address was dialled")
	default:
	}
	if _, err := d.Trials(ctx, "org_9"); kinora.CodeOf(err) != kinora.ErrNotFound {
		t.Errorf("trials of an unknown organisation: %v", err)
	}
}

// An organisation has five test events at once and ten a minute; another's are its own.
func TestTrialsAreRateLimited(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	rcv := newReceiver(t, always(200))
	one, two := w.organisation("org_1", rcv.url()), w.organisation("org_2", rcv.url())
	start := w.clock.now()
	d := w.dispatcher(t, func(c *webhook.Config) { c.Now = func() time.Time { return start.Add(w.clock.ahead) } })
	send := func(org string) error {
		_, err := d.SendTrial(context.Background(), kinora.TrialRequest{Organisation: org})
		return err
	}
	for range 5 {
		if err := send(one); err != nil {
			t.Fatal(err)
		}
	}
	err := send(one)
	if e, ok := err.(*kinora.Error); !ok || e.Code != kinora.ErrRateLimited || e.RetryAfter != 6*time.Second {
		t.Errorf("the sixth: %v", err)
	}
	if err := send(two); err != nil {
		t.Errorf("another organisation's: %v", err)
	}
	w.clock.add(6 * time.Second)
	if err := send(one); err != nil {
		t.Errorf("six seconds later: %v", err)
	}
	if n := len(rcv.seen()); n != 7 {
		t.Errorf("%d calls", n)
	}
}
