package kling

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// call is a callback that came.
type call struct {
	header http.Header
	body   []byte
}

func (c call) status(t *testing.T) string {
	t.Helper()
	var s struct {
		Status string
		Legacy string `json:"task_status"`
	}
	if err := json.Unmarshal(c.body, &s); err != nil {
		t.Fatalf("%s: %v", c.body, err)
	}
	return s.Status + s.Legacy
}

func (c call) verified(secret string) error {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return webhook.VerifyIgnoringTimestamp(c.body, c.header)
}

// receiver takes callbacks and answers with a status.
func receiver(t *testing.T, status int) (url string, came chan call) {
	came = make(chan call, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		came <- call{r.Header, body}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/cb/kling/JOBTOKEN?a=1", came
}

// The vector of the callback documentation.
func TestVector(t *testing.T) {
	keys, err := hookKeys([]string{hook})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, "9876543210", time.Unix(1781080794, 0), []byte(`{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,"update_time":1781080794151}`), keys)
	if got := h.Get("webhook-signature"); got != "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=" || h.Get("webhook-timestamp") != "1781080794" {
		t.Errorf("%v", h)
	}
}

func TestCallbacksTellEveryState(t *testing.T) {
	for _, c := range []struct {
		path, body string
		words      []string
		shape      string // a key that the body has
		wrapped    string // one that it has not
	}{
		{t2v, `{"prompt":"x","callback_url":%q,"external_task_id":"a"}`, []string{"submitted", "processing", "succeed"}, "task_info", "code"},
		{"/text-to-video/kling-3.0", `{"prompt":"x","options":{"callback_url":%q,"external_task_id":"a"}}`, []string{"submitted", "processing", "succeeded"}, "external_id", "code"},
		{t2v, `{"prompt":"x [[end=fault]]","callback_url":%q}`, []string{"submitted", "processing", "failed"}, "task_status_msg", "data"},
	} {
		w := newWorld(t, nil)
		url, came := receiver(t, 200)
		w.taken(c.path, strings.ReplaceAll(c.body, "%q", strconv.Quote(url)))
		seen := map[string]bool{}
		for i, word := range c.words {
			if i > 0 {
				w.clock.Advance(5 * time.Second)
			}
			got := <-came
			if got.status(t) != word || !strings.Contains(string(got.body), `"`+c.shape+`"`) || strings.Contains(string(got.body), `"`+c.wrapped+`"`) {
				t.Errorf("%s: call %d is %s, want %s", c.path, i+1, got.body, word)
			}
			if err := got.verified(hook); err != nil || seen[got.header.Get("webhook-id")] {
				t.Errorf("%s: call %d: %v, headers %v", c.path, i+1, err, got.header)
			}
			if got.header.Get("Content-Type") != "application/json; charset=utf-8" || got.header.Get("webhook-timestamp") != strconv.FormatInt(w.clock.Now().Unix(), 10) {
				t.Errorf("%s: call %d: headers %v", c.path, i+1, got.header)
			}
			seen[got.header.Get("webhook-id")] = true
		}
	}
}

// Two secrets sign during a rotation; after it, and after a reset, the old one does not.
func TestRotation(t *testing.T) {
	w := newWorld(t, nil)
	url, came := receiver(t, 200)
	w.taken(t2v, `{"prompt":"x","callback_url":`+strconv.Quote(url)+`}`)
	if got := <-came; got.verified(hook) != nil || got.verified(newerHook) == nil {
		t.Errorf("before: %v", got.header)
	}
	if err := w.SetWebhookSecrets(testKey, newerHook, hook); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(2 * time.Second)
	if got := <-came; got.verified(hook) != nil || got.verified(newerHook) != nil || strings.Count(got.header.Get("webhook-signature"), "v1,") != 2 {
		t.Errorf("during: %v", got.header)
	}
	if err := w.SetWebhookSecrets(testKey); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(8 * time.Second)
	if got := <-came; got.header.Get("webhook-signature")+got.header.Get("webhook-id")+got.header.Get("webhook-timestamp") != "" {
		t.Errorf("without secrets: %v", got.header)
	}
	if w.SetWebhookSecrets("nobody", hook) == nil || w.SetWebhookSecrets(testKey, "plain") == nil {
		t.Error("secrets of nobody, or of no form, were taken")
	}
}

// A receiver that answers badly is not called again: nothing is documented.
func TestCallbacksAreSentOnce(t *testing.T) {
	w := newWorld(t, nil)
	url, came := receiver(t, 500)
	w.taken(t2v, `{"prompt":"x [[time=0]]","callback_url":`+strconv.Quote(url)+`}`)
	for range 3 {
		<-came
	}
	w.clock.Advance(time.Hour)
	w.Close()
	if c := w.Stats().Callbacks; c.Sent != 3 || c.Lost != 3 || len(came) != 0 {
		t.Errorf("%+v, %d more", c, len(came))
	}
}

func TestSpoiltCallbacks(t *testing.T) {
	// The words that come at each step; those of one step come in any order.
	for order, want := range map[string][4]string{
		"lost":      {},
		"duplicate": {"submitted submitted", "processing processing", "succeed succeed", ""},
		"early":     {"submitted submitted", "processing", "succeed", ""},
		"reordered": {"submitted", "", "succeed", "processing"},
		"unsigned":  {"submitted", "processing", "succeed", ""},
		"stale":     {"submitted", "processing", "succeed", ""},
		"forged":    {"submitted", "processing succeed", "succeed", ""},
		"liar":      {"submitted", "processing succeed", "succeed", ""},
	} {
		t.Run(order, func(t *testing.T) {
			w := newWorld(t, nil)
			url, came := receiver(t, 200)
			other := w.taken(t2v, `{"prompt":"x"}`)
			w.taken(t2v, `{"prompt":"x [[callback=`+order+`]]","callback_url":`+strconv.Quote(url)+`}`)
			seen := map[string]int{}
			for step, after := range []time.Duration{0, 2 * time.Second, 8 * time.Second, time.Second} {
				w.clock.Advance(after)
				var words []string
				for range strings.Fields(want[step]) {
					c := <-came
					words = append(words, c.status(t))
					switch {
					case c.header.Get("webhook-signature") == "":
						seen["unsigned"]++
					case c.verified(hook) != nil:
						seen["forged"]++
					case c.header.Get("webhook-timestamp") != strconv.FormatInt(w.clock.Now().Unix(), 10):
						seen["stale"]++
					case strings.Contains(string(c.body), other):
						seen["liar"]++
					}
				}
				slices.Sort(words)
				if got := strings.Join(words, " "); got != want[step] {
					t.Errorf("step %d: %q, want %q", step, got, want[step])
				}
			}
			w.Close()
			if len(came) != 0 {
				t.Errorf("%d more came", len(came))
			}
			for _, name := range []string{"unsigned", "stale", "forged", "liar"} {
				if (name == order) != (seen[name] > 0) {
					t.Errorf("%d are %s", seen[name], name)
				}
			}
		})
	}
}
