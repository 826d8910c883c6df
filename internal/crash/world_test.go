package crash_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// built is the program, built by the first test that needs it.
var built struct {
	once   sync.Once
	folder string
	bin    string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

func program(t *testing.T) (bin string) {
	t.Helper()
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "kinora-crash-"); built.err == nil {
			built.bin, built.err = rig.Build(context.Background(), "../../cmd/kinora", built.folder)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.bin
}

// world is the rig and the receiver around the program, which survive its death.
type world struct {
	*rig.Rig
	dir      string
	receiver *httptest.Server

	mu       sync.Mutex
	verifier *webhook.Verifier
	events   map[string]map[string]bool // generation → webhook-ids seen
	counts   map[string]int
	bad      []string
}

func newWorld(t *testing.T, bin, dsn string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), events: map[string]map[string]bool{}, counts: map[string]int{}}
	w.listen(t)
	var err error
	w.Rig, err = rig.New(rig.Options{
		Binary: bin, Dir: w.dir, DSN: dsn,
		Upstream: sandbox.Config{KeepFinished: 1_000_000, URLLife: 24 * time.Hour, CallbackPause: 100 * time.Millisecond},
		Config:   "node_beat: 100ms\nwebhooks: {allow_http: true, timeout: 5s, schedule: [200ms, 500ms, 1s, 2s, 5s, 5s, 5s, 5s, 5s]}" + routedModel + addWorkflow(t, w.dir),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// quickWebhooks retries within seconds and takes a dead node's work over within half a one.
const quickWebhooks = "node_beat: 100ms\nwebhooks: {allow_http: true, timeout: 5s, schedule: [200ms, 500ms, 1s, 2s, 5s, 5s, 5s, 5s, 5s]}"

func (w *world) listen(t *testing.T) {
	w.receiver = httptest.NewServer(http.HandlerFunc(w.receive))
	t.Cleanup(w.receiver.Close)
}

// receive is the caller's webhook endpoint: it verifies, remembers, and now and then fails.
func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.verifier == nil {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	event, err := w.verifier.Verify(r.Header, body)
	if err != nil {
		w.bad = append(w.bad, err.Error())
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.counts[event.JobID]++
	if w.events[event.JobID] == nil {
		w.events[event.JobID] = map[string]bool{}
	}
	w.events[event.JobID][event.ID] = true
	if len(w.events)%10 == 0 && w.counts[event.JobID] == 1 {
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	rw.WriteHeader(http.StatusNoContent)
}

// told returns how many times each generation's event arrived.
func (w *world) told() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := map[string]int{}
	for id, c := range w.counts {
		n[id] = c
	}
	return n
}

func (w *world) start(t *testing.T) *rig.Process {
	t.Helper()
	p, err := w.Start(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("it ended as %v, and has logged:\n%s", p.Ended(), lastOf(p.Logs(), 4000))
		}
	})
	if w.verifier == nil {
		w.takeSecret(t)
	}
	return p
}

// takeSecret rotates the organisation's webhook secret through the admin API, to learn it.
func (w *world) takeSecret(t *testing.T) {
	t.Helper()
	var list struct {
		Organisations []struct {
			ID string `json:"id"`
		} `json:"organisations"`
	}
	if err := w.Admin(context.Background(), http.MethodGet, "/admin/v1/organisations", "", &list); err != nil || len(list.Organisations) != 1 {
		t.Fatalf("organisations: %+v, %v", list, err)
	}
	var made struct {
		Secret string `json:"secret"`
	}
	path := "/admin/v1/organisations/" + list.Organisations[0].ID + "/webhook-secrets"
	if err := w.Admin(context.Background(), http.MethodPost, path, `{"overlap_seconds":0}`, &made); err != nil {
		t.Fatal(err)
	}
	v, err := webhook.NewVerifier([]string{made.Secret})
	if err != nil {
		t.Fatalf("secret: %v", err)
	}
	w.mu.Lock()
	w.verifier = v
	w.mu.Unlock()
}

// lastOf is the end of a text, at most n bytes.
func lastOf(text string, n int) string { return text[max(len(text)-n, 0):] }

// kill ends the program as a power cut would; what it logged until then must be sound.
func kill(t *testing.T, p *rig.Process) {
	t.Helper()
	p.Kill()
	if logs := p.Logs(); strings.Contains(logs, "panic") {
		t.Errorf("the program panicked:\n%s", logs)
	}
}

func stop(t *testing.T, p *rig.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Errorf("stop: %v\n%s", err, p.Logs())
	}
}

// awaitEnds waits until every acknowledged generation reads as ended through the API.
func (w *world) awaitEnds(t *testing.T, ids []string) {
	t.Helper()
	end := time.Now().Add(4 * time.Minute)
	for _, id := range ids {
		for {
			if s := w.statusOf(t, id); s == "finished" || s == "failed" {
				break
			}
			if time.Now().After(end) {
				w.explain(t, id)
				t.Fatalf("%s does not end", id)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// statusOf reads a generation's status through the API; "" = told to come back later.
func (w *world) statusOf(t *testing.T, id string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	path := "/api/generate/status/"
	if strings.HasPrefix(id, "job_") {
		path = "/api/v1/generations/"
	}
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.URL+path+id, nil)
	req.Header.Set("Authorization", "Bearer "+w.Key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			Status string `json:"status"`
		} `json:"data"`
	}
	err = json.NewDecoder(res.Body).Decode(&answer)
	if err != nil || res.StatusCode != http.StatusOK && res.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("status of %s: %d %v", id, res.StatusCode, err)
	}
	if answer.Status == "succeeded" {
		return "finished"
	}
	return answer.Data.Status + answer.Status
}

// taskOf reads the id from a submit's answer; "" = none.
func taskOf(body string) string {
	var answer struct {
		Data struct {
			TaskID string `json:"task_id"`
		} `json:"data"`
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return ""
	}
	return answer.Data.TaskID
}

// awaitDeliveries waits until every generation's event has arrived and was answered.
func (w *world) awaitDeliveries(t *testing.T, ids []string) {
	t.Helper()
	end := time.Now().Add(3 * time.Minute)
	for {
		told := w.told()
		missing := 0
		for _, id := range ids {
			if told[id] == 0 {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%d events have not arrived", missing)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	// Arrived is not delivered: the receiver now and then fails. And what was stored without an answer ends too.
	for w.busy(t) && time.Now().Before(end) {
		time.Sleep(50 * time.Millisecond)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.bad) > 0 {
		t.Errorf("%d deliveries did not verify, e.g. %s", len(w.bad), w.bad[0])
	}
	for id, ids := range w.events {
		if len(ids) != 1 {
			t.Errorf("%s came under %d webhook-ids", id, len(ids))
		}
	}
}

// busy tells whether there is an attempt or a delivery that has not ended.
func (w *world) busy(t *testing.T) bool {
	t.Helper()
	var queues struct {
		Lanes      []json.RawMessage `json:"lanes"`
		Attempts   int               `json:"attempts_in_hand"`
		Deliveries struct {
			Due     int `json:"due"`
			Waiting int `json:"waiting"`
			InHand  int `json:"in_hand"`
			Held    int `json:"held"`
		} `json:"deliveries"`
	}
	if err := w.Admin(context.Background(), http.MethodGet, "/admin/v1/operator/queues", "", &queues); err != nil {
		t.Fatal(err)
	}
	d := queues.Deliveries
	return len(queues.Lanes)+queues.Attempts+d.Due+d.Waiting+d.InHand+d.Held > 0
}

// upstreamJobs returns how many jobs the upstream made for each of our references.
func (w *world) upstreamJobs(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, j := range w.Upstream.Stats().Jobs {
		n[j.ClientRef]++
	}
	return n
}

// explain shows an operator's view of a generation that does not end.
func (w *world) explain(t *testing.T, id string) {
	t.Helper()
	var view json.RawMessage
	if err := w.Admin(context.Background(), http.MethodGet, "/admin/v1/generations/"+id, "", &view); err != nil {
		t.Log(err)
	}
	t.Logf("%s", view)
}
