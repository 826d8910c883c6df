package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/netguard/netguardtest"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/webhook"
)

// outside is a whole program whose guard sees names and public addresses of the test's own. Behind every public address
// is one local server; on the loopback address is a listener that nobody may reach.
type outside struct {
	t         *testing.T
	app       *app.App
	forbidden *netguardtest.Forbidden
	public    *httptest.Server
	upstream  *httptest.Server
	vectors   []netguardtest.Vector
	tester    string // organisation that sends test events

	mu      sync.Mutex
	reached map[string]int // requests at the public server, by Host
	outputs map[string]string
	rebound int // look-ups of rebind.test
}

// newOutside starts it; timeout is how long a receiver of webhooks may take.
func newOutside(t *testing.T, timeout time.Duration) *outside {
	o := &outside{t: t, forbidden: netguardtest.NewForbidden(t), reached: map[string]int{}, outputs: map[string]string{}}
	o.vectors = netguardtest.Vectors(o.forbidden.Port())
	o.public = httptest.NewServer(http.HandlerFunc(o.servePublic))
	t.Cleanup(o.public.Close)
	o.upstream = httptest.NewServer(http.HandlerFunc(o.serveUpstream))
	t.Cleanup(o.upstream.Close)
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	// As open as an operator can make it without naming a private address.
	cfg.Webhooks.AllowHTTP, cfg.Network.Ports = true, []uint16{o.forbidden.Port()}
	cfg.Webhooks.Timeout, cfg.Uploads.PerMinute = config.Duration(timeout), 1_000_000
	cfg.Limits.API.SourceAssetsCreate, cfg.Limits.API.SourceURLFetches = 0, 0
	off := false
	cfg.Sandbox.Enabled = &off
	cfg.Accounts = []config.Account{{Name: "up", Provider: "sandbox", BaseURL: o.upstream.URL, Settings: map[string]config.Secret{"api_key": "k"}, MaxInFlight: 1000}}
	a, err := app.New(t.Context(), cfg, app.Options{
		Timing: lifecycle.Timing{Idle: 50 * time.Millisecond, Beat: 2 * time.Second, Backoff: 0.001},
		Guard: func(g *netguard.Config) {
			g.Resolver, g.Dial = o, netguardtest.Behind(o.public.Listener.Addr().String())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = a.Stop(ctx)
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.app = a
	return o
}

// LookupNetIP answers for rebind.test with a public address first and a private one ever after.
func (o *outside) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	names := netguardtest.Resolver(netguardtest.Names())
	for _, name := range []string{"endless.test", "gzip.test", "drip.test", "redirect.test", "headers.test"} {
		names[name] = []string{"93.184.216.34"}
	}
	if host == "rebind.test." {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.rebound++; o.rebound == 1 {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return names.LookupNetIP(ctx, network, host)
}

func (o *outside) servePublic(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.reached[r.Host]++
	o.mu.Unlock()
	host, _, _ := strings.Cut(r.Host, ":")
	switch host {
	case "rebind.test":
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusInternalServerError)
	case "redirect.test":
		w.Header().Set("Location", "http://"+o.forbidden.Addr()+"/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case "endless.test", "drip.test":
		w.WriteHeader(http.StatusInternalServerError)
		for chunk := bytes.Repeat([]byte("x"), 64<<10); ; {
			if host == "drip.test" {
				chunk = chunk[:1]
			}
			if _, err := w.Write(chunk); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			if host == "drip.test" {
				select {
				case <-r.Context().Done():
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}
	case "gzip.test":
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusInternalServerError)
		z := gzip.NewWriter(w)
		_, _ = io.CopyN(z, zeros{}, 64<<20)
		_ = z.Close()
	default:
		_ = png.Encode(w, image.NewGray(image.Rect(0, 0, 8, 8)))
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// serveUpstream speaks the sandbox's protocol. Every job has succeeded, and its output lies where its prompt says.
func (o *outside) serveUpstream(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Method == http.MethodPost {
		var job struct {
			Prompt string `json:"prompt"`
		}
		_ = json.NewDecoder(r.Body).Decode(&job)
		name := fmt.Sprint("job", len(o.outputs))
		o.outputs[name] = job.Prompt
		fmt.Fprintf(w, `{"id":%q,"status":"queued"}`, name)
		return
	}
	list := []map[string]any{}
	for _, name := range strings.Split(r.URL.Query().Get("ids"), ",") {
		if url, ok := o.outputs[name]; ok {
			list = append(list, map[string]any{"id": name, "status": "succeeded", "outputs": []any{map[string]any{"url": url, "type": "image"}}})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"jobs": list})
}

// call sends JSON with an API key, or the admin token, and returns status and answer.
func (o *outside) call(method, path, bearer string, body any) (int, map[string]any) {
	o.t.Helper()
	return o.send(method, path, bearer, body, func(*http.Request) {})
}

func (o *outside) send(method, path, bearer string, body any, change func(*http.Request)) (int, map[string]any) {
	o.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.app.LocalURL()+path, bytes.NewReader(text))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	change(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, answer
}

// callOnce is call with the organisation's key, for a write that needs an idempotency key.
func (o *outside) callOnce(method, path, once string, body any) (int, map[string]any) {
	o.t.Helper()
	return o.send(method, path, o.app.Bootstrapped().KeyText, body, func(r *http.Request) { r.Header.Set("Idempotency-Key", once) })
}

// submit makes a generation whose output lies at output; it returns no id where the request was refused.
func (o *outside) submit(output, hook string) (int, string) {
	body := map[string]any{"model": "sandbox-image", "input": map[string]any{"prompt": output, "size": "64x64"}}
	if hook != "" {
		body["webhook"] = map[string]any{"url": hook}
	}
	status, answer := o.call("POST", "/api/generate/submit", o.app.Bootstrapped().KeyText, body)
	data, _ := answer["data"].(map[string]any)
	task, _ := data["task_id"].(string)
	return status, task
}

const goodOutput = "http://93.184.216.34/out.png"

// ended waits until a generation has ended and tells how.
func (o *outside) ended(task string) kinora.GenerationState {
	o.t.Helper()
	var state kinora.GenerationState
	o.until("the end of "+task, func(tx *store.Tx) bool {
		g, err := tx.Generation("", task)
		if err != nil {
			o.t.Fatal(err)
		}
		state = g.State
		return state.Terminal()
	})
	return state
}

func (o *outside) until(what string, done func(tx *store.Tx) bool) {
	o.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		ok := false
		err := o.app.View(o.t.Context(), func(tx *store.Tx) error { ok = done(tx); return nil })
		if err != nil {
			o.t.Fatal(err)
		}
		if ok {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatal("never came: " + what)
		}
		time.Sleep(20 * time.Millisecond) // a look, not a wait for luck
	}
}

// deliver writes deliveries of a generation's event straight into the database, past every check of what is stored.
func (o *outside) deliver(task string, urls []string) (ids []string) {
	o.t.Helper()
	err := o.app.Update(o.t.Context(), func(tx *store.Tx) error {
		var event, organisation string
		if err := tx.QueryRow(`SELECT id, organisation_id FROM events WHERE generation_id = ?`, task).Scan(&event, &organisation); err != nil {
			return err
		}
		now := time.Now()
		var list []*kinora.Delivery
		for _, url := range urls {
			d := &kinora.Delivery{ID: id.New(id.Delivery, now), EventID: event, OrganisationID: organisation, GenerationID: task, URL: url,
				Destination: webhook.Destination(organisation, url), State: kinora.DeliveryPending, DueAt: now, CreatedAt: now}
			list, ids = append(list, d), append(ids, d.ID)
		}
		return tx.InsertDeliveries(list)
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return ids
}

// testPath is where the i-th test event is sent from: an organisation has few of them a minute.
func (o *outside) testPath(i int) string {
	o.t.Helper()
	if i%4 == 0 || o.tester == "" {
		_, answer := o.call("POST", "/admin/v1/organisations", o.app.AdminToken(), map[string]any{"name": fmt.Sprint("tester ", i)})
		o.tester, _ = answer["id"].(string)
	}
	return "/admin/v1/organisations/" + o.tester + "/webhook-test"
}

// attempted waits until each delivery has that many logged attempts, and returns the last of each.
func (o *outside) attempted(ids []string, attempts int) map[string]kinora.DeliveryAttempt {
	o.t.Helper()
	last := map[string]kinora.DeliveryAttempt{}
	o.until("attempts", func(tx *store.Tx) bool {
		for _, id := range ids {
			if _, ok := last[id]; ok {
				continue
			}
			log, err := tx.DeliveryAttempts(id)
			if err != nil {
				o.t.Fatal(err)
			}
			if len(log) < attempts {
				return false
			}
			last[id] = log[len(log)-1]
		}
		return true
	})
	return last
}

// wantRefused asserts that every attempt ended at the guard and told nothing of where the URL would have led.
func (o *outside) wantRefused(ids []string, last map[string]kinora.DeliveryAttempt) {
	o.t.Helper()
	for i, id := range ids {
		a := last[id]
		if a.Fault != kinora.FaultPolicy || a.Address != "" || a.DNS != 0 || a.Connect != 0 {
			o.t.Errorf("%s: fault %q (%s), address %q", o.vectors[i].URL, a.Fault, a.Error, a.Address)
		}
	}
}

// Every vector is tried when it is stored and when it is dialled, through every way out that a caller, an operator or an
// upstream chooses the address of. The proof is the listener that accepted nothing.
func TestNoWayOutLeadsInside(t *testing.T) {
	o := newOutside(t, time.Minute)
	if len(o.vectors) < 120 {
		t.Fatalf("%d vectors", len(o.vectors))
	}
	_, task := o.submit(goodOutput, "")
	if state := o.ended(task); state != kinora.GenerationSucceeded {
		t.Fatalf("the generation %s", state)
	}
	var urls []string
	for _, v := range o.vectors {
		urls = append(urls, v.URL)
	}

	t.Run("webhook of a request", func(t *testing.T) {
		for i, v := range o.vectors {
			status, task := o.submit(goodOutput, v.URL)
			switch {
			case status != http.StatusOK && status != http.StatusBadRequest:
				t.Errorf("%s: answered %d", v.URL, status)
			case (status == http.StatusOK) != (v.Early == "") && v.URL != "" && !strings.HasPrefix(strings.ToLower(v.URL), "http:"):
				t.Errorf("%s: answered %d", v.URL, status)
			case task != "" && v.URL != "":
				o.ended(task)
				var ids []string
				o.until("deliveries", func(tx *store.Tx) bool {
					list, err := tx.DeliveriesOf(task)
					if err != nil {
						t.Fatal(err)
					}
					ids = nil
					for _, d := range list {
						ids = append(ids, d.ID)
					}
					return true
				})
				if a := o.attempted(ids, 1)[ids[0]]; a.Fault != kinora.FaultPolicy {
					t.Errorf("%s (%d): fault %q", v.URL, i, a.Fault)
				}
			}
		}
		o.forbidden.AssertUntouched()
	})
	t.Run("default of an organisation", func(t *testing.T) {
		org := "/admin/v1/organisations/" + o.app.Bootstrapped().Organisation.ID
		for _, v := range o.vectors {
			if v.URL == "" {
				continue
			}
			status, _ := o.call("PATCH", org, o.app.AdminToken(), map[string]any{"default_webhook": v.URL})
			if status != http.StatusOK && status != http.StatusBadRequest || status == http.StatusOK && v.Early != "" {
				t.Errorf("%s: answered %d", v.URL, status)
			}
		}
		if status, _ := o.call("PATCH", org, o.app.AdminToken(), map[string]any{"default_webhook": ""}); status != http.StatusOK {
			t.Errorf("answered %d", status)
		}
	})
	t.Run("endpoint", func(t *testing.T) {
		_, org := o.call("POST", "/admin/v1/organisations", o.app.AdminToken(), map[string]any{"name": "endpoints"})
		path := fmt.Sprintf("/admin/v1/organisations/%s/endpoints", org["id"])
		for i, v := range o.vectors {
			status, answer := o.call("POST", path, o.app.AdminToken(), map[string]any{"name": fmt.Sprint("e", i), "url": v.URL})
			if status != http.StatusBadRequest && (status != http.StatusCreated || v.Early != "") && status != http.StatusConflict {
				t.Errorf("%s: answered %d %v", v.URL, status, answer)
			}
			if status != http.StatusCreated {
				continue
			}
			if status, answer := o.call("POST", fmt.Sprintf("/admin/v1/organisations/%s/webhook-test", org["id"]), o.app.AdminToken(), map[string]any{"endpoint_id": answer["id"]}); status == http.StatusOK {
				if attempt, _ := answer["attempt"].(map[string]any); attempt["fault"] != "policy" {
					t.Errorf("%s: test event %v", v.URL, answer)
				}
			}
			// An organisation has only so many.
			if status, _ := o.call("DELETE", fmt.Sprint(path, "/", answer["id"]), o.app.AdminToken(), nil); status != http.StatusNoContent {
				t.Errorf("%s: removed with %d", v.URL, status)
			}
		}
		for name, value := range map[string]string{
			"X-A": "b\r\nHost: 127.0.0.1", "X-B": "b\nX-C: d", "X-D\r\nX-E": "f", "X G": "h", "X-I:": "j", "Host": "127.0.0.1", "host": "127.0.0.1",
			"Content-Length": "0", "Transfer-Encoding": "chunked", "Connection": "close", "Webhook-Signature": "v1,x", "x-katalo-signature": "x",
			"Proxy-Authorization": "x", "": "x", "X-K": "\x00", "X-L": "\x7f", "Upgrade": "h2c", "Te": "trailers", "Trailer": "x", "Cookie": "a=b\r\n",
		} {
			status, answer := o.call("POST", path, o.app.AdminToken(), map[string]any{"name": "headers", "url": "https://93.184.216.34/", "headers": map[string]any{name: value}})
			if status != http.StatusBadRequest {
				t.Errorf("header %q: %q: answered %d %v", name, value, status, answer)
			}
		}
		o.forbidden.AssertUntouched()
	})
	var ids []string
	t.Run("delivery", func(t *testing.T) {
		ids = o.deliver(task, urls)
		o.wantRefused(ids, o.attempted(ids, 1))
		o.forbidden.AssertUntouched()
	})
	t.Run("redelivery", func(t *testing.T) {
		for _, id := range ids {
			if status, _ := o.call("POST", "/admin/v1/deliveries/"+id+"/redeliver", o.app.AdminToken(), nil); status != http.StatusAccepted {
				t.Fatalf("answered %d", status)
			}
		}
		o.wantRefused(ids, o.attempted(ids, 2))
		o.forbidden.AssertUntouched()
	})
	t.Run("replay", func(t *testing.T) {
		status, answer := o.call("POST", "/admin/v1/replays", o.app.AdminToken(), map[string]any{
			"organisation_id": o.app.Bootstrapped().Organisation.ID, "since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "rate": 1000})
		if status != http.StatusAccepted {
			t.Fatalf("answered %d %v", status, answer)
		}
		o.wantRefused(ids, o.attempted(ids, 3))
		o.forbidden.AssertUntouched()
	})
	t.Run("test event", func(t *testing.T) {
		for i, v := range o.vectors {
			if v.URL == "" {
				continue // nothing stands for the default
			}
			status, answer := o.call("POST", o.testPath(i), o.app.AdminToken(), map[string]any{"url": v.URL})
			attempt, _ := answer["attempt"].(map[string]any)
			if status != http.StatusBadRequest && (status != http.StatusOK || answer["delivered"] != false || attempt["fault"] != "policy" || attempt["address"] != "") {
				t.Errorf("%s: answered %d %v", v.URL, status, answer)
			}
			if status == http.StatusBadRequest && v.Early == "" {
				t.Errorf("%s: refused by its text: %v", v.URL, answer)
			}
		}
		o.forbidden.AssertUntouched()
	})
	t.Run("upload by URL", func(t *testing.T) {
		for _, url := range urls {
			status, answer := o.call("POST", "/api/common/upload/url", o.app.Bootstrapped().KeyText, map[string]any{"file_url": url})
			if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity || strings.Contains(fmt.Sprint(answer), "127.0.0.1") {
				t.Errorf("%s: answered %d %v", url, status, answer)
			}
		}
		o.forbidden.AssertUntouched()
	})
	t.Run("source image", func(t *testing.T) {
		ingests := map[string]string{}
		for i, v := range o.vectors {
			status, answer := o.callOnce("POST", "/api/v1/source-assets", fmt.Sprint("vector ", i), map[string]any{"source_url": v.URL})
			refused := status == http.StatusUnprocessableEntity || status == http.StatusBadRequest
			if status != http.StatusAccepted && !refused || status == http.StatusAccepted && v.Early != "" && !strings.HasPrefix(strings.ToLower(v.URL), "http:") ||
				strings.Contains(fmt.Sprint(answer), "127.0.0.1") {
				t.Errorf("%s: answered %d %v", v.URL, status, answer)
			}
			if ingest, ok := answer["ingest_id"].(string); ok {
				ingests[ingest] = v.URL
			}
		}
		for ingest, url := range ingests {
			var a *kinora.SourceAsset
			o.until("the end of the ingest of "+url, func(tx *store.Tx) bool {
				var err error
				if a, err = tx.Ingest("", ingest); err != nil {
					t.Fatal(err)
				}
				return a.State.Terminal()
			})
			if a.State != kinora.AssetFailed || a.Failure.Code != kinora.FailureSourceUnreachable || a.Tries != 0 || strings.Contains(a.Failure.Message, "127.0.0.1") {
				t.Errorf("%s: %s %+v after %d tries", url, a.State, a.Failure, a.Tries)
			}
		}
		if len(ingests) == 0 {
			t.Error("no vector got as far as the fetch")
		}
		o.forbidden.AssertUntouched()
	})
	t.Run("output download", func(t *testing.T) {
		tasks := map[string]string{}
		for _, url := range urls {
			if strings.TrimSpace(url) == "" {
				continue
			}
			_, task := o.submit(url, "")
			if task == "" {
				continue // the prompt itself cannot be sent: too long, or not UTF-8
			}
			tasks[task] = url
		}
		if len(tasks) < 120 {
			t.Errorf("only %d outputs were tried", len(tasks))
		}
		for task, url := range tasks {
			if state := o.ended(task); state != kinora.GenerationFailed {
				t.Errorf("%s: the generation %s", url, state)
			}
		}
		o.forbidden.AssertUntouched()
	})
}

// What is right beside the refused blocks stays reachable, by all the same ways.
func TestPublicNeighboursAreReached(t *testing.T) {
	o := newOutside(t, time.Minute)
	_, task := o.submit(goodOutput, "")
	o.ended(task)
	var urls []string
	for _, address := range netguardtest.PublicNeighbours() {
		host := netip.MustParseAddr(address).String() // in the one spelling that is sent
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		urls = append(urls, "http://"+host+"/neighbour")
	}
	for _, hook := range urls {
		if status, task := o.submit(hook, hook); status != http.StatusOK || o.ended(task) != kinora.GenerationSucceeded {
			t.Errorf("%s: answered %d, or its output was not fetched", hook, status)
		}
		if status, answer := o.call("POST", "/api/common/upload/url", o.app.Bootstrapped().KeyText, map[string]any{"file_url": hook}); status != http.StatusOK {
			t.Errorf("%s: upload answered %d %v", hook, status, answer)
		}
	}
	for i, hook := range urls {
		if status, answer := o.call("POST", o.testPath(i), o.app.AdminToken(), map[string]any{"url": hook}); status != http.StatusOK || answer["delivered"] != true {
			t.Errorf("%s: test event answered %d %v", hook, status, answer)
		}
	}
	ids := o.deliver(task, urls)
	for id, a := range o.attempted(ids, 1) {
		if a.Status != http.StatusOK || a.Address == "" {
			t.Errorf("%s: status %d, %q", id, a.Status, a.Error)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, url := range urls {
		// Twice by webhook, once as a test, as an output and as an upload; the first webhook may still be on its way.
		if host := strings.Split(url, "/")[2]; o.reached[host] < 4 {
			t.Errorf("%s was reached %d times", host, o.reached[host])
		}
	}
	o.forbidden.AssertUntouched()
}

// Receivers that lie about where they are, redirect inside, or never end.
func TestHostileReceivers(t *testing.T) {
	o := newOutside(t, 10*time.Second) // drip.test takes all of it
	_, task := o.submit(goodOutput, "")
	o.ended(task)
	port := fmt.Sprint(o.forbidden.Port())
	ids := o.deliver(task, []string{"http://rebind.test:" + port + "/", "http://redirect.test/", "http://endless.test/", "http://gzip.test/", "http://drip.test/"})
	first := o.attempted(ids, 1)
	for i, want := range []struct {
		status int
		fault  kinora.Fault
		says   string
	}{
		{500, kinora.FaultHTTP, ""},
		{307, kinora.FaultHTTP, "redirects are not followed"},
		{500, kinora.FaultHTTP, ""},
		{500, kinora.FaultHTTP, ""},
		{500, kinora.FaultHTTP, "timed out"},
	} {
		a := first[ids[i]]
		if a.Status != want.status || a.Fault != want.fault || !strings.Contains(a.Error, want.says) || len(a.Response) > 8<<10 {
			t.Errorf("%d: status %d, fault %q, error %q, %d bytes of the answer", i, a.Status, a.Fault, a.Error, len(a.Response))
		}
	}
	// The second look-up of rebind.test answers with the forbidden listener's address.
	o.until("the second attempt", func(tx *store.Tx) bool {
		log, err := tx.DeliveryAttempts(ids[0])
		if err != nil {
			t.Fatal(err)
		}
		return len(log) > 1 && log[1].Fault == kinora.FaultPolicy && log[1].Address == ""
	})
	for _, url := range []string{"http://redirect.test/", "http://rebind.test:" + port + "/"} {
		if status, _ := o.call("POST", "/api/common/upload/url", o.app.Bootstrapped().KeyText, map[string]any{"file_url": url}); status != http.StatusBadRequest {
			t.Errorf("upload from %s: answered %d", url, status)
		}
		_, task := o.submit(url, "")
		if state := o.ended(task); state != kinora.GenerationFailed {
			t.Errorf("output at %s: the generation %s", url, state)
		}
	}
	o.forbidden.AssertUntouched()
}
