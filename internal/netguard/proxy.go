package netguard

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// maxProxyHead bounds what is read of the proxy's answer to CONNECT, in bytes.
const maxProxyHead = 16 << 10

// A ProxyError says that the operator's egress proxy is to blame: it could not be reached, or it refused us. Its text
// names neither the proxy nor the password.
type ProxyError struct {
	Status int   // of the proxy's answer; 0 = none came
	Err    error // the reason, where there was no answer
}

func (e *ProxyError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("the egress proxy answered %d", e.Status)
	}
	return "the egress proxy could not be reached"
}

// Unwrap returns the network's error.
func (e *ProxyError) Unwrap() error { return e.Err }

// checkProxy reads Config.Proxy.
func checkProxy(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("the egress proxy must be http://host:port or https://host:port")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return errors.New("the egress proxy has neither path nor query")
	}
	return nil
}

// proxy makes tunnels through an HTTP proxy with CONNECT (RFC 9110, section 9.3.6).
type proxy struct {
	address string      // host:port
	tls     *tls.Config // nil = plain http to the proxy
	auth    string      // Proxy-Authorization; empty = none
}

func newProxy(u *url.URL, roots *x509.CertPool) *proxy {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p := &proxy{address: net.JoinHostPort(u.Hostname(), port)}
	if u.Scheme == "https" {
		p.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), RootCAs: roots}
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p
}

// dial connects to the numeric address, which d's Control is asked about first: the proxy is told an address that has
// been judged, and never a name, so that it has nothing left to resolve.
func (p *proxy) dial(ctx context.Context, d *net.Dialer, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, notPublic("%q is not a TCP address", address)
	}
	network := "tcp6"
	if to.Addr().Is4() {
		network = "tcp4"
	}
	if d.Control == nil {
		return nil, notPublic("a dial without the decisive check")
	}
	if err := d.Control(network, to.String(), nil); err != nil {
		return nil, err
	}
	conn, err := p.reach(ctx)
	if err != nil {
		return nil, &ProxyError{Err: err}
	}
	// The tunnel outlives ctx, which only bounds its making.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := p.connect(conn, net.TCPAddrFromAddrPort(to))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return tunnel, nil
	}
	conn.Close()
	var refused *ProxyError
	if errors.As(err, &refused) {
		return nil, refused
	}
	if ctx.Err() != nil { // the destination is silent, and the proxy waits for it
		err = ctx.Err()
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

// reach connects to the proxy itself, whose address the operator chose.
func (p *proxy) reach(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil || p.tls == nil {
		return conn, err
	}
	secure := tls.Client(conn, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// errUnreachable is what a gateway's error of the proxy says about the destination.
var errUnreachable = errors.New("the egress proxy could not connect to it")

func (p *proxy) connect(conn net.Conn, to *net.TCPAddr) (net.Conn, error) {
	head := "CONNECT " + to.String() + " HTTP/1.1\r\nHost: " + to.String() + "\r\n"
	if p.auth != "" {
		head += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxProxyHead}
	r := bufio.NewReader(limited)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		if limited.N == 0 {
			err = &ProxyError{Err: errors.New("its answer is too long")}
		}
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusBadGateway, resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		return nil, errUnreachable
	case resp.StatusCode/100 != 2:
		return nil, &ProxyError{Status: resp.StatusCode}
	}
	early, _ := r.Peek(r.Buffered())
	return &tunnel{Conn: conn, early: early, to: to}, nil
}

// tunnel is a connection that is known by the address at its other end, not by the proxy's.
type tunnel struct {
	net.Conn
	early []byte // came together with the proxy's answer
	to    net.Addr
}

func (t *tunnel) RemoteAddr() net.Addr { return t.to }

func (t *tunnel) Read(b []byte) (int, error) {
	if len(t.early) == 0 {
		return t.Conn.Read(b)
	}
	n := copy(b, t.early)
	t.early = t.early[n:]
	return n, nil
}
