package simulator

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Cut says where an answer breaks off.
type Cut int

const (
	CutNone   Cut = iota
	CutBefore     // the connection ends before the request has any effect
	CutAfter      // the request takes effect, the connection ends without an answer
	CutBody       // the request takes effect, the answer's body breaks off half way
)

// Fault is one thing that goes wrong with requests.
type Fault struct {
	// Op is the operation that it hits, in the simulated upstream's words ("submit",
	// "poll"); empty = every operation.
	Op string
	// Times is how many requests it hits; 0 = all until it is taken back.
	Times int
	// Delay holds the request before anything else happens.
	Delay time.Duration
	// Status, when not 0, answers without any effect.
	Status int
	// RetryAfter goes with Status, rounded up to seconds; 0 = no such header.
	RetryAfter time.Duration
	Cut        Cut
}

// Faults are the things that go wrong at one simulated upstream. The zero value is
// ready and harmless.
type Faults struct {
	mu     sync.Mutex
	active []*Fault
}

// Inject switches a fault on and returns what switches it off. Where several fit a
// request, the oldest hits it.
func (f *Faults) Inject(fault Fault) (takeBack func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault.Times == 0 {
		fault.Times = math.MaxInt
	}
	p := &fault
	f.active = append(f.active, p)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.remove(p)
	}
}

func (f *Faults) remove(p *Fault) {
	for i, a := range f.active {
		if a == p {
			f.active = append(f.active[:i:i], f.active[i+1:]...)
			return
		}
	}
}

// take returns the fault that hits the next request of an operation.
func (f *Faults) take(op string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.active {
		if p.Op == "" || p.Op == op {
			if p.Times--; p.Times == 0 {
				f.remove(p)
			}
			return *p, true
		}
	}
	return Fault{}, false
}

// maxHeldBody bounds what a request that is held costs; longer ones are cut.
const maxHeldBody = 8 << 20

// Wrap puts the faults of an operation before its handler.
func (f *Faults) Wrap(op string, clock Clock, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fault, hit := f.take(op)
		if !hit {
			next(w, r)
			return
		}
		if fault.Delay > 0 {
			// net/http notices that a caller has left only once the body is read.
			body, err := io.ReadAll(io.LimitReader(r.Body, maxHeldBody))
			if err != nil {
				Abort()
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if Hold(r.Context(), clock, fault.Delay) != nil || fault.Cut == CutBefore {
			Abort()
		}
		if fault.Status != 0 {
			if fault.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(fault.RetryAfter.Seconds()))))
			}
			http.Error(w, fmt.Sprintf("injected fault %d", fault.Status), fault.Status)
			return
		}
		switch fault.Cut {
		case CutAfter:
			next(newRecorder(), r)
			Abort()
		case CutBody:
			rec := newRecorder()
			next(rec, r)
			rec.sendHalf(w)
		default:
			next(w, r)
		}
	}
}

// Abort ends the request that is being handled by cutting its connection; it does
// not return. Only for handlers run by net/http's server.
func Abort() { panic(http.ErrAbortHandler) }

// recorder takes an answer that is not to arrive whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}, status: http.StatusOK} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// sendHalf announces the whole body, sends half of it and cuts the connection.
func (r *recorder) sendHalf(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(r.body.Len()))
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()[:r.body.Len()/2])
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	Abort()
}
