package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

var errNotLoopback = errors.New("simulator: the address is not on this machine")

// LoopbackClient returns a client for callbacks that refuses to dial anything but
// this machine, ignores proxies and follows no redirect: a simulator must not be
// what sends a stranger's request into a network. Close its idle connections
// after use.
func LoopbackClient() *http.Client {
	dialer := &net.Dialer{Timeout: callbackTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		if !isLoopback(address) {
			return errNotLoopback
		}
		return nil
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// isLoopback judges a numeric address with a port.
func isLoopback(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// Loopback is an HTTP server on this machine.
type Loopback struct {
	// URL is where it is reached, without a trailing slash.
	URL string

	server *http.Server
	served chan error
}

// Listen serves a handler on a loopback address such as "127.0.0.1:0", where port 0
// takes any free one. Other addresses are refused: a simulated upstream takes
// anybody's orders.
func Listen(address string, handler http.Handler) (*Loopback, error) {
	if !isLoopback(address) {
		return nil, fmt.Errorf("simulator: listen on %s: %w", address, errNotLoopback)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("simulator: listen on %s: %w", address, err)
	}
	lo := &Loopback{
		URL:    "http://" + l.Addr().String(),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		served: make(chan error, 1),
	}
	go func() { lo.served <- lo.server.Serve(l) }()
	return lo, nil
}

// Close stops listening, gives requests under way until ctx ends, and then cuts
// them.
func (l *Loopback) Close(ctx context.Context) error {
	err := l.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, l.server.Close())
	}
	if serveErr := <-l.served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err != nil {
		return fmt.Errorf("simulator: close the listener: %w", err)
	}
	return nil
}
