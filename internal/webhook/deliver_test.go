package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

func TestDeliversASignedEvent(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var seen atomic.Pointer[kinora.Generation]
		rcv := newReceiver(t, func(c *call) answer {
			// A GET that the receiver makes inside its handler sees the final state.
			w.view(func(tx *store.Tx) error {
				g, err := tx.Generation("", c.job())
				seen.Store(g)
				return err
			})
			return answer{status: 204}
		})
		d := w.run(t, nil)
		delivery := w.event(w.organisation("org_1", rcv.url()))
		d.Nudge("org_1")
		got := w.until(t, delivery.ID, kinora.DeliveryDelivered)

		calls := rcv.seen()
		if len(calls) != 1 || calls[0].err != nil {
			t.Fatalf("%d calls, %v", len(calls), calls[0].err)
		}
		c := calls[0]
		if g := seen.Load(); g == nil || g.State != kinora.GenerationSucceeded {
			t.Errorf("inside the handler the generation was %+v", g)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "User-Agent": "Kinora/1.2.3 (+webhooks)", "X-Katalo-Delivery-Id": delivery.ID,
			"X-Katalo-Event": "generation.completed", "X-Katalo-Attempt": "1", "Webhook-Id": delivery.EventID,
			"X-Katalo-Signature-Previous": "", "Accept-Encoding": "", "Cookie": "",
		} {
			if got := c.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if len(c.event.Outputs) != 1 || !strings.HasPrefix(c.event.Outputs[0].URL, "https://files.example/out/") || string(c.event.Metadata) != `{"i": 0}` {
			t.Errorf("event %+v", c.event)
		}
		if got.Attempts != 1 || got.LastStatus != 204 || got.LastError != "" || got.FinishedAt.IsZero() || !got.DueAt.IsZero() {
			t.Errorf("delivery %+v", got)
		}
		log := w.log(delivery.ID)
		if len(log) != 1 || log[0].Number != 1 || log[0].Status != 204 || log[0].Fault != kinora.FaultNone || log[0].Address != rcv.listener.Addr().String() ||
			log[0].Duration <= 0 || log[0].Connect <= 0 || log[0].FirstByte <= 0 || !log[0].NextAt.IsZero() {
			t.Errorf("log %+v", log)
		}
	})
}

func TestRetriesUntilDelivered(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var n atomic.Int32
		rcv := newReceiver(t, func(*call) answer {
			return answer{status: []int{500, 500, 200}[min(int(n.Add(1)), 3)-1], body: "try " + fmt.Sprint(n.Load())}
		})
		d := w.run(t, nil)
		delivery := w.event(w.organisation("org_1", rcv.url()))
		d.Nudge("org_1")
		for attempt, step := range []time.Duration{5 * time.Second, 5 * time.Minute} {
			var got *kinora.Delivery
			eventually(t, "the next attempt to be scheduled", func() bool {
				got = w.delivery(delivery.ID)
				return got.Attempts == attempt+1
			})
			if got.State != kinora.DeliveryPending || got.LastStatus != 500 {
				t.Fatalf("after attempt %d: %+v", attempt+1, got)
			}
			last := w.log(delivery.ID)[attempt]
			if wait := got.DueAt.Sub(last.StartedAt); wait < step*9/10 || !last.NextAt.Equal(got.DueAt) {
				t.Errorf("the next attempt is at %v (%v after the last), logged as %v", got.DueAt, wait, last.NextAt)
			}
			w.clock.add(step*11/10 + time.Second)
			d.Wake()
		}
		w.until(t, delivery.ID, kinora.DeliveryDelivered)

		calls := rcv.seen()
		if len(calls) != 3 {
			t.Fatalf("%d attempts, want 3", len(calls))
		}
		official, _ := standard.NewWebhook(secretA)
		urls, signatures := map[string]bool{}, map[string]bool{}
		for i, c := range calls {
			if c.err != nil {
				t.Errorf("attempt %d does not verify: %v", i+1, c.err)
			}
			if err := official.VerifyIgnoringTimestamp(c.body, c.header); err != nil {
				t.Errorf("attempt %d: the official library: %v", i+1, err)
			}
			if c.header.Get("Webhook-Id") != delivery.EventID || c.header.Get("X-Katalo-Attempt") != fmt.Sprint(i+1) {
				t.Errorf("attempt %d has id %s, number %s", i+1, c.header.Get("Webhook-Id"), c.header.Get("X-Katalo-Attempt"))
			}
			urls[c.event.Outputs[0].URL], signatures[c.header.Get("Webhook-Signature")] = true, true
		}
		if len(urls) != 3 || len(signatures) != 3 {
			t.Errorf("URLs %d, signatures %d; each attempt has its own", len(urls), len(signatures))
		}
		log := w.log(delivery.ID)
		if len(log) != 3 || log[0].Fault != kinora.FaultHTTP || log[1].Response != "try 2" || log[2].Fault != kinora.FaultNone {
			t.Errorf("log %+v", log)
		}
	})
}

// TestOneAttemptEndsIt: answers and refusals after which nothing more is tried.
func TestOneAttemptEndsIt(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Hour) })
		gone := newReceiver(t, always(410))
		listed := newReceiver(t, always(200))
		// Where nothing is opened, a receiver on the loopback address must not see a connection.
		forbidden := newReceiver(t, always(200))
		tests := map[string]struct {
			rcv          *receiver
			organisation string
			url          string
			calls        int
			fault        kinora.Fault
			status       int
		}{
			"410":           {gone, w.organisation("org_gone", gone.url()), "", 1, kinora.FaultHTTP, 410},
			"not allowed":   {listed, w.organisation("org_listed", listed.url(), "hooks.example"), "", 0, kinora.FaultPolicy, 0},
			"not public":    {forbidden, w.organisation("org_private", ""), strings.Replace(forbidden.url(), "127.0.0.1", "[::ffff:127.0.0.1]", 1), 0, kinora.FaultPolicy, 0},
			"not a URL":     {forbidden, w.organisation("org_strange", ""), "https://", 0, kinora.FaultPolicy, 0},
			"refused later": {forbidden, w.organisation("org_named", ""), strings.Replace(forbidden.url(), "127.0.0.1", "localhost.localdomain", 1), 0, kinora.FaultPolicy, 0},
		}
		deliveries := map[string]*kinora.Delivery{}
		for name, tt := range tests {
			deliveries[name] = w.events(1, func(int) (string, string) { return tt.organisation, tt.url })[0]
		}
		d.Nudge("org_1")
		for name, tt := range tests {
			got := w.until(t, deliveries[name].ID, kinora.DeliveryDead)
			log := w.log(got.ID)
			if got.Attempts != 1 || got.LastStatus != tt.status || got.LastError == "" || got.FinishedAt.IsZero() {
				t.Errorf("%s: %+v", name, got)
			}
			if len(log) != 1 || log[0].Fault != tt.fault || log[0].Error != got.LastError {
				t.Errorf("%s: log %+v", name, log)
			}
			if n := len(tt.rcv.seen()); n != tt.calls {
				t.Errorf("%s: %d calls, want %d", name, n, tt.calls)
			}
		}
	})
}

// TestRefusedAtDial: the early check passes the name, and the address it resolves to is
// judged when it is dialled.
func TestRefusedAtDial(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	forbidden := newReceiver(t, always(200))
	guard := netguard.New(netguard.Config{AllowHTTP: true, Ports: []uint16{netip.MustParseAddrPort(forbidden.listener.Addr().String()).Port()}, Resolver: loopbackResolver{}})
	t.Cleanup(guard.Close)
	d := w.run(t, func(c *webhook.Config) { c.Guard, c.Client = guard, guard.WebhookClient() })
	delivery := w.event(w.organisation("org_1", strings.Replace(forbidden.url(), "127.0.0.1", "rebound.example.com", 1)))
	d.Nudge("org_1")
	got := w.until(t, delivery.ID, kinora.DeliveryDead)
	if log := w.log(got.ID); got.Attempts != 1 || log[0].Fault != kinora.FaultPolicy || strings.Contains(log[0].Error, "127.0.0.1") {
		t.Errorf("%+v, log %+v", got, log)
	}
	if n := len(forbidden.seen()); n != 0 {
		t.Errorf("the forbidden listener was called %d times", n)
	}
}

// TestTransientFailures: everything else is tried again.
func TestTransientFailures(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	target := newReceiver(t, always(200))
	redirect := newReceiver(t, func(*call) answer {
		return answer{status: 302, header: http.Header{"Location": {target.url()}}}
	})
	tests := map[string]struct {
		url    string
		status int
		fault  kinora.Fault
		text   string
	}{
		"302":       {redirect.url(), 302, kinora.FaultHTTP, "redirects are not followed"},
		"404":       {newReceiver(t, always(404)).url(), 404, kinora.FaultHTTP, "404"},
		"401":       {newReceiver(t, always(401)).url(), 401, kinora.FaultHTTP, "401"},
		"not there": {"http://127.0.0.1:1/hook", 0, kinora.FaultTCP, "connection refused"},
		"hangs up": {newReceiver(t, func(*call) answer {
			return answer{write: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
		}).url(), 0, kinora.FaultHTTP, "closed the connection"},
		"breaks off": {newReceiver(t, func(*call) answer { return answer{write: breakOff} }).url(), 200, kinora.FaultHTTP, "closed the connection"},
		"not HTTP":   {newReceiver(t, func(*call) answer { return answer{write: speakNonsense} }).url(), 0, kinora.FaultHTTP, "malformed"},
		"huge headers": {newReceiver(t, func(*call) answer {
			return answer{status: 200, header: http.Header{"X": {strings.Repeat("x", 200<<10)}}}
		}).url(), 0, kinora.FaultHTTP, "header"},
	}
	d := w.run(t, func(c *webhook.Config) {
		c.Schedule = steps(time.Hour)
	})
	deliveries := map[string]*kinora.Delivery{}
	for name, tt := range tests {
		deliveries[name] = w.event(w.organisation("org_"+strings.ReplaceAll(name, " ", "_"), tt.url))
	}
	d.Nudge("org_1")
	for name, tt := range tests {
		var got *kinora.Delivery
		eventually(t, name, func() bool { got = w.delivery(deliveries[name].ID); return got.Attempts == 1 })
		log := w.log(got.ID)
		if got.State != kinora.DeliveryPending || got.LastStatus != tt.status || got.DueAt.IsZero() {
			t.Errorf("%s: %+v", name, got)
		}
		if len(log) != 1 || log[0].Fault != tt.fault || !strings.Contains(log[0].Error, tt.text) {
			t.Errorf("%s: log %+v, want %q", name, log, tt.text)
		}
	}
	if n := len(target.seen()); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

// TestOneDeadlineOverEverything: a receiver that does not answer, or drips its answer, ends
// with the attempt's time.
func TestOneDeadlineOverEverything(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	release := make(chan struct{})
	defer close(release)
	hang := func(rw http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-release:
		}
	}
	drip := func(rw http.ResponseWriter, req *http.Request) {
		for req.Context().Err() == nil {
			if _, err := io.WriteString(rw, "."); err != nil {
				return
			}
			rw.(http.Flusher).Flush()
			select {
			case <-req.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	write := func(fn func(http.ResponseWriter, *http.Request)) func(*call) answer {
		return func(*call) answer { return answer{write: fn} }
	}
	d := w.run(t, func(c *webhook.Config) { c.Timeout, c.Schedule = 10*time.Second, steps(time.Hour) })
	hanging := w.event(w.organisation("org_hangs", newReceiver(t, write(hang)).url()))
	dripping := w.event(w.organisation("org_drips", newReceiver(t, write(drip)).url()))
	d.Nudge("org_1")
	for _, tt := range []struct {
		delivery *kinora.Delivery
		status   int
		text     string
	}{{hanging, 0, "timed out waiting for the answer"}, {dripping, 200, "timed out reading the answer"}} {
		eventually(t, "the attempt to end", func() bool { return w.delivery(tt.delivery.ID).Attempts == 1 })
		got, log := w.delivery(tt.delivery.ID), w.log(tt.delivery.ID)[0]
		if got.State != kinora.DeliveryPending || log.Status != tt.status || log.Fault != kinora.FaultHTTP || log.Error != tt.text {
			t.Errorf("%+v, log %+v", got, log)
		}
	}
}

func breakOff(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(rw, "begun")
	rw.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func speakNonsense(rw http.ResponseWriter, _ *http.Request) {
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
	_ = conn.Close()
}

func TestScheduleEndsDead(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(500))
		d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Millisecond, time.Millisecond, time.Millisecond) })
		delivery := w.event(w.organisation("org_1", rcv.url()))
		d.Nudge("org_1")
		got := w.until(t, delivery.ID, kinora.DeliveryDead)
		if n := len(rcv.seen()); n != 4 || got.Attempts != 4 || len(w.log(got.ID)) != 4 || !w.log(got.ID)[3].NextAt.IsZero() {
			t.Errorf("%d calls, %+v", n, got)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	limited := newReceiver(t, func(*call) answer { return answer{status: 429} })
	busy := newReceiver(t, func(*call) answer { return answer{status: 503, header: http.Header{"Retry-After": {"120"}}} })
	d := w.run(t, nil)
	a, b := w.event(w.organisation("org_a", limited.url())), w.event(w.organisation("org_b", busy.url()))
	d.Nudge("org_1")
	for _, tt := range []struct {
		delivery *kinora.Delivery
		least    time.Duration
	}{{a, time.Minute}, {b, 2 * time.Minute}} {
		var got *kinora.Delivery
		eventually(t, "the attempt", func() bool { got = w.delivery(tt.delivery.ID); return got.Attempts == 1 })
		if wait := got.DueAt.Sub(w.log(got.ID)[0].StartedAt); wait < tt.least || wait > 5*time.Minute {
			t.Errorf("waits %v, want at least %v", wait, tt.least)
		}
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	var n atomic.Int32
	rcv := newReceiver(t, func(*call) answer {
		if n.Add(1) < 4 {
			return answer{status: 500}
		}
		return answer{status: 200}
	})
	org := w.organisation("org_1", rcv.url())
	d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Hour, time.Hour, time.Hour, time.Hour) })
	rotation := [][]string{{secretA}, {secretB, secretA}, {secretB}, {imported}}
	w.secrets.set(org, rotation[0]...)
	delivery := w.event(org)
	d.Nudge("org_1")
	for attempt := range rotation {
		eventually(t, "an attempt", func() bool { return w.delivery(delivery.ID).Attempts == attempt+1 })
		if attempt+1 < len(rotation) {
			w.secrets.set(org, rotation[attempt+1]...) // before the next attempt is due
			w.clock.add(2 * time.Hour)
			d.Wake()
		}
	}
	calls := rcv.seen()
	a, _ := standard.NewWebhook(secretA)
	b, _ := standard.NewWebhook(secretB)
	for i, want := range []struct{ a, b, previous bool }{{true, false, false}, {true, true, true}, {false, true, false}} {
		h, body := calls[i].header, calls[i].body
		if got := a.VerifyIgnoringTimestamp(body, h) == nil; got != want.a {
			t.Errorf("attempt %d verifies with the old secret: %v", i+1, got)
		}
		if got := b.VerifyIgnoringTimestamp(body, h) == nil; got != want.b {
			t.Errorf("attempt %d verifies with the new secret: %v", i+1, got)
		}
		if got := h.Get("X-Katalo-Signature-Previous") != ""; got != want.previous {
			t.Errorf("attempt %d has a previous signature: %v", i+1, got)
		}
	}
	h := calls[3].header
	if len(h.Get("X-Katalo-Signature")) != 64 || h.Get("Webhook-Id") != "" || h.Get("Webhook-Signature") != "" || h.Get("Webhook-Timestamp") != "" {
		t.Errorf("with an imported secret: %v", h)
	}
}

func TestSecretsThatCannotBeHad(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	rcv := newReceiver(t, always(200))
	none := w.organisation("org_none", rcv.url())
	w.secrets.set(none)
	d := w.run(t, nil)
	delivery := w.event(none)
	d.Nudge("org_1")
	eventually(t, "the attempt", func() bool { return w.delivery(delivery.ID).Attempts == 1 })
	if log := w.log(delivery.ID); log[0].Fault != kinora.FaultOurs || !strings.Contains(log[0].Error, "no signing secret") {
		t.Errorf("log %+v", log)
	}

	// A key store that is away is nobody's attempt.
	w.secrets.mu.Lock()
	w.secrets.err = &kinora.Error{Code: kinora.ErrUnavailable, Message: "away"}
	w.secrets.mu.Unlock()
	other := w.event(w.organisation("org_other", rcv.url()))
	d.Nudge("org_1")
	eventually(t, "it to be given back", func() bool { return w.delivery(other.ID).Version >= 2 })
	if got := w.delivery(other.ID); got.Attempts != 0 {
		t.Errorf("counted as an attempt: %+v", got)
	}
	w.secrets.mu.Lock()
	w.secrets.err = errors.New("sealed under an unknown key: " + secretA)
	w.secrets.mu.Unlock()
	before := w.delivery(other.ID).Version
	w.clock.add(time.Minute)
	d.Wake()
	eventually(t, "it to be given back again", func() bool { return w.delivery(other.ID).Version >= before+2 })
	if got := w.delivery(other.ID); got.Attempts != 0 || strings.Contains(got.LastError, "whsec_") {
		t.Errorf("counted as an attempt, or a secret is shown: %+v", got)
	}
	w.secrets.mu.Lock()
	w.secrets.err = nil
	w.secrets.mu.Unlock()
	w.clock.add(time.Hour)
	d.Wake()
	w.until(t, other.ID, kinora.DeliveryDelivered)
	if n := len(rcv.seen()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestLogKeepsLittleAndNoSecrets(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	var status atomic.Int32
	status.Store(500)
	rcv := newReceiver(t, func(c *call) answer {
		return answer{status: int(status.Load()), body: "secret " + secretA + " body " + string(c.body) + "\x00\xff" + strings.Repeat("z", 100<<10)}
	})
	d := w.run(t, func(c *webhook.Config) { c.Schedule = steps(time.Hour) })
	delivery := w.event(w.organisation("org_1", rcv.url()))
	d.Nudge("org_1")
	eventually(t, "the attempt", func() bool { return w.delivery(delivery.ID).Attempts == 1 })
	status.Store(200)
	w.clock.add(2 * time.Hour)
	d.Wake()
	w.until(t, delivery.ID, kinora.DeliveryDelivered)
	log := w.log(delivery.ID)
	for i, limit := range []int{4096, 256} {
		text := log[i].Response
		if len(text) > limit || len(text) < limit-3 {
			t.Errorf("attempt %d keeps %d bytes, want about %d", i+1, len(text), limit)
		}
		for _, hidden := range []string{secretA, "signature-0000", "\x00"} {
			if strings.Contains(text, hidden) {
				t.Errorf("attempt %d shows %q: %q", i+1, hidden, text)
			}
		}
		contains(t, text, "secret [hidden] body ")
	}
}

func TestABugInOneAttemptHurtsNobodyElse(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	rcv := newReceiver(t, always(200))
	org := w.organisation("org_1", rcv.url())
	first := w.event(org)
	var broken atomic.Value
	broken.Store(first.GenerationID)
	d := w.run(t, func(c *webhook.Config) {
		c.FileURL = func(key string) (string, time.Time) {
			if strings.Contains(key, broken.Load().(string)) {
				panic("a bug")
			}
			return w.link(key)
		}
	})
	more := w.events(20, func(int) (string, string) { return org, "" })
	d.Nudge("org_1")
	for _, x := range more {
		w.until(t, x.ID, kinora.DeliveryDelivered)
	}
	eventually(t, "the failed attempt", func() bool { return w.delivery(first.ID).Attempts >= 1 })
	if log := w.log(first.ID); log[0].Fault != kinora.FaultOurs {
		t.Errorf("log %+v", log)
	}
	broken.Store("nothing")
	w.clock.add(time.Hour)
	d.Wake()
	w.until(t, first.ID, kinora.DeliveryDelivered)
}
