package server

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/kinora/kinora"
)

const (
	// followPace is how often the generations that are followed are looked at, all in one read: how late a change is
	// told at most, but for an end on this node.
	followPace = time.Second
	// maxFollowsPerKey bounds the streams about single generations of one key on a node.
	maxFollowsPerKey = 64
)

// generationEvents streams how one generation changes, as server-sent events, and ends with it. Each event holds the whole
// record; its id names the state that the reader knows by it, so that whoever comes back is told only what has changed
// since. Who comes back to a generation that has ended for him already is answered 204, which makes browsers and their
// like give up.
func (s *Server) generationEvents(ctx context.Context, x *exchange, r *http.Request) error {
	ended, leaveEnd := s.cfg.Generations.Ended(r.PathValue("job_id"))
	defer leaveEnd()
	g, outputs, err := s.readGeneration(ctx, x, r)
	if err != nil {
		return err
	}
	told := r.Header.Get("Last-Event-ID")
	if g.State.Terminal() && told == standingOf(g).String() {
		x.WriteHeader(http.StatusNoContent)
		return nil
	}
	if !s.following.enter(x.key.ID) {
		return &kinora.Error{Code: kinora.ErrRateLimited, Message: "this key follows " + strconv.Itoa(maxFollowsPerKey) + " generations already", RetryAfter: time.Minute}
	}
	defer s.following.leave(x.key.ID)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.draining, cancel)()

	out := &eventWriter{x: x, control: http.NewResponseController(x.w)}
	_ = out.control.SetReadDeadline(time.Time{}) // there is nothing more to read, and its passing would end the request
	if err := out.open(""); err != nil {
		return nil
	}
	if g.State.Terminal() { // nothing more will change
		_ = s.tellGeneration(ctx, out, g, outputs)
		return nil
	}
	news, leave := s.follows.join(g.ID, standingOf(g))
	defer leave()
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for {
		if now := standingOf(g).String(); now != told { // a bell may ring for what has been told already
			if err := s.tellGeneration(ctx, out, g, outputs); err != nil || g.State.Terminal() {
				return nil
			}
			told = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if s.authenticate(ctx, x, r) != nil || out.idle() != nil { // the key may have been revoked
				return nil
			}
			continue
		case <-ended:
			ended = nil
		case <-news:
		}
		// Every failure ends the stream, whose reader comes back and is told why, or goes on.
		if g, outputs, err = s.readGeneration(ctx, x, r); err != nil {
			return nil
		}
	}
}

func (s *Server) tellGeneration(ctx context.Context, out *eventWriter, g *kinora.Generation, outputs []kinora.Output) error {
	look, err := s.cfg.Generations.Outlook(ctx, g)
	if err != nil {
		return err
	}
	name := "update"
	if g.State.Terminal() {
		name = "end"
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	s.generationRecord(g, outputs, look).writeTo(buf)
	return out.lines(standingOf(g).String(), name, buf.Bytes())
}

// standing is what a follower is told changes of.
type standing kinora.Standing

func standingOf(g *kinora.Generation) standing {
	return standing{State: g.State, Progress: g.Progress}
}

// String is the id of the event that tells it.
func (s standing) String() string { return generationWord(s.State) + "-" + strconv.Itoa(s.Progress) }

// lines writes an event whose data may have several lines: the reader puts them together again.
func (w *eventWriter) lines(id, name string, data []byte) error {
	w.buf.Reset()
	w.buf.WriteString("id: " + id + "\nevent: " + name + "\n")
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n")) // white space of the caller's metadata, and a line's end here
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		w.buf.WriteString("data: ")
		w.buf.Write(line)
		w.buf.WriteByte('\n')
	}
	w.buf.WriteByte('\n')
	return w.write(w.buf.String())
}
