package server

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// exchange is one request on its way through: what the middleware found out about it, and the writer of its answer.
// Handlers write to it as to any http.ResponseWriter.
type exchange struct {
	w       http.ResponseWriter
	route   *route
	id      string // request id
	started time.Time
	status  int // 0 until the answer's head is written
	written int64
	place   place // in the gate of its route

	// key and organisation are set on routes that need a key.
	// address is what the client's requests are counted by; set on routes that have a limit.
	address      string
	key          *kinora.Key
	organisation *kinora.Organisation
}

func (x *exchange) Header() http.Header { return x.w.Header() }

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= 200 {
		x.status = status
	}
	x.w.WriteHeader(status)
}

func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.w.Write(p)
	x.written += int64(n)
	return n, err
}

// ReadFrom keeps the way open by which the kernel copies a file to the socket.
func (x *exchange) ReadFrom(r io.Reader) (int64, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	to, ok := x.w.(io.ReaderFrom)
	if !ok {
		n, err := io.Copy(struct{ io.Writer }{x.w}, r)
		x.written += n
		return n, err
	}
	n, err := to.ReadFrom(r)
	x.written += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection's deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// Header values shared between answers, to save an allocation each: net/http only reads them.
var (
	jsonContent = []string{"application/json"}
	yamlContent = []string{"application/yaml"}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	noContent   = []string{"default-src 'none'; frame-ancestors 'none'"} // nothing that we answer is a page
	challenge   = []string{`Bearer realm="kinora"`}
)

// writeBody answers with a body that is in memory whole.
func writeBody(x *exchange, status int, contentType []string, body []byte) {
	h := x.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.WriteHeader(status)
	_, _ = x.Write(body) // an error means that the caller has gone
}

// maxPooled keeps one large answer from holding its memory for ever.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func takeBuffer() *bytes.Buffer {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	return buf
}

func giveBuffer(buf *bytes.Buffer) {
	if buf.Cap() <= maxPooled {
		buffers.Put(buf)
	}
}
