package browsertest_test

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// site is a whole server with the sandbox, on SQLite, reachable from receivers on this machine.
type site struct {
	*app.App
	client       *client.Client
	organisation string
	clock        *clock
}

// clock is the time of the sandbox: the machine's, until a test moves it on. That ends jobs, which are reckoned from it when
// somebody looks; timers that have begun go on as they were, but only callbacks have such.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) Timer(at time.Time) (<-chan time.Time, func()) {
	return simulator.SystemClock{}.Timer(at.Add(-time.Duration(c.ahead.Load())))
}

// held is what a job asks of the sandbox that is to run until the test ends it by letGo.
var held = map[string]any{"delay": "1h"}

// letGo ends the sandbox's jobs that are held.
func (s *site) letGo() { s.clock.ahead.Add(int64(time.Hour)) }

const (
	ownerEmail = "ada@example.com"
	password   = "correct horse battery"
)

func startSite(t *testing.T, change func(*config.Config)) *site {
	t.Helper()
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
	cfg.Webhooks.AllowHTTP = true
	cfg.ShutdownGrace = config.Duration(5 * time.Second)
	if change != nil {
		change(&cfg)
	}
	clock := &clock{}
	a, err := app.New(t.Context(), cfg, app.Options{
		Timing:       lifecycle.Timing{Idle: 100 * time.Millisecond, Beat: 2 * time.Second},
		SandboxClock: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	c, err := client.New(a.LocalURL(), a.Bootstrapped().KeyText)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return &site{App: a, client: c, organisation: a.Bootstrapped().Organisation.ID, clock: clock}
}

// path is a page of the first organisation.
func (s *site) path(rest string) string { return "/dashboard/o/" + s.organisation + rest }

// open opens a tab at which nobody is signed in.
func (s *site) open(t *testing.T) *browsertest.Page {
	t.Helper()
	return browsertest.Open(t, s.LocalURL())
}

// owner makes the first person, and opens a tab at which he is signed in.
func (s *site) owner(t *testing.T) *browsertest.Page {
	t.Helper()
	p := s.open(t)
	s.setUp(t, p)
	return p
}

// setUp makes the first person at a tab.
func (s *site) setUp(t *testing.T, p *browsertest.Page) {
	t.Helper()
	link, err := s.People().SetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Go("/dashboard/setup?token=" + link)
	p.Fill("E-mail address", ownerEmail)
	p.Fill("Name", "Ada")
	p.Fill("Password", password)
	p.Fill("Password again", password)
	p.Press("Create the account")
	p.At(s.path("/generations"))
}

// submit has the sandbox make a picture, and returns the generation's id.
func (s *site) submit(t *testing.T, prompt string) string {
	t.Helper()
	return s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: prompt}})
}

func (s *site) submitAs(t *testing.T, what client.SubmitRequest) string {
	t.Helper()
	task, err := s.client.Submit(t.Context(), what)
	if err != nil {
		t.Fatal(err)
	}
	return task.ID
}
