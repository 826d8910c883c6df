package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// slowUpstream holds every submit call back until it is released, and counts the calls that
// came and those that were broken off meanwhile.
type slowUpstream struct {
	came             chan struct{}
	release          chan struct{}
	calls, brokenOff atomic.Int64
}

func (s *slowUpstream) in(t *testing.T, upstream string) (address string) {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/jobs" {
			body, err := io.ReadAll(r.Body) // a connection's end is only noticed behind the body
			if err != nil {
				return
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			s.calls.Add(1)
			s.came <- struct{}{}
			select {
			case <-s.release:
			case <-r.Context().Done():
				s.brokenOff.Add(1)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// openSubmit sends a submit without its body and returns once the server waits for that.
func openSubmit(t *testing.T, a *app.App, body string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /api/generate/submit HTTP/1.1\r\nHost: kinora\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		a.Bootstrapped().KeyText, len(body))
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := answers.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return conn, answers
}

// A stop takes no new work to an upstream, and a client that is slow for ever does not take
// the time of a paid call: that ends in peace, and nothing is missing or paid twice afterwards.
func TestStopLetsPaidCallsEnd(t *testing.T) {
	t.Parallel() // it waits for half of the grace
	up, err := sandbox.New(sandbox.Config{Accounts: []sandbox.Account{{Key: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	address, closeUp := serveUpstream(t, up)
	t.Cleanup(closeUp)
	slow := &slowUpstream{came: make(chan struct{}, 10), release: make(chan struct{})}
	address = slow.in(t, address)
	dir := t.TempDir()
	start := func() *app.App {
		return run(t, "", func(c *config.Config) {
			off := false
			c.Sandbox.Enabled = &off
			c.DataDir = dir
			// Requests have half of it: less than the time after which a slow body is refused whether or not the server stops.
			c.ShutdownGrace = config.Duration(16 * time.Second)
			c.Accounts = []config.Account{{Name: "up", Provider: "sandbox", BaseURL: address, Settings: map[string]config.Secret{"api_key": "k"}}}
		})
	}
	first := start()
	key := first.Bootstrapped().KeyText
	const late = `{"model":"sandbox-image","input":{"prompt":"a late kite"}}`
	_, never := openSubmit(t, first, late)
	inTime, answers := openSubmit(t, first, late)
	paid := submitImage(t, clientOf(t, first, key), "a kite", "")
	<-slow.came

	stopped := make(chan error, 1)
	go func() { stopped <- first.Stop(context.Background()) }()
	until(t, "the stop has begun", func() bool {
		conn, err := net.Dial("tcp", first.Addr())
		if err != nil {
			return true
		}
		_ = conn.Close()
		return false
	})
	if _, err := io.WriteString(inTime, late); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var accepted struct {
		Data struct {
			ID string `json:"task_id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&accepted); err != nil || res.StatusCode != http.StatusOK || accepted.Data.ID == "" {
		t.Fatalf("a submit during the stop: %d %+v %v", res.StatusCode, accepted, err)
	}
	// The client that never ends is cut off, while there is time left for the paid call.
	if _, err := never.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the slow client's connection: %v, want its end", err)
	}
	close(slow.release)
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if calls, broken := slow.calls.Load(), slow.brokenOff.Load(); calls != 1 || broken != 0 {
		t.Errorf("%d submit calls, %d broken off; want 1 and none", calls, broken)
	}

	second := start()
	c := clientOf(t, second, key)
	for _, id := range []string{paid, accepted.Data.ID} {
		if _, err := c.Wait(t.Context(), id, client.WaitOptions{}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if stats := up.Stats(); stats.Accepted != 2 || stats.Repeated != 0 {
		t.Errorf("upstream: %d accepted, %d repeated; want 2 and none", stats.Accepted, stats.Repeated)
	}
}

// While it drains, a server says so and goes on as before.
func TestStopDrains(t *testing.T) {
	a := run(t, "", func(c *config.Config) { c.DrainTime = config.Duration(5 * time.Second) })
	stopped := make(chan error, 1)
	go func() { stopped <- a.Stop(context.Background()) }()
	until(t, "the server says that it drains", func() bool {
		status, _, body := fetch(t, a.LocalURL()+"/readyz", nil)
		return status == http.StatusServiceUnavailable && strings.Contains(string(body), `"draining"`)
	})
	c := clientOf(t, a, a.Bootstrapped().KeyText)
	if _, err := c.Wait(t.Context(), submitImage(t, c, "a kite", ""), client.WaitOptions{}); err != nil {
		t.Errorf("a generation while it drains: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// The built-in sandbox is found where it was, unless somebody else is there.
func TestSandboxKeepsItsPort(t *testing.T) {
	dir := t.TempDir()
	port := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "sandbox.port"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	start := func() *app.App { return run(t, "", func(c *config.Config) { c.DataDir = dir }) }
	stop := func(a *app.App) {
		if err := a.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	wantThere := func(port string) {
		t.Helper()
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err != nil {
			t.Errorf("it is not on port %s: %v", port, err)
		} else {
			_ = conn.Close()
		}
	}
	// Its first port is not among those that kernels give to outgoing connections and to whoever asks for any: another
	// process could take such a one between two starts.
	var first string
	for {
		first = fmt.Sprint(20_000 + rand.IntN(12_000))
		if err := os.WriteFile(filepath.Join(dir, "sandbox.port"), []byte(first+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := start()
		wantThere(port())
		stop(a)
		if port() == first {
			break // nobody else was there
		}
	}
	a := start()
	if port() != first {
		t.Errorf("it has gone from port %s to %s", first, port())
	}
	wantThere(first)
	stop(a)
	taken, err := net.Listen("tcp", "127.0.0.1:"+first)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	start()
	if port() == first {
		t.Error("somebody else's port was taken for its own")
	}
	wantThere(port())
}
