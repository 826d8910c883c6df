package dashboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// A form that is sent twice does what it is for once. Every form carries a token of its own (ui.OnceField); the first post of a token
// is worked on to its end, even where the browser has gone to send it again, and a further one gets the very same answer. So a double
// click leaves no key that nobody has seen.
//
// It holds on one node, and is no idempotency of the services: what costs money is sent to the API with the token as its
// idempotency key besides, which holds on all.

const (
	// answerKept is how long the answer to a form is kept for a further press: it may show a secret, which is not in memory for longer.
	answerKept = time.Minute
	// formKept is how long it is known that a form has been sent.
	formKept = time.Hour
	// mostSent bounds the forms that a node knows of, and mostSentBy those of one session.
	mostSent, mostSentBy = 4096, 128
	// mostAnswer is the largest answer that is kept, in bytes, mostKeptBy what is kept of one session's, and mostKept of all. A session's own
	// make room first, so that none pushes those of others out; a person has kinora.MaxSessions of them. A further press of a form whose answer
	// is not kept is told that it has been sent.
	mostAnswer, mostKeptBy, mostKept = 256 << 10, 1 << 20, 32 << 20
)

// sentForms are the forms that this node has answered. It is safe for concurrent use.
type sentForms struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[formKey]*sentForm
	order []formKey                 // oldest first
	kept  int                       // bytes of answers
	by    map[[sha256.Size]byte]int // of these, by session
}

// formKey names a form: whose, where it goes, its token, and what was filled in.
type formKey struct {
	session, form [sha256.Size]byte
}

// sentForm is one form that was sent. answer and at are set once done is closed.
type sentForm struct {
	done   chan struct{}
	at     time.Time
	failed bool    // it may be sent again
	answer *answer // nil = not kept any more
}

// answer is an answer that can be given again.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) size() int {
	n := len(a.body)
	for name, values := range a.header {
		n += len(name)
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}

func newSentForms(now func() time.Time) *sentForms {
	return &sentForms{now: now, known: map[formKey]*sentForm{}, by: map[[sha256.Size]byte]int{}}
}

// enter returns a form's entry; first = it is the caller's to work on the form, and to end that by leave.
func (s *sentForms) enter(key formKey) (f *sentForm, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy(key.session)
	if f = s.known[key]; f != nil {
		return f, false
	}
	f = &sentForm{done: make(chan struct{})}
	s.known[key] = f
	s.order = append(s.order, key)
	return f, true
}

// leave keeps the answer to a form; nil = it failed, and may be sent again.
func (s *sentForms) leave(key formKey, f *sentForm, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.at, f.failed = s.now(), a == nil
	if f.failed && s.known[key] == f {
		s.drop(key)
	}
	if a != nil && s.known[key] == f {
		s.keep(key, f, a)
	}
	close(f.done)
}

// keep keeps an answer where it is not too large, and has it forgotten in time even if nobody sends a form any more.
func (s *sentForms) keep(key formKey, f *sentForm, a *answer) {
	size := a.size()
	if size > mostAnswer {
		return
	}
	for _, other := range s.order {
		own := s.by[key.session]+size > mostKeptBy
		if !own && s.kept+size <= mostKept {
			break
		}
		if !own || other.session == key.session {
			s.forget(other, s.known[other])
		}
	}
	f.answer = a
	s.kept += size
	s.by[key.session] += size
	time.AfterFunc(answerKept, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(key, f)
	})
}

// forget forgets a form's answer, and goes on knowing that it was sent.
func (s *sentForms) forget(key formKey, f *sentForm) {
	if f.answer == nil {
		return
	}
	size := f.answer.size()
	f.answer = nil
	s.kept -= size
	if s.by[key.session] -= size; s.by[key.session] == 0 {
		delete(s.by, key.session)
	}
}

// answerOf is the answer to a form that is done; nil = it is not kept any more.
func (s *sentForms) answerOf(f *sentForm) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tidy([sha256.Size]byte{})
	return f.answer
}

// tidy forgets answers and forms whose time is over, and the oldest where there are too many.
func (s *sentForms) tidy(session [sha256.Size]byte) {
	now, own := s.now(), 0
	var over []formKey
	for _, key := range s.order {
		f := s.known[key]
		if key.session == session {
			own++
		}
		switch age := now.Sub(f.at); {
		case f.at.IsZero(): // being worked on
		case age >= formKept:
			over = append(over, key)
		case age >= answerKept:
			s.forget(key, f)
		}
	}
	for _, key := range over {
		s.drop(key)
	}
	for i := 0; i < len(s.order) && (len(s.order) >= mostSent || own >= mostSentBy); {
		key := s.order[i]
		mine := key.session == session
		if s.known[key].at.IsZero() || own >= mostSentBy && !mine {
			i++
			continue
		}
		if mine {
			own--
		}
		s.drop(key)
	}
}

func (s *sentForms) drop(key formKey) {
	s.forget(key, s.known[key])
	delete(s.known, key)
	if at := slices.Index(s.order, key); at >= 0 {
		s.order = slices.Delete(s.order, at, at+1)
	}
}

// once has a route's handler answer a form, or gives the answer again that it has given.
func (v *visit) once(ctx context.Context, handler handlerFunc) error {
	if v.r.Method != http.MethodPost || v.who == nil || v.route.repeats || v.form(ui.OnceField) == "" {
		return handler(ctx, v)
	}
	key := v.formKey()
	for {
		f, first := v.sent.enter(key)
		if first {
			return v.answerOnce(ctx, key, f, handler)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if f.failed {
			continue
		}
		if a := v.sent.answerOf(f); a != nil {
			return v.again(a)
		}
		return kinora.Errorf(kinora.ErrConflict, "this form has been sent already, and what it was for has been done; open it anew to do that once more")
	}
}

// formKey names the form of this visit. What was filled in belongs to it: a browser may lead back to a form that was sent, to be
// filled in otherwise.
func (v *visit) formKey() formKey {
	text := v.r.URL.Path + "\x00" + v.r.PostForm.Encode()
	if files := v.r.MultipartForm; files != nil {
		for _, name := range slices.Sorted(maps.Keys(files.File)) {
			for _, file := range files.File[name] {
				text += fmt.Sprintf("\x00%s %q %d", name, file.Filename, file.Size)
			}
		}
	}
	return formKey{session: sha256.Sum256([]byte(v.session)), form: sha256.Sum256([]byte(text))}
}

// answerOnce works on a form to its end and keeps the answer, unless it is a refusal.
func (v *visit) answerOnce(ctx context.Context, key formKey, f *sentForm, handler handlerFunc) error {
	var kept *answer
	defer func() { v.sent.leave(key, f, kept) }() // whatever happens: somebody may wait for it
	if end, bounded := ctx.Deadline(); bounded {
		var cancel context.CancelFunc
		// A browser that sends a form again breaks its first request off.
		ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), end)
		defer cancel()
	}
	w := &keeping{ResponseWriter: v.w}
	v.w = w
	err := handler(ctx, v)
	v.w = w.ResponseWriter
	if (err == nil || errors.Is(err, errAnswered)) && w.status < http.StatusBadRequest {
		kept = &answer{status: w.status, header: w.Header().Clone(), body: bytes.Clone(w.body.Bytes())}
	}
	return err
}

// again gives an answer once more, under the number of this request.
func (v *visit) again(a *answer) error {
	number := v.w.Header().Get("X-Request-Id")
	maps.Copy(v.w.Header(), a.header.Clone())
	v.w.Header().Set("X-Request-Id", number)
	v.w.WriteHeader(a.status)
	_, _ = v.w.Write(a.body) // an error means that the browser has gone
	return errAnswered
}

// keeping keeps an answer while it is written.
type keeping struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *keeping) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *keeping) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.body.Len() <= mostAnswer {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap leads http.ResponseController to the writer.
func (w *keeping) Unwrap() http.ResponseWriter { return w.ResponseWriter }
