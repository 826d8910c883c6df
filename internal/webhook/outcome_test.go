package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
)

func TestJudgeAnswer(t *testing.T) {
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	for status := 200; status < 600; status++ {
		o := judgeAnswer(status, http.Header{"Retry-After": {"120"}}, now)
		want := outcome{verdict: transient, signal: signalAlive}
		switch {
		case status < 300:
			want = outcome{verdict: delivered, signal: signalGood}
		case status == 410:
			want.verdict = final
		case status == 429 || status == 503:
			want.signal, want.retryAfter = signalSick, 2*time.Minute
		case status == 502 || status == 504:
			want.signal = signalSick
		}
		if o.verdict != want.verdict || o.signal != want.signal || o.retryAfter != want.retryAfter || o.status != status {
			t.Errorf("%d: %+v, want %+v", status, o, want)
		}
		if (o.fault == kinora.FaultNone) != (status < 300) || (o.err == "") != (status < 300) {
			t.Errorf("%d: fault %q, error %q", status, o.fault, o.err)
		}
	}
}

func TestJudgeError(t *testing.T) {
	const token = "https://hooks.example/token-in-the-path"
	wrap := func(err error) error { return &url.Error{Op: "Post", URL: token, Err: err} }
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 443}, Err: err}
	}
	dialled := netguard.Facts{Address: "203.0.113.9:443", DNS: 1, Connect: 1}
	shaken := netguard.Facts{Address: "203.0.113.9:443", DNS: 1, Connect: 1, TLS: 1}
	tests := map[string]struct {
		err    error
		facts  netguard.Facts
		status int
		fault  kinora.Fault
		text   string
	}{
		"name does not exist":     {wrap(&net.DNSError{Err: "no such host", Name: "x", IsNotFound: true, Server: "10.0.0.53:53"}), netguard.Facts{}, 0, kinora.FaultDNS, "does not exist"},
		"name server fails":       {wrap(&net.DNSError{Err: "server misbehaving", Server: "10.0.0.53:53"}), netguard.Facts{}, 0, kinora.FaultDNS, "could not be looked up"},
		"look-up takes too long":  {wrap(context.DeadlineExceeded), netguard.Facts{}, 0, kinora.FaultDNS, "timed out looking up"},
		"refused":                 {wrap(dial(os.NewSyscallError("connect", syscall.ECONNREFUSED))), netguard.Facts{DNS: 1}, 0, kinora.FaultTCP, "connection refused"},
		"connect takes too long":  {wrap(context.DeadlineExceeded), netguard.Facts{DNS: 1}, 0, kinora.FaultTCP, "timed out connecting"},
		"kernel's time-out":       {wrap(dial(os.NewSyscallError("connect", syscall.ETIMEDOUT))), netguard.Facts{DNS: 1}, 0, kinora.FaultTCP, "timed out connecting"},
		"certificate":             {wrap(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), dialled, 0, kinora.FaultTLS, "certificate is not valid"},
		"handshake takes long":    {wrap(errors.New("net/http: TLS handshake timeout")), dialled, 0, kinora.FaultTLS, "handshake"},
		"deadline in handshake":   {wrap(context.DeadlineExceeded), dialled, 0, kinora.FaultTLS, "timed out in the TLS handshake"},
		"plain HTTP behind https": {wrap(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), dialled, 0, kinora.FaultTLS, "TLS"},
		"no answer":               {wrap(context.DeadlineExceeded), shaken, 0, kinora.FaultHTTP, "timed out waiting"},
		"no answer, reused":       {wrap(context.DeadlineExceeded), netguard.Facts{Reused: true, Address: "203.0.113.9:443"}, 0, kinora.FaultHTTP, "timed out waiting"},
		"drips its body":          {context.DeadlineExceeded, shaken, 200, kinora.FaultHTTP, "timed out reading"},
		"hangs up":                {wrap(io.EOF), shaken, 0, kinora.FaultHTTP, "closed the connection"},
		"reset":                   {wrap(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), shaken, 0, kinora.FaultHTTP, "read: connection reset"},
		"proxy cannot connect":    {wrap(dial(errors.New("the egress proxy could not connect to it"))), netguard.Facts{DNS: 1}, 0, kinora.FaultTCP, "dial: the egress proxy"},
		"something else":          {wrap(fmt.Errorf("malformed HTTP response")), shaken, 0, kinora.FaultHTTP, "malformed"},
	}
	u, _ := url.Parse(token)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := judgeError(tt.err, u, tt.facts, tt.status)
			if o.verdict != transient || o.signal != signalSick || o.fault != tt.fault || o.status != tt.status {
				t.Errorf("got %+v, want fault %s", o, tt.fault)
			}
			if !strings.Contains(o.err, tt.text) {
				t.Errorf("error %q, want %q in it", o.err, tt.text)
			}
			for _, leak := range []string{"token", "10.0.0.53", "203.0.113.9"} {
				if strings.Contains(o.err, leak) {
					t.Errorf("error %q shows %s", o.err, leak)
				}
			}
		})
	}
	t.Run("egress proxy", func(t *testing.T) {
		o := judgeError(wrap(&netguard.ProxyError{Status: 407}), u, netguard.Facts{}, 0)
		if o.verdict != transient || o.signal != signalNone || o.fault != kinora.FaultOurs || o.err != "the egress proxy answered 407" {
			t.Errorf("got %+v", o)
		}
	})
	t.Run("refused by the guard", func(t *testing.T) {
		o := judgeError(wrap(&netguard.Refusal{Code: netguard.CodeNotPublic, Message: "destination is not a public address"}), u, netguard.Facts{}, 0)
		if o.verdict != final || o.signal != signalNone || o.fault != kinora.FaultPolicy || o.err != "destination is not a public address" {
			t.Errorf("got %+v", o)
		}
	})
}
