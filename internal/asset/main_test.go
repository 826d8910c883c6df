package asset

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const org = "org_a"

// network answers fetches: the URL names who answers.
type network struct {
	mu    sync.Mutex
	calls map[string]int
	serve map[string]func(n int, w io.Writer) error // n counts from 1
	hang  chan struct{}                             // closed: hanging fetches go on
}

func (n *network) CheckFetch(rawURL string) error {
	if rawURL == "http://10.0.0.1/" {
		return &netguard.Refusal{Code: netguard.CodeNotPublic, Message: "destination is not a public address"}
	}
	return nil
}

func (n *network) DownloadVia(ctx context.Context, redirects int, rawURL string, limit int64, w io.Writer) (netguard.Downloaded, error) {
	n.mu.Lock()
	n.calls[rawURL]++
	count, serve := n.calls[rawURL], n.serve[rawURL]
	n.mu.Unlock()
	if serve == nil {
		return netguard.Downloaded{}, &netguard.StatusError{Status: 404}
	}
	counted := &counter{w: w}
	if err := serve(count, counted); err != nil {
		return netguard.Downloaded{}, err
	}
	if counted.n > limit {
		return netguard.Downloaded{}, &netguard.TooLargeError{Limit: limit}
	}
	return netguard.Downloaded{Bytes: counted.n}, ctx.Err()
}

func (n *network) asked(rawURL string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[rawURL]
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err != nil {
		err = &netguard.WriteError{Err: err}
	}
	return n, err
}

// files is a folder that can fail.
type files struct {
	blob.Store
	mu   sync.Mutex
	fail func(op, key string) error
}

func (f *files) broken(op, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		return nil
	}
	return f.fail(op, key)
}

func (f *files) Put(ctx context.Context, key string, r io.Reader, opts blob.PutOptions) (blob.Attributes, error) {
	if err := f.broken("put", key); err != nil {
		_, _ = io.CopyN(io.Discard, r, 10)
		return blob.Attributes{}, err
	}
	return f.Store.Put(ctx, key, r, opts)
}

func (f *files) Open(ctx context.Context, key string) (blob.Object, error) {
	if err := f.broken("open", key); err != nil {
		return nil, err
	}
	return f.Store.Open(ctx, key)
}

func (f *files) Delete(ctx context.Context, key string) error {
	if err := f.broken("delete", key); err != nil {
		return err
	}
	return f.Store.Delete(ctx, key)
}

// waiters is what waits for ingests: it notes what it is told, in the transaction.
type waiters struct {
	mu      sync.Mutex
	ready   []string
	failed  []string
	failing error
}

func (w *waiters) SourceReady(_ *store.Tx, a *kinora.SourceAsset, _ time.Time) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return func() { w.mu.Lock(); w.ready = append(w.ready, a.IngestID); w.mu.Unlock() }, w.failing
}

func (w *waiters) SourceFailed(_ *store.Tx, a *kinora.SourceAsset, _ time.Time) (func(), error) {
	return func() { w.mu.Lock(); w.failed = append(w.failed, a.IngestID); w.mu.Unlock() }, nil
}

func (w *waiters) count() (ready, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ready), len(w.failed)
}

type house struct {
	*Service
	t     testing.TB
	db    *store.DB
	files *files
	net   *network
	told  *waiters
}

// build makes a service without starting it; change may be nil.
func build(t testing.TB, db *store.DB, change func(*Config)) *house {
	t.Helper()
	folder, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	h := &house{t: t, db: db, files: &files{Store: folder}, told: &waiters{},
		net: &network{calls: map[string]int{}, serve: map[string]func(int, io.Writer) error{}, hang: make(chan struct{})}}
	cfg := Config{DB: db, Files: h.files, Fetch: h.net, Node: "n1", Waiting: h.told, MaxSize: 1 << 20, MinSide: 16, MaxSide: 500, MaxRedirects: 3,
		FetchTimeout: 20 * time.Second, Poll: 20 * time.Millisecond, Backoff: 0.005}
	if change != nil {
		change(&cfg)
	}
	if h.Service, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) start() *house {
	h.Start()
	h.t.Cleanup(h.stop)
	return h
}

func (h *house) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Stop(ctx); err != nil {
		h.t.Error(err)
	}
}

func (h *house) serves(rawURL string, file []byte) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.serve[rawURL] = func(_ int, w io.Writer) error { _, err := w.Write(file); return err }
}

// bring records an ingest of a file, or of a URL.
func (h *house) bring(file []byte, rawURL string) *kinora.SourceAsset {
	h.t.Helper()
	var (
		a   *kinora.SourceAsset
		err error
	)
	if rawURL != "" {
		a, err = h.FromURL(org, rawURL)
	} else {
		a, _, err = h.Receive(context.Background(), org, bytes.NewReader(file))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	a, _, err = h.Record(context.Background(), a, kinora.Idempotency{})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) look(ingestID string) *kinora.SourceAsset {
	h.t.Helper()
	a, err := h.Ingest(context.Background(), org, ingestID)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) until(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("never came: %s", what)
		}
	}
}

func (h *house) ended(ingestID string) *kinora.SourceAsset {
	h.t.Helper()
	var a *kinora.SourceAsset
	h.until("the end of "+ingestID, func() bool { a = h.look(ingestID); return a.State.Terminal() })
	return a
}

// tells waits until so many ends have been told.
func (h *house) tells(ready, failed int) {
	h.t.Helper()
	h.until(fmt.Sprintf("%d ready and %d failed are told of", ready, failed), func() bool {
		r, f := h.told.count()
		return r == ready && f == failed
	})
}

func (h *house) keys() []string {
	h.t.Helper()
	var keys []string
	if err := h.files.List(context.Background(), "", func(at blob.Attributes) error { keys = append(keys, at.Key); return nil }); err != nil {
		h.t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func (h *house) file(key string) []byte {
	h.t.Helper()
	object, err := h.files.Store.Open(context.Background(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		h.t.Fatal(err)
	}
	return content
}

// pngOf is a picture of a size that is another one for each seed.
func pngOf(t testing.TB, width, height int, seed byte) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	noise := rand.New(rand.NewPCG(uint64(seed), 0))
	for i := range img.Pix {
		img.Pix[i] = byte(noise.Uint32())
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// photo is a JPEG that a camera held upright has stored lying, with where it was taken.
func photo(t testing.TB, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	exif := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"), "GPS 45.8150 N"...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2))
	return slices.Concat(b.Bytes()[:2], segment, exif, b.Bytes()[2:])
}

var errDown = fmt.Errorf("down: %w", blob.ErrUnavailable)
