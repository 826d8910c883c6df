package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/simulator/fleet"
	"github.com/kinora/kinora/provider"
)

var start = time.Unix(1_800_000_000, 0)

func second(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

// measured is a measurement of which all but the last 200 jobs are for learning, each
// ended ten seconds after its acceptance, and seen at once but for one.
func measured() (watching, fleet.Activity, []watched) {
	w := watching{upstream: upstreams()[0], inFlight: 2}
	did := fleet.Activity{Calls: int64(3 * w.total())}
	var saw []watched
	for i := range w.total() {
		id := string(rune('a' + i))
		did.Jobs = append(did.Jobs, fleet.Job{ID: id, EndedAt: second(5*i + 10)})
		saw = append(saw, watched{id, second(5 * i), second(5*i + 10)})
	}
	return w, did, saw
}

func TestWhatWasSeenIsComparedWithWhatHappened(t *testing.T) {
	w, did, saw := measured()
	saw[0].doneAt = saw[0].doneAt.Add(time.Hour) // while learning: it does not count
	last := len(saw) - 1
	saw[last].doneAt = saw[last].doneAt.Add(7 * time.Second)
	got, err := w.compare(did, saw)
	if err != nil {
		t.Fatal(err)
	}
	if p50, most := quantile(got.lags, .5), quantile(got.lags, 1); p50 != 0 || most != 7*time.Second || len(got.lags) != 200 {
		t.Errorf("p50 %v, at most %v, of %d", p50, most, len(got.lags))
	}
	if got.calls != 3 || got.most != 2 {
		t.Errorf("%.2f calls a job, %d at once", got.calls, got.most)
	}
}

func TestNothingIsLeftOutOfAComparison(t *testing.T) {
	for name, spoil := range map[string]func(*fleet.Activity, *[]watched){
		"an end that was not seen": func(_ *fleet.Activity, saw *[]watched) { *saw = (*saw)[1:] },
		"a job too many":           func(did *fleet.Activity, _ *[]watched) { did.Jobs = append(did.Jobs, fleet.Job{ID: "twice"}) },
		"an end of no job":         func(_ *fleet.Activity, saw *[]watched) { (*saw)[3].upstreamID = "another's" },
		"an end before the end":    func(did *fleet.Activity, _ *[]watched) { did.Jobs[3].EndedAt = time.Time{} },
	} {
		w, did, saw := measured()
		spoil(&did, &saw)
		if _, err := w.compare(did, saw); err == nil {
			t.Errorf("%s is taken for a measurement", name)
		}
	}
}

// A job's prompt lets its simulator lose one callback in five, and no provider refuses it.
func TestPrompts(t *testing.T) {
	for _, u := range upstreams() {
		for n := range noneCalled + 1 {
			w, lost := watching{upstream: u, news: n, inFlight: 50}, 0
			for i := range 100 {
				prompt := w.prompt(i)
				if strings.Contains(prompt, " callback=lost]]") {
					lost++
				}
				req := provider.Request{ClientRef: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P_0", Model: w.key(), UpstreamModel: u.model, Kind: kinora.KindVideo, Prompt: prompt}
				if err := u.provider.Validate(req); err != nil {
					t.Fatalf("%s: %q: %v", w.key(), prompt, err)
				}
			}
			if want := map[news]int{someCalled: 20}[n]; lost != want {
				t.Errorf("%s loses %d callbacks of 100, want %d", w.key(), lost, want)
			}
		}
	}
}

// A target stands beside a figure only where the upstream's pace leaves room for it.
func TestTargetsOfUpstreams(t *testing.T) {
	for _, tc := range []struct {
		upstream string
		news     news
		want     []float64 // p50, p99, calls
	}{
		{"kling", allCalled, []float64{0, 500, 1}},
		{"kling", someCalled, []float64{0, 5000, 1}},
		{"kling", noneCalled, []float64{0, 0, 1}}, // every five seconds
		{"kling-legacy", allCalled, []float64{0, 500, 0}},
		{"vidu", someCalled, []float64{0, 0, 1}}, // every fifteen
	} {
		r := &run{}
		for _, u := range upstreams() {
			if u.name == tc.upstream {
				r.addSeen(seen{watching: watching{u, tc.news, 50}, lags: []time.Duration{time.Second}, most: 40})
			}
		}
		if len(r.report.Figures) != 4 { // the fourth says that there were only 40
			t.Fatalf("%s: %+v", tc.upstream, r.report.Figures)
		}
		for i, want := range tc.want {
			if f := r.report.Figures[i]; f.Wanted != want {
				t.Errorf("%s: %s: wanted %v, want %v", tc.upstream, f.Name, f.Wanted, want)
			}
		}
	}
}

func TestEndedCounts(t *testing.T) {
	const page = `# HELP kinora_generations_ended_total Terminal generations, by model, state and failure code.
kinora_generations_ended_total{failure="",model="a",state="succeeded"} 40
kinora_generations_ended_total{failure="",model="b",state="succeeded"} 1.2e+03
kinora_generations_ended_total{failure="upstream_error",model="b",state="failed"} 3
kinora_generation_seconds_count{model="b"} 77
`
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, page)
	}))
	defer srv.Close()
	if succeeded, otherwise, err := endedCounts(t.Context(), srv.URL); err != nil || succeeded != 1240 || otherwise != 3 {
		t.Errorf("%d and %d, %v", succeeded, otherwise, err)
	}
	status = http.StatusNotFound
	if _, _, err := endedCounts(t.Context(), srv.URL); err == nil {
		t.Error("a server without metrics has ended nothing, without an error")
	}
}
