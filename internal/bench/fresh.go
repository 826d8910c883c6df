package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/internal/store"
)

// Single events at 50 a second, from the event's creation to its arrival: alone, beside a destination that hangs, and
// in a storm of retries.

const (
	stormRetries = 100_000
	freshRate    = 50 // events a second
	hangingRate  = 20
)

func (r *run) latency(ctx context.Context) error {
	alone, err := r.aloneTimes(ctx)
	if err != nil {
		return err
	}
	const name = "event → received, 50/s"
	wanted := map[float64]float64{.5: 15, .99: 40}
	for _, q := range []float64{.5, .95, .99} {
		r.add(Figure{Measurement: name, Name: fmt.Sprintf("p%.0f", 100*q), Value: ms(quantile(alone, q)), Unit: "ms", Wanted: wanted[q]})
	}
	return nil
}

// aloneTimes are measured once in a run.
func (r *run) aloneTimes(ctx context.Context) ([]time.Duration, error) {
	if r.alone != nil {
		return r.alone, nil
	}
	r.o.Progress("single events, 50/s")
	var err error
	r.alone, err = r.fresh(ctx, trouble{})
	return r.alone, err
}

func (r *run) hanging(ctx context.Context) error {
	alone, err := r.aloneTimes(ctx)
	if err != nil {
		return err
	}
	r.o.Progress("single events beside a destination that hangs 10 s, 20/s")
	release := make(chan struct{})
	slow := newReceiver(func(req *http.Request) {
		select {
		case <-time.After(10 * time.Second):
		case <-req.Context().Done():
		case <-release:
		}
	})
	defer slow.close()
	defer close(release)
	beside, err := r.fresh(ctx, trouble{hanging: slow.url})
	if err != nil {
		return err
	}
	const name = "beside a destination that hangs 10 s, 20/s"
	r.ratios(name, alone, beside)
	return nil
}

func (r *run) storm(ctx context.Context) error {
	alone, err := r.aloneTimes(ctx)
	if err != nil {
		return err
	}
	r.o.Progress(fmt.Sprintf("single events beside %d retries due at once", stormRetries))
	var retried atomic.Int64
	other := newReceiver(func(*http.Request) { retried.Add(1) })
	defer other.close()
	beside, err := r.fresh(ctx, trouble{retries: other.url})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("beside %d retries due at once", stormRetries)
	a, b := quantile(alone, .95), quantile(beside, .95)
	r.add(Figure{Measurement: name, Name: "p95", Value: ms(b), Unit: "ms"})
	r.add(Figure{Measurement: name, Name: "ratio of p95 to alone", Value: float64(b) / float64(max(a, 1)), Unit: "×", Wanted: 1.5})
	r.add(Figure{Measurement: name, Name: "retries made meanwhile", Value: float64(retried.Load()) / r.freshFor().Seconds(), Unit: "/s"})
	return nil
}

func (r *run) ratios(name string, alone, beside []time.Duration) {
	for _, q := range []float64{.5, .99} {
		a, b := quantile(alone, q), quantile(beside, q)
		f := Figure{Measurement: name, Name: fmt.Sprintf("ratio of p%.0f to alone", 100*q), Value: float64(b) / float64(max(a, 1)), Unit: "×"}
		if q == .99 {
			f.Wanted = 1.1
		}
		r.add(Figure{Measurement: name, Name: fmt.Sprintf("p%.0f", 100*q), Value: ms(b), Unit: "ms"})
		r.add(f)
	}
}

// trouble is what goes on beside the events that are measured.
type trouble struct {
	hanging string // events go here too, 20 a second
	retries string // 100,000 retries go here
}

func (r *run) freshFor() time.Duration { return max(r.o.Duration, 10*time.Second) }

// fresh returns the times from event to arrival.
func (r *run) fresh(ctx context.Context, beside trouble) ([]time.Duration, error) {
	rc := newReceiver(nil)
	defer rc.close()
	w, dir, done, err := r.world(ctx, sandbox.Config{KeepFinished: 1_000_000}, "max_in_flight: 10000", openWebhooks)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := r.stopped(ctx, w); err != nil {
		return nil, err
	}
	if beside.retries != "" {
		if err := r.seed(ctx, dir, stormRetries, func(int) waiting { return waiting{url: beside.retries, attempts: 1} }); err != nil {
			return nil, err
		}
	}
	p, err := w.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	sent, err := r.submitFresh(ctx, w, rc.url, beside.hanging)
	if err != nil {
		return nil, err
	}
	rc.await(len(sent), 30*time.Second)
	arrived := rc.arrivals()
	if len(arrived) < len(sent) {
		return nil, fmt.Errorf("only %d of %d webhooks arrived", len(arrived), len(sent))
	}
	p.Kill()
	return r.lags(ctx, dir, sent, arrived)
}

// submitFresh submits 50 generations a second, whose events go to url, and returns their ids.
func (r *run) submitFresh(ctx context.Context, w *rig.Rig, url, hanging string) (map[string]bool, error) {
	c := newClient()
	defer c.CloseIdleConnections()
	sent := map[string]bool{}
	tick := time.NewTicker(time.Second / freshRate)
	defer tick.Stop()
	n := int(freshRate * r.freshFor().Seconds())
	for i := range n {
		<-tick.C
		if hanging != "" && i*hangingRate/freshRate != (i-1)*hangingRate/freshRate {
			if _, err := r.submitOne(ctx, c, w, "sandbox-image-callback", hanging, i); err != nil {
				return nil, err
			}
		}
		task, err := r.submitOne(ctx, c, w, "sandbox-image-callback", url, i)
		if err != nil {
			return nil, err
		}
		sent[task] = true
	}
	return sent, nil
}

// lags reads when the events were made.
func (r *run) lags(ctx context.Context, dir string, sent map[string]bool, arrived map[string]time.Time) ([]time.Duration, error) {
	var lags []time.Duration
	err := r.database(ctx, dir, func(db *store.DB) error {
		return db.View(ctx, func(tx *store.Tx) error {
			return tx.Query(`SELECT generation_id, created_at FROM events WHERE generation_id IS NOT NULL`, nil, func(row store.Row) error {
				var job string
				var made int64
				err := row.Scan(&job, &made)
				if at, ok := arrived[job]; ok && sent[job] {
					lags = append(lags, max(0, at.Sub(store.Time(made))))
				}
				return err
			})
		})
	})
	if err == nil && len(lags) < len(sent) {
		err = fmt.Errorf("%d of %d events are in the database", len(lags), len(sent))
	}
	return lags, err
}
