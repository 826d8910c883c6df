package crash_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

var rounds = flag.Int("rounds", 20, "how often the program is killed, on each database")

// TestNothingIsLost runs the campaign: start, submit, kill -9, again; then let everything
// end and count.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	bin := program(t)
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			dsn := ""
			if database == "postgres" {
				dsn = storetest.PostgresDSN(t)
			}
			campaign(t, bin, dsn)
		})
	}
}

func campaign(t *testing.T, bin, dsn string) {
	w := newWorld(t, bin, dsn)
	load := newLoad()
	source := ""
	for round := range *rounds {
		p := w.start(t)
		if source == "" {
			source = w.bringSource(t)
		}
		// Submitting goes on across the kill: what is answered counts, what is cut off does not.
		done := make(chan struct{})
		var clients sync.WaitGroup
		for c := range 4 {
			clients.Go(func() { load.submitUntil(done, w.URL, w.Key, w.receiver.URL, source, round, c) })
		}
		time.Sleep(time.Duration(50+rand.IntN(1200)) * time.Millisecond)
		kill(t, p)
		close(done)
		clients.Wait()
	}
	p := w.start(t)
	acknowledged := load.acknowledged()
	w.awaitEnds(t, acknowledged)
	w.awaitDeliveries(t, acknowledged)
	stop(t, p)
	if several, rejected := w.check(t, dsn, acknowledged); several == 0 || rejected == 0 {
		t.Errorf("%d further attempts, %d rejected outputs: the campaign has not tried what it is for", several, rejected)
	}
	t.Logf("killed %d times", *rounds)
}

// load submits and remembers what was acknowledged.
type load struct {
	mu   sync.Mutex
	acks map[string]bool
}

func newLoad() *load { return &load{acks: map[string]bool{}} }

func (l *load) acknowledged() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]string, 0, len(l.acks))
	for id := range l.acks {
		list = append(list, id)
	}
	return list
}

// misfortunes are the ways in which the upstream misbehaves, beside the kills. Each loses
// an answer or delays an end; none changes what must hold.
var misfortunes = []string{
	`{"delay":"50ms"}`, `{"delay":"50ms"}`, `{"delay":"300ms"}`, `{"delay":"1s"}`,
	`{"delay":"100ms","drop":"after_accept"}`,
	`{"delay":"100ms","late_answer":"400ms"}`, `{"delay":"100ms","status_5xx":2}`,
	`{"delay":"100ms","slow_download":"400ms"}`, `{"delay":"100ms","truncate_download":1}`,
	`{"delay":"100ms","fail":"generation"}`, `{"delay":"100ms","fail":"unavailable","fail_times":1}`,
	`{"delay":"100ms","fail":"model_gone","fail_times":1}`,
	`{"delay":"100ms","apart":true}`, `{"delay":"300ms","apart":true}`, `{"delay":"100ms","apart":true,"drop":"after_accept"}`,
	`{"delay":"100ms","apart":true,"fail":"generation"}`,
}

// models are reached in one way or, the last one, in two: what fails on the first goes on the second.
var models = []string{"sandbox-image", "sandbox-image-callback", "routed-image"}

const routedModel = `
models:
  - name: routed-image
    kind: image
    failover_after: 1s
    retry_elsewhere: true
    routes: [{provider: sandbox, upstream_model: sandbox-image}, {provider: sandbox, upstream_model: sandbox-image-callback}]
`

func (l *load) submitUntil(done <-chan struct{}, url, key, receiver, source string, round, client int) {
	http1 := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer http1.CloseIdleConnections()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		body := fmt.Sprintf(`{"model":%q,"input":{"prompt":"round %d client %d number %d","size":"128x128","metadata":{"n":%d,"sandbox":%s}},"webhook":{"url":%q}}`,
			models[rand.IntN(len(models))], round, client, i, 1+rand.IntN(3), misfortunes[rand.IntN(len(misfortunes))], receiver)
		path := "/api/generate/submit"
		if rand.IntN(5) == 0 {
			path, body = "/api/v1/generations", gated(source, receiver, round, client, i)
		}
		req, _ := http.NewRequest(http.MethodPost, url+path, strings.NewReader(body))
		req.Header.Set("Idempotency-Key", fmt.Sprintf("%d-%d-%d", round, client, i))
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		res, err := http1.Do(req)
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		var answer struct {
			JobID string `json:"job_id"`
			Data  struct {
				TaskID string `json:"task_id"`
			} `json:"data"`
		}
		decodeErr := json.NewDecoder(res.Body).Decode(&answer)
		_ = res.Body.Close()
		// A 200 whose body arrived is a promise.
		if res.StatusCode < 300 && decodeErr == nil {
			l.mu.Lock()
			l.acks[answer.Data.TaskID+answer.JobID] = true
			l.mu.Unlock()
		}
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	}
}

// check counts, after everything has ended and the program has stopped. It returns how many
// attempts generations had beyond their first, and how many outputs were rejected.
func (w *world) check(t *testing.T, dsn string, acknowledged []string) (several, rejected int) {
	if dsn == "" {
		dsn = filepath.Join(w.dir, "kinora.db")
	}
	db, err := store.Open(context.Background(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var stored, terminal, unknown, eventCount, deliveries, delivered, leased, live, unpublished int
	states := map[string]string{}
	err = db.View(context.Background(), func(tx *store.Tx) error {
		err := tx.Query(`SELECT id, state, failure_code FROM generations`, nil, func(row store.Row) error {
			var id, state, code string
			if err := row.Scan(&id, &state, &code); err != nil {
				return err
			}
			stored++
			states[id] = state
			if state == "succeeded" || state == "failed" {
				terminal++
			}
			if code == "outcome_unknown" {
				unknown++
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.QueryRow(`SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries),
			(SELECT count(*) FROM deliveries WHERE state = 'delivered'),
			(SELECT count(*) FROM attempts WHERE lease_owner <> ''), (SELECT count(*) FROM attempts WHERE finished_at = 0),
			(SELECT count(*) FROM attempts WHERE ordinal > 0), (SELECT count(*) FROM outputs WHERE state = 'rejected'),
			(SELECT count(*) FROM generations g WHERE (state = 'succeeded') <> EXISTS (SELECT 1 FROM outputs o WHERE o.generation_id = g.id AND o.state = 'published'))`).
			Scan(&eventCount, &deliveries, &delivered, &leased, &live, &several, &rejected, &unpublished)
	})
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, id := range acknowledged {
		if states[id] == "" {
			lost++
			t.Errorf("%s was acknowledged and is not there", id)
		}
	}
	jobs := w.upstreamJobs(t)
	twice := 0
	for ref, n := range jobs {
		if n > 1 {
			twice++
			t.Errorf("%s was submitted %d times", ref, n)
		}
	}
	untold, repeated := 0, 0
	told := w.told()
	for id := range states {
		switch n := told[id]; {
		case n == 0:
			untold++
			t.Errorf("nobody was told of %s", id)
		case n > 1:
			repeated++
		}
	}
	orphans := w.orphans(t, db)
	if terminal != stored {
		t.Errorf("%d of %d generations have not ended", stored-terminal, stored)
	}
	if eventCount != stored || deliveries != stored || delivered != stored || leased != 0 {
		t.Errorf("generations %d, events %d, deliveries %d (delivered %d), leases left %d", stored, eventCount, deliveries, delivered, leased)
	}
	if live != 0 || unpublished != 0 {
		t.Errorf("%d attempts have not ended, %d generations have outputs that do not go with their end", live, unpublished)
	}
	if orphans != 0 {
		t.Errorf("%d stored files belong to no output", orphans)
	}
	t.Logf("acknowledged %d, stored %d, ended %d (outcome unknown %d), further attempts %d, rejected outputs %d, upstream jobs %d, submitted twice %d, lost %d, "+
		"events %d, told %d (more than once %d), orphan files %d",
		len(acknowledged), stored, terminal, unknown, several, rejected, len(jobs), twice, lost, eventCount, stored-untold, repeated, orphans)
	return several, rejected
}

// orphans counts stored outputs that no row refers to.
func (w *world) orphans(t *testing.T, db *store.DB) int {
	files, err := blob.OpenFolder(filepath.Join(w.dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	known := map[string]bool{}
	err = db.View(context.Background(), func(tx *store.Tx) error {
		return tx.Query(`SELECT blob_key FROM outputs`, nil, func(row store.Row) error {
			var key string
			err := row.Scan(&key)
			known[key] = true
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = files.List(context.Background(), "outputs/", func(at blob.Attributes) error {
		if !known[at.Key] {
			n++
			t.Logf("orphan: %s", at.Key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
