package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// MaxAnswer is the largest answer read from an upstream's JSON routes, in bytes.
// Outputs are not read this way.
const MaxAnswer = 8 << 20

// Effect says whether a call can create something that costs money.
type Effect bool

const (
	Reads   Effect = false // may be repeated freely
	Creates Effect = true  // a lost answer means OutcomeUnknown
)

// Answer is an upstream's reply, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// RetryAfter reads the reply's Retry-After, in seconds or as a date; 0 = absent or unreadable.
func (a Answer) RetryAfter(now time.Time) time.Duration {
	v := a.Header.Get("Retry-After")
	if v == "" {
		return 0
	}
	if s, err := strconv.Atoi(v); err == nil {
		return max(0, time.Duration(s)*time.Second)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// Do sends req once and reads at most MaxAnswer bytes of the reply.
//
// A reply of any other status below 500 is returned with a nil error: what it means is the
// provider's knowledge. For the rest Do applies the rule of ambiguous submits: when
// nothing can have reached the upstream (DNS, connection or TLS failure) the error is
// of class Unavailable; when bytes were sent and no usable answer came (time-out, cut
// connection, 408, 499 or a 5xx) it is OutcomeUnknown for a call that Creates, and
// Unavailable for one that Reads. A 5xx comes with its Answer, so that a provider which
// knows that a certain body creates nothing may say better. No redirect is followed: where the
// request would have to be made anew elsewhere (301, 302, 307, 308) nothing was created, while
// any other 3xx leaves that open, 303 above all, and is OutcomeUnknown for a call that Creates.
// A request whose own body could
// not be read to its end was never complete and so created nothing: the error is the
// body's, of class Unavailable unless it is an *Error.
func Do(ctx context.Context, up Upstream, effect Effect, req *http.Request) (Answer, error) {
	res, err := send(ctx, up, effect, req)
	if err != nil {
		return Answer{}, err
	}
	return read(res, effect)
}

// Stream is Do for an answer that may hold outputs and is not to be read whole. Where the
// status is one of success it returns the reply, whose body the caller reads in bounded
// memory, closes, and reports as Broken when it ends badly; the Answer then has no body. Any
// other reply is read as Do reads it, and the reply is nil.
func Stream(ctx context.Context, up Upstream, effect Effect, req *http.Request) (*http.Response, Answer, error) {
	res, err := send(ctx, up, effect, req)
	if err != nil {
		return nil, Answer{}, err
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return res, Answer{Status: res.StatusCode, Header: res.Header}, nil
	}
	a, err := read(res, effect)
	return nil, a, err
}

// Broken is the error of a reply whose body could not be read to its end.
func Broken(effect Effect, status int, err error) *Error {
	return &Error{Class: lost(effect), HTTPStatus: status, Message: "the upstream's answer broke off", Err: withoutURL(err)}
}

// lost is the class of a call whose answer does not come.
func lost(effect Effect) Class {
	if effect == Creates {
		return OutcomeUnknown
	}
	return Unavailable
}

// send sends req once. The caller reads and closes the reply's body.
func send(ctx context.Context, up Upstream, effect Effect, req *http.Request) (*http.Response, error) {
	// Two facts tell "nothing was sent": no connection was had, or its request was never written.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	sent := &sentBody{}
	req = req.WithContext(ctx)
	sent.watch(req)
	res, err := up.Client.Do(req)
	if err != nil {
		if cause := sent.failure(); cause != nil {
			known := *AsError(cause, Unavailable)
			if known.Err == cause {
				known.Message = "the request could not be put together"
			}
			return nil, &known
		}
		class := Unavailable
		if connected.Load() {
			class = lost(effect)
		}
		return nil, &Error{Class: class, Message: transportMessage(ctx, err), Err: withoutURL(err)}
	}
	return res, nil
}

// read reads a reply whole and closes it.
func read(res *http.Response, effect Effect) (Answer, error) {
	defer res.Body.Close()
	a := Answer{Status: res.StatusCode, Header: res.Header}
	var err error
	a.Body, err = io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return a, Broken(effect, a.Status, err)
	case len(a.Body) > MaxAnswer:
		return a, &Error{Class: lost(effect), HTTPStatus: a.Status, Message: "the upstream's answer is too large"}
	case a.Status >= 500 || a.Status == http.StatusRequestTimeout || a.Status == 499 || effect == Creates && elsewhereMade(a.Status):
		return a, &Error{
			Class: lost(effect), HTTPStatus: a.Status, RetryAfter: a.RetryAfter(time.Now()),
			Message: fmt.Sprintf("the upstream answered with status %d", a.Status),
		}
	}
	return a, nil
}

// elsewhereMade says that a redirect may lead to what a request has made.
func elsewhereMade(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return false
	}
	return status >= 300 && status < 400
}

// sentBody keeps the error with which a request's body ended, as often as it is sent.
type sentBody struct {
	mu  sync.Mutex
	err error
}

// watch puts itself around the body of a request, and around what net/http gets when it sends
// the request anew over another connection.
func (b *sentBody) watch(req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	req.Body = watchedBody{req.Body, b}
	again := req.GetBody
	if again == nil {
		return
	}
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := again()
		if err != nil {
			b.keep(err)
			return nil, err
		}
		return watchedBody{body, b}, nil
	}
}

func (b *sentBody) keep(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// failure is what the body itself is to blame for; net/http closes a body that it wants no more of.
func (b *sentBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.err, os.ErrClosed) || errors.Is(b.err, io.ErrClosedPipe) {
		return nil
	}
	return b.err
}

// watchedBody is one sending of a body.
type watchedBody struct {
	io.ReadCloser
	sent *sentBody
}

func (w watchedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		w.sent.keep(err)
	}
	return n, err
}

// withoutURL drops the URL that net/http puts into its errors: it may hold a token.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

func transportMessage(ctx context.Context, err error) string {
	var ue *url.Error
	if errors.As(err, &ue) && ue.Timeout() || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "the upstream did not answer in time"
	}
	return "the upstream could not be reached"
}

// NewRequest makes a call to the account's upstream, for Do: method, the path below the
// account's address, the Authorization header, and a JSON body; "" and nil = none. Its error, of
// class Permission, says that the account's address is not usable, without quoting it.
func NewRequest(up Upstream, method, path, authorization string, payload []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, up.Account.BaseURL+path, bytes.NewReader(payload)) // Do brings the context
	if err != nil {
		return nil, &Error{Class: Permission, Message: "the account's base URL is not usable", Err: errors.New("malformed URL")}
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Accept", "application/json")
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// Bearer is the Authorization header of a key that an account may do without; empty without one.
func Bearer(key string) string {
	if key == "" {
		return ""
	}
	return "Bearer " + key
}
