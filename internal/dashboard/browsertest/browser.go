// Package browsertest drives pages of the dashboard with a real browser, in tests: by the words that people see, waiting for
// conditions and never for time. Whatever a page's scripts complain of, whatever the content security policy has to forbid, and
// every dialog that a script opens fails the test. Beside it in this folder are the tests that need a browser.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/kinora/kinora/internal/npmtest"
)

const (
	// program is the environment's word for the browser's program; scripts/with-chromium sets it.
	program = "KINORA_TEST_CHROMIUM"
	// patience is for a page on a machine that is busy with other tests.
	patience = 30 * time.Second
	// PlainHost is a name by which the browser reaches this machine as it reaches any host: without the trust that localhost has.
	PlainHost = "kinora.test"
)

// one is the browser of this process, begun by the first test that needs it.
var one struct {
	once   sync.Once
	ctx    context.Context
	end    []context.CancelFunc
	absent string // why there is none; empty = there is
	err    error
}

// Main runs a package's tests, and ends the browser behind them.
func Main(m *testing.M) int {
	code := m.Run()
	for i := len(one.end) - 1; i >= 0; i-- {
		one.end[i]()
	}
	npm.Remove()
	return code
}

func begin() {
	path := os.Getenv(program)
	if path == "" {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
			if found, err := exec.LookPath(name); err == nil {
				path = found
				break
			}
		}
	}
	if path == "" {
		one.absent = "there is no Chromium on this machine; scripts/with-chromium gets one"
		return
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("headless", "new"), chromedp.WindowSize(1280, 900)}
	options = append(options, chromedp.Flag("host-resolver-rules", "MAP "+PlainHost+" 127.0.0.1"))
	for _, flag := range []string{"disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-default-apps", "disable-dev-shm-usage", "disable-extensions", "mute-audio"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	one.end = append(one.end, end)
	one.ctx, end = chromedp.NewContext(ctx)
	one.end = append(one.end, end)
	one.err = chromedp.Do(one.ctx) // starts it
}

// Page is a tab with cookies of its own.
type Page struct {
	testing.TB
	// Site is what paths are below.
	Site string

	ctx     context.Context
	mu      sync.Mutex
	wrong   []string
	allowed []string
}

// Open opens a tab for a site. The test is skipped where there is no browser, as npmtest.Lacks does.
func Open(t testing.TB, site string) *Page {
	t.Helper()
	one.once.Do(begin)
	if one.absent != "" {
		npmtest.Lacks(t, one.absent)
	}
	if one.err != nil {
		t.Fatalf("the browser does not start: %v", one.err)
	}
	p := &Page{TB: t, Site: site}
	ctx, end := chromedp.NewContext(one.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	if err := chromedp.Do(ctx); err != nil {
		end()
		t.Fatalf("a tab does not open: %v", err)
	}
	p.ctx = ctx
	t.Cleanup(func() {
		end()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.wrong {
			t.Errorf("the browser complains: %s", w)
		}
	})
	return p
}

// Allow says that a complaint of the browser that has this in it is what the test is about, such as "404".
func (p *Page) Allow(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, part)
}

// hear notes what scripts and policy complain of.
func (p *Page) hear(event any) {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.complain(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		p.complain("exception: " + e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+" "+a.Description)
			}
			p.complain("console: " + strings.Join(words, " "))
		}
	case *page.EventJavascriptDialogOpening:
		p.complain("a dialog opened: " + e.Message)
		go p.closeDialog() // the page stands still until then; events must not wait for commands
	}
}

func (p *Page) complain(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range p.allowed {
		if strings.Contains(text, part) {
			return
		}
	}
	p.wrong = append(p.wrong, text)
}

func (p *Page) closeDialog() {
	_ = chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		return err
	}))
}

// Visited are the addresses that the tab's history has, oldest first.
func (p *Page) Visited() (addresses []string) {
	p.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		history, err := cdp.Call(ctx, t, page.GetNavigationHistory, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, e := range history.Entries {
			addresses = append(addresses, e.URL)
		}
		return nil
	}))
	return addresses
}

// Do carries out steps in the tab, for what Page has no word for.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fatalf("in the browser: %v\n%s", err, p.showing())
	}
}

// Eval evaluates a JavaScript expression, promises included, in the page of p.
func Eval[T any](p *Page, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, await))
	if err != nil {
		p.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

func await(e *runtime.EvaluateParams) {
	yes := true
	e.AwaitPromise = &yes
}

// Until waits until an expression of the page, or what it promises, is true; what says what is waited for. An expression that does
// something does it once: it returns something true as soon as it has.
func (p *Page) Until(what, expression string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		// It fails while one page goes and another comes.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Promise.resolve("+expression+").then(Boolean)", await))
		if err == nil && ok {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			p.Fatalf("waited in vain for %s (%v)\n%s", what, last, p.showing())
		case <-tick.C:
		}
	}
}

// showing is what the page shows, for the message of a failure.
func (p *Page) showing() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body ? document.body.innerText : "")`))
	if err != nil {
		return "and the page does not answer: " + err.Error()
	}
	return text
}

// Script runs a script on the page, as nobody could do by hand.
func (p *Page) Script(script string) {
	p.Helper()
	Eval[chromedp.Void](p, script)
}
