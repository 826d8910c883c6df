package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/provider"
)

const (
	testKey       = "sk-test-key-of-organisation-one"
	otherKey      = "kat_live_publickeyid00000.secret-of-organisation-two"
	disabledKey   = "sk-disabled-organisation"
	brokenKey     = "sk-database-down"
	adminToken    = "admin-token-for-tests"
	ownID         = "org_00000000000000000000000001"
	otherID       = "org_00000000000000000000000002"
	taskOne       = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	jobOne        = "job_01HF8Z3KQX2A6Y4N3R8M5W7V9P"
	callbackToken = "tok0000000000000000000001"
)

var testTime = time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type fakeAuthenticator struct{}

func (fakeAuthenticator) Authenticate(_ context.Context, key string) (*kinora.Key, *kinora.Organisation, error) {
	switch key {
	case testKey:
		return &kinora.Key{ID: "key_1", OrganisationID: ownID}, &kinora.Organisation{ID: ownID}, nil
	case otherKey:
		return &kinora.Key{ID: "key_2", OrganisationID: otherID}, &kinora.Organisation{ID: otherID}, nil
	case disabledKey:
		return nil, nil, kinora.Errorf(kinora.ErrForbidden, "API access is switched off for this organisation")
	case brokenKey:
		return nil, nil, kinora.Errorf(kinora.ErrUnavailable, "the database is out of reach")
	}
	return nil, nil, kinora.Errorf(kinora.ErrUnauthorized, "unknown API key")
}

// fakeGenerations keeps what it is given; accept, when set, decides otherwise.
type fakeGenerations struct {
	mu       sync.Mutex
	accepted []*kinora.Submission
	asked    []string
	stored   map[string]*kinora.Generation
	outputs  map[string][]kinora.Output
	accept   func(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error)
	read     func(ctx context.Context) error
	ends     map[string]chan struct{} // of generations that are waited for
	outlook  kinora.Outlook
	once     map[string]remembered
	cached   func(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) // nil = nothing is
	searches []kinora.GenerationSearch
	before   []string
	listed   func() (page []kinora.Listed, next string, err error) // nil = nothing is found
}

func (f *fakeGenerations) Search(_ context.Context, _ string, q kinora.GenerationSearch, before string, _ int) ([]kinora.Listed, string, error) {
	f.searches, f.before = append(f.searches, q), append(f.before, before)
	if f.listed == nil {
		return nil, "", nil
	}
	return f.listed()
}

func (f *fakeGenerations) AcceptCached(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	if f.cached == nil {
		return nil, nil
	}
	return f.cached(ctx, s)
}

// Recall answers with what was remembered under the key, as the core does.
func (f *fakeGenerations) Recall(_ context.Context, organisationID string, once kinora.Idempotency) (*kinora.Accepted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, ok := f.once[organisationID+" "+once.Scope+" "+once.Key]
	switch {
	case !ok:
		return nil, nil
	case before.hash != once.RequestHash:
		return nil, kinora.Errorf(kinora.ErrConflict, "the idempotency key was used with another request")
	}
	return &kinora.Accepted{Generation: f.stored[before.id], Replayed: true}, nil
}

// make accepts a submission of the generations API as the core does, by the rules that are the server's concern.
func (f *fakeGenerations) make(_ context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := &kinora.Generation{
		ID: fmt.Sprintf("job_%026d", len(f.stored)+1), OrganisationID: s.OrganisationID, Surface: s.Surface, Model: s.Model, Input: s.Input,
		Request: s.Request, ParentID: s.ParentID, Reference: s.Reference, Metadata: s.Metadata, WebhookURL: s.WebhookURL,
		SourceAssetID: s.Source.AssetID, State: kinora.GenerationQueued, CreatedAt: testTime, UpdatedAt: testTime,
	}
	if s.Source.AssetID == "" {
		g.State = kinora.GenerationIngesting
	}
	f.store(g)
	if f.once == nil {
		f.once = map[string]remembered{}
	}
	f.once[s.OrganisationID+" "+s.IdempotencyScope+" "+s.IdempotencyKey] = remembered{s.RequestHash, g.ID}
	return &kinora.Accepted{Generation: g}, nil
}

type remembered struct{ hash, id string }

func (f *fakeGenerations) Outlook(context.Context, *kinora.Generation) (kinora.Outlook, error) {
	return f.outlook, nil
}

func (f *fakeGenerations) Standings(_ context.Context, ids []string) (map[string]kinora.Standing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]kinora.Standing{}
	for _, id := range ids {
		if g := f.stored[id]; g != nil {
			found[id] = kinora.Standing{State: g.State, Progress: g.Progress}
		}
	}
	return found, nil
}

func (f *fakeGenerations) Accept(ctx context.Context, s *kinora.Submission) (*kinora.Accepted, error) {
	f.mu.Lock()
	f.accepted = append(f.accepted, s)
	f.mu.Unlock()
	if f.accept != nil {
		return f.accept(ctx, s)
	}
	return &kinora.Accepted{Generation: &kinora.Generation{
		ID: taskOne, OrganisationID: s.OrganisationID, Surface: s.Surface, Model: s.Model, Input: s.Input,
		State: kinora.GenerationQueued, CreatedAt: testTime.Add(123 * time.Millisecond),
	}}, nil
}

func (f *fakeGenerations) Generation(ctx context.Context, organisationID, id string) (*kinora.Generation, []kinora.Output, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, id)
	if f.read != nil {
		if err := f.read(ctx); err != nil {
			return nil, nil, err
		}
	}
	g, ok := f.stored[id]
	if !ok || g.OrganisationID != organisationID {
		return nil, nil, kinora.Errorf(kinora.ErrNotFound, "generation %s is not in organisation %s", id, organisationID)
	}
	return g, f.outputs[id], nil
}

func (f *fakeGenerations) Cancel(ctx context.Context, organisationID, id string) (*kinora.Generation, error) {
	g, _, err := f.Generation(ctx, organisationID, id)
	switch {
	case err != nil:
		return nil, err
	case g.State == kinora.GenerationCancelled:
		return g, nil
	case g.State.Terminal():
		return nil, kinora.Errorf(kinora.ErrConflict, "it has ended")
	}
	now := *g
	if err := now.Finish(kinora.GenerationCancelled, kinora.NewFailure(kinora.FailureCancelled, "cancelled"), testTime); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stored[id] = &now
	return &now, nil
}

func (f *fakeGenerations) Ended(id string) (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ends == nil {
		f.ends = map[string]chan struct{}{}
	}
	if f.ends[id] == nil {
		f.ends[id] = make(chan struct{})
	}
	return f.ends[id], func() {}
}

// end stores a generation in its last state, and tells those who wait for it.
func (f *fakeGenerations) end(g *kinora.Generation, outputs ...kinora.Output) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.store(g, outputs...)
	if ch := f.ends[g.ID]; ch != nil {
		close(ch)
		delete(f.ends, g.ID)
	}
}

func (f *fakeGenerations) store(g *kinora.Generation, outputs ...kinora.Output) {
	if f.stored == nil {
		f.stored, f.outputs = map[string]*kinora.Generation{}, map[string][]kinora.Output{}
	}
	f.stored[g.ID], f.outputs[g.ID] = g, outputs
}

// only returns the one submission that was accepted.
func (f *fakeGenerations) only(t *testing.T) *kinora.Submission {
	t.Helper()
	if len(f.accepted) != 1 {
		t.Fatalf("%d submissions reached Accept, want 1", len(f.accepted))
	}
	return f.accepted[0]
}

type fakeCallbacks struct {
	mu    sync.Mutex
	calls []provider.InboundCallback
	reply func(ctx context.Context, name, token string) (provider.Callback, error)
}

func (f *fakeCallbacks) Callback(ctx context.Context, name, token string, in provider.InboundCallback) (provider.Callback, error) {
	f.mu.Lock()
	f.calls = append(f.calls, in)
	f.mu.Unlock()
	if f.reply != nil {
		return f.reply(ctx, name, token)
	}
	if name != "kling" || token != callbackToken {
		return provider.Callback{}, kinora.Errorf(kinora.ErrNotFound, "token %s of %s is unknown", token, name)
	}
	return provider.Callback{Hint: true}, nil
}

type fakeModels struct{}

func (fakeModels) Models() []kinora.Model {
	return []kinora.Model{
		{Name: "kling-v1", Provider: "kling", Kind: kinora.KindVideo},
		{Name: "nano-banana-2", Provider: "google", Kind: kinora.KindImage},
	}
}

// fixture is a server on fakes, with a real folder and real signatures for files.
type fixture struct {
	*Server
	t           testing.TB
	clock       *clock
	generations *fakeGenerations
	callbacks   *fakeCallbacks
	folder      *blob.Folder
	signer      *blob.Signer
	registry    *prometheus.Registry
	log         *bytes.Buffer
}

func newFixture(t testing.TB, change ...func(*Config)) *fixture {
	t.Helper()
	folder, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	signer, err := blob.NewSigner([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		t: t, clock: &clock{at: testTime}, generations: &fakeGenerations{}, callbacks: &fakeCallbacks{},
		folder: folder, signer: signer, registry: prometheus.NewRegistry(), log: &bytes.Buffer{},
	}
	cfg := Config{
		Authenticator: fakeAuthenticator{}, Generations: f.generations, Callbacks: f.callbacks, Models: fakeModels{},
		Files: folder, FileSigner: signer, FileURL: f.fileURL,
		AdminToken: adminToken,
		Gatherer:   f.registry, Registerer: f.registry,
		Logger: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    f.clock.now,
	}
	for _, c := range change {
		c(&cfg)
	}
	if f.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) fileURL(key string) (string, time.Time) {
	expires := f.clock.now().Add(15 * time.Minute)
	url, err := f.signer.URL("https://files.example", key, expires)
	if err != nil {
		f.t.Fatal(err)
	}
	return url, expires
}

// header changes a request's header.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func key(k string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+k) }
}

// do sends a request with the key of organisation one.
func (f *fixture) do(method, target, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.doReader(method, target, strings.NewReader(body), change...)
}

func (f *fixture) doReader(method, target string, body io.Reader, change ...func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("Authorization", "Bearer "+testKey)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	return w
}

// is compares a whole answer.
func is(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Fatalf("answered %d\n%s\nwant %d\n%s", w.Code, w.Body, status, body)
	}
}

// taskErrorText is an error body of the submit API.
func taskErrorText(code int, message, kind string) string {
	b, err := json.Marshal(map[string]any{"code": code, "error": map[string]string{"message": message, "type": kind}})
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
}

func badRequest(message string) string { return taskErrorText(400, message, "invalid_request_error") }
