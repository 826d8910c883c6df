package dashboard

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// The server lets so many requests of browsers in at once, whoever they are (maxBrowsing of package server). The door keeps people who are not
// signed in from taking all of these places, by forms that come a byte at a time or pages that they do not read: they may have some
// of them, and those of one network a few. The rest is for persons, each of whom may have a part.
const (
	maxStrangers        = 128
	maxNetworkStrangers = 16 // of one address of IPv4, or a /64 of IPv6: an office signs in without noticing
	maxPersonRequests   = 64 // streams included

	// strangerForm bounds what somebody posts who is not signed in, in bytes: an address, a name, passwords, a page to go to.
	strangerForm = 32 << 10
	// strangerTime is for all of it to come.
	strangerTime = 10 * time.Second
	// formTime is for the beginning of a person's form to come, and formPace the least of it in each further second, in bytes.
	formTime = 30 * time.Second
	formPace = 32 << 10
)

// crowd counts who is inside: so many in all, and of these so many by one name.
type crowd struct {
	most, each int

	mu  sync.Mutex
	by  map[string]int
	all int
}

func newCrowd(most, each int) *crowd { return &crowd{most: most, each: each, by: map[string]int{}} }

// enter counts one more, unless that is too many.
func (c *crowd) enter(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.by[name] >= c.each {
		return false
	}
	c.all++
	c.by[name]++
	return true
}

func (c *crowd) leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.by[name]--; c.by[name] == 0 {
		delete(c.by, name)
	}
}

// enter takes a place for the visit, which leave gives back. It is called once it is known who comes.
func (v *visit) enter() (leave func(), err error) {
	inside, name := v.persons, ""
	if v.who != nil {
		name = v.who.Person.ID
	} else {
		inside, name = v.strangers, v.cfg.ClientNetwork(v.r)
		v.hurry()
	}
	if !inside.enter(name) {
		if v.hasBody() {
			v.w.Header().Set("Connection", "close") // net/http would await the rest of the form before it answers
		}
		return func() {}, &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many requests at once; try again in a moment", RetryAfter: time.Second}
	}
	return func() { inside.leave(name) }, nil
}

// hasBody tells whether something comes behind the request's head. Without it the connection's read deadline is not for us: its passing
// would end the request.
func (v *visit) hasBody() bool { return v.r.ContentLength != 0 }

// hurry gives somebody who is not signed in little time, in both directions, also where what they send is not read.
func (v *visit) hurry() {
	now, control := time.Now(), http.NewResponseController(v.w) // of the network, not of v.now
	if v.hasBody() {
		_ = control.SetReadDeadline(now.Add(v.strangerTime)) // a writer that knows no deadlines has none
	}
	_ = control.SetWriteDeadline(now.Add(patience + v.strangerTime))
}

// formBody reads a person's form, which may be long and must come at a pace.
type formBody struct {
	io.ReadCloser
	control *http.ResponseController
	began   time.Time
	read    int64
}

func (b *formBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(b.began.Add(formTime + time.Duration(b.read)*time.Second/formPace))
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	return n, err
}

// receive reads a form with parse, at most so many bytes of it, in the time that whoever sends it has.
func (v *visit) receive(most int64, parse func() error) error {
	control := http.NewResponseController(v.w)
	if v.who == nil {
		most = min(most, strangerForm)
	} else {
		v.r.Body = &formBody{ReadCloser: v.r.Body, control: control, began: time.Now()}
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, most)
	err := parse()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return kinora.Errorf(kinora.ErrTooLarge, "this is too large: at most %d bytes can be sent here", most)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return kinora.Errorf(kinora.ErrInvalid, "the form did not arrive in time; try again")
	case err != nil:
		return kinora.Errorf(kinora.ErrInvalid, "the form could not be read")
	}
	if v.hasBody() {
		end := time.Now().Add(2 * patience) // those before were for the form, and would end the work on it
		_ = control.SetReadDeadline(end)
		_ = control.SetWriteDeadline(end)
	}
	return nil
}
