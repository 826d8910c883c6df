package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/netguard"
)

// verdict is what one attempt means for its delivery (generations API contract, 10.4).
type verdict int

const (
	delivered   verdict = iota // a 2xx came back, whole
	transient                  // tried again while the schedule lasts
	final                      // dead at once
	interrupted                // we stopped it; it does not count as an attempt
	missed                     // nobody was asked, because the endpoint is disabled or gone; dead, to be replayed
)

// signal is what one attempt tells about its destination, apart from its own delivery.
type signal int

const (
	signalNone  signal = iota // nothing: the destination was never asked, or we hung up
	signalGood                // a 2xx
	signalAlive               // it answers, but not with a 2xx
	// signalSick: no answer, or one that says that the host as a whole is down or overloaded.
	// A 500 or a 404 is not that: it comes from the one handler behind this path, and other
	// paths of the same host may be well.
	signalSick
)

// outcome is the result of one attempt.
type outcome struct {
	verdict    verdict
	signal     signal
	status     int // 0 = no answer
	fault      kinora.Fault
	err        string        // for people; empty when delivered
	retryAfter time.Duration // what the receiver asked for; 0 = nothing
}

// judgeAnswer says what an answer means that arrived whole.
func judgeAnswer(status int, header http.Header, now time.Time) outcome {
	o := outcome{verdict: transient, signal: signalAlive, status: status, fault: kinora.FaultHTTP,
		err: "the receiver answered " + strconv.Itoa(status)}
	switch {
	case status >= 200 && status <= 299:
		return outcome{verdict: delivered, signal: signalGood, status: status}
	case status == http.StatusGone:
		o.verdict = final
	case status >= 300 && status <= 399:
		o.err += "; redirects are not followed"
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		o.signal = signalSick
		o.retryAfter = parseRetryAfter(header.Get("Retry-After"), now)
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		o.signal = signalSick
	}
	return o
}

// refused is the outcome of an attempt that policy forbids. It is final: the same request
// would be refused again.
func refused(err error) outcome {
	return outcome{verdict: final, signal: signalNone, fault: kinora.FaultPolicy, err: err.Error()}
}

// ours is the outcome of an attempt that could not be made for a reason of our own.
func ours(text string) outcome {
	return outcome{verdict: transient, signal: signalNone, fault: kinora.FaultOurs, err: text}
}

// judgeError says what it means that no whole answer came. facts tells how far the request
// got; status is that of an answer whose body did not end, else 0.
func judgeError(err error, u *url.URL, facts netguard.Facts, status int) outcome {
	var refusal *netguard.Refusal
	if errors.As(err, &refusal) {
		return refused(refusal)
	}
	var proxy *netguard.ProxyError
	if errors.As(err, &proxy) {
		return ours(proxy.Error())
	}
	err = netguard.Cause(err) // without the URL, which may hold a token
	o := outcome{verdict: transient, signal: signalSick, status: status, fault: faultOf(err, u, facts)}
	if status != 0 {
		o.fault = kinora.FaultHTTP
	}
	o.err = describe(err, o.fault, status)
	return o
}

// faultOf says whose fault an error is by its kind, and where the kind does not tell (a
// deadline, a broken connection) by how far the request got.
func faultOf(err error, u *url.URL, facts netguard.Facts) kinora.Fault {
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	switch {
	case errors.As(err, &dns):
		return kinora.FaultDNS
	case isTLS(err):
		return kinora.FaultTLS
	case errors.As(err, &op) && op.Op == "dial":
		return kinora.FaultTCP
	case facts.Reused:
		return kinora.FaultHTTP
	case facts.Address == "" && facts.DNS == 0 && net.ParseIP(u.Hostname()) == nil:
		return kinora.FaultDNS
	case facts.Address == "":
		return kinora.FaultTCP
	case u.Scheme == "https" && facts.TLS == 0:
		return kinora.FaultTLS
	}
	return kinora.FaultHTTP
}

func isTLS(err error) bool {
	var (
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
	)
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) ||
		strings.Contains(err.Error(), "TLS handshake timeout") || strings.HasPrefix(err.Error(), "tls: ")
}

// timedOut completes the sentence about a deadline.
var timedOut = map[kinora.Fault]string{
	kinora.FaultDNS:  "timed out looking up the host's name",
	kinora.FaultTCP:  "timed out connecting",
	kinora.FaultTLS:  "timed out in the TLS handshake",
	kinora.FaultHTTP: "timed out waiting for the answer",
}

// describe says what went wrong without addresses: the one that was dialled is logged
// apart, and others (a name server's) are nobody's business.
func describe(err error, fault kinora.Fault, status int) string {
	var (
		dns     *net.DNSError
		verify  *tls.CertificateVerificationError
		op      *net.OpError
		errno   syscall.Errno
		timeout net.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if status != 0 {
			return "timed out reading the answer"
		}
		return timedOut[fault]
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host's name does not exist"
	case errors.As(err, &dns):
		return "the host's name could not be looked up"
	case errors.As(err, &verify):
		return "the certificate is not valid: " + verify.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the receiver closed the connection before its answer was whole"
	case errors.As(err, &errno):
		if errors.As(err, &op) {
			return op.Op + ": " + errno.Error()
		}
		return errno.Error()
	case errors.As(err, &op) && op.Op == "dial":
		return "dial: " + op.Err.Error() // an egress proxy's word
	case fault == kinora.FaultTLS:
		return "TLS: " + strings.TrimPrefix(err.Error(), "tls: ")
	}
	return err.Error()
}
