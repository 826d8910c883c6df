package dashboard

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/a-h/templ"

	"github.com/kinora/kinora"
)

const (
	// heartbeat is how often a stream shows that it is alive, and looks whether its session still stands.
	heartbeat = 15 * time.Second
	// streamPatience is how long a write may wait for a browser, which otherwise comes back.
	streamPatience = 30 * time.Second
	// maxStreams bounds the streams of a node, maxPersonStreams those of one person in all of their browsers: each is an open page.
	maxStreams       = 256
	maxPersonStreams = 24
)

// live writes a stream of server-sent events (WHATWG HTML, section 9.2) to a page that ui.Live has opened it for. Each event is
// a piece of the page that says by its id, and hx-swap-oob, what it replaces.
type live struct {
	v       *visit
	control *http.ResponseController
	beat    time.Time     // when the next sign of life is due
	took    time.Duration // what the last look took
	buf     bytes.Buffer
}

// errStreamEnded ends a stream: the browser has gone, the session has ended, or the server stops.
var errStreamEnded = errors.New("stream ended")

// stream answers with a stream that run writes until it returns, which it must once out or ctx say that it is over. The route
// has to say that it streams.
func (v *visit) stream(ctx context.Context, run func(ctx context.Context, out *live) error) error {
	if !v.streams.enter(v.who.Person.ID) {
		return &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many pages are open at once", RetryAfter: time.Minute}
	}
	defer v.streams.leave(v.who.Person.ID)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.draining, cancel)()

	out := &live{v: v, control: http.NewResponseController(v.w), beat: v.now().Add(heartbeat)}
	_ = out.control.SetReadDeadline(time.Time{}) // there is nothing more to read, and its passing would end the request
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would otherwise collect what comes
	h.Set("Cache-Control", "no-store, no-transform")
	v.w.WriteHeader(http.StatusOK)
	if err := out.write([]byte("retry: 1000\n\n")); err != nil {
		return errAnswered
	}
	if err := run(ctx, out); err != nil && !errors.Is(err, errStreamEnded) && ctx.Err() == nil {
		v.logFailure(ctx, http.StatusOK, err) // the browser comes back and is told why
	}
	return errAnswered
}

// told is what the browser knew when its last stream broke off: the id of the last event; "" = this is its first.
func (out *live) told() string { return out.v.r.Header.Get("Last-Event-ID") }

// send writes one event. id names what the browser knows once it has it; "" = nothing.
func (out *live) send(ctx context.Context, id string, c templ.Component) error {
	var drawn bytes.Buffer
	if err := c.Render(out.v.setting(ctx), &drawn); err != nil {
		return err
	}
	out.buf.Reset()
	if id != "" {
		out.buf.WriteString("id: " + id + "\n")
	}
	for line := range bytes.FieldsFuncSeq(drawn.Bytes(), func(r rune) bool { return r == '\n' || r == '\r' }) {
		out.buf.WriteString("data: ")
		out.buf.Write(line)
		out.buf.WriteByte('\n')
	}
	out.buf.WriteByte('\n')
	return out.write(out.buf.Bytes())
}

// pause waits for d, or until a bell rings (nil = never), and shows meanwhile that the stream is alive.
func (out *live) pause(ctx context.Context, d time.Duration, bell <-chan struct{}) error {
	wait := time.NewTimer(d)
	defer wait.Stop()
	for {
		beat := time.NewTimer(max(0, out.beat.Sub(out.v.now())))
		select {
		case <-ctx.Done():
			beat.Stop()
			return errStreamEnded
		case <-wait.C:
			beat.Stop()
			return nil
		case <-bell:
			beat.Stop()
			return nil
		case <-beat.C:
			if err := out.idle(ctx); err != nil {
				return err
			}
		}
	}
}

// idle shows a sign of life, to a session that still stands and may still see the page.
func (out *live) idle(ctx context.Context) error {
	if _, err := atPlace(ctx, out.v, func(ctx context.Context) (struct{}, error) { return struct{}{}, out.stands(ctx) }); err != nil {
		return err
	}
	return out.write([]byte(": still here\n\n"))
}

// stands says whether the session still stands and may still see the page, else errStreamEnded.
func (out *live) stands(ctx context.Context) error {
	out.beat = out.v.now().Add(heartbeat)
	again := *out.v
	again.who = nil
	if err := again.recognise(ctx); err != nil {
		return err
	}
	if again.who == nil {
		return errStreamEnded
	}
	if err := again.authorise(ctx); err != nil {
		return errStreamEnded
	}
	if again.role != out.v.role || again.who.Person.Operator != out.v.who.Person.Operator {
		return errStreamEnded // the page is drawn for what they might see before
	}
	return nil
}

func (out *live) write(text []byte) error {
	if err := out.control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := out.v.w.Write(text); err != nil {
		return errStreamEnded
	}
	if err := out.control.Flush(); err != nil {
		return errStreamEnded
	}
	return nil
}
