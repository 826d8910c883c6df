package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora"
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
		b.Run(database.name, func(b *testing.B) { measureLatency(b, newWorld(b, database.open(b))) })
	}
}

func measureLatency(b *testing.B, w *world) {
	var (
		mu   sync.Mutex
		sent = map[string]time.Time{}
		lags []time.Duration
		all  = make(chan struct{})
	)
	rcv := newReceiver(b, func(c *call) answer {
		mu.Lock()
		defer mu.Unlock()
		lags = append(lags, time.Since(sent[c.job()]))
		if len(lags) == b.N {
			close(all)
		}
		return answer{status: 200}
	})
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
		d.Nudge("org_1")
	}
	<-all
	b.StopTimer()
	b.ReportMetric(quantile(lags, .5).Seconds()*1000, "p50-ms")
	b.ReportMetric(quantile(lags, .95).Seconds()*1000, "p95-ms")
	b.ReportMetric(quantile(lags, .99).Seconds()*1000, "p99-ms")
}

// BenchmarkRetryStorm measures, at 50 events a second to a destination that is well, how
// long they take alone and beside 100,000 retries to another one that all fall due at once.
func BenchmarkRetryStorm(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, storm := range []int{0, 100_000} {
			b.Run(fmt.Sprintf("%s/retries=%d", database.name, storm), func(b *testing.B) {
				w := newWorld(b, database.open(b))
				var stormed atomic.Int64
				bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					stormed.Add(1)
				}))
				b.Cleanup(bad.Close)
				org := w.organisation("org_storm", bad.URL)
				w.events(storm, func(int) (string, string) { return org, "" })
				w.update(func(tx *store.Tx) error {
					_, err := tx.Exec(`UPDATE deliveries SET retry = 1, attempts = 1`)
					return err
				})
				measureLatency(b, w)
				b.ReportMetric(float64(stormed.Load())/b.Elapsed().Seconds(), "retries/s")
			})
		}
	}
}

// BenchmarkRetryLateness measures how late retries arrive, 500 of them a second, while
// 100,000 others wait for a later time.
func BenchmarkRetryLateness(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(database.name, func(b *testing.B) {
			w := newWorld(b, database.open(b))
			var (
				mu   sync.Mutex
				due  = map[string]time.Time{}
				late []time.Duration
				all  = make(chan struct{})
			)
			rcv := newReceiver(b, func(c *call) answer {
				mu.Lock()
				defer mu.Unlock()
				late = append(late, time.Since(due[c.job()]))
				if len(late) == b.N {
					close(all)
				}
				return answer{status: 200}
			})
			org := w.organisation("org_1", rcv.url())
			waiting := w.events(100_000+b.N, func(int) (string, string) { return org, "" })
			start := time.Now().Add(5 * time.Second)
			for i, d := range waiting {
				d.State, d.Attempts, d.DueAt = kinora.DeliveryPending, 1, start.Add(time.Hour)
				if i < b.N {
					d.DueAt = start.Add(time.Duration(i) * 2 * time.Millisecond)
					due[d.GenerationID] = d.DueAt
				}
			}
			for some := range slices.Chunk(waiting, 1000) {
				w.update(func(tx *store.Tx) error {
					rows := make([]store.DeliveryResult, len(some))
					for i, d := range some {
						rows[i].Delivery = d
					}
					_, err := tx.SaveDeliveries(rows)
					return err
				})
			}
			d := w.dispatcher(b, nil)
			w.start(b, d)
			<-all
			b.ReportMetric(quantile(late, .5).Seconds()*1000, "p50-ms")
			b.ReportMetric(quantile(late, .99).Seconds()*1000, "p99-ms")
		})
	}
}

// BenchmarkLogVisible measures, at 50 events a second, how long after the receiver has answered
// an attempt can be read from the log.
func BenchmarkLogVisible(b *testing.B) {
	for _, database := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(database.name, func(b *testing.B) {
			w := newWorld(b, database.open(b))
			answered := make(chan string, b.N)
			rcv := newReceiver(b, func(c *call) answer {
				answered <- c.header.Get("X-Katalo-Delivery-Id")
				return answer{status: 200}
			})
			org := w.organisation("org_visible", rcv.url())
			d := w.run(b, nil)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			var lags []time.Duration
			b.ResetTimer()
			for range b.N {
				<-tick.C
				w.event(org)
				d.Nudge("org_1")
				deliveryID := <-answered
				for at := time.Now(); ; time.Sleep(time.Millisecond) {
					if len(w.log(deliveryID)) > 0 {
						lags = append(lags, time.Since(at))
						break
					}
				}
			}
			b.StopTimer()
			b.ReportMetric(quantile(lags, .5).Seconds()*1000, "p50-ms")
			b.ReportMetric(quantile(lags, .99).Seconds()*1000, "p99-ms")
		})
	}
}
