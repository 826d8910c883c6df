package blobtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/kinora/kinora/internal/blob"
)

func testReplace(t *testing.T, s blob.Store) {
	const key = "out/a.png"
	put(t, s, key, "the first and longer content")
	before, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	head := make([]byte, 9)
	if _, err := io.ReadFull(before, head); err != nil || string(head) != "the first" {
		t.Fatalf("read %q, %v", head, err)
	}
	put(t, s, key, "the second")
	if got := read(t, s, key); got != "the second" {
		t.Errorf("after replacing, the object holds %q", got)
	}
	// Who was reading gets the rest of the old object, or an error; never a piece of the new one.
	if _, err := before.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(before)
	if err == nil && string(got) != "the first and longer content" {
		t.Errorf("the reader of the old object got %q", got)
	}
	if err != nil && !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("the reader of the old object got the error %v", err)
	}
}

// testReplaceIsAtomic reads while the object is replaced by others of other lengths.
func testReplaceIsAtomic(t *testing.T, s blob.Store) {
	const key, rounds = "out/a.bin", 20
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1000+100*i) }
	put(t, s, key, string(content(0)))
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		defer close(done)
		for i := range rounds {
			if _, err := s.Put(t.Context(), key, bytes.NewReader(content(i)), blob.PutOptions{}); err != nil {
				t.Errorf("Put: %v", err)
			}
		}
	})
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Errorf("Open while being replaced: %v", err)
			break
		}
		got, err := io.ReadAll(object)
		if err == nil && (len(got) == 0 || !bytes.Equal(got, content(int(got[0]-'a')))) {
			t.Errorf("a mixture of %d bytes", len(got))
		}
		if err != nil && !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("reading while being replaced: %v", err)
		}
		object.Close()
	}
	writer.Wait()
	if got := read(t, s, key); got != string(content(rounds-1)) {
		t.Errorf("in the end the object holds %d bytes", len(got))
	}
}

func testConcurrentPuts(t *testing.T, s blob.Store) {
	const writers, each = 8, 6
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				key := fmt.Sprintf("out/%d/%d.bin", i, w) // all make the same directories
				if _, err := s.Put(t.Context(), key, newStream(uint64(w), 5000), blob.PutOptions{}); err != nil {
					t.Errorf("Put: %v", err)
				}
				if _, err := s.Put(t.Context(), "out/shared.bin", newStream(3, 7000), blob.PutOptions{}); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	group.Wait()
	if got := list(t, s, ""); len(got) != writers*each+1 {
		t.Errorf("%d objects, want %d", len(got), writers*each+1)
	}
	for w := range writers {
		object, err := s.Open(t.Context(), fmt.Sprintf("out/%d/%d.bin", each-1, w))
		if err != nil {
			t.Fatal(err)
		}
		checkStream(t, object, uint64(w), 5000)
		object.Close()
	}
	checkNothingLeft(t, s)
}

// testPutsAgainstDeletes lets objects come and go in the same places, so that a store that tidies up after a Delete takes
// away what a Put is about to use.
func testPutsAgainstDeletes(t *testing.T, s blob.Store) {
	const workers, each = 4, 25
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			key := fmt.Sprintf("deep/er/and/deeper/%d.bin", w)
			for range each {
				if _, err := s.Put(t.Context(), key, bytes.NewReader([]byte(key)), blob.PutOptions{}); err != nil {
					t.Errorf("Put: %v", err)
				}
				if _, err := s.Stat(t.Context(), key); err != nil {
					t.Errorf("Stat after Put: %v", err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("Delete: %v", err)
				}
				if err := s.Delete(t.Context(), "deep/er/and/deeper/nothing.bin"); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	group.Wait()
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("still there: %q", got)
	}
	checkNothingLeft(t, s)
}
