// Package bench measures the program as its users meet it: a server of its own in a child
// process, a fake upstream and receivers here, everything over loopback HTTP, durability
// on. Each figure stands beside the ceiling that the same machine showed in the same run.
//
// It asserts nothing: figures are compared by people, and by ratios between runs.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/internal/store"
)

// Options say what is measured and for how long.
type Options struct {
	Binary string // the kinora program to measure
	DSN    string // empty = SQLite in a temporary folder; else an empty PostgreSQL database
	// Duration is how long each timed measurement lasts; 0 = 5 s.
	Duration time.Duration
	// InFlight are the numbers of generations in flight for the detection measurement, and at each
	// of the upstreams; empty = 50, 500 and 5,000, of the upstreams 50 and 1,000.
	InFlight []int
	// Backlog is how many deliveries wait for the sustained measurement.
	Backlog int
	// Suite is "" for the figures of the whole program, "webhooks" for those of deliveries alone,
	// "upstreams" for what watching each upstream's jobs costs and how late it is.
	Suite string
	// Only limits the run to these measurements; empty = all of the suite.
	Only []string
	// Progress is told what begins.
	Progress func(string)
}

// Suites are the names that Options.Suite takes, beside none.
func Suites() []string { return []string{"webhooks", "upstreams"} }

// Measurements are the names that Options.Only takes, in the order in which they run: those of a suite.
func Measurements(suite string) []string {
	switch suite {
	case "upstreams":
		return upstreamNames()
	case "webhooks":
		return []string{"ceilings", "deliveries", "latency", "hanging", "storm", "lateness", "destinations", "recovery"}
	}
	return []string{"ceilings", "submits", "detection", "webhooks", "deliveries", "isolation", "memory", "due"}
}

// Figure is one measured value beside what was wanted.
type Figure struct {
	Measurement string  `json:"measurement"`
	Name        string  `json:"name"`
	Value       float64 `json:"value"`
	Unit        string  `json:"unit"`
	// Wanted is the published target; 0 = none.
	Wanted float64 `json:"wanted,omitempty"`
	// Least says that more is better; otherwise less is.
	Least bool `json:"more_is_better,omitempty"`
	// OfCeiling is the value as a share of the machine's own ceiling in this run; 0 = none.
	OfCeiling float64 `json:"of_ceiling,omitempty"`
}

// Report is a whole run.
type Report struct {
	Database string    `json:"database"`
	CPUs     int       `json:"cpus"`
	Go       string    `json:"go"`
	Started  time.Time `json:"started"`
	Figures  []Figure  `json:"figures"`
}

// run is the state of one benchmark run.
type run struct {
	o      Options
	report Report
	// ceilings found in this run, for OfCeiling
	posts, commits float64
	// alone are the times of single events with nothing else about, once they were measured.
	alone []time.Duration
}

// Run measures. Its error is the first thing that could not be measured.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Duration <= 0 {
		o.Duration = 5 * time.Second
	}
	if len(o.InFlight) == 0 {
		o.InFlight = []int{50, 500, 5000}
		if o.Suite == "upstreams" {
			o.InFlight = []int{50, 1000}
		}
	}
	if o.Backlog <= 0 {
		o.Backlog = 20_000
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	r := &run{o: o, report: Report{Database: "sqlite", CPUs: runtime.NumCPU(), Go: runtime.Version(), Started: time.Now().UTC()}}
	if store.IsPostgres(o.DSN) {
		r.report.Database = "postgres"
		if err := r.requireEmpty(ctx); err != nil {
			return nil, err
		}
	}
	if o.Suite == "upstreams" { // several of them at a time
		if err := r.upstreams(ctx); err != nil {
			return &r.report, fmt.Errorf("bench: upstreams: %w", err)
		}
		return &r.report, nil
	}
	steps := map[string]func(context.Context) error{
		"ceilings": r.ceilings, "submits": r.submits, "detection": r.detection, "webhooks": r.webhooks,
		"deliveries": r.deliveries, "isolation": r.isolation, "memory": r.memory, "due": r.due,
		"latency": r.latency, "hanging": r.hanging, "storm": r.storm, "lateness": r.lateness,
		"destinations": r.destinations, "recovery": r.recovery,
	}
	for _, name := range Measurements(o.Suite) {
		if len(o.Only) > 0 && !slices.Contains(o.Only, name) {
			continue
		}
		if err := steps[name](ctx); err != nil {
			return &r.report, fmt.Errorf("bench: %s: %w", name, err)
		}
	}
	return &r.report, nil
}

func (r *run) add(f Figure) { r.report.Figures = append(r.report.Figures, f) }

// requireEmpty refuses a database that somebody may need: a run writes, and does not tidy.
func (r *run) requireEmpty(ctx context.Context) error {
	db, err := store.Open(ctx, store.Options{DSN: r.o.DSN})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	return db.View(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM organisations`).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("the database is in use; give the benchmark an empty one")
		}
		return nil
	})
}

// world starts a fresh program around which one measurement is made, with a sandbox as its upstream.
func (r *run) world(ctx context.Context, up sandbox.Config, account, config string) (*rig.Rig, string, func(), error) {
	return r.worldOf(ctx, rig.Options{Upstream: up, Account: account, Config: config})
}

// worldOf is world with whatever upstreams o has.
func (r *run) worldOf(ctx context.Context, o rig.Options) (*rig.Rig, string, func(), error) {
	dir, err := os.MkdirTemp("", "kinora-bench-")
	if err != nil {
		return nil, "", nil, err
	}
	if err := r.clear(ctx); err != nil {
		return nil, "", nil, err
	}
	o.Binary, o.Dir, o.DSN = r.o.Binary, dir, r.o.DSN
	w, err := rig.New(o)
	if err != nil {
		return nil, "", nil, err
	}
	return w, dir, func() { w.Close(); _ = os.RemoveAll(dir) }, nil
}

// clear empties the PostgreSQL database between two measurements of one run; SQLite
// starts in a new folder anyway.
func (r *run) clear(ctx context.Context) error {
	if !store.IsPostgres(r.o.DSN) {
		return nil
	}
	db, err := store.Open(ctx, store.Options{DSN: r.o.DSN})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`TRUNCATE organisations, keys, webhook_secrets, generations, attempts, outputs, usage_entries, events,
			deliveries, delivery_attempts, uploads, idempotency_keys, nodes, learnt_durations, usage_months, rate_limits CASCADE`)
		return err
	})
}

// quantile of an unsorted list; NaN when it is empty.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	s := slices.Clone(list)
	slices.Sort(s)
	return s[min(len(s)-1, int(math.Ceil(q*float64(len(s))))-1)]
}

func ms(d time.Duration) float64 { return math.Round(float64(d.Microseconds())/10) / 100 }

// WriteTable writes the report for people.
func (rep *Report) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "%s, %d CPUs, %s\n\n", rep.Database, rep.CPUs, rep.Go)
	last := ""
	for _, f := range rep.Figures {
		if f.Measurement != last {
			fmt.Fprintf(w, "%s\n", f.Measurement)
			last = f.Measurement
		}
		var notes []string
		if f.Wanted > 0 {
			sign := "≤"
			if f.Least {
				sign = "≥"
			}
			verdict := "reached"
			if f.Least && f.Value < f.Wanted || !f.Least && f.Value > f.Wanted {
				verdict = "missed"
			}
			notes = append(notes, fmt.Sprintf("wanted %s %s: %s", sign, number(f.Wanted), verdict))
		}
		if f.OfCeiling > 0 {
			notes = append(notes, fmt.Sprintf("%.0f %% of the ceiling", 100*f.OfCeiling))
		}
		fmt.Fprintf(w, "  %-52s %12s %-9s %s\n", f.Name, number(f.Value), f.Unit, strings.Join(notes, "; "))
	}
}

func number(v float64) string {
	switch {
	case v >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// WriteJSON writes the report for programs.
func (rep *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rep)
}
