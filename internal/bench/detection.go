package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/internal/store"
)

// detection measures how late the end of a polled job is seen, and how often the
// upstream is asked for it, with a steady number of jobs in flight. Jobs last 5 to 15 s.
func (r *run) detection(ctx context.Context) error {
	for _, inFlight := range r.o.InFlight {
		r.o.Progress(fmt.Sprintf("detection by polling, %d in flight", inFlight))
		lags, polls, calls, err := r.detect(ctx, inFlight)
		if err != nil {
			return err
		}
		name := func(s string) string { return fmt.Sprintf("%s, %d in flight", s, inFlight) }
		r.add(Figure{Measurement: "detection", Name: name("lag p50"), Value: ms(quantile(lags, .5)), Unit: "ms", Wanted: 1000})
		r.add(Figure{Measurement: "detection", Name: name("lag p99"), Value: ms(quantile(lags, .99)), Unit: "ms", Wanted: 3000})
		r.add(Figure{Measurement: "detection", Name: name("looks per job"), Value: polls, Unit: "", Wanted: 8})
		r.add(Figure{Measurement: "detection", Name: name("HTTP calls per job"), Value: calls, Unit: "", Wanted: 1})
	}
	return nil
}

func (r *run) detect(ctx context.Context, inFlight int) (lags []time.Duration, polls, calls float64, err error) {
	up := sandbox.Config{KeepFinished: 1_000_000}
	w, dir, done, err := r.world(ctx, up, fmt.Sprintf("max_in_flight: %d", inFlight), "")
	if err != nil {
		return nil, 0, 0, err
	}
	defer done()
	p, err := w.Start(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	// Two generations of jobs: the first teaches the model's durations, the second counts.
	warm := max(inFlight, 200)
	total := warm + max(inFlight, 200)
	if err := r.submitJobs(ctx, w, total); err != nil {
		p.Kill()
		return nil, 0, 0, err
	}
	deadline := time.Now().Add(15*time.Second*time.Duration(total/inFlight+2) + time.Minute)
	for w.Upstream.Stats().Accepted < int64(total) || w.Upstream.Stats().InFlight > 0 {
		if time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	time.Sleep(5 * time.Second) // the last ends are still to be seen
	stopCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.Stop(stopCtx); err != nil {
		return nil, 0, 0, err
	}
	stats := w.Upstream.Stats()
	ended := map[string]time.Time{}
	for _, j := range stats.Jobs {
		ended[j.ID] = j.EndedAt
	}
	var looks []int
	err = r.read(ctx, dir, func(tx *store.Tx) error {
		return tx.Query(`SELECT upstream_id, done_at, polls FROM attempts WHERE done_at > 0 ORDER BY created_at, generation_id`, nil, func(row store.Row) error {
			var id string
			var doneAt int64
			var n int
			if err := row.Scan(&id, &doneAt, &n); err != nil {
				return err
			}
			if at, ok := ended[id]; ok {
				lags = append(lags, max(0, store.Time(doneAt).Sub(at)))
				looks = append(looks, n)
			}
			return nil
		})
	})
	if err != nil || len(lags) == 0 {
		return nil, 0, 0, fmt.Errorf("no job was seen to end: %w", err)
	}
	from := min(warm, len(lags)/2)
	for _, n := range looks[from:] {
		polls += float64(n)
	}
	return lags[from:], polls / float64(len(lags)-from), float64(stats.Polls) / float64(len(lags)), nil
}

// read looks into the stopped program's database.
func (r *run) read(ctx context.Context, dir string, fn func(tx *store.Tx) error) error {
	dsn := r.o.DSN
	if dsn == "" {
		dsn = filepath.Join(dir, "kinora.db")
	}
	db, err := store.Open(ctx, store.Options{DSN: dsn})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(ctx, fn)
}

func (r *run) submitJobs(ctx context.Context, w *rig.Rig, n int) error {
	return submitAll(ctx, w, n, func(i int) string {
		return fmt.Sprintf(`{"model":"sandbox-image","input":{"prompt":"job %d","size":"64x64","metadata":{"sandbox":{"delay":"%dms"}}}}`, i, jobTime().Milliseconds())
	})
}

// jobTime is how long a job takes: 5 to 15 s.
func jobTime() time.Duration { return 5*time.Second + rand.N(10*time.Second) }

// submitAll submits n generations, whose bodies it asks for by number, eight at a time.
func submitAll(ctx context.Context, w *rig.Rig, n int, body func(i int) string) error {
	c := newClient()
	defer c.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				if err := post(ctx, c, w.URL+"/api/generate/submit", w.Key, body(i), nil); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return failed
}

// webhooks measures from the upstream's end to the webhook's arrival, at 50 generations a
// second, with an upstream that calls back.
func (r *run) webhooks(ctx context.Context) error {
	r.o.Progress("upstream end → webhook, 50/s")
	rc := newReceiver(nil)
	defer rc.close()
	w, _, done, err := r.world(ctx, sandbox.Config{KeepFinished: 1_000_000}, "max_in_flight: 10000", openWebhooks)
	if err != nil {
		return err
	}
	defer done()
	p, err := w.Start(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	n := int(50 * max(r.o.Duration, 10*time.Second).Seconds())
	refs := map[string]string{}
	c := newClient()
	tick := time.NewTicker(time.Second / 50)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		text := fmt.Sprintf(`{"model":"sandbox-image-callback","input":{"prompt":"job %d","size":"64x64","metadata":{"sandbox":{"delay":"1s"}}},"webhook":{"url":%q}}`, i, rc.url)
		err := post(ctx, c, w.URL+"/api/generate/submit", w.Key, text, func(b []byte) {
			var a struct {
				Data struct {
					TaskID string `json:"task_id"`
				} `json:"data"`
			}
			if json.Unmarshal(b, &a) == nil {
				refs[a.Data.TaskID] = ""
			}
		})
		if err != nil {
			return err
		}
	}
	rc.await(len(refs), time.Minute)
	var lags []time.Duration
	arrived := rc.arrivals()
	for _, j := range w.Upstream.Stats().Jobs {
		generation := j.ClientRef
		if i := len(generation) - 2; i > 0 {
			generation = generation[:i] // "<generation>_<ordinal>"
		}
		if at, ok := arrived[generation]; ok && !j.EndedAt.IsZero() {
			lags = append(lags, max(0, at.Sub(j.EndedAt)))
		}
	}
	if len(lags) < n*9/10 {
		return fmt.Errorf("only %d of %d webhooks arrived", len(lags), n)
	}
	r.add(Figure{Measurement: "upstream end → webhook, callback upstream, 50/s", Name: "p50", Value: ms(quantile(lags, .5)), Unit: "ms"})
	r.add(Figure{Measurement: "upstream end → webhook, callback upstream, 50/s", Name: "p99", Value: ms(quantile(lags, .99)), Unit: "ms", Wanted: 1000})
	return nil
}

const openWebhooks = "webhooks: {allow_http: true}"
