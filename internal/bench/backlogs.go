package bench

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// Deliveries that wait in great numbers: for their time, for ten thousand destinations, for one that comes back.

const (
	lateWaiting      = 100_000
	lateRetries      = 5_000
	lateRate         = 500 // retries due a second
	manyDestinations = 10_000
	recoveryBacklog  = 50_000
)

// backlog seeds deliveries, starts the program and calls measure.
func (r *run) backlog(ctx context.Context, n int, of func(i int) waiting, measure func() error) error {
	w, dir, done, err := r.world(ctx, sandbox.Config{}, "", openWebhooks)
	if err != nil {
		return err
	}
	defer done()
	if err := r.stopped(ctx, w); err != nil {
		return err
	}
	if err := r.seed(ctx, dir, n, of); err != nil {
		return err
	}
	p, err := w.Start(ctx)
	if err != nil {
		return err
	}
	defer p.Kill()
	return measure()
}

// lateness measures how late retries arrive while a hundred thousand others wait.
func (r *run) lateness(ctx context.Context) error {
	r.o.Progress(fmt.Sprintf("lateness of retries, %d waiting", lateWaiting))
	rc := newReceiver(nil)
	defer rc.close()
	due := map[string]time.Time{}
	// Seeding takes its time: the first falls due well after it.
	start := time.Now().Add(30*time.Second + lateWaiting*time.Millisecond)
	of := func(i int) waiting {
		x := waiting{url: rc.url, attempts: 1, due: start.Add(time.Hour)}
		if i < lateRetries {
			x.due = start.Add(time.Duration(i) * time.Second / lateRate)
			x.note = func(job string) { due[job] = x.due }
		}
		return x
	}
	return r.backlog(ctx, lateWaiting+lateRetries, of, func() error {
		if time.Now().After(start) {
			return fmt.Errorf("seeding took too long: the first retries were due before the program ran")
		}
		rc.await(1, time.Until(start)+30*time.Second)
		rc.await(lateRetries, 10*time.Second)
		var late []time.Duration
		for job, at := range rc.arrivals() {
			late = append(late, max(0, at.Sub(due[job])))
		}
		if len(late) < lateRetries {
			return fmt.Errorf("only %d of %d retries arrived", len(late), lateRetries)
		}
		name := fmt.Sprintf("lateness of retries, %d/s, %d waiting", lateRate, lateWaiting)
		r.add(Figure{Measurement: name, Name: "p50", Value: ms(quantile(late, .5)), Unit: "ms"})
		r.add(Figure{Measurement: name, Name: "p99", Value: ms(quantile(late, .99)), Unit: "ms", Wanted: 250})
		return nil
	})
}

// destinations measures one event for each of ten thousand destinations.
func (r *run) destinations(ctx context.Context) error {
	r.o.Progress(fmt.Sprintf("%d destinations, one event each", manyDestinations))
	// One listener stands behind every address of the loopback network.
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	rc := newReceiverOn(ln, nil)
	defer rc.close()
	port := ln.Addr().(*net.TCPAddr).Port
	of := func(i int) waiting {
		return waiting{url: fmt.Sprintf("http://127.1.%d.%d:%d/hook", i/250, 1+i%250, port)}
	}
	return r.backlog(ctx, manyDestinations, of, func() error {
		rate, err := drained(rc, manyDestinations)
		if err == nil {
			r.addRate("one event for each of 10,000 destinations", rate)
		}
		return err
	})
}

// recovery measures a destination that comes back to fifty thousand waiting deliveries.
func (r *run) recovery(ctx context.Context) error {
	r.o.Progress(fmt.Sprintf("recovery of %d waiting deliveries", recoveryBacklog))
	var away atomic.Bool
	away.Store(true)
	rc := newReceiver(nil)
	rc.refuse = away.Load
	defer rc.close()
	return r.backlog(ctx, recoveryBacklog, func(int) waiting { return waiting{url: rc.url} }, func() error {
		time.Sleep(5 * time.Second) // it is away, and the program finds out
		away.Store(false)
		back := time.Now()
		rc.await(1, 90*time.Second)
		first := time.Since(back)
		rate, err := drained(rc, recoveryBacklog)
		if err != nil {
			return err
		}
		const name = "a destination comes back to 50,000 waiting"
		r.add(Figure{Measurement: name, Name: "first delivery after", Value: ms(first), Unit: "ms"})
		r.addRate(name, rate)
		return nil
	})
}

// drained waits until n events have arrived and returns the rate from the first on.
func drained(rc *receiver, n int) (float64, error) {
	rc.await(1, time.Minute)
	started, already := time.Now(), rc.count()
	rc.await(n, 30*time.Second)
	if rc.count() < n {
		return 0, fmt.Errorf("only %d of %d events arrived", rc.count(), n)
	}
	return float64(n-already) / time.Since(started).Seconds(), nil
}

func (r *run) addRate(name string, rate float64) {
	f := Figure{Measurement: name, Name: "deliveries/s", Value: rate, Unit: "/s", Least: true}
	if r.posts > 0 {
		f.OfCeiling = rate / r.posts
	}
	r.add(f)
}
