// Package blobtest holds the conformance suite for implementations of blob.Store, and an S3 service for tests.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/blob"
)

// Run tests the store that open returns: an empty one at every call. Subtests run one after the other, because one of
// them measures the memory of the whole process; the caller must not run it in parallel with other tests.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s blob.Store)
	}{
		{"RoundTrip", testRoundTrip},
		{"BoundedMemory", testBoundedMemory},
		{"UnusualKeys", testUnusualKeys},
		{"InvalidKeys", testInvalidKeys},
		{"ContentType", testContentType},
		{"NotFound", testNotFound},
		{"Delete", testDelete},
		{"List", testList},
		{"ListStops", testListStops},
		{"Check", testCheck},
		{"SourceFails", testSourceFails},
		{"SourceStalls", testSourceStalls},
		{"Cancelled", testCancelled},
		{"Replace", testReplace},
		{"ReplaceIsAtomic", testReplaceIsAtomic},
		{"ConcurrentPuts", testConcurrentPuts},
		{"PutsAgainstDeletes", testPutsAgainstDeletes},
		{"SeekAndRead", testSeekAndRead},
		{"SeekBounds", testSeekBounds},
		{"ReadAfterClose", testReadAfterClose},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// sizes lie around the limits at which a store may change its way of writing.
func sizes() []int64 {
	const part, small = blob.MinPartSize, 256 << 10
	return []int64{0, 1, 4096, small - 1, small, small + 1, part - 1, part, part + 1, 2 * part, 2*part + 77}
}

func testRoundTrip(t *testing.T, s blob.Store) {
	for _, size := range sizes() {
		key := fmt.Sprintf("out/2026/11/22/%d.png", size)
		put, err := s.Put(t.Context(), key, newStream(uint64(size), size), blob.PutOptions{})
		if err != nil {
			t.Fatalf("Put of %d bytes: %v", size, err)
		}
		stat, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatalf("Stat of %d bytes: %v", size, err)
		}
		object, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatalf("Open of %d bytes: %v", size, err)
		}
		for what, a := range map[string]blob.Attributes{"Put": put, "Stat": stat, "Object": object.Attributes()} {
			if a.Key != key || a.Size != size || a.ContentType != "image/png" {
				t.Errorf("%s of %d bytes has attributes %+v", what, size, a)
			}
			if what != "Put" && a.ModTime.IsZero() {
				t.Errorf("%s has no modification time", what)
			}
		}
		checkStream(t, object, uint64(size), size)
		if err := object.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	checkNothingLeft(t, s)
}

func testUnusualKeys(t *testing.T, s blob.Store) {
	keys := []string{
		"x", "out/a b.png", "out/a+b.png", "out/a%20b.png", "out/a%2Fb.png", "out/a&b=c;d.png", "out/grün/衣服/🪁.png",
		"out/~x.png", "out/a..b.png", "out/x.", "out/-rf", "out/$HOME.png", "out/it's.png", "out/(1)[2]{3}.png", "OUT/A.PNG",
		string(bytes.Repeat([]byte("k"), blob.MaxSegmentBytes)),
		deepKey(blob.MaxKeyBytes),
	}
	for _, key := range keys {
		put(t, s, key, key)
	}
	for _, key := range keys {
		if got := read(t, s, key); got != key {
			t.Errorf("object %q holds %q", key, got)
		}
	}
	if got := list(t, s, ""); !slices.Equal(got, sorted(keys)) {
		t.Errorf("List = %q, want %q", got, sorted(keys))
	}
	for _, key := range keys {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("after deleting all, List = %q", got)
	}
}

// deepKey returns a key of n bytes with many segments.
func deepKey(n int) string {
	key := bytes.Repeat([]byte("seg/"), n/4+1)[:n]
	key[n-1] = 'x'
	if key[n-2] == '/' {
		key[n-2] = 'x'
	}
	return string(key)
}

// InvalidKeys are keys that no store takes.
func InvalidKeys() []string {
	return []string{
		"", "/", "/etc/passwd", "//x", "a//b", "a/", ".", "..", "../x", "a/../b", "a/..", "./a", "a/./b", ".hidden", "a/.hidden/b",
		".tmp/x", ".check/x", `a\b`, `..\x`, `C:\x\..`, "a\x00b", "a\nb", "a\rb", "a\x7fb", "a\u0085b", "a\u202eb", "a\u200bb", "a\xffb",
		string(bytes.Repeat([]byte("k"), blob.MaxSegmentBytes+1)), deepKey(blob.MaxKeyBytes + 1),
	}
}

func testInvalidKeys(t *testing.T, s blob.Store) {
	ctx := t.Context()
	for _, key := range InvalidKeys() {
		_, putErr := s.Put(ctx, key, bytes.NewReader([]byte("x")), blob.PutOptions{})
		_, openErr := s.Open(ctx, key)
		_, statErr := s.Stat(ctx, key)
		for op, err := range map[string]error{"Put": putErr, "Open": openErr, "Stat": statErr, "Delete": s.Delete(ctx, key)} {
			if !errors.Is(err, blob.ErrInvalidKey) {
				t.Errorf("%s(%q) = %v, want ErrInvalidKey", op, key, err)
			}
		}
	}
	for _, prefix := range []string{"..", "../", "/", "a//", "a/../b", ".tmp/", "a\x00"} {
		err := s.List(ctx, prefix, func(blob.Attributes) error { return nil })
		if !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("List(%q) = %v, want ErrInvalidKey", prefix, err)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("objects came to be: %q", got)
	}
}

func testContentType(t *testing.T, s blob.Store) {
	for key, want := range map[string]string{
		"a.png": "image/png", "a.jpg": "image/jpeg", "a.gif": "image/gif", "a.webp": "image/webp", "a.avif": "image/avif",
		"a.heic": "image/heic", "a.mp4": "video/mp4", "a.mov": "video/quicktime", "a.webm": "video/webm",
		"a.mkv": "video/x-matroska", "a.avi": "video/x-msvideo", "a.bin": "", "a": "", "a.html": "",
	} {
		put(t, s, key, "x")
		if got, err := s.Stat(t.Context(), key); err != nil || got.ContentType != want {
			t.Errorf("Stat(%q) has type %q, want %q (error %v)", key, got.ContentType, want, err)
		}
	}
}

func testNotFound(t *testing.T, s blob.Store) {
	put(t, s, "out/a.png", "x")
	for _, key := range []string{"nothing.png", "out/b.png", "out", "out/a.png/below", "out/a.pn", "other/a.png"} {
		_, openErr := s.Open(t.Context(), key)
		_, statErr := s.Stat(t.Context(), key)
		for op, err := range map[string]error{"Open": openErr, "Stat": statErr} {
			var typed *blob.Error
			if !errors.Is(err, blob.ErrNotFound) || !errors.As(err, &typed) || typed.Key != key {
				t.Errorf("%s(%q) = %v, want ErrNotFound with the key", op, key, err)
			}
		}
	}
}

func testDelete(t *testing.T, s blob.Store) {
	put(t, s, "out/a.png", "x")
	put(t, s, "out/b.png", "y")
	for range 2 {
		for _, key := range []string{"out/a.png", "never.png", "never/there.png", "out"} {
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("Delete(%q): %v", key, err)
			}
		}
	}
	if _, err := s.Stat(t.Context(), "out/a.png"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat after Delete: %v", err)
	}
	if got := read(t, s, "out/b.png"); got != "y" {
		t.Errorf("the neighbour holds %q", got)
	}
	put(t, s, "out/a.png", "z")
	if got := read(t, s, "out/a.png"); got != "z" {
		t.Errorf("after a new Put the object holds %q", got)
	}
}

func testList(t *testing.T, s blob.Store) {
	keys := []string{"a", "ab", "abc/d", "abc/e/f", "b/2026/11/1.png", "b/2026/11/2.png", "b/2026/12/1.png", "b/2027/1.png"}
	for _, key := range keys {
		put(t, s, key, key)
	}
	for prefix, want := range map[string][]string{
		"": keys, "a": keys[:4], "ab": keys[1:4], "abc": keys[2:4], "abc/": keys[2:4], "abc/e": keys[3:4], "abc/e/f": keys[3:4],
		"b/2026/1": keys[4:7], "b/2026/11/": keys[4:6], "b/202": keys[4:], "b/2026/11/1.png/": nil, "c": nil, "b/2028/": nil,
	} {
		if got := list(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
	err := s.List(t.Context(), "b/2027/", func(a blob.Attributes) error {
		if a.Key != "b/2027/1.png" || a.Size != int64(len(a.Key)) || a.ContentType != "image/png" || a.ModTime.IsZero() {
			t.Errorf("attributes %+v", a)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testCheck(t *testing.T, s blob.Store) {
	for range 2 {
		if err := s.Check(t.Context()); err != nil {
			t.Fatalf("Check: %v", err)
		}
	}
	if got := list(t, s, ""); len(got) != 0 {
		t.Errorf("Check left %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Check with an ended context: %v", err)
	}
	checkNothingLeft(t, s)
}

// checkNothingLeft shows that no Put has left anything behind: there is nothing to sweep, however young it may be.
func checkNothingLeft(t *testing.T, s blob.Store) {
	t.Helper()
	sweeper, ok := s.(blob.Sweeper)
	if !ok {
		return
	}
	if n, err := sweeper.Sweep(context.WithoutCancel(t.Context()), time.Now().Add(time.Hour)); err != nil || n != 0 {
		t.Errorf("%d leftovers (error %v)", n, err)
	}
}

func put(t *testing.T, s blob.Store, key, content string) {
	t.Helper()
	a, err := s.Put(t.Context(), key, io.MultiReader(bytes.NewReader([]byte(content))), blob.PutOptions{})
	if err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	if a.Key != key || a.Size != int64(len(content)) {
		t.Errorf("Put(%q) of %d bytes = %+v", key, len(content), a)
	}
}

func read(t *testing.T, s blob.Store, key string) string {
	t.Helper()
	object, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	return string(content)
}

func list(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	var keys []string
	err := s.List(t.Context(), prefix, func(a blob.Attributes) error {
		keys = append(keys, a.Key)
		return nil
	})
	if err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	slices.Sort(keys)
	return keys
}

func sorted(keys []string) []string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return keys
}
