package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/blob/blobtest"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator"
	"github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestMain(m *testing.M) {
	// Idle keep-alive connections of the test's own clients end by themselves.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

func clientOf(t *testing.T, a *app.App, key string) *client.Client {
	t.Helper()
	c, err := client.New(a.LocalURL(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func submitImage(t *testing.T, c *client.Client, prompt, webhookURL string) string {
	t.Helper()
	r := client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: prompt, Size: "64x64"}}
	if webhookURL != "" {
		r.Webhook = &client.Webhook{URL: webhookURL}
	}
	task, err := c.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return task.ID
}

func fetch(t *testing.T, url string, header http.Header) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

// Outputs in S3 are served like those in a folder.
func TestOutputsInS3(t *testing.T) {
	s3 := blobtest.StartS3(t, "kinora")
	a := run(t, "", func(c *config.Config) {
		c.Storage.S3 = config.S3{Endpoint: strings.TrimPrefix(s3, "http://"), Bucket: "kinora", Prefix: "p", Region: "us-east-1",
			AccessKey: "key", SecretKey: "secret", PathStyle: true, Insecure: true}
	})
	c := clientOf(t, a, a.Bootstrapped().KeyText)
	task, err := c.Wait(t.Context(), submitImage(t, c, "a kite", ""), client.WaitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := c.Download(t.Context(), task.Files[0].URL, &file); err != nil {
		t.Fatal(err)
	}
	status, header, part := fetch(t, task.Files[0].URL, http.Header{"Range": {"bytes=2-5"}})
	if status != http.StatusPartialContent || !bytes.Equal(part, file.Bytes()[2:6]) || header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("range: %d %q %v", status, part, header)
	}
}

// Two servers on one PostgreSQL share the work: every generation ends once and is told once.
func TestTwoNodesShareTheWork(t *testing.T) {
	dsn := storetest.PostgresDSN(t)
	up, err := sandbox.New(sandbox.Config{Accounts: []sandbox.Account{{Key: "k"}}, ImageDelay: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	url, closeUp := serveUpstream(t, up)
	defer closeUp()
	files, key := t.TempDir(), strings.Repeat("ab", 32)
	node := func() *app.App {
		return run(t, dsn, func(c *config.Config) {
			off := false
			c.Sandbox.Enabled = &off
			c.MasterKey, c.Storage.Folder = config.Secret(key), files
			c.Accounts = []config.Account{{Name: "up", Provider: "sandbox", BaseURL: url, Settings: map[string]config.Secret{"api_key": "k"}, MaxInFlight: 7}}
		})
	}
	first, second := node(), node()
	in := newInbox(t, func() string { return first.Bootstrapped().Secret.Text })
	if second.Bootstrapped() != nil {
		t.Fatal("the second node made an organisation too")
	}
	clients := []*client.Client{clientOf(t, first, first.Bootstrapped().KeyText), clientOf(t, second, first.Bootstrapped().KeyText)}
	var ids []string
	for i := range 40 {
		ids = append(ids, submitImage(t, clients[i%2], fmt.Sprint("kite ", i), in.URL))
	}
	for i, id := range ids {
		if _, err := clients[(i+1)%2].Wait(t.Context(), id, client.WaitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	told := map[string]int{}
	for range ids {
		told[in.next(t).JobID]++
	}
	for _, id := range ids {
		if told[id] != 1 {
			t.Errorf("%s was told %d times", id, told[id])
		}
	}
	if stats := up.Stats(); stats.Repeated != 0 || stats.Accepted != int64(len(ids)) {
		t.Errorf("upstream: %d accepted, %d repeated", stats.Accepted, stats.Repeated)
	}
}

func serveUpstream(t *testing.T, up *sandbox.Server) (url string, done func()) {
	t.Helper()
	l, err := simulator.Listen("127.0.0.1:0", up)
	if err != nil {
		t.Fatal(err)
	}
	return l.URL, func() { _ = l.Close(context.Background()); _ = up.Close() }
}

// A restart in the middle of the sandbox's work: nothing is missing afterwards.
func TestRestartInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	start := func() *app.App {
		cfg := config.Default()
		cfg.Listen, cfg.DataDir = "127.0.0.1:0", dir
		cfg.ShutdownGrace = config.Duration(time.Second)
		a, err := app.New(t.Context(), cfg, app.Options{Timing: lifecycle.Timing{Idle: 50 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := start()
	key := first.Bootstrapped().KeyText
	c := clientOf(t, first, key)
	var ids []string
	for i := range 20 {
		ids = append(ids, submitImage(t, c, fmt.Sprint("kite ", i), ""))
	}
	if err := first.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	second := start()
	t.Cleanup(func() { _ = second.Stop(context.Background()) })
	c = clientOf(t, second, key)
	for _, id := range ids {
		if _, err := c.Wait(t.Context(), id, client.WaitOptions{}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Retention removes files and then records, and leaves the ledger.
func TestRetention(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, func(c *config.Config) {
			c.UpkeepInterval = config.Duration(100 * time.Millisecond)
			c.Retention.Outputs = config.Duration(time.Hour)
		})
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		id := submitImage(t, c, "a kite", "")
		task, err := c.Wait(t.Context(), id, client.WaitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if status, _, _ := fetch(t, task.Files[0].URL, nil); status != http.StatusOK {
			t.Fatalf("the file before its time is over: %d", status)
		}
		err = a.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE outputs SET expires_at = ? WHERE generation_id = ?`, store.Micros(time.Now()), id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if status, _, _ := fetch(t, task.Files[0].URL, nil); status == http.StatusNotFound {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the file is still there")
			}
		}
		ended := time.Now()
		for _, step := range []struct {
			at   time.Time
			rows int
		}{{ended, 1}, {ended.Add(config.Default().Retention.Records.Std()), 0}} {
			if err := a.PurgeRecords(t.Context(), step.at); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Status(t.Context(), id); (err == nil) != (step.rows == 1) || err != nil && !strings.Contains(err.Error(), "task not found") {
				t.Errorf("at %v: %v, want %d records", step.at.Sub(ended), err, step.rows)
			}
			for table, want := range map[string]int{"generations": step.rows, "attempts": step.rows, "outputs": step.rows, "usage_entries": 1} {
				column := "generation_id"
				if table == "generations" {
					column = "id"
				}
				var n int
				err := a.View(t.Context(), func(tx *store.Tx) error {
					return tx.QueryRow(`SELECT count(*) FROM `+table+` WHERE `+column+` = ?`, id).Scan(&n)
				})
				if err != nil || n != want {
					t.Errorf("at %v: %d rows in %s, %v; want %d", step.at.Sub(ended), n, table, err, want)
				}
			}
		}
	})
}

// A receiver that hangs and an upstream that never answers: everybody else's work is
// done while theirs waits.
func TestIsolation(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		release := make(chan struct{})
		stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(stuck.Close)
		up, err := sandbox.New(sandbox.Config{Accounts: []sandbox.Account{{Key: "k"}}, ImageDelay: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		url, closeUp := serveUpstream(t, up)
		t.Cleanup(closeUp)
		a := run(t, dsn, func(c *config.Config) {
			key := map[string]config.Secret{"api_key": "k"}
			c.Accounts = []config.Account{{Name: "stuck", Provider: "sandbox", BaseURL: stuck.URL, Settings: key}, {Name: "up", Provider: "sandbox", BaseURL: url, Settings: key}}
			c.Models = []config.Model{
				{Name: "stuck-image", Kind: "image", Provider: "sandbox", UpstreamModel: "sandbox-image", Accounts: []string{"stuck"}},
				{Name: "sandbox-image", Kind: "image", Provider: "sandbox", Accounts: []string{"up"}},
			}
		})
		t.Cleanup(func() { close(release) })
		in := newInbox(t, func() string { return a.Bootstrapped().Secret.Text })
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		hanging := stuck.URL + "/hook"
		for i := range 150 {
			if _, err := c.Submit(t.Context(), client.SubmitRequest{Model: "stuck-image", Input: client.Input{Prompt: fmt.Sprint(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 60 {
			submitImage(t, c, fmt.Sprint("for the hanging receiver ", i), hanging)
		}
		const n = 40
		for i := range n {
			submitImage(t, c, fmt.Sprint("for the healthy receiver ", i), in.URL)
		}
		for range n {
			in.next(t)
		}
		// All of the healthy receiver's have arrived; none of the hanging one's is delivered.
		var delivered, open int
		err = a.View(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT (SELECT count(*) FROM deliveries WHERE url = ? AND state = 'delivered'),
				(SELECT count(*) FROM attempts WHERE lane = 'sandbox:stuck' AND finished_at = 0)`, hanging).Scan(&delivered, &open)
		})
		if err != nil {
			t.Fatal(err)
		}
		if delivered != 0 || open != 150 {
			t.Errorf("hanging receiver: %d delivered; stuck upstream: %d of 150 open", delivered, open)
		}
	})
}

func TestProbesAndMetrics(t *testing.T) {
	a := run(t, "", nil)
	for path, want := range map[string]string{"/healthz": "", "/readyz": "database", "/metrics": "kinora_", "/openapi.yaml": "openapi: 3.1"} {
		status, _, body := fetch(t, a.LocalURL()+path, nil)
		if status != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.100s", path, status, body)
		}
	}
	status, header, body := fetch(t, a.LocalURL()+"/api/v1/generations/task_00000000000000000000000000", http.Header{"Authorization": {"Bearer " + a.Bootstrapped().KeyText}})
	var envelope struct {
		Error map[string]any `json:"error"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil || status != http.StatusNotFound || envelope.Error["code"] != "not_found" || len(envelope.Error) != 4 {
		t.Errorf("%d %s", status, body)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Request-Id") == "" {
		t.Errorf("headers %v", header)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	for _, d := range app.Doctor(t.Context(), cfg) {
		if !d.OK {
			t.Errorf("%s: %s", d.Name, d.Detail)
		}
	}
	cfg.Database = "postgres://nobody@127.0.0.1:1/none?sslmode=disable"
	cfg.Storage.Folder = filepath.Join(cfg.DataDir, "master.key", "not-a-folder")
	cfg.Accounts = []config.Account{{Name: "a", Provider: "sandbox"}, {Name: "b", Provider: "nothing"}}
	cfg.Models = []config.Model{
		{Name: "nowhere", Kind: "image", Routes: []config.Route{{Provider: "sandbox"}, {Provider: "nothing"}}},
		{Name: "no-account", Kind: "image", Routes: []config.Route{{Provider: "sandbox"}, {Provider: "kling"}}},
		{Name: "two-kinds", Kind: "image", Routes: []config.Route{{Provider: "sandbox"}, {Provider: "sandbox", UpstreamModel: "sandbox-video"}}},
		{Name: "sound", Kind: "image", Routes: []config.Route{{Provider: "sandbox"}, {Provider: "sandbox", UpstreamModel: "sandbox-image"}}},
	}
	bad := map[string]bool{}
	for _, d := range app.Doctor(t.Context(), cfg) {
		if !d.OK {
			bad[d.Name] = true
			if d.Hint == "" {
				t.Errorf("%s has no hint", d.Name)
			}
		}
	}
	if bad["model sound"] {
		t.Error("a sound model was found fault with")
	}
	for _, name := range []string{"database", "account a", "account b", "model nowhere", "model no-account", "model two-kinds"} {
		if !bad[name] {
			t.Errorf("%s was not found", name)
		}
	}
}
