package providertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kinora/kinora/provider"
)

// Cut says where an answer breaks off.
type Cut int

const (
	CutNone   Cut = iota
	CutAnswer     // the request is read, the connection ends without an answer
	CutBody       // the answer's body breaks off half way
)

// Reply is one scripted answer.
type Reply struct {
	Status int // 0 = 200
	Header map[string]string
	Body   string
	Cut    Cut
	// Hang reads the request and gives no answer until the caller leaves; HangBody
	// sends the headers before it does so.
	Hang, HangBody bool
}

// none reports whether r is the zero Reply.
func (r Reply) none() bool { return reflect.ValueOf(r).IsZero() }

// JSON is a Reply with a JSON body.
func JSON(status int, body string) Reply {
	return Reply{Status: status, Header: map[string]string{"Content-Type": "application/json"}, Body: body}
}

// Recorded is a request as it reached the scripted upstream.
type Recorded struct {
	Method string
	Target string // path and query
	Header http.Header
	Body   []byte
}

// Upstream is an HTTP server on this machine that answers by script and records what
// it is asked.
type Upstream struct {
	URL string

	server    *httptest.Server
	client    *http.Client
	auxiliary func(Recorded) (Reply, bool)
	openBody  atomic.Int64
	sources   provider.Sources

	mu       sync.Mutex
	answer   func(Recorded) Reply
	recorded []Recorded
	arrived  chan struct{}
}

// NewUpstream starts an upstream that is stopped with the test. Its first answers are
// 500.
func NewUpstream(t testing.TB) *Upstream {
	u := &Upstream{arrived: make(chan struct{}, 1)}
	u.Answer(Reply{Status: http.StatusInternalServerError})
	u.server = httptest.NewServer(http.HandlerFunc(u.serve))
	u.URL = u.server.URL
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	u.client = &http.Client{
		Transport: countingTransport{transport, &u.openBody},
		// As the client that the lifecycle hands out.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		u.server.Close()
		if n := u.openBody.Load(); n != 0 {
			t.Errorf("%d answers were not closed", n)
		}
	})
	return u
}

// Answer sets the answer to all requests from now on.
func (u *Upstream) Answer(r Reply) { u.AnswerWith(func(Recorded) Reply { return r }) }

// AnswerWith sets what makes the answers from now on.
func (u *Upstream) AnswerWith(f func(Recorded) Reply) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = f
}

// Take returns the requests since the last Take.
func (u *Upstream) Take() []Recorded {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.recorded
	u.recorded = nil
	return out
}

// With returns the account at this upstream, and the client to reach it with.
func (u *Upstream) With(a provider.Account) provider.Upstream {
	a.BaseURL = u.URL + pathOf(a.BaseURL)
	return provider.Upstream{Account: a, Client: u.client, Sources: u.sources}
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the caller has left
	}
	rec := Recorded{Method: r.Method, Target: r.URL.RequestURI(), Header: r.Header, Body: body}
	if u.auxiliary != nil {
		if reply, ok := u.auxiliary(rec); ok {
			reply.send(w, r)
			return
		}
	}
	u.mu.Lock()
	u.recorded = append(u.recorded, rec)
	answer := u.answer
	u.mu.Unlock()
	select {
	case u.arrived <- struct{}{}:
	default:
	}
	answer(rec).send(w, r)
}

func (reply Reply) send(w http.ResponseWriter, r *http.Request) {
	if reply.Cut == CutAnswer {
		panic(http.ErrAbortHandler)
	}
	if reply.Hang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	for name, value := range reply.Header {
		w.Header().Set(name, value)
	}
	status := reply.Status
	if status == 0 {
		status = http.StatusOK
	}
	body := reply.Body
	if status == http.StatusNoContent || status == http.StatusNotModified {
		body = "" // net/http allows none
	}
	if reply.Cut == CutBody || reply.HangBody {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+2))
		body = body[:len(body)/2]
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	if reply.Cut == CutBody || reply.HangBody {
		_ = http.NewResponseController(w).Flush()
		if reply.HangBody {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
}

// countingTransport counts the answers whose bodies are open.
type countingTransport struct {
	http.RoundTripper
	open *atomic.Int64
}

func (c countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	res.Body = &countedBody{ReadCloser: res.Body, open: c.open}
	return res, nil
}

type countedBody struct {
	io.ReadCloser
	open *atomic.Int64
	once sync.Once
}

func (b *countedBody) Close() error {
	b.once.Do(func() { b.open.Add(-1) })
	return b.ReadCloser.Close()
}
