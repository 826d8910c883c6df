package netguard

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// Facts says how a request got out, for the delivery log. The phases follow each other and do not overlap; a phase
// that did not happen or did not end is zero. After a redirect they describe the last hop.
type Facts struct {
	Address   string        // dialled "IP:port"; empty when nothing was dialled, and always after a Refusal
	DNS       time.Duration // look-up; zero for addresses and reused connections
	Connect   time.Duration // TCP connection; zero for reused connections
	TLS       time.Duration // handshake; zero for plain http and reused connections
	FirstByte time.Duration // from the request written to the first byte of the answer
	Reused    bool          // an idle connection was taken; Address is where it was dialled to
}

// Trace collects the Facts of requests made with its context. It may be read while a request runs.
type Trace struct {
	mu   sync.Mutex
	last *hop
}

// Facts returns what is known so far.
func (t *Trace) Facts() Facts {
	t.mu.Lock()
	h := t.last
	t.mu.Unlock()
	if h == nil {
		return Facts{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.facts
}

type traceKey struct{}

// WithTrace makes the guard's clients record in t what happens to requests made with the returned context. Use one
// Trace for one request at a time.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// hop is one round trip. Dials outlive the request that asked for them (net/http keeps the connection for the next
// one), and so their times are taken in the hop that started them and only until that hop has a connection.
type hop struct {
	mu      sync.Mutex
	facts   Facts
	since   time.Time // begin of the running phase
	written time.Time
	settled bool // has its connection, or was refused: what the dial still does is not its own any more
}

type hopKey struct{}

// startHop returns ctx unchanged and a nil hop, whose methods do nothing, where no one asked for a trace.
func startHop(ctx context.Context) (context.Context, *hop) {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	if t == nil {
		return ctx, nil
	}
	h := &hop{}
	t.mu.Lock()
	t.last = h
	t.mu.Unlock()
	ctx = context.WithValue(ctx, hopKey{}, h)
	return httptrace.WithClientTrace(ctx, h.clientTrace()), h
}

func hopFrom(ctx context.Context) *hop {
	h, _ := ctx.Value(hopKey{}).(*hop)
	return h
}

func (h *hop) clientTrace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			// Called again when net/http repeats a request whose idle connection had died.
			h.mu.Lock()
			defer h.mu.Unlock()
			h.facts, h.settled = Facts{}, false
		},
		GotConn:           h.gotConn,
		TLSHandshakeStart: func() { h.begin() },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				h.end(func(f *Facts, d time.Duration) { f.TLS = d })
			}
		},
		WroteRequest: func(httptrace.WroteRequestInfo) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.written = time.Now()
		},
		GotFirstResponseByte: func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !h.written.IsZero() {
				h.facts.FirstByte = time.Since(h.written)
			}
		},
	}
}

func (h *hop) gotConn(info httptrace.GotConnInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if info.Reused {
		h.facts = Facts{Reused: true}
	}
	if remote := info.Conn.RemoteAddr(); remote != nil {
		h.facts.Address = remote.String()
	}
	h.settled = true
	h.written = time.Now() // an answer may come before the whole request is out
}

func (h *hop) begin() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = time.Now()
}

func (h *hop) end(record func(*Facts, time.Duration)) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.settled {
		record(&h.facts, time.Since(h.since))
	}
}

func (h *hop) resolving()  { h.begin() }
func (h *hop) resolved()   { h.end(func(f *Facts, d time.Duration) { f.DNS = d }) }
func (h *hop) connecting() { h.begin() }

func (h *hop) connected(remote net.Addr) {
	h.end(func(f *Facts, d time.Duration) { f.Connect, f.Address = d, remote.String() })
}

// connectFailed notes which address did not answer.
func (h *hop) connectFailed(err error) {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		h.end(func(f *Facts, _ time.Duration) { f.Address = op.Addr.String() })
	}
}

// refused forgets everything: what a name resolves to, and how long that took, is not for the one who chose the name.
func (h *hop) refused() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.facts, h.settled = Facts{}, true
}
