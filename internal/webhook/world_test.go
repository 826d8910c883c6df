package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	verify "github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretA  = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	secretB  = "whsec_b3RoZXJzZWNyZXRvdGhlcnNlY3JldG90aGVyc2VjMzI="
	imported = "an-imported-secret"
)

// call is one POST as a receiver saw it.
type call struct {
	header http.Header
	path   string
	body   []byte
	event  verify.Event
	err    error // of the verification
	ctx    context.Context
}

func (c *call) job() string { return c.event.JobID }

// answer is what a receiver says.
type answer struct {
	status int
	header http.Header
	body   string
	write  func(http.ResponseWriter, *http.Request) // instead of all else
}

// receiver is a real HTTP server on the loopback address that verifies what it gets.
type receiver struct {
	listener net.Listener
	mu       sync.Mutex
	calls    []*call
}

func newReceiver(t testing.TB, handle func(*call) answer) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := verify.NewVerifier([]string{secretA, secretB}, verify.WithTolerance(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{listener: l}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		c := &call{header: req.Header, path: req.URL.Path, body: body, ctx: req.Context()}
		c.event, c.err = verifier.Verify(req.Header, body)
		r.mu.Lock()
		r.calls = append(r.calls, c)
		r.mu.Unlock()
		a := handle(c)
		if a.write != nil {
			a.write(w, req)
			return
		}
		for k, v := range a.header {
			w.Header()[k] = v
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return r
}

func always(status int) func(*call) answer {
	return func(*call) answer { return answer{status: status} }
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() + "/hook" }

func (r *receiver) seen() []*call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// secrets is a webhook.Secrets that tests change as they go.
type secrets struct {
	mu    sync.Mutex
	texts map[string][]string // organisation → texts; missing = secretA
	err   error
}

func (s *secrets) WebhookSecrets(_ context.Context, organisation string) ([]kinora.WebhookSecret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	texts, ok := s.texts[organisation]
	if !ok {
		texts = []string{secretA}
	}
	var list []kinora.WebhookSecret
	for _, text := range texts {
		list = append(list, kinora.WebhookSecret{Text: text})
	}
	return list, nil
}

// EndpointHeaders takes the text as it lies there: JSON.
func (s *secrets) EndpointHeaders(e *kinora.Endpoint) (headers map[string]string, err error) {
	if e.SealedHeaders == "" {
		return nil, nil
	}
	return headers, json.Unmarshal([]byte(e.SealedHeaders), &headers)
}

func (s *secrets) set(organisation string, texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[organisation] = texts
}

// clock is the real one, moved forward by what a test adds, until it is stopped.
type clock struct {
	mu      sync.Mutex
	ahead   time.Duration
	stopped time.Time // zero = it goes
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

// stop lets only add move it from now on.
func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = time.Now()
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// world is a database with all that a dispatcher needs around it.
type world struct {
	t       testing.TB
	db      *store.DB
	guard   *netguard.Guard
	secrets *secrets
	clock   *clock
	link    webhook.FileURL
}

func newWorld(t testing.TB, db *store.DB) *world {
	t.Helper()
	guard := netguard.New(netguard.Config{AllowHTTP: true, AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ConnectTimeout: time.Minute})
	t.Cleanup(guard.Close)
	w := &world{t: t, db: db, guard: guard, secrets: &secrets{texts: map[string][]string{}}, clock: &clock{}}
	var (
		mu sync.Mutex
		n  int
	)
	w.link = func(key string) (string, time.Time) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("https://files.example/%s?n=%d&sig=signature-%06d", key, n, n), w.clock.now().Add(15 * time.Minute)
	}
	return w
}

func (w *world) update(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) view(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.View(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// organisation makes an organisation with a default callback URL.
func (w *world) organisation(name, url string, allowed ...string) string {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		return tx.InsertOrganisation(&kinora.Organisation{ID: name, Name: name, DefaultWebhook: url, WebhookHosts: allowed, CreatedAt: w.clock.now()})
	})
	return name
}

// events ends n generations, each in an organisation and with a URL of its own ("" = the
// organisation's default), as the lifecycle does, and returns their deliveries. A hundred share a
// transaction: on a busy machine PostgreSQL would not be done with many more before the store gives up.
func (w *world) events(n int, of func(i int) (organisation, url string), committed ...func(job string)) []*kinora.Delivery {
	w.t.Helper()
	var all []*kinora.Delivery
	for from := 0; from < n; from += 100 {
		var jobs []string
		w.update(func(tx *store.Tx) error {
			jobs = jobs[:0]
			for i := from; i < min(n, from+100); i++ {
				organisation, url := of(i)
				now := w.clock.now()
				g := &kinora.Generation{ID: id.New(id.Job, now), OrganisationID: organisation, Surface: kinora.SurfaceGenerations,
					Model: "m", Kind: kinora.KindImage, State: kinora.GenerationQueued, WebhookURL: url,
					Metadata: []byte(fmt.Sprintf(`{"i": %d}`, i)), CreatedAt: now, UpdatedAt: now, DeadlineAt: now.Add(time.Hour)}
				ds, err := w.end(tx, g, now)
				if err != nil {
					return err
				}
				all = append(all, ds...)
				jobs = append(jobs, g.ID)
			}
			return nil
		})
		for _, fn := range committed {
			for _, job := range jobs {
				fn(job)
			}
		}
	}
	return all
}

// end finishes a generation with one output, its event and its deliveries.
func (w *world) end(tx *store.Tx, g *kinora.Generation, now time.Time) ([]*kinora.Delivery, error) {
	if err := tx.InsertGeneration(g); err != nil {
		return nil, err
	}
	to, failure := kinora.GenerationSucceeded, (*kinora.Failure)(nil)
	if g.Failure != nil {
		to, failure = kinora.GenerationFailed, g.Failure
	}
	if err := g.Finish(to, failure, now); err != nil {
		return nil, err
	}
	if err := tx.FinishGeneration(g); err != nil {
		return nil, err
	}
	if to == kinora.GenerationSucceeded {
		err := tx.InsertOutputs([]kinora.Output{{ID: id.New(id.Output, now), GenerationID: g.ID, State: kinora.OutputPublished, BlobKey: "out/" + g.ID + ".png",
			Kind: kinora.KindImage, ContentType: "image/png", Width: 640, Height: 480, CreatedAt: now}}, 30*24*time.Hour)
		if err != nil {
			return nil, err
		}
	}
	e := &kinora.Event{ID: id.New(id.Event, now), OrganisationID: g.OrganisationID, GenerationID: g.ID, Type: kinora.EventTypeOf(to), CreatedAt: now}
	return webhook.Emit(tx, e, g, now)
}

// event ends one generation for an organisation's default URL.
func (w *world) event(organisation string) *kinora.Delivery {
	w.t.Helper()
	return w.events(1, func(int) (string, string) { return organisation, "" })[0]
}

// config has a time-out that no attempt reaches: where a machine stalls, a second attempt at what its receiver has seen would be
// counted. Tests of time-outs have their own.
func (w *world) config() webhook.Config {
	return webhook.Config{DB: w.db, Node: "node_1", Guard: w.guard, Client: w.guard.WebhookClient(), Secrets: w.secrets,
		FileURL: w.link, Version: "1.2.3", Timeout: time.Hour, Now: w.clock.now}
}

func (w *world) dispatcher(t testing.TB, change func(*webhook.Config)) *webhook.Dispatcher {
	t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	d, err := webhook.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return d
}

func (w *world) start(t testing.TB, d *webhook.Dispatcher) {
	t.Helper()
	if err := d.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// run makes and starts a dispatcher.
func (w *world) run(t testing.TB, change func(*webhook.Config)) *webhook.Dispatcher {
	t.Helper()
	d := w.dispatcher(t, change)
	w.start(t, d)
	return d
}

func (w *world) delivery(deliveryID string) *kinora.Delivery {
	w.t.Helper()
	var d *kinora.Delivery
	w.view(func(tx *store.Tx) (err error) {
		d, err = tx.Delivery("", deliveryID)
		return err
	})
	return d
}

func (w *world) log(deliveryID string) []kinora.DeliveryAttempt {
	w.t.Helper()
	var list []kinora.DeliveryAttempt
	w.view(func(tx *store.Tx) (err error) {
		list, err = tx.DeliveryAttempts(deliveryID)
		return err
	})
	return list
}

// count counts deliveries by a condition on their columns.
func (w *world) count(where string, args ...any) int {
	w.t.Helper()
	n := 0
	w.view(func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM deliveries WHERE `+where, args...).Scan(&n)
	})
	return n
}

// settled waits until no delivery is on its way any more.
func (w *world) settled(t testing.TB) {
	t.Helper()
	last, since := -1, time.Now()
	for {
		left := w.count(`state NOT IN ('delivered', 'dead')`)
		switch {
		case left == 0:
			return
		case left != last:
			last, since = left, time.Now()
		case time.Since(since) > 3*time.Minute:
			t.Fatalf("%d deliveries have not ended: pending %d, held %d, leased %d", left,
				w.count(`due_at > 0`), w.count(`state = 'held'`), w.count(`lease_owner <> ''`))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// until waits until a delivery is in a state.
func (w *world) until(t testing.TB, deliveryID string, state kinora.DeliveryState) *kinora.Delivery {
	t.Helper()
	var d *kinora.Delivery
	eventually(t, "delivery "+deliveryID+" to be "+string(state), func() bool {
		d = w.delivery(deliveryID)
		return d.State == state && d.LeaseOwner == ""
	})
	return d
}

// eventually waits for a condition that other goroutines bring about. The limit only ends a
// test that has failed already.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// steps is a schedule without jitter.
func steps(list ...time.Duration) *webhook.Schedule { return &webhook.Schedule{Steps: list} }

func quantile(list []time.Duration, q float64) time.Duration {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

func contains(t testing.TB, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}

// loopbackResolver says that every name is on the loopback address.
type loopbackResolver struct{}

func (loopbackResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}
