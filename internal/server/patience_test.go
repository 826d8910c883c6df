package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/provider"
)

// bubbleListener hands out the far ends of pipes, whose deadlines follow the bubble's clock.
type bubbleListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *bubbleListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *bubbleListener) Close() error   { close(l.closed); return nil }
func (l *bubbleListener) Addr() net.Addr { return &net.TCPAddr{} }

// dialBubble serves the handler with the defaults of HTTPServer, and returns a connection to it.
func dialBubble(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	l := &bubbleListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := HTTPServer(HTTPConfig{}, h)
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	near, far := net.Pipe()
	l.conns <- far
	t.Cleanup(func() { near.Close(); srv.Close(); <-done })
	return near
}

// slowFiles opens a file of three stretches, each of which takes the storage forty seconds.
type slowFiles struct{}

func (slowFiles) Open(ctx context.Context, key string) (blob.Object, error) {
	return &slowObject{ctx: ctx, Reader: strings.NewReader(strings.Repeat("x", 3*stretch))}, nil
}

type slowObject struct {
	*strings.Reader
	ctx  context.Context
	next int64
}

func (o *slowObject) Read(p []byte) (int, error) {
	if at, _ := o.Seek(0, io.SeekCurrent); at >= o.next {
		o.next += stretch
		time.Sleep(40 * time.Second)
	}
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	return o.Reader.Read(p)
}

func (o *slowObject) Close() error { return nil }
func (o *slowObject) Attributes() blob.Attributes {
	return blob.Attributes{Key: "a.mp4", Size: 3 * stretch}
}

// A transfer that makes progress may last longer than any time-out of the server; net/http would otherwise break it off
// at the write time-out, and end its context at the read time-out.
func TestTransfersMayLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Files, c.Now = slowFiles{}, time.Now })
		conn := dialBubble(t, f.Handler())
		io.WriteString(conn, "GET /files/a.mp4?"+f.signer.Sign("/files/a.mp4", time.Now().Add(time.Hour))+" HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != 3*stretch {
			t.Errorf("%d bytes came through, %v", n, err)
		}
	})
}

// A client that takes nothing for a minute is let go.
func TestStalledTransfersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Files, c.Now = slowFiles{}, time.Now })
		conn := dialBubble(t, f.Handler())
		io.WriteString(conn, "GET /files/a.mp4?"+f.signer.Sign("/files/a.mp4", time.Now().Add(time.Hour))+" HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(10 * time.Minute)
		if n := f.transfers.inside.Load(); n != 0 {
			t.Errorf("%d transfers are still held", n)
		}
	})
}

// Whoever dribbles the body of a callback is let go before the server's own time-out.
func TestDribbledCallbacksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Now = time.Now })
		conn := dialBubble(t, f.Handler())
		io.WriteString(conn, "POST "+callbackPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
		start := time.Now()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusBadRequest || time.Since(start) > callbackBodyTime+lateness {
			t.Errorf("answered %d after %s", res.StatusCode, time.Since(start))
		}
		if len(f.callbacks.calls) != 0 {
			t.Error("half a body came through")
		}
	})
}

// The time for a callback's body is not taken from its work.
func TestCallbacksKeepTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Now = time.Now })
		f.callbacks.reply = func(ctx context.Context, _, _ string) (provider.Callback, error) {
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("the context ended with %v", ctx.Err())
			}
			return provider.Callback{}, ctx.Err()
		}
		conn := dialBubble(t, f.Handler())
		go func() { // the last byte comes late
			io.WriteString(conn, "POST "+callbackPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
			time.Sleep(callbackBodyTime - time.Millisecond)
			io.WriteString(conn, "c")
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("answered %d", res.StatusCode)
		}
	})
}
