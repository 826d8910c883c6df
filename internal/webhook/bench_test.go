package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// BenchmarkDeliveries measures sustained deliveries, b.N of them, against receivers on the
// loopback address, from claim to committed result.
func BenchmarkDeliveries(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, destinations := range []int{1, 8, 100} {
			b.Run(fmt.Sprintf("%s/destinations=%d", database.name, destinations), func(b *testing.B) {
				benchmarkDeliveries(b, database.open(b), destinations)
			})
		}
	}
}

func benchmarkDeliveries(b *testing.B, db *store.DB, destinations int) {
	var received atomic.Int64
	all := make(chan struct{})
	// Receivers that do nothing: what is measured is the sender.
	receivers := make([]*httptest.Server, min(destinations, 16))
	for i := range receivers {
		receivers[i] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if received.Add(1) == int64(b.N) {
				close(all)
			}
		}))
		b.Cleanup(receivers[i].Close)
	}
	w := newWorld(b, db)
	// Organisations are part of a destination: one receiver stands for several.
	orgs := make([]string, destinations)
	for i := range orgs {
		orgs[i] = w.organisation(fmt.Sprintf("org_bench_%d", i), receivers[i%len(receivers)].URL)
	}
	w.events(b.N, func(i int) (string, string) { return orgs[i%len(orgs)], "" })
	d := w.dispatcher(b, nil)
	b.ResetTimer()
	start := time.Now()
	w.start(b, d)
	<-all
	w.settled(b)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "deliveries/s")
}

// BenchmarkLatency measures one event at a time, from the commit of its transaction to its
// arrival, at 50 events a second.
func BenchmarkLatency(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(database.name, func(b *testing.B) {
			var (
				mu   sync.Mutex
				sent = map[string]time.Time{}
				lags []time.Duration
				all  = make(chan struct{})
			)
			rcv := newReceiver(b, func(c *call) answer {
				mu.Lock()
				defer mu.Unlock()
				lags = append(lags, time.Since(sent[c.event.JobID]))
				if len(lags) == b.N {
					close(all)
				}
				return answer{status: 200}
			})
			w := newWorld(b, database.open(b))
			org := w.organisation("org_latency", rcv.url())
			d := w.dispatcher(b, nil)
			w.start(b, d)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			for range b.N {
				<-tick.C
				w.events(1, func(int) (string, string) { return org, "" }, func(job string) {
					mu.Lock()
					defer mu.Unlock()
					sent[job] = time.Now()
				})
				d.Nudge()
			}
			<-all
			b.StopTimer()
			b.ReportMetric(quantile(lags, .5).Seconds()*1000, "p50-ms")
			b.ReportMetric(quantile(lags, .99).Seconds()*1000, "p99-ms")
		})
	}
}
