package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"github.com/kinora/kinora/internal/simulator"
)

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const (
	testKey   = "sk-first"
	otherKey  = "sk-second"
	adminKey  = "admin"
	secret    = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	smallSize = `"size":"64x64"`
)

// bench is a sandbox behind a real listener, with a clock that stands still.
type bench struct {
	t     *testing.T
	clock *simulator.ManualClock
	*Server
	url    string
	client *http.Client
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	clock := simulator.NewManualClock(start)
	cfg := Config{
		Accounts: []Account{{Key: testKey, WebhookSecret: secret}, {Key: otherKey}},
		AdminKey: adminKey, Clock: clock,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{t: t, clock: clock, Server: s, url: srv.URL, client: srv.Client()}
}

// answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of the call or of reading the body
}

func (a answer) problem(t *testing.T) Problem {
	t.Helper()
	var out struct{ Error Problem }
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatalf("answer %d %q is no error envelope: %v", a.status, a.body, err)
	}
	return out.Error
}

func (b *bench) call(method, path, key, body string) answer {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := b.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	a.body, a.err = io.ReadAll(res.Body)
	return a
}

// submit wants the submit to be accepted; fields are the body's, without braces.
func (b *bench) submit(fields string) (id string) {
	b.t.Helper()
	a := b.call("POST", "/v1/jobs", testKey, "{"+fields+"}")
	var out struct{ ID, Status string }
	if err := json.Unmarshal(a.body, &out); a.err != nil || a.status != 200 || err != nil || out.Status != "queued" {
		b.t.Fatalf("submit {%s}: %d %s %v", fields, a.status, a.body, a.err)
	}
	return out.ID
}

func (b *bench) status(id string) Status {
	b.t.Helper()
	a := b.call("GET", "/v1/jobs/"+id, testKey, "")
	var out Status
	if err := json.Unmarshal(a.body, &out); a.err != nil || a.status != 200 || err != nil {
		b.t.Fatalf("poll: %d %s %v", a.status, a.body, a.err)
	}
	return out
}

func (b *bench) query(params string) []Status {
	b.t.Helper()
	a := b.call("GET", "/v1/jobs?"+params, testKey, "")
	var out struct{ Jobs []Status }
	if err := json.Unmarshal(a.body, &out); a.err != nil || a.status != 200 || err != nil {
		b.t.Fatalf("query: %d %s %v", a.status, a.body, a.err)
	}
	return out.Jobs
}

func (b *bench) get(url string) answer {
	b.t.Helper()
	return b.call("GET", strings.TrimPrefix(url, b.url), "", "")
}

func TestImageFromSubmitToFile(t *testing.T) {
	b := newBench(t, nil)
	id := b.submit(`"model":"sandbox-image","prompt":"two kites","size":"3:2","resolution":"0.5K","n":3,"seed":7,"client_ref":"r1","output_format":"png"`)
	got := b.status(id)
	if got.Status != "queued" || got.Progress != 0 || got.Outputs != nil || got.CreatedAt != start.UnixMilli() || got.StartedAt != 0 || got.ClientRef != "r1" || got.Seed != 7 {
		t.Errorf("after the submit: %+v", got)
	}
	b.clock.Advance(80 * time.Millisecond)
	last := 0
	for range 4 {
		if got = b.status(id); got.Status != "running" || got.Progress < last || got.Progress > 99 || got.Outputs != nil || got.StartedAt != start.Add(80*time.Millisecond).UnixMilli() {
			t.Errorf("while running: %+v, progress before %d", got, last)
		}
		last = got.Progress
		b.clock.Advance(79 * time.Millisecond)
	}
	b.clock.Advance(4 * time.Millisecond)
	got = b.status(id)
	if got.Status != "succeeded" || got.Progress != 100 || len(got.Outputs) != 3 || got.FinishedAt != start.Add(400*time.Millisecond).UnixMilli() {
		t.Fatalf("at the end: %+v", got)
	}
	seen := map[string]bool{}
	for _, o := range got.Outputs {
		a := b.get(o.URL)
		if a.status != 200 || a.err != nil || a.header.Get("Content-Type") != "image/png" {
			t.Fatalf("download: %d %v %s", a.status, a.err, a.header.Get("Content-Type"))
		}
		cfg, format, err := image.DecodeConfig(bytes.NewReader(a.body))
		if err != nil || format != "png" || cfg.Width != 512 || cfg.Height != 342 || o.Width != 512 || o.Height != 342 || o.Type != "image" {
			t.Errorf("output %+v is a %s of %dx%d, error %v", o, format, cfg.Width, cfg.Height, err)
		}
		if again := b.get(o.URL); !bytes.Equal(again.body, a.body) {
			t.Error("a second download differs")
		}
		seen[string(a.body)] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d different pictures of 3", len(seen))
	}
}

func TestVideoFromSubmitToFile(t *testing.T) {
	b := newBench(t, nil)
	id := b.submit(`"model":"sandbox-video","prompt":"two kites","size":"128x226","duration":"3"`)
	b.clock.Advance(1499 * time.Millisecond)
	if got := b.status(id); got.Status != "running" {
		t.Errorf("too early: %+v", got)
	}
	b.clock.Advance(time.Millisecond)
	got := b.status(id)
	if len(got.Outputs) != 1 || got.Outputs[0].Type != "video" || got.Outputs[0].Duration != 3 {
		t.Fatalf("at the end: %+v", got)
	}
	a := b.get(got.Outputs[0].URL)
	f, err := mp4.DecodeFile(bytes.NewReader(a.body))
	if err != nil || a.header.Get("Content-Type") != "video/mp4" {
		t.Fatalf("download: %d %s %v", a.status, a.header.Get("Content-Type"), err)
	}
	size := f.Moov.Trak.Mdia.Minf.Stbl.Stsd.AvcX
	if size.Width != 128 || size.Height != 226 || f.Moov.Mvhd.Duration != 3*uint64(f.Moov.Mvhd.Timescale) {
		t.Errorf("video of %dx%d, %d/%d s", size.Width, size.Height, f.Moov.Mvhd.Duration, f.Moov.Mvhd.Timescale)
	}
	// Players ask for ranges.
	req, err := http.NewRequestWithContext(t.Context(), "GET", got.Outputs[0].URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=4-7")
	res, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if part, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 206 || string(part) != "ftyp" {
		t.Errorf("range: %d %q %v", res.StatusCode, part, err)
	}
}

func TestWithoutASeedJobsDiffer(t *testing.T) {
	b := newBench(t, nil)
	fields := `"model":"sandbox-image","prompt":"x",` + smallSize + `,"options":{"delay":0}`
	one, two := b.status(b.submit(fields)), b.status(b.submit(fields))
	if one.Seed == two.Seed {
		t.Error("two jobs without a seed got the same")
	}
}

func TestWhoMayAsk(t *testing.T) {
	b := newBench(t, nil)
	id := b.submit(`"model":"sandbox-image","prompt":"x","client_ref":"mine"`)
	for _, path := range []string{"/v1/jobs/" + id, "/v1/jobs?ids=" + id} {
		for _, key := range []string{"", "sk-wrong", adminKey} {
			if a := b.call("GET", path, key, ""); a.status != 401 || a.problem(t).Code != "credential" {
				t.Errorf("GET %s with key %q: %d %s", path, key, a.status, a.body)
			}
		}
	}
	if a := b.call("GET", "/v1/jobs/"+id, otherKey, ""); a.status != 404 {
		t.Errorf("another account's poll: %d", a.status)
	}
	if a := b.call("POST", "/v1/jobs/"+id+"/cancel", otherKey, ""); a.status != 404 {
		t.Errorf("another account's cancel: %d", a.status)
	}
	for _, q := range []string{"ids=" + id, "client_ref=mine"} {
		if a := b.call("GET", "/v1/jobs?"+q, otherKey, ""); strings.TrimSpace(string(a.body)) != `{"jobs":[]}` {
			t.Errorf("another account's query %s: %s", q, a.body)
		}
	}
	if a := b.call("GET", "/v1/nothing", testKey, ""); a.status != 404 || a.problem(t).Code != "not_found" {
		t.Errorf("an unknown path: %d %s", a.status, a.body)
	}
	if got := b.Stats().Unauthorized; got != 4 {
		t.Errorf("%d requests with a wrong key, want 4", got)
	}
}

func TestQueries(t *testing.T) {
	b := newBench(t, nil)
	var ids []string
	for i := range 3 {
		ids = append(ids, b.submit(fmt.Sprintf(`"model":"sandbox-image","prompt":"x","client_ref":"ref-%d"`, i/2)))
	}
	got := b.query("ids=" + ids[2] + ",sbx_unknown," + ids[0])
	if len(got) != 2 || got[0].ID != ids[2] || got[1].ID != ids[0] {
		t.Errorf("by id: %+v", got)
	}
	got = b.query("client_ref=ref-0")
	if len(got) != 2 || got[0].ID != ids[0] || got[1].ID != ids[1] {
		t.Errorf("by client_ref: %+v", got)
	}
	if got := b.query("client_ref="); len(got) != 0 {
		t.Errorf("by an empty client_ref: %+v", got)
	}
	if a := b.call("GET", "/v1/jobs", testKey, ""); a.status != 400 {
		t.Errorf("without a parameter: %d", a.status)
	}
	if a := b.call("GET", "/v1/jobs?ids="+strings.Repeat("a,", MaxIDs), testKey, ""); a.status != 400 {
		t.Errorf("with too many ids: %d", a.status)
	}
	if a := b.call("GET", "/v1/jobs?ids="+strings.Repeat("a,", MaxIDs-1)+"b", testKey, ""); a.status != 200 {
		t.Errorf("with as many ids as allowed: %d", a.status)
	}
}

func TestCancel(t *testing.T) {
	for _, tc := range []struct {
		after    time.Duration
		status   int
		progress int
	}{{0, 200, 0}, {time.Second, 200, 7}, {10 * time.Second, 409, 0}} {
		b := newBench(t, nil)
		id := b.submit(`"model":"sandbox-image","prompt":"x","options":{"delay":10}`)
		b.clock.Advance(tc.after)
		if a := b.call("POST", "/v1/jobs/"+id+"/cancel", testKey, ""); a.status != tc.status {
			t.Errorf("after %v: %d %s, want %d", tc.after, a.status, a.body, tc.status)
		}
		if tc.status != 200 {
			continue
		}
		b.clock.Advance(time.Hour)
		got := b.status(id)
		if got.Status != "cancelled" || got.Progress != tc.progress || got.FinishedAt != start.Add(tc.after).UnixMilli() || got.Outputs != nil {
			t.Errorf("after %v: %+v", tc.after, got)
		}
		if a := b.call("POST", "/v1/jobs/"+id+"/cancel", testKey, ""); a.status != 409 {
			t.Errorf("a second cancel: %d", a.status)
		}
		if a := b.get(b.url + "/v1/files/" + id + "-0.jpg"); a.status != 404 {
			t.Errorf("the file of a cancelled job: %d", a.status)
		}
	}
}

func TestLimitsOfAnAccount(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Accounts = []Account{{Key: testKey, MaxInFlight: 2}, {Key: otherKey, SubmitsPerSecond: 3}}
	})
	one := b.submit(`"model":"sandbox-image","prompt":"x","options":{"delay":10}`)
	b.submit(`"model":"sandbox-image","prompt":"x","options":{"delay":20}`)
	full := func(when string) {
		t.Helper()
		a := b.call("POST", "/v1/jobs", testKey, `{"model":"sandbox-image","prompt":"x"}`)
		if a.status != 429 || a.problem(t).Code != "rate" || a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d %s", when, a.status, a.body)
		}
	}
	full("with two in flight")
	b.call("POST", "/v1/jobs/"+one+"/cancel", testKey, "")
	b.submit(`"model":"sandbox-image","prompt":"x","options":{"delay":20}`)
	full("after a cancel and a submit")
	b.clock.Advance(20 * time.Second)
	b.submit(`"model":"sandbox-image","prompt":"x"`)

	var got []int
	for range 5 {
		got = append(got, b.call("POST", "/v1/jobs", otherKey, `{"model":"sandbox-image","prompt":"x"}`).status)
	}
	b.clock.Advance(time.Second)
	got = append(got, b.call("POST", "/v1/jobs", otherKey, `{"model":"sandbox-image","prompt":"x"}`).status)
	if want := []int{200, 200, 200, 429, 429, 200}; !slices.Equal(got, want) {
		t.Errorf("with a rate limit: %v, want %v", got, want)
	}
}

func TestConfigErrorsNameTheirField(t *testing.T) {
	ok := []Account{{Key: "k"}}
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no account"},
		{Config{Accounts: []Account{{}}}, "account 0 has no key"},
		{Config{Accounts: []Account{{Key: "k", WebhookSecret: "whsec_%%%SECRET"}}}, "webhook secret"},
		{Config{Accounts: []Account{{Key: "k", WebhookSecret: "c2VjcmV0"}}}, "webhook secret"},
		{Config{Accounts: ok, PublicURL: "/x"}, "PublicURL"},
		{Config{Accounts: ok, PublicURL: "http://x/"}, "PublicURL"},
		{Config{Accounts: ok, URLLife: -1}, "negative"},
		{Config{Accounts: ok, Journal: "/dev/null/x"}, "journal"},
	} {
		s, err := New(tc.cfg)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%+v: error %v, want one about %s", tc.cfg, err, tc.want)
		}
	}
}
