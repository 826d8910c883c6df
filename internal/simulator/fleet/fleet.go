// Package fleet starts the simulated upstreams side by side, each on a loopback port of
// its own with one account that everybody may know: for whoever develops against these
// upstreams without paying, and for the benchmark. What each of them simulates is the duty of
// its own folder.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator"
)

// The secrets of the simulated accounts. They open nothing else.
const (
	APIKey        = "simulated-api-key"
	AccessKey     = "simulated-access-key"
	SecretKey     = "simulated-secret-key"
	WebhookSecret = "whsec_c2ltdWxhdGVkLXdlYmhvb2stc2VjcmV0LTAx"
)

// Options say what is started.
type Options struct {
	Only []string // names; empty = one for each provider
	Port int      // of the first; the others follow in the order of Names. 0 = any free ones
	// JobTime is how long a job takes when it does not say; 0 = each simulator's own.
	JobTime time.Duration
	// Jobs is how many each upstream runs at once, and how many it remembers; 0 = each
	// simulator's own. Only those that bound either heed it.
	Jobs int
	// OneFile lets every output be the same small clip, whatever was asked for.
	OneFile bool
}

// Upstream is one that runs.
type Upstream struct {
	Name     string            `json:"name"` // one of Names
	Provider string            `json:"provider"`
	URL      string            `json:"base_url"`
	Settings map[string]string `json:"settings"` // of an account that it knows

	activity func() Activity
}

// Activity tells what the upstream has done until now.
func (u *Upstream) Activity() Activity { return u.activity() }

// Fleet is what Start has started.
type Fleet struct {
	Upstreams []Upstream

	closers []func(context.Context) error
}

// Names lists the upstreams that can be started, in the order of their ports: one for each provider, under the provider's
// name, and behind them those that show another side of one.
func Names() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// Start starts the upstreams; Close ends them. An error means that nothing runs.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no simulated upstream %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	f := &Fleet{}
	for i, k := range kinds() {
		if len(o.Only) == 0 && k.side != "" || len(o.Only) > 0 && !slices.Contains(o.Only, k.name) {
			continue
		}
		port := 0
		if o.Port > 0 {
			port = o.Port + i // the same whatever else is started
		}
		if err := f.add(k, o, port); err != nil {
			return nil, errors.Join(err, f.Close(ctx))
		}
	}
	return f, nil
}

func (f *Fleet) add(k kind, o Options, port int) error {
	s, activity, err := k.start(o)
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	var handler http.Handler = s
	if o.OneFile {
		if handler, err = oneFile(k.files, s); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", k.name, err), s.Close())
		}
	}
	l, err := simulator.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), handler)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", k.name, err), s.Close())
	}
	settings := k.settings
	if own, ok := s.(interface {
		settings(url string) map[string]string
	}); ok {
		settings = own.settings(l.URL)
	}
	f.Upstreams = append(f.Upstreams, Upstream{Name: k.name, Provider: cmp.Or(k.side, k.name), URL: l.URL + k.path, Settings: settings, activity: activity})
	f.closers = append(f.closers, func(ctx context.Context) error { return errors.Join(l.Close(ctx), s.Close()) })
	return nil
}

// Close ends all of them, giving requests under way until ctx ends.
func (f *Fleet) Close(ctx context.Context) error {
	var errs []error
	for _, end := range f.closers {
		errs = append(errs, end(ctx))
	}
	f.closers = nil
	return errors.Join(errs...)
}
