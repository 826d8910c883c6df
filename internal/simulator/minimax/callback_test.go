package minimax

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

func withCallback(body, url string) string {
	return strings.TrimSuffix(body, "}") + fmt.Sprintf(`,"callback_url":%q}`, url)
}

// A receiver that does not echo the challenge at once gets no job.
func TestChallenge(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, string)
		taken  bool
	}{
		"echo":         {echo, true},
		"other word":   {func(w http.ResponseWriter, _ string) { echo(w, "x") }, false},
		"plain text":   {func(w http.ResponseWriter, word string) { _, _ = io.WriteString(w, word) }, false},
		"empty":        {func(http.ResponseWriter, string) {}, false},
		"404 and echo": {func(w http.ResponseWriter, word string) { w.WriteHeader(404); echo(w, word) }, false},
	} {
		r := newReceiver(t, c.answer)
		before := len(w.Jobs())
		a := w.do("POST", "/v1/video_generation", withCallback(hailuoBody, r.URL))
		if c.taken {
			w.expect(name, a, 200, "base_resp.status_code", "0")
		} else {
			w.expect(name, a, 200, "base_resp.status_code", "2013", "base_resp.status_msg", "invalid params, fail to check callback url")
			w.expect(name, w.do("POST", "/v2/video_generation", withCallback(h3Body, r.URL)), 400, "error.message", "invalid params, fail to check callback url (2013)")
		}
		if taken := len(w.Jobs()) > before; taken != c.taken {
			t.Errorf("%s: taken %v", name, taken)
		}
	}
	w.expect("nobody there", w.do("POST", "/v1/video_generation", withCallback(hailuoBody, "http://127.0.0.1:1/")), 200, "base_resp.status_code", "2013")
	if n := w.Stats().Challenges; n != 1 {
		t.Errorf("%d challenges answered, want 1", n)
	}
}

// Three seconds, and not one more.
func TestLateChallenge(t *testing.T) {
	w := newWorld(t, nil)
	asked, release := make(chan struct{}), make(chan struct{})
	r := newReceiver(t, func(rw http.ResponseWriter, word string) { close(asked); <-release; echo(rw, word) })
	done := make(chan answer)
	go func() { done <- w.do("POST", "/v1/video_generation", withCallback(hailuoBody, r.URL)) }()
	<-asked
	w.clock.Advance(challengeTime - time.Millisecond)
	select {
	case a := <-done:
		t.Fatalf("given up early: %s", a.body)
	default:
	}
	w.clock.Advance(time.Millisecond)
	w.expect("late", <-done, 200, "base_resp.status_code", "2013")
	close(release)
}

// V1's callbacks have words and a body of their own.
func TestHailuoCallbacks(t *testing.T) {
	w := newWorld(t, nil)
	r := newReceiver(t, echo)
	id := w.do("POST", "/v1/video_generation", withCallback(hailuoBody, r.URL+"/hook?a=b")).get("task_id")
	w.clock.Advance(2 * time.Second)
	w.expect("at the start", r.next(t), 0, "task_id", id, "status", "processing", "file_id", "", "base_resp.status_code", "0")
	w.clock.Advance(8 * time.Second)
	a := w.expect("at the end", r.next(t), 0, "task_id", id, "status", "success", "base_resp.status_msg", "success")
	if a.get("file_id") != w.do("GET", "/v1/query/video_generation?task_id="+id, "").get("file_id") {
		t.Errorf("another file: %s", a.body)
	}
	w.do("POST", "/v1/video_generation", withCallback(strings.Replace(hailuoBody, "a fox", "[[fail=1026 time=1]]", 1), r.URL))
	w.clock.Advance(time.Second)
	got := []string{r.next(t).get("status"), r.next(t).get("status")}
	if slices.Sort(got); !slices.Equal(got, []string{"failed", "processing"}) {
		t.Errorf("statuses %v", got)
	}
}

// V2's callbacks are what a query answers.
func TestH3Callbacks(t *testing.T) {
	w := newWorld(t, nil)
	r := newReceiver(t, echo)
	id := w.do("POST", "/v2/video_generation", withCallback(h3Body, r.URL)).get("task_id")
	w.expect("queued", r.next(t), 0, "task.id", id, "task.status", "queued")
	w.clock.Advance(2 * time.Second)
	w.expect("running", r.next(t), 0, "task.id", id, "task.status", "running")
	w.clock.Advance(8 * time.Second)
	a := w.expect("succeeded", r.next(t), 0, "task.id", id, "task.status", "succeeded")
	w.expect("its file", w.do("GET", strings.TrimPrefix(a.get("task.content.url"), w.url), ""), 200)

	id = w.do("POST", "/v2/video_generation", withCallback(h3Body, r.URL)).get("task_id")
	w.expect("queued", r.next(t), 0, "task.status", "queued")
	w.do("DELETE", "/v2/video_generation/"+id, "")
	w.expect("cancelled", r.next(t), 0, "task.id", id, "task.status", "cancelled")
	w.clock.Advance(time.Minute)
	w.schedule.Close() // what was due has been sent
	if posts := w.Jobs()[1].Posts; len(posts) != 2 {
		t.Errorf("%d posts about a cancelled task: %s", len(posts), posts)
	}
}

func TestSpoiltCallbacks(t *testing.T) {
	for how, want := range map[string][]string{
		"lost": nil, "duplicate": {"processing", "processing", "success", "success"}, "reordered": {"success", "processing"},
		"forged": {"processing", "success", "success"}, "early": {"processing", "processing", "success"},
	} {
		w := newWorld(t, nil)
		r := newReceiver(t, echo)
		w.do("POST", "/v1/video_generation", withCallback(strings.Replace(hailuoBody, "a fox", "[[callback="+how+"]]", 1), r.URL))
		if how == "early" && len(r.came) != 1 {
			t.Error("nothing came before the answer")
		}
		var got []string
		take := func(n int) {
			for range n {
				got = append(got, r.next(t).get("status"))
			}
		}
		atStart := map[string]int{"duplicate": 2, "forged": 2, "early": 2}[how]
		w.clock.Advance(2 * time.Second)
		take(atStart)
		w.clock.Advance(8 * time.Second)
		take(max(min(len(want)-atStart, 2), 0) - map[string]int{"reordered": 1}[how])
		w.clock.Advance(time.Second)
		take(len(want) - len(got))
		if how != "reordered" {
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", how, got, want)
		}
		var sent []string
		for _, post := range w.Jobs()[0].Posts {
			sent = append(sent, string(post))
		}
		r.mu.Lock()
		for _, body := range r.bodies {
			if !slices.Contains(sent, string(body)) {
				t.Errorf("%s: received %s, sent %s", how, body, sent)
			}
		}
		r.mu.Unlock()
	}
}

// Every code that a prompt can order, in both versions' words.
func TestOrderedRefusals(t *testing.T) {
	w := newWorld(t, nil)
	for code, v2 := range map[int]struct {
		status int
		kind   string
	}{
		1000: {500, "server_error"}, 1002: {429, "rate_limit_error"}, 1004: {401, "authorized_error"}, 1008: {402, "insufficient_balance_error"},
		1026: {422, "unprocessable_entity_error"}, 2013: {400, "bad_request_error"}, 2056: {402, "insufficient_balance_error"}, 529: {529, "overloaded_error"},
	} {
		order := fmt.Sprintf("[[refuse=%d]]", code)
		want := fmt.Sprint(code)
		if code == 529 {
			want = "1000"
		}
		w.expect(order, w.do("POST", "/v1/video_generation", strings.Replace(hailuoBody, "a fox", order, 1)), 200, "base_resp.status_code", want, "task_id", "")
		w.expect(order, w.do("POST", "/v1/image_generation", strings.Replace(imageBody, "a red", order, 1)), 200, "base_resp.status_code", want)
		w.expect(order, w.do("POST", "/v2/video_generation", strings.Replace(h3Body, "dawn", order, 1)), v2.status, "error.type", v2.kind, "error.http_code", fmt.Sprint(v2.status))
	}
	w.expect("a word nobody knows", w.do("POST", "/v1/video_generation", strings.Replace(hailuoBody, "a fox", "[[luck]]", 1)), 200, "base_resp.status_code", "2013")
	w.expect("a code nobody knows", w.do("POST", "/v1/video_generation", strings.Replace(hailuoBody, "a fox", "[[refuse=7]]", 1)), 200, "base_resp.status_code", "2013")
	body := strings.Replace(hailuoBody, "a fox", "[[refuse=1002 refuse_times=2]]", 1)
	for i, want := range []string{"1002", "1002", "0"} {
		w.expect(fmt.Sprint("try ", i), w.do("POST", "/v1/video_generation", body), 200, "base_resp.status_code", want)
	}
	w.expect("by header", w.do("POST", "/v1/video_generation", hailuoBody, simulator.OrdersHeader, "refuse=1008"), 200, "base_resp.status_code", "1008")
}

// Answers that get lost, with and without effect.
func TestLostAnswers(t *testing.T) {
	w := newWorld(t, nil)
	for order, c := range map[string]struct {
		made   int
		status int // 0 = no whole answer
	}{
		"drop=before": {0, 0}, "drop=after": {1, 0}, "answer=500": {1, 500}, "answer=half": {1, 0},
	} {
		before := len(w.Jobs())
		a, err := w.call("POST", "/v2/video_generation", strings.Replace(h3Body, "dawn", "[["+order+"]]", 1))
		if (err != nil) != (c.status == 0) || err == nil && a.status != c.status {
			t.Errorf("%s: status %d, error %v", order, a.status, err)
		}
		if made := len(w.Jobs()) - before; made != c.made {
			t.Errorf("%s: %d jobs made, want %d", order, made, c.made)
		}
	}
	if w.Count("harbour at [[drop=after]]") != 1 {
		t.Error("the job is not found by its prompt")
	}
}

func TestSpoiltQueries(t *testing.T) {
	w := newWorld(t, nil)
	id := w.do("POST", "/v2/video_generation", strings.Replace(h3Body, "dawn", "[[query_5xx=1 query_half=1 status=dreaming time=1 output_404]]", 1)).get("task_id")
	w.clock.Advance(500 * time.Millisecond)
	query := "/v2/query/video_generation/" + id
	w.expect("first", w.do("GET", query, ""), 503)
	if a, err := w.call("GET", query, ""); !errors.Is(err, io.ErrUnexpectedEOF) || json.Valid(a.body) {
		t.Errorf("second: %s %v", a.body, err)
	}
	w.expect("third", w.do("GET", query, ""), 200, "task.status", "dreaming")
	w.clock.Advance(time.Second)
	address := strings.TrimPrefix(w.do("GET", query, "").get("task.content.url"), w.url)
	w.expect("first download", w.do("GET", address, ""), 404)
	w.expect("second download", w.do("GET", address, ""), 200)

	take := w.Faults().Inject(simulator.Fault{Op: "list", Status: 502})
	w.expect("injected", w.do("GET", "/v2/query/video_generation", ""), 502)
	take()
	w.expect("taken back", w.do("GET", "/v2/query/video_generation", ""), 200, "total", "1")
}
