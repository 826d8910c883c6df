// Package rig runs the real program as a child process, with a fake upstream and
// whatever else belongs around it in this process: what the crash campaign kills and the
// benchmark measures. The surroundings survive the program's death.
package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora/internal/simulator/sandbox"
)

// Options describe a rig.
type Options struct {
	Binary string // the kinora program
	Dir    string // data folder of the program
	DSN    string // "" = SQLite in Dir
	// Accounts is YAML for accounts at upstreams that the caller runs: the items of a list,
	// indented. Empty = one account, named up, at a sandbox that runs here.
	Accounts string
	// Upstream is that sandbox. Its Accounts are set here.
	Upstream sandbox.Config
	// Account is YAML for the limits of its account, e.g. "max_in_flight: 20000".
	Account string
	// Uncalled keeps the program's own address from it, so that it asks no upstream to call back.
	Uncalled bool
	// Config is further YAML for the program.
	Config string
}

// Rig is a program that can be started, killed and started again.
type Rig struct {
	Upstream *sandbox.Server // nil when Options.Accounts leads elsewhere
	Key      string          // an API key of the default organisation; set by the first Start
	URL      string

	o      Options
	config string
	server *http.Server
}

const upstreamKey = "sbx-key-of-the-rig"

// New starts the surroundings. Close ends them.
func New(o Options) (*Rig, error) {
	r := &Rig{o: o, config: filepath.Join(o.Dir, "kinora.yaml")}
	accounts := o.Accounts
	if accounts == "" {
		address, err := r.startSandbox()
		if err != nil {
			return nil, err
		}
		accounts = fmt.Sprintf(`  - {name: up, provider: sandbox, base_url: "http://%s", settings: {api_key: %s}%s}`, address, upstreamKey, prefixed(", ", o.Account))
	}
	address, err := ownAddress()
	if err != nil {
		r.Close()
		return nil, err
	}
	r.URL = "http://" + address
	public := r.URL
	if o.Uncalled {
		public = ""
	}
	text := fmt.Sprintf(`listen: %s
public_url: %q
data_dir: %q
database: %q
sandbox: {enabled: false}
network: {allow_prefixes: [127.0.0.0/8]}
accounts:
%s
%s
`, address, public, o.Dir, o.DSN, accounts, o.Config)
	return r, os.WriteFile(r.config, []byte(text), 0o600)
}

// ownAddress finds an address that nobody listens at. Its port is not among those that kernels give to outgoing
// connections, which could take it between two lives of the program.
func ownAddress() (address string, err error) {
	for range 20 {
		l, listenErr := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000)))
		if listenErr == nil {
			return l.Addr().String(), l.Close()
		}
		err = listenErr
	}
	return "", err
}

// startSandbox starts the upstream and returns where it listens.
func (r *Rig) startSandbox() (net.Addr, error) {
	r.o.Upstream.Accounts = []sandbox.Account{{Key: upstreamKey}}
	up, err := sandbox.New(r.o.Upstream)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, up.Close())
	}
	r.Upstream, r.server = up, &http.Server{Handler: up, ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(l) }()
	return l.Addr(), nil
}

func prefixed(p, s string) string {
	if s == "" {
		return ""
	}
	return p + s
}

// Close ends the surroundings.
func (r *Rig) Close() {
	if r.Upstream == nil {
		return
	}
	_ = r.server.Close()
	_ = r.Upstream.Close()
}

// Process is one life of the program.
type Process struct {
	cmd  *exec.Cmd
	logs lockedBuffer
	done chan struct{}
	err  error
	// ReadyIn is how long the start took until it answered as ready.
	ReadyIn time.Duration
}

var keyText = regexp.MustCompile(`sk-[A-Za-z0-9]{20,}`)

// Start starts the program and waits until it is ready.
func (r *Rig) Start(ctx context.Context) (*Process, error) {
	p := &Process{cmd: exec.Command(r.o.Binary, "serve", "--config", r.config), done: make(chan struct{})}
	var out lockedBuffer
	p.cmd.Stdout, p.cmd.Stderr = &out, &p.logs
	dieWithParent(p.cmd)
	started := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !r.ready(ctx) {
		select {
		case <-p.done:
			return nil, fmt.Errorf("rig: the program ended at start: %w\n%s", p.err, p.Logs())
		case <-ctx.Done():
			p.Kill()
			return nil, fmt.Errorf("rig: the program did not become ready\n%s", p.Logs())
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.ReadyIn = time.Since(started)
	// The key is printed once, a moment after the server has begun to answer.
	for r.Key == "" {
		if r.Key = keyText.FindString(out.String()); r.Key != "" {
			break
		}
		select {
		case <-ctx.Done():
			p.Kill()
			return nil, fmt.Errorf("rig: the first start printed no key:\n%s", out.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return p, nil
}

func (r *Rig) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Logs is what the program has written to standard error.
func (p *Process) Logs() string { return p.logs.String() }

// Kill ends the program as a power cut would, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Ended is how the program ended: nil = in order. It is to be asked once it has.
func (p *Process) Ended() error {
	<-p.done
	return p.err
}

// Stop ends the program in order; its error is the program's own.
func (p *Process) Stop(ctx context.Context) error {
	if err := interrupt(p.cmd); err != nil {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.Kill()
		return errors.New("rig: the program did not stop in time")
	}
}

// Admin calls the admin API and decodes its answer.
func (r *Rig) Admin(ctx context.Context, method, path, body string, into any) error {
	token, err := os.ReadFile(filepath.Join(r.o.Dir, "admin.token"))
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("rig: %s %s: %d %s", method, path, res.StatusCode, text)
	}
	return json.Unmarshal(text, into)
}

// Build compiles the program from its source into dir; for tests.
func Build(ctx context.Context, source, dir string) (string, error) {
	bin := filepath.Join(dir, "kinora")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("rig: build: %w\n%s", err, out)
	}
	return bin, nil
}

// lockedBuffer is written by the process's copier and read here.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
