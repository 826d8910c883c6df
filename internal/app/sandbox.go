package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/ark"
	"github.com/kinora/kinora/provider/comfyui"
	"github.com/kinora/kinora/provider/google"
	"github.com/kinora/kinora/provider/kling"
	"github.com/kinora/kinora/provider/localai"
	"github.com/kinora/kinora/provider/minimax"
	"github.com/kinora/kinora/provider/openai"
	sandboxprovider "github.com/kinora/kinora/provider/sandbox"
	"github.com/kinora/kinora/provider/vidu"
)

// sandboxAccount is the name of the account at the built-in sandbox.
const sandboxAccount = "sandbox"

// providers is the explicit list of all upstream protocols. workflows are the operator's own, for
// ComfyUI; what the providers say of themselves does not depend on them.
func providers(workflows map[string]*comfyui.Workflow) []provider.Provider {
	return []provider.Provider{
		ark.New(),
		comfyui.New(workflows),
		google.New(),
		kling.New(),
		localai.New(),
		minimax.New(),
		openai.New(),
		sandboxprovider.New(),
		vidu.New(),
	}
}

// sandboxListener takes the port of the last start again where it is free: the URLs of
// outputs that are still to be fetched lead there.
func sandboxListener(dataDir string) (net.Listener, error) {
	ctx, listen := context.Background(), net.ListenConfig{}
	file := filepath.Join(dataDir, "sandbox.port")
	if text, err := os.ReadFile(file); err == nil {
		if port, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16); err == nil && port > 0 {
			if l, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port))); err == nil {
				return l, nil
			}
		}
	}
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := os.WriteFile(file, []byte(port+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// addSandbox starts the built-in upstream on a loopback port of its own and adds an
// account at it. Its jobs are kept in a journal, so that they outlive a crash as an
// upstream's would. Each process has its own: several nodes on one database should
// share one by configuring an account with a base_url instead.
func (a *App) addSandbox(r *routes) error {
	l, err := sandboxListener(a.cfg.DataDir)
	if err != nil {
		return &kinora.Error{Code: kinora.ErrUnavailable, Op: "start sandbox", Message: "no loopback port can be had", Err: err}
	}
	// Not derived from the master key: jobs of before a rotation of that belong to the same account.
	key, err := privateToken(filepath.Join(a.cfg.DataDir, "sandbox.key"), "sbx-")
	if err != nil {
		_ = l.Close()
		return fmt.Errorf("sandbox key: %w", err)
	}
	up, err := sandbox.New(sandbox.Config{
		Accounts: []sandbox.Account{{Key: key}},
		Journal:  filepath.Join(a.cfg.DataDir, "sandbox.journal"),
		// A caller's own callback URL reaches this upstream unchanged, so its calls need the guard too.
		CallbackClient: a.sandboxCallbacks(),
		// And so does a reference image's.
		ReferenceClient: a.sandboxReferences(),
		Clock:           a.opts.SandboxClock,
	})
	if err != nil {
		_ = l.Close()
		return err
	}
	srv := &http.Server{Handler: up, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	a.onStop(func(ctx context.Context) error {
		return errors.Join(srv.Close(), up.Close())
	})
	r.accounts = append(r.accounts, lifecycle.Account{
		Account: provider.Account{Name: sandboxAccount, Provider: "sandbox", BaseURL: "http://" + l.Addr().String(),
			Settings: map[string]string{"api_key": key}},
		MaxInFlight: a.cfg.Sandbox.MaxInFlight, Indifferent: true,
	})
	if a.cfg.PublicURL == "" && !a.sandboxElsewhere() {
		// The built-in upstream is on this machine, and so can call back where no other could.
		r.callbackURLs["sandbox"] = a.LocalURL()
	}
	return nil
}

// sandboxCallbacks reaches this very server directly and everything else through the guard.
func (a *App) sandboxCallbacks() *http.Client {
	guarded := a.guard.WebhookClient()
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.Proxy = nil
	a.onStop(func(context.Context) error { own.CloseIdleConnections(); return nil })
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     splitTransport{host: a.listener.Addr().String(), own: own, guarded: guarded.Transport},
	}
}

// sandboxReferences reads this very server's files directly, whichever of its addresses a signed URL names, and
// everything else through the guard.
func (a *App) sandboxReferences() *http.Client {
	c := a.guard.FetchClient(maxRedirects)
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.Proxy = nil
	a.onStop(func(context.Context) error { own.CloseIdleConnections(); return nil })
	c.Transport = ownFiles{public: a.cfg.PublicURL, local: a.LocalURL(), own: own, guarded: c.Transport}
	return c
}

// ownFiles sends requests for this server's own files to where it listens.
type ownFiles struct {
	public, local string // the server's addresses; public may be empty
	own, guarded  http.RoundTripper
}

func (f ownFiles) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, base := range []string{f.local, f.public} {
		file, ok := strings.CutPrefix(r.URL.String(), base+blob.FilesPath)
		if base == "" || !ok {
			continue
		}
		u, err := url.Parse(f.local + blob.FilesPath + file)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.URL, r.Host = u, ""
		return f.own.RoundTrip(r)
	}
	return f.guarded.RoundTrip(r)
}

// splitTransport sends requests for one host one way and all others another.
type splitTransport struct {
	host         string
	own, guarded http.RoundTripper
}

func (s splitTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == s.host && r.URL.Scheme == "http" {
		return s.own.RoundTrip(r)
	}
	return s.guarded.RoundTrip(r)
}

// sandboxElsewhere tells whether the configuration names an account at another sandbox than
// the built-in one: that one may be where this server's own address leads nowhere.
func (a *App) sandboxElsewhere() bool {
	return slices.ContainsFunc(a.cfg.Accounts, func(acc config.Account) bool { return acc.Provider == "sandbox" })
}
