package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// Bodies are awaited outside the gates, because how long that takes is the caller's choice. What bounds it is the memory
// of all that is being read, a share of it for each organisation (each client address where there is none), and a pace.
const (
	// bodyTime is for the beginning of a body to arrive, and for the whole of a small one.
	bodyTime = 10 * time.Second
	// bodyPace is the least that has to come in each further second.
	bodyPace = 32 << 10
	// lateness is how far apart the looks for late bodies are.
	lateness = time.Second
	// readerCost is what a request costs beside its body while it is awaited: connection, buffers, stack.
	readerCost = 24 << 10
	// readMemory is for all bodies that are being read together; one organisation gets a half. It is more where
	// larger bodies are allowed.
	readMemory = 128 << 20
)

// budget is memory, so much in all and of that so much for one caller, where a caller is named. It also breaks off the
// bodies that are late: one timer for all of them, because a deadline on every connection costs each request something.
type budget struct {
	most, share int64

	mu      sync.Mutex
	used    int64
	by      map[string]int64
	readers map[*reader]struct{}
	armed   bool // overdue will be called
}

func newBudget(maxBody int64) *budget {
	most := max(readMemory, 16*maxBody)
	return &budget{most: most, share: most / 2, by: make(map[string]int64), readers: make(map[*reader]struct{})}
}

// reader is a body that is being read.
type reader struct {
	who        string
	connection *http.ResponseController
	taken      int64
	due        time.Time // when it is broken off
	late       bool      // that has been done
}

// add begins to read, with n bytes of memory.
func (b *budget) add(r *reader, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.take(r, n); err != nil {
		return err
	}
	b.readers[r] = struct{}{}
	if !b.armed {
		b.armed = true
		time.AfterFunc(lateness, b.overdue)
	}
	return nil
}

// grow gives a reader more memory and more time.
func (b *budget) grow(r *reader, n int64, due time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.take(r, n); err != nil {
		return err
	}
	r.due = due
	return nil
}

func (b *budget) take(r *reader, n int64) error {
	switch {
	case r.who != "" && b.by[r.who]+n > b.share:
		return errTooMany()
	case b.used+n > b.most:
		return errBusy()
	}
	r.taken += n
	b.used += n
	b.by[r.who] += n
	return nil
}

// remove ends a reader. Its connection's deadline is touched no more.
func (b *budget) remove(r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, r)
	b.used -= r.taken
	if b.by[r.who] -= r.taken; b.by[r.who] <= 0 {
		delete(b.by, r.who)
	}
}

// overdue breaks off what is late, and comes again while anything is being read.
func (b *budget) overdue() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for r := range b.readers {
		if !r.late && !now.Before(r.due) {
			r.late = true
			_ = r.connection.SetReadDeadline(now) // a writer that knows no deadlines has none
		}
	}
	if b.armed = len(b.readers) > 0; b.armed {
		time.AfterFunc(lateness, b.overdue)
	}
}

// reading is how a body is read.
type reading struct {
	budget *budget
	who    string        // whose share of it is used
	most   int64         // bytes
	start  time.Duration // for the beginning of it
	pace   int64         // bytes in each second after that; 0 = all has to come in the time for the beginning
	rest   time.Duration // what the connection may take after that, until the answer
}

// body reads the request's body with the request's place in its gate given back meanwhile.
func (s *Server) body(x *exchange, r *http.Request) ([]byte, error) {
	how := reading{budget: s.bodies, most: s.cfg.MaxBody, start: bodyTime, pace: bodyPace, rest: 2 * s.cfg.RequestTimeout}
	switch {
	case x.route.auth == adminned:
		how.budget = s.orders
	case x.organisation != nil:
		how.who = x.organisation.ID
	}
	return s.read(x, r, how)
}

// read is body for any way of reading.
func (s *Server) read(x *exchange, r *http.Request, how reading) (body []byte, err error) {
	if r.ContentLength > how.most {
		return nil, bodyTooLarge()
	}
	x.place.give()
	body, err = readBody(x, r, how)
	if err != nil {
		return nil, err
	}
	return body, x.place.take()
}

// readBody reads at most how.most bytes of the request's body.
func readBody(x *exchange, r *http.Request, how reading) ([]byte, error) {
	// The length is the caller's claim: believed only as far as it costs little.
	size := min(max(r.ContentLength, 0), 64<<10) + 512
	began := time.Now() // of the network, not of s.now
	me := &reader{who: how.who, connection: http.NewResponseController(x.w), due: began.Add(how.start)}
	if err := how.budget.add(me, size+readerCost); err != nil {
		return nil, err
	}
	body, err := me.read(http.MaxBytesReader(x.w, r.Body, how.most), make([]byte, 0, size), how)
	how.budget.remove(me)
	if err != nil {
		return nil, bodyError(r, err)
	}
	if time.Since(began) > lateness {
		// The time-out of the server for whole requests ends the request's context too.
		_ = me.connection.SetReadDeadline(time.Now().Add(how.rest))
	}
	return body, nil
}

// read appends to body, whose capacity has been taken from the budget, until the end.
func (m *reader) read(from io.Reader, body []byte, how reading) ([]byte, error) {
	began := m.due.Add(-how.start)
	for {
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if len(body) < cap(body) {
			continue
		}
		size, due := 2*cap(body), m.due
		if how.pace > 0 {
			due = began.Add(how.start + time.Duration(size)*time.Second/time.Duration(how.pace))
		}
		if err := how.budget.grow(m, int64(cap(body)), due); err != nil {
			return nil, err
		}
		body = append(make([]byte, 0, size), body...)
	}
}

func bodyError(r *http.Request, err error) error {
	var (
		tooLarge *http.MaxBytesError
		refused  *kinora.Error
	)
	switch {
	case errors.As(err, &refused):
		return err
	case errors.As(err, &tooLarge):
		return bodyTooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(errMalformed, "request body did not arrive in time")
	case r.Context().Err() != nil:
		return &kinora.Error{Code: errClient, Message: "the caller has gone", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(errMalformed, "request body is incomplete")
	}
	return refuse(errMalformed, "request body could not be read")
}

func bodyTooLarge() error { return refuse(kinora.ErrTooLarge, "request body too large") }
