package ark

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// inbox receives callbacks; its first answers are refuse.
type inbox struct {
	*httptest.Server
	came chan Task
	raw  chan []byte
}

func newInbox(t *testing.T, refuse int) *inbox {
	in := &inbox{came: make(chan Task, 100), raw: make(chan []byte, 100)}
	answers := make(chan int, 100)
	for range refuse {
		answers <- http.StatusInternalServerError
	}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got Task
		if err := json.Unmarshal(body, &got); err != nil || r.Method != http.MethodPost {
			t.Errorf("a callback: %s %s", r.Method, body)
		}
		select {
		case status := <-answers:
			w.WriteHeader(status)
		default:
		}
		in.raw <- body
		in.came <- got
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) next(t *testing.T) Task {
	t.Helper()
	select {
	case got := <-in.came:
		return got
	case <-time.After(30 * time.Second):
		t.Fatal("no callback came")
	}
	return Task{}
}

func callbackTo(in *inbox) string { return `,"callback_url":"` + in.URL + `/cb/ark/token?a=b"` }

// Every change is told, in order, with the body of a query.
func TestCallbacks(t *testing.T) {
	w := newWorld(t, nil)
	in := newInbox(t, 0)
	id := w.submit("a kite", callbackTo(in))
	for _, step := range []struct {
		wait time.Duration
		want string
	}{{0, queued}, {time.Second, running}, {4 * time.Second, succeeded}} {
		w.clock.Advance(step.wait)
		if got := in.next(t); got.Status != step.want || got.ID != id {
			t.Errorf("%+v, want %s", got, step.want)
		}
	}
	var last []byte
	for range 3 {
		last = <-in.raw
	}
	if a := w.look(id); !bytes.Equal(a.body, last) {
		t.Errorf("the callback is %s, the query %s", last, a.body)
	}
}

// A failed send of an end is repeated, up to three in all; other states are sent once.
func TestCallbackRepeats(t *testing.T) {
	w := newWorld(t, nil)
	in := newInbox(t, 3)
	id := w.submit("a kite [[queue=0s time=0s fail=OutputVideoSensitiveContentDetected]]", callbackTo(in))
	if got := in.next(t); got.Status != failed || got.ID != id {
		t.Errorf("%+v", got)
	}
	for range 2 {
		w.waitForTimer(1)
		w.clock.Advance(10 * time.Second)
		if got := in.next(t); got.Status != failed {
			t.Errorf("%+v", got)
		}
	}
}

// waitForTimer waits until the schedule sleeps for the clock.
func (w *world) waitForTimer(n int) {
	w.t.Helper()
	for range 30_000 {
		if w.clock.Waiting() >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("nothing waits for the clock")
}

func TestSpoiltCallbacks(t *testing.T) {
	for name, want := range map[string][]string{
		"lost": nil, "duplicate": {queued, queued, running, running, succeeded, succeeded},
		"reordered": {queued, succeeded, running}, "early": {queued, queued, running, succeeded}, "forged": {queued, succeeded, running, succeeded},
	} {
		w := newWorld(t, nil)
		in := newInbox(t, 0)
		id := w.submit("a kite [[callback="+name+"]]", callbackTo(in))
		var got []string
		take := func(n int) {
			var some []string
			for range n {
				some = append(some, in.next(t).Status)
			}
			slices.Sort(some) // what is sent at one moment comes in any order
			got = append(got, some...)
		}
		first := map[string]int{"lost": 0, "duplicate": 2, "reordered": 1, "early": 2, "forged": 2}[name]
		take(first)
		w.clock.Advance(time.Second)
		take(map[string]int{"duplicate": 2, "early": 1, "forged": 1}[name])
		w.clock.Advance(4 * time.Second)
		take(map[string]int{"duplicate": 2, "reordered": 1, "early": 1, "forged": 1}[name])
		if name == "reordered" {
			w.waitForTimer(1)
			w.clock.Advance(time.Second)
			take(1)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if a := w.look(id); a.text("status") != succeeded {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

// A cancelled task tells nothing.
func TestNoCallbackAboutACancel(t *testing.T) {
	w := newWorld(t, nil)
	in := newInbox(t, 0)
	id := w.submit("a kite", callbackTo(in))
	in.next(t)
	if a := w.call("DELETE", tasksRoute+"/"+id, ""); a.status != 200 {
		t.Fatal(a.status)
	}
	w.clock.Advance(time.Hour)
	other := w.submit("another [[queue=0s time=0s]]", callbackTo(in))
	if got := in.next(t); got.ID != other {
		t.Errorf("%+v", got)
	}
}
