package bench

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// deliveries measures how fast a backlog of events is delivered: a restart after an
// outage of ours. Then the latency of single events at 50/s.
func (r *run) deliveries(ctx context.Context) error {
	r.o.Progress(fmt.Sprintf("sustained deliveries, %d waiting", r.o.Backlog))
	rc := newReceiver(nil)
	defer rc.close()
	w, dir, done, err := r.world(ctx, sandbox.Config{}, "", openWebhooks)
	if err != nil {
		return err
	}
	defer done()
	p, err := w.Start(ctx) // makes organisation, key and secret
	if err != nil {
		return err
	}
	stopCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.Stop(stopCtx); err != nil {
		return err
	}
	if err := r.seed(ctx, dir, r.o.Backlog, func(int) waiting { return waiting{url: rc.url} }); err != nil {
		return err
	}
	if p, err = w.Start(ctx); err != nil {
		return err
	}
	defer p.Kill()
	rc.await(1, 30*time.Second)
	started, already := time.Now(), rc.count()
	rc.await(r.o.Backlog, 10*time.Second)
	got := rc.count() - already
	rate := float64(got) / time.Since(started).Seconds()
	if rc.count() < r.o.Backlog {
		return fmt.Errorf("only %d of %d events arrived", rc.count(), r.o.Backlog)
	}
	wanted := 2500.0
	if r.report.Database == "postgres" {
		wanted = 5000
	}
	f := Figure{Measurement: "deliveries", Name: "sustained deliveries/s", Value: rate, Unit: "/s", Wanted: wanted, Least: true}
	if r.posts > 0 {
		f.OfCeiling = rate / r.posts
	}
	r.add(f)
	return nil
}

// isolation measures one receiver's latency alone, and beside a receiver that hangs and
// an upstream account that never answers.
func (r *run) isolation(ctx context.Context) error {
	r.o.Progress("isolation beside a hanging receiver and a stuck upstream")
	alone, err := r.steady(ctx, false)
	if err != nil {
		return err
	}
	beside, err := r.steady(ctx, true)
	if err != nil {
		return err
	}
	a, b := quantile(alone, .99), quantile(beside, .99)
	r.add(Figure{Measurement: "isolation", Name: "submit → webhook p99 alone", Value: ms(a), Unit: "ms"})
	r.add(Figure{Measurement: "isolation", Name: "submit → webhook p99 beside them", Value: ms(b), Unit: "ms"})
	r.add(Figure{Measurement: "isolation", Name: "ratio of p50", Value: float64(quantile(beside, .5)) / float64(max(quantile(alone, .5), 1)), Unit: "×", Wanted: 1.1})
	r.add(Figure{Measurement: "isolation", Name: "ratio of p99", Value: float64(b) / float64(max(a, 1)), Unit: "×", Wanted: 1.1})
	return nil
}

// steady submits 20 generations a second whose events go to a healthy receiver; with
// trouble, as many again whose events go to one that hangs for 10 s, and some at an
// account whose upstream answers no submit.
func (r *run) steady(ctx context.Context, trouble bool) ([]time.Duration, error) {
	release := make(chan struct{})
	healthy, hanging := newReceiver(nil), newReceiver(func(req *http.Request) {
		select {
		case <-time.After(10 * time.Second):
		case <-req.Context().Done():
		case <-release:
		}
	})
	defer healthy.close()
	defer hanging.close()
	defer close(release)
	stuck := newStuckUpstream()
	defer func() { stuck.CloseClientConnections(); stuck.Close() }()
	config := openWebhooks + `
models:
  - {name: stuck-image, kind: image, provider: sandbox, upstream_model: sandbox-image, accounts: [stuck]}
  - {name: sandbox-image, kind: image, provider: sandbox, accounts: [up]}
  - {name: sandbox-image-callback, kind: image, provider: sandbox, accounts: [up]}`
	account := fmt.Sprintf("max_in_flight: 1000}\n  - {name: stuck, provider: sandbox, base_url: %q, settings: {api_key: x}", stuck.URL)
	w, _, done, err := r.world(ctx, sandbox.Config{KeepFinished: 1_000_000}, account, config)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := w.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	if trouble {
		if err := r.makeTrouble(ctx, w, hanging.url); err != nil {
			return nil, err
		}
	}
	sent := map[string]time.Time{}
	c := newClient()
	tick := time.NewTicker(time.Second / 20)
	defer tick.Stop()
	n := int(20 * max(r.o.Duration, 10*time.Second).Seconds())
	for i := range n {
		<-tick.C
		if trouble {
			if _, err := r.submitOne(ctx, c, w, "sandbox-image", hanging.url, i); err != nil {
				return nil, err
			}
		}
		at := time.Now()
		task, err := r.submitOne(ctx, c, w, "sandbox-image-callback", healthy.url, i)
		if err != nil {
			return nil, err
		}
		sent[task] = at
	}
	healthy.await(n, 30*time.Second)
	var took []time.Duration
	for task, at := range healthy.arrivals() {
		if s, ok := sent[task]; ok {
			took = append(took, at.Sub(s))
		}
	}
	if len(took) < n {
		return nil, fmt.Errorf("only %d of %d webhooks arrived", len(took), n)
	}
	return took, nil
}

// makeTrouble fills the stuck account's lane and gives the hanging receiver a backlog.
func (r *run) makeTrouble(ctx context.Context, w *rig.Rig, hangingURL string) error {
	c := newClient()
	for i := range 300 {
		if _, err := r.submitOne(ctx, c, w, "stuck-image", hangingURL, i); err != nil {
			return err
		}
		if _, err := r.submitOne(ctx, c, w, "sandbox-image", hangingURL, i); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	return nil
}

// memory measures the program's resident memory, idle and with generations in flight.
func (r *run) memory(ctx context.Context) error {
	r.o.Progress("memory")
	w, _, done, err := r.world(ctx, sandbox.Config{KeepFinished: 1_000_000, ImageDelay: time.Hour}, "max_in_flight: 20000", "")
	if err != nil {
		return err
	}
	defer done()
	p, err := w.Start(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	r.add(Figure{Measurement: "memory", Name: "ready in", Value: ms(p.ReadyIn), Unit: "ms", Wanted: 500})
	time.Sleep(3 * time.Second)
	rss, err := residentMiB(p.PID())
	if err != nil {
		return err
	}
	r.add(Figure{Measurement: "memory", Name: "idle", Value: rss, Unit: "MiB", Wanted: 60})
	c := newClient()
	inFlight := 0
	for _, step := range []struct {
		n      int
		wanted float64
	}{{2000, 80}, {10_000, 0}} {
		for ; inFlight < step.n; inFlight++ {
			if _, err := r.submitOne(ctx, c, w, "sandbox-image", "", inFlight); err != nil {
				return err
			}
		}
		for end := time.Now().Add(time.Minute); w.Upstream.Stats().InFlight < step.n && time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
		}
		if rss, err = residentMiB(p.PID()); err != nil {
			return err
		}
		r.add(Figure{Measurement: "memory", Name: fmt.Sprintf("%d in flight", step.n), Value: rss, Unit: "MiB", Wanted: step.wanted})
	}
	return nil
}

func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("resident memory can be read on Linux only: %w", err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0, err
	}
	return float64(resident*int64(os.Getpagesize())) / (1 << 20), nil
}
