package bench

import (
	"context"
	"fmt"
	"net/http"

	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// submits measures acknowledged submits: each answer given after a durable commit. The
// account takes a single generation at a time, so that the figure is of accepting alone;
// what drives the work afterwards is measured by the other figures.
func (r *run) submits(ctx context.Context) error {
	for _, clients := range []int{1, 16, 64} {
		r.o.Progress(fmt.Sprintf("durable submits, %d clients", clients))
		w, _, done, err := r.world(ctx, sandbox.Config{}, "max_in_flight: 1", "")
		if err != nil {
			return err
		}
		p, err := w.Start(ctx)
		if err != nil {
			done()
			return err
		}
		var failed error
		n, took := r.hammer(ctx, clients, func(c *http.Client, client, i int) error {
			err := post(ctx, c, w.URL+"/api/generate/submit", w.Key, body(client, i), nil)
			if err != nil {
				failed = err
			}
			return err
		})
		p.Kill()
		done()
		if failed != nil {
			return failed
		}
		rate := float64(n) / r.o.Duration.Seconds()
		f := Figure{Measurement: "durable submits", Name: fmt.Sprintf("submits/s, %d clients", clients), Value: rate, Unit: "/s", Least: true}
		if r.posts > 0 {
			f.OfCeiling = rate / r.posts
		}
		p99 := Figure{Measurement: "durable submits", Name: fmt.Sprintf("p99, %d clients", clients), Value: ms(quantile(took, .99)), Unit: "ms"}
		if clients == 64 && r.report.Database == "sqlite" {
			f.Wanted, p99.Wanted = 5000, 25
		}
		r.add(f)
		r.add(Figure{Measurement: "durable submits", Name: fmt.Sprintf("p50, %d clients", clients), Value: ms(quantile(took, .5)), Unit: "ms"})
		r.add(p99)
	}
	return nil
}
