package blobtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/kinora/kinora/internal/blob"
)

const (
	// bigObject is large beside anything that a store may hold in memory for it, maxHeapGrowth small beside it.
	bigObject     = 70 << 20
	maxHeapGrowth = 32 << 20
	sampleEvery   = 4 << 20
)

// streamPeriod is a prime, so that no two parts or buffers hold the same bytes: a swapped one is noticed.
const streamPeriod = 999_983

// stream yields size bytes that depend on seed, in chunks of uneven length.
type stream struct {
	block []byte // repeats for ever
	read  int64
	left  int64
	at    func(read int64) // called before each chunk, if set
}

func newStream(seed uint64, size int64) *stream {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	block := make([]byte, min(streamPeriod, size))
	rand.NewChaCha8(key).Read(block) // never fails
	return &stream{block: block, left: size}
}

func (s *stream) Read(p []byte) (int, error) {
	if s.at != nil {
		s.at(s.read)
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), s.left, 1+s.read%70001)], s.block[s.read%int64(len(s.block)):])
	s.left -= int64(n)
	s.read += int64(n)
	return n, nil
}

// checkStream compares r with the stream of that seed and size.
func checkStream(t *testing.T, r io.Reader, seed uint64, size int64) {
	t.Helper()
	want := newStream(seed, size)
	got, expected := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, got)
		m, _ := io.ReadFull(want, expected)
		if n != m || !bytes.Equal(got[:n], expected[:m]) {
			t.Fatalf("content differs in the %d bytes from %d on (%d were wanted)", n, at, m)
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return
		}
		if err != nil {
			t.Fatalf("reading at %d: %v", at, err)
		}
	}
}

// heapWatch measures how far the live heap grows beyond what it was at the start.
type heapWatch struct {
	start, most uint64
	next        int64
}

func newHeapWatch() *heapWatch { return &heapWatch{start: liveHeap()} }

// sample collects garbage first: what is measured is what the store holds, not when the collector ran.
func (h *heapWatch) sample(read int64) {
	if read < h.next {
		return
	}
	h.next = read + sampleEvery
	if live := liveHeap(); live > h.start {
		h.most = max(h.most, live-h.start)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func testBoundedMemory(t *testing.T, s blob.Store) {
	const key = "out/big.mp4"
	source, putting := newStream(7, bigObject), newHeapWatch()
	source.at = putting.sample
	if _, err := s.Put(t.Context(), key, source, blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	object, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	getting := newHeapWatch()
	checkStream(t, &watched{r: object, watch: getting}, 7, bigObject)
	t.Logf("heap growth over %d bytes: writing %d, reading %d", bigObject, putting.most, getting.most)
	if putting.most > maxHeapGrowth || getting.most > maxHeapGrowth {
		t.Errorf("heap growth over %d bytes: writing %d, reading %d; at most %d each is allowed",
			bigObject, putting.most, getting.most, maxHeapGrowth)
	}
	checkNothingLeft(t, s)
}

type watched struct {
	r     io.Reader
	watch *heapWatch
	read  int64
}

func (w *watched) Read(p []byte) (int, error) {
	w.watch.sample(w.read)
	n, err := w.r.Read(p)
	w.read += int64(n)
	return n, err
}
