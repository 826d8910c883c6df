package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora/internal/store"
)

// ceilings measures what the machine can do at best: empty POSTs over loopback, and
// one-row transactions that are durable, alone and grouped.
func (r *run) ceilings(ctx context.Context) error {
	r.o.Progress("ceilings of this machine")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = w.Write([]byte(`{"code":200}`))
	})}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	done, _ := r.hammer(ctx, 64, func(c *http.Client, _, _ int) error {
		return post(ctx, c, "http://"+l.Addr().String()+"/", "", body(0, 0), nil)
	})
	r.posts = float64(done) / r.o.Duration.Seconds()
	r.add(Figure{Measurement: "ceilings", Name: "loopback POST/s, 64 clients", Value: r.posts, Unit: "/s", Least: true})

	dsn := r.o.DSN
	if dsn == "" {
		dir, err := os.MkdirTemp("", "kinora-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		dsn = filepath.Join(dir, "ceiling.db")
	}
	db, err := store.Open(ctx, store.Options{DSN: dsn, MaxConns: 64})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	for _, clients := range []int{1, 64} {
		var n atomic.Int64
		done := r.parallel(clients, func(c, i int) error {
			return db.Update(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(`INSERT INTO nodes (id, started_at, beat_at) VALUES (?, 0, 0)`, fmt.Sprintf("ceiling_%d_%d", clients, n.Add(1)))
				return err
			})
		})
		rate := float64(done) / r.o.Duration.Seconds()
		if clients == 64 {
			r.commits = rate
		}
		r.add(Figure{Measurement: "ceilings", Name: fmt.Sprintf("durable one-row commits/s, %d writers", clients), Value: rate, Unit: "/s", Least: true})
	}
	return db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM nodes`)
		return err
	})
}

// parallel runs fn from several goroutines for the duration and counts its successes.
func (r *run) parallel(clients int, fn func(client, i int) error) int64 {
	var done atomic.Int64
	end := time.Now().Add(r.o.Duration)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				if fn(c, i) == nil {
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return done.Load()
}

// hammer is parallel with a keep-alive client each, and times every call.
func (r *run) hammer(ctx context.Context, clients int, fn func(c *http.Client, client, i int) error) (int64, []time.Duration) {
	var mu sync.Mutex
	var all []time.Duration
	took := make([][]time.Duration, clients)
	own := make([]*http.Client, clients)
	for i := range own {
		own[i] = newClient()
	}
	done := r.parallel(clients, func(c, i int) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		started := time.Now()
		err := fn(own[c], c, i)
		if err == nil {
			took[c] = append(took[c], time.Since(started))
		}
		return err
	})
	for i, list := range took {
		mu.Lock()
		all = append(all, list...)
		mu.Unlock()
		own[i].CloseIdleConnections()
	}
	return done, all
}

func newClient() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
}

// post sends one JSON body and wants a 2xx; the answer goes to read.
func post(ctx context.Context, c *http.Client, url, key, text string, read func([]byte)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(text))
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("status %d: %.200s", res.StatusCode, answer)
	}
	if read != nil {
		read(answer)
	}
	return nil
}

// body is a submit of usual size.
func body(client, i int) string {
	return fmt.Sprintf(`{"model":"sandbox-image","input":{"prompt":"a paper boat crossing a puddle, number %d of client %d, soft morning light, shallow depth of field","size":"1024x1024","metadata":{"seed":%d}}}`, i, client, i)
}
