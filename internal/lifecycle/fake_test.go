package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// fake is an upstream whose every answer a test decides. It counts what it created, so
// that a test can say "nothing was paid twice".
type fake struct {
	mu      sync.Mutex
	jobs    map[string]*fakeJob // by upstream id
	byRef   map[string][]string // client ref → upstream ids created for it
	polls   int
	outputs *httptest.Server

	describe provider.Description
	// submit decides the answer of the n-th submit call (from 1) for a client ref, after the
	// job was created when create is true. nil = create and accept.
	submit func(n int, req provider.Request) (create bool, err error)
	// hang, if not nil, holds submit calls until it is closed or their context ends; a call
	// that ends by its context has created nothing.
	hang    chan struct{}
	reached chan struct{}
	// name decides the upstream's id of a job; nil = a new one for each.
	name func(req provider.Request) string
	// answering is called between the making of a job and the answer to its submit call.
	answering func(j *fakeJob)
	// took is how long a job runs.
	took time.Duration
	// report may override what a finished job reports.
	report func(j *fakeJob) *provider.Report
	// noReconcile hides jobs from Reconcile.
	reconcileErr error
	submits      map[string]int
	canceled     []string
}

type fakeJob struct {
	id, ref string
	url     string
	at      time.Time
	request provider.Request
}

func newFake(t testing.TB) *fake {
	t.Helper()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewRGBA(image.Rect(0, 0, 8, 4))); err != nil {
		t.Fatal(err)
	}
	f := &fake{reached: make(chan struct{}, 100), jobs: map[string]*fakeJob{}, byRef: map[string][]string{}, submits: map[string]int{}}
	f.describe = provider.Description{Traits: batchOf(50), Poll: provider.Pace{First: 20 * time.Millisecond, Interval: 20 * time.Millisecond, Ceiling: 100 * time.Millisecond}}
	f.outputs = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(picture.Bytes())
	}))
	t.Cleanup(f.outputs.Close)
	return f
}

func (f *fake) Name() string { return "fake" }

// batchOf are the traits of models of which n jobs fit into a poll.
func batchOf(n int) func(string) provider.Traits {
	return func(string) provider.Traits { return provider.Traits{BatchPoll: n} }
}

// takingCallbacks is batchOf with callbacks.
func takingCallbacks(n int) func(string) provider.Traits {
	return func(string) provider.Traits { return provider.Traits{BatchPoll: n, Callbacks: true} }
}

func (f *fake) Describe() provider.Description  { return f.describe }
func (f *fake) Validate(provider.Request) error { return nil }

func (f *fake) Submit(ctx context.Context, _ provider.Upstream, req provider.Request) (provider.Accepted, error) {
	f.mu.Lock()
	f.submits[req.ClientRef]++
	n, decide, hang := f.submits[req.ClientRef], f.submit, f.hang
	f.mu.Unlock()
	if hang != nil && n == 1 {
		f.reached <- struct{}{}
		select {
		case <-hang:
		case <-ctx.Done():
			return provider.Accepted{}, provider.Errorf(provider.OutcomeUnknown, "broken off")
		}
	}
	create, err := true, error(nil)
	if decide != nil {
		create, err = decide(n, req)
	}
	var j *fakeJob
	if create {
		f.mu.Lock()
		j = &fakeJob{id: fmt.Sprintf("up_%d", len(f.jobs)+1), ref: req.ClientRef, url: req.CallbackURL, at: time.Now(), request: req}
		if f.name != nil {
			j.id = f.name(req)
		}
		f.jobs[j.id] = j
		f.byRef[req.ClientRef] = append(f.byRef[req.ClientRef], j.id)
		answering := f.answering
		f.mu.Unlock()
		if answering != nil {
			answering(j)
		}
	}
	if err != nil {
		return provider.Accepted{}, err
	}
	return provider.Accepted{UpstreamID: j.id}, nil
}

func (f *fake) Poll(_ context.Context, _ provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polls++
	var out []provider.Report
	for _, want := range jobs {
		j := f.jobs[want.UpstreamID]
		if j == nil {
			continue
		}
		r := provider.Report{UpstreamID: j.id, State: provider.StateRunning, Progress: 10}
		if time.Since(j.at) >= f.took {
			r.State = provider.StateSucceeded
			r.Outputs = []provider.Output{{URL: f.outputs.URL + "/" + j.id + ".png", Kind: kinora.KindImage}}
			if f.report != nil {
				if o := f.report(j); o != nil {
					o.UpstreamID = j.id
					r = *o
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func (f *fake) Cancel(_ context.Context, _ provider.Upstream, job provider.Job) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.canceled = append(f.canceled, job.UpstreamID)
	return nil
}

// created returns how many upstream jobs exist for each client ref.
func (f *fake) created() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := map[string]int{}
	for ref, ids := range f.byRef {
		n[ref] = len(ids)
	}
	return n
}

// reconciling is a fake whose upstream can be asked by client ref.
type reconciling struct{ *fake }

func (f reconciling) Reconcile(_ context.Context, _ provider.Upstream, req provider.Request) (provider.Accepted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reconcileErr != nil {
		return provider.Accepted{}, f.reconcileErr
	}
	if ids := f.byRef[req.ClientRef]; len(ids) > 0 {
		return provider.Accepted{UpstreamID: ids[0]}, nil
	}
	return provider.Accepted{}, provider.ErrNotSubmitted
}

// callingBack is a fake whose upstream takes callback URLs.
type callingBack struct{ *fake }

func (callingBack) VerifyCallback(_ provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	if in.Header.Get("X-Forged") != "" {
		return provider.Callback{}, provider.Errorf(provider.Credential, "bad signature")
	}
	if in.Header.Get("X-Keyless") != "" {
		return provider.Callback{}, provider.Errorf(provider.Unavailable, "no keys at present")
	}
	return provider.Callback{UpstreamID: string(in.Body), Hint: in.Header.Get("X-Goes-On") == "", Delivery: in.Header.Get("X-Signed-Nonce")}, nil
}

// events records what the lifecycle asks of the webhooks.
type events struct {
	mu     sync.Mutex
	nudges int
}

func (*events) Check(_ *kinora.Organisation, url string) error {
	if url == "https://refused.example/" {
		return kinora.Errorf(kinora.ErrInvalid, "webhook.url is refused")
	}
	return nil
}

func (*events) Emit(tx *store.Tx, e *kinora.Event, g *kinora.Generation, now time.Time) error {
	if err := tx.InsertEvent(e); err != nil {
		return err
	}
	url := g.WebhookURL
	if url == "" {
		org, err := tx.Organisation(g.OrganisationID)
		if err != nil {
			return err
		}
		url = org.DefaultWebhook
	}
	if url == "" {
		return nil
	}
	return tx.InsertDeliveries([]*kinora.Delivery{{ID: id.New(id.Delivery, now), EventID: e.ID, OrganisationID: g.OrganisationID, GenerationID: g.ID,
		URL: url, Destination: url, State: kinora.DeliveryPending, DueAt: now, CreatedAt: now}})
}

func (e *events) Nudge(string) { e.mu.Lock(); e.nudges++; e.mu.Unlock() }

const organisation = "org_01JXJ0A0000000000000000001"

// house is an engine on a database, with a fake upstream.
type house struct {
	*lifecycle.Engine
	t    testing.TB
	db   *store.DB
	blob blob.Store
	dir  string
}

type options func(*lifecycle.Config)

func withAccounts(accounts ...lifecycle.Account) options {
	return func(c *lifecycle.Config) { c.Accounts = accounts }
}

// quickBeats is for tests that wait for the audits of leases. Others are better off without: a machine that stalls for four beats
// breaks off submit calls.
func quickBeats(c *lifecycle.Config) { c.Timing.Beat = 100 * time.Millisecond }

func withPublicURL(url string) options { return func(c *lifecycle.Config) { c.PublicURL = url } }

// build makes an engine without starting it. Several may share db, as nodes do.
func build(t testing.TB, db *store.DB, dir string, p provider.Provider, opts ...options) *house {
	t.Helper()
	files, err := blob.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	noRedirects := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(noRedirects.CloseIdleConnections)
	cfg := lifecycle.Config{
		DB: db, Blob: files, Providers: []provider.Provider{p},
		Accounts:  []lifecycle.Account{{Account: provider.Account{Name: "main", Provider: p.Name()}}},
		Models:    []kinora.Model{{Name: "fake-image", Kind: kinora.KindImage, Provider: p.Name()}},
		Events:    &events{},
		Upstreams: noRedirects, Downloads: noRedirects,
		Timing: lifecycle.Timing{Idle: 50 * time.Millisecond, Quiet: 50 * time.Millisecond, Beat: time.Second, Backoff: 0.01},
	}
	for _, o := range opts {
		o(&cfg)
	}
	e, err := lifecycle.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &house{Engine: e, t: t, db: db, blob: files, dir: dir}
}

func (h *house) start(t *testing.T) *house {
	t.Helper()
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	return h
}

// stop lets work in hand end. What does not end by itself is broken off, which a test that wants it does with a Stop of its own.
func (h *house) stop() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(h.Stop(ctx), ctx.Err()); err != nil {
		h.t.Errorf("stop: %v", err)
	}
}

// organise makes the test's organisation.
func organise(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		return tx.InsertOrganisation(&kinora.Organisation{ID: organisation, Name: "test", DefaultWebhook: "https://hooks.example/", CreatedAt: time.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func submission(prompt string) *kinora.Submission {
	return &kinora.Submission{OrganisationID: organisation, Surface: kinora.SurfaceSubmit, Model: "fake-image", Input: kinora.Input{Prompt: prompt}}
}

func (h *house) accept(t *testing.T, s *kinora.Submission) *kinora.Generation {
	t.Helper()
	got, err := h.Accept(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return got.Generation
}

// await waits until the generation is terminal.
func (h *house) await(t *testing.T, generationID string) (*kinora.Generation, []kinora.Output) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		g, outputs, err := h.Generation(context.Background(), organisation, generationID)
		if err != nil {
			t.Fatal(err)
		}
		if g.State.Terminal() {
			return g, outputs
		}
		time.Sleep(5 * time.Millisecond)
	}
	g, _, _ := h.Generation(context.Background(), organisation, generationID)
	attempts, _ := h.Attempts(context.Background(), generationID)
	t.Fatalf("generation %s did not end: %+v, attempt %+v", generationID, g, attempts[0])
	return nil, nil
}

// late lets the deadline of a generation's attempts have passed. They get a new version, for a look that is under way would write
// the deadline back.
func (h *house) late(t *testing.T, generationID string) {
	t.Helper()
	run(t, h.db, `UPDATE attempts SET deadline_at = 1, version = version + 1 WHERE generation_id = ? AND finished_at = 0`, generationID)
}

// ledger counts what was written for a generation when it ended.
func (h *house) ledger(t *testing.T, generationID string) (eventCount, usage, deliveries int) {
	t.Helper()
	err := h.db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT (SELECT count(*) FROM events WHERE generation_id = ?),
			(SELECT count(*) FROM usage_entries WHERE generation_id = ?),
			(SELECT count(*) FROM deliveries WHERE generation_id = ?)`, generationID, generationID, generationID).
			Scan(&eventCount, &usage, &deliveries)
	})
	if err != nil {
		t.Fatal(err)
	}
	return eventCount, usage, deliveries
}
