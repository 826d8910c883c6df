package bench

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/rig"
	"github.com/kinora/kinora/internal/simulator/fleet"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/ark"
	"github.com/kinora/kinora/provider/kling"
	"github.com/kinora/kinora/provider/minimax"
	"github.com/kinora/kinora/provider/vidu"
)

// together is how many generations one program has in flight at most, unless a single
// upstream is to have more: what shares it is several upstreams, each in a lane of its own. With
// jobs of 5 to 15 s a thousand end a hundred a second. Three times as many keep two cores busy with
// making, serving and storing their files, and the lag is then the machine's.
const together = 1000

// upstream is one of those that the suite measures.
type upstream struct {
	name     string // as Options.Only has it
	title    string
	provider provider.Provider
	model    string // the upstream's id
	order    string // by which a prompt says how many seconds the job takes
}

func upstreams() []upstream {
	return []upstream{
		{"kling", "Kling", kling.New(), "kling-2.6", "time=%.2f"},
		{"kling-legacy", "Kling, older family", kling.New(), "kling-v2-6", "time=%.2f"},
		{"ark", "Ark", ark.New(), "doubao-seedance-1-0-pro-250528", "queue=0 time=%.2f"},
		{"minimax-v1", "MiniMax V1", minimax.New(), "MiniMax-Hailuo-2.3", "time=%.2f"},
		{"minimax-v2", "MiniMax V2", minimax.New(), "MiniMax-H3", "time=%.2f"},
		{"vidu", "Vidu", vidu.New(), "viduq3-turbo", "time=%.2f"},
	}
}

func upstreamNames() []string {
	var names []string
	for _, u := range upstreams() {
		names = append(names, u.name)
	}
	return names
}

// news is what an upstream tells of its jobs' ends by itself.
type news int

const (
	allCalled  news = iota // a callback for each
	someCalled             // none for one job in five
	noneCalled
)

func (n news) String() string {
	return [...]string{"by callback", "one callback in five lost", "by polling"}[n]
}

// watching is one measurement: an upstream with so many jobs in flight, and the news that
// it gives.
type watching struct {
	upstream
	news     news
	inFlight int
}

// key names the measurement's account and its model.
func (w *watching) key() string { return fmt.Sprintf("%s-%d", w.name, w.news) }

// warm is how many of the jobs only teach how long the model takes, and total how many there are.
func (w *watching) warm() int  { return max(w.inFlight, 100) }
func (w *watching) total() int { return w.warm() + max(w.inFlight, 200) }

// prompt makes a job last 5 to 15 s, or as much longer as more than a thousand need for no more
// than a hundred to end in a second, and takes one callback in five away where that is measured.
func (w *watching) prompt(i int) string {
	orders := fmt.Sprintf(w.order, jobTime().Seconds()*max(1, float64(w.inFlight)/together))
	if w.news == someCalled && i%5 == 0 {
		orders += " callback=lost"
	}
	return fmt.Sprintf("job %d [[%s]]", i, orders)
}

// upstreams measures how late the ends of jobs are seen and how many HTTP requests that
// takes, at each upstream, by callbacks, with some lost, and without any. Each measurement has
// a simulated upstream and an account of its own; several of them share a program.
func (r *run) upstreams(ctx context.Context) error {
	var done []seen
	for _, n := range r.o.InFlight {
		// Whether upstreams are asked to call back is a setting of the whole program.
		var called, uncalled []watching
		for _, u := range upstreams() {
			if len(r.o.Only) > 0 && !slices.Contains(r.o.Only, u.name) {
				continue
			}
			called = append(called, watching{u, allCalled, n}, watching{u, someCalled, n})
			uncalled = append(uncalled, watching{u, noneCalled, n})
		}
		for _, list := range [][]watching{called, uncalled} {
			for part := range slices.Chunk(list, max(1, together/n)) {
				got, err := r.watch(ctx, part)
				if err != nil {
					return err
				}
				done = append(done, got...)
			}
		}
	}
	order := upstreamNames()
	slices.SortStableFunc(done, func(a, b seen) int {
		return cmp.Or(slices.Index(order, a.name)-slices.Index(order, b.name), a.inFlight-b.inFlight)
	})
	for _, s := range done {
		r.addSeen(s)
	}
	return nil
}

// seen is what came of a measurement.
type seen struct {
	watching
	lags  []time.Duration // of those that count
	calls float64         // HTTP requests a job
	most  int             // in flight at once
}

// addSeen reports it. A target is printed only where the upstream's own pace leaves room for it.
func (r *run) addSeen(s seen) {
	d := s.provider.Describe()
	pace := d.Poll.Interval
	target := func(within time.Duration, reachable bool) float64 {
		if !reachable {
			return 0
		}
		return ms(within)
	}
	var p50, p99 float64
	switch s.news {
	case allCalled:
		p99 = ms(500 * time.Millisecond)
	case someCalled:
		p99 = target(5*time.Second, pace <= 5*time.Second)
	case noneCalled:
		p50, p99 = target(time.Second, pace <= 2*time.Second), target(3*time.Second, pace <= 3*time.Second)
	}
	calls := 0.0
	if d.Model(s.model).BatchPoll > 1 {
		calls = 1
	}
	add := func(name string, value float64, unit string, wanted float64) {
		r.add(Figure{Measurement: fmt.Sprintf("%s, %d in flight", s.title, s.inFlight), Name: s.news.String() + ": " + name, Value: value, Unit: unit, Wanted: wanted})
	}
	add("lag p50", ms(quantile(s.lags, .5)), "ms", p50)
	add("lag p99", ms(quantile(s.lags, .99)), "ms", p99)
	add("HTTP calls per job", s.calls, "", calls)
	if s.most < s.inFlight*9/10 {
		// The machine was too slow for the number: the figures are of this one.
		add("in flight at most", float64(s.most), "", 0)
	}
}

// watch makes some measurements side by side in one program.
func (r *run) watch(ctx context.Context, list []watching) ([]seen, error) {
	var names []string
	total := 0
	for _, w := range list {
		names = append(names, w.name)
		total += w.total()
	}
	r.o.Progress(fmt.Sprintf("%s, %d in flight each, %d jobs", strings.Join(slices.Compact(names), ", "), list[0].inFlight, total))
	var fleets []*fleet.Fleet
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		for _, f := range fleets {
			_ = f.Close(stop) // nobody needs what is cut off
		}
	}()
	var accounts, models strings.Builder
	for _, w := range list {
		f, err := fleet.Start(ctx, fleet.Options{Only: []string{w.provider.Name()}, Jobs: 1_000_000, OneFile: true})
		if err != nil {
			return nil, err
		}
		fleets = append(fleets, f)
		up := f.Upstreams[0]
		fmt.Fprintf(&accounts, "  - {name: %s, provider: %s, base_url: %q, max_in_flight: %d, settings: {", w.key(), up.Provider, up.URL, w.inFlight)
		for name, value := range up.Settings {
			fmt.Fprintf(&accounts, "%s: %s, ", name, value)
		}
		accounts.WriteString("}}\n")
		fmt.Fprintf(&models, "  - {name: %s, kind: video, provider: %s, upstream_model: %s, accounts: [%s]}\n", w.key(), up.Provider, w.model, w.key())
	}
	w, dir, done, err := r.worldOf(ctx, rig.Options{Accounts: accounts.String(), Config: "models:\n" + models.String(), Uncalled: list[0].news == noneCalled})
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := w.Start(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.runJobs(ctx, w, list, total); err != nil {
		p.Kill()
		return nil, err
	}
	stop, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.Stop(stop); err != nil {
		return nil, err
	}
	attempts, err := r.attemptsOf(ctx, dir)
	if err != nil {
		return nil, err
	}
	var out []seen
	for i, w := range list {
		s, err := w.compare(fleets[i].Upstreams[0].Activity(), attempts[w.key()])
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// runJobs submits the jobs of all measurements, mixed, and waits until Kinora has seen the
// end of each, however late: one that was left out would be the latest.
func (r *run) runJobs(ctx context.Context, w *rig.Rig, list []watching, total int) error {
	var jobs []func() string
	for i := range list[0].total() {
		for _, w := range list {
			jobs = append(jobs, func() string {
				return fmt.Sprintf(`{"model":%q,"input":{"prompt":%q}}`, w.key(), w.prompt(i))
			})
		}
	}
	if err := submitAll(ctx, w, len(jobs), func(i int) string { return jobs[i]() }); err != nil {
		return err
	}
	rounds := time.Duration((list[0].total()/list[0].inFlight + 2) * max(1, list[0].inFlight/together))
	ctx, cancel := context.WithTimeout(ctx, rounds*15*time.Second+5*time.Minute)
	defer cancel()
	for {
		succeeded, failed, err := endedCounts(ctx, w.URL)
		switch {
		case err != nil:
			return fmt.Errorf("after %d of %d generations: %w", succeeded, total, err)
		case failed > 0:
			return fmt.Errorf("%d generations did not succeed", failed)
		case succeeded == total:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d generations ended: %w", succeeded, total, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// watched is what Kinora knows of an attempt.
type watched struct {
	upstreamID         string
	acceptedAt, doneAt time.Time
}

// attemptsOf reads the attempts of a program that has stopped, by account, oldest first.
func (r *run) attemptsOf(ctx context.Context, dir string) (map[string][]watched, error) {
	out := map[string][]watched{}
	err := r.read(ctx, dir, func(tx *store.Tx) error {
		return tx.Query(`SELECT account, upstream_id, accepted_at, done_at FROM attempts WHERE done_at > 0 ORDER BY created_at, generation_id`, nil, func(row store.Row) error {
			var account, id string
			var accepted, done int64
			if err := row.Scan(&account, &id, &accepted, &done); err != nil {
				return err
			}
			out[account] = append(out[account], watched{id, store.Time(accepted), store.Time(done)})
			return nil
		})
	})
	return out, err
}

// compare holds what Kinora saw against what the upstream did.
func (w *watching) compare(did fleet.Activity, saw []watched) (seen, error) {
	ended := make(map[string]time.Time, len(did.Jobs))
	for _, j := range did.Jobs {
		ended[j.ID] = j.EndedAt
	}
	if len(saw) != w.total() || len(did.Jobs) != w.total() {
		return seen{}, fmt.Errorf("%s %s: %d jobs made, %d ends seen, of %d", w.name, w.news, len(did.Jobs), len(saw), w.total())
	}
	out := seen{watching: *w, calls: float64(did.Calls) / float64(len(did.Jobs))}
	var turns []turn
	for i, a := range saw {
		at, known := ended[a.upstreamID]
		if !known || at.IsZero() {
			return seen{}, fmt.Errorf("%s %s: an end was seen of a job that has none", w.name, w.news)
		}
		turns = append(turns, turn{a.acceptedAt, 1}, turn{at, -1})
		if i >= w.warm() {
			out.lags = append(out.lags, max(0, a.doneAt.Sub(at)))
		}
	}
	out.most = mostAtOnce(turns)
	return out, nil
}

// turn is a job's beginning or end.
type turn struct {
	at   time.Time
	step int
}

func mostAtOnce(turns []turn) (most int) {
	slices.SortFunc(turns, func(a, b turn) int { return cmp.Or(a.at.Compare(b.at), a.step-b.step) })
	now := 0
	for _, t := range turns {
		now += t.step
		most = max(most, now)
	}
	return most
}
