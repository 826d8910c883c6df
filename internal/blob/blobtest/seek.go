package blobtest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/blob"
)

// testSeekAndRead compares the object with a bytes.Reader under arbitrary sequences of seeks and reads.
func testSeekAndRead(t *testing.T, s blob.Store) {
	const key, size = "out/a.mp4", 700 << 10 // larger than what a store may skip instead of asking for a new range
	content, err := io.ReadAll(newStream(5, size))
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, key, string(content))
	rapid.Check(t, func(rt *rapid.T) {
		object, err := s.Open(t.Context(), key)
		if err != nil {
			rt.Fatal(err)
		}
		defer object.Close()
		model := bytes.NewReader(content)
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			whence := rapid.SampledFrom([]int{io.SeekStart, io.SeekCurrent, io.SeekEnd}).Draw(rt, "whence")
			offset := rapid.Int64Range(-size, size+10).Draw(rt, "offset")
			got, gotErr := object.Seek(offset, whence)
			want, wantErr := model.Seek(offset, whence)
			if (gotErr != nil) != (wantErr != nil) || gotErr == nil && got != want {
				rt.Fatalf("Seek(%d, %d) = %d, %v; want %d, %v", offset, whence, got, gotErr, want, wantErr)
			}
			length := rapid.IntRange(0, 5000).Draw(rt, "length")
			p, q := make([]byte, length), make([]byte, length)
			n, gotErr := io.ReadFull(object, p)
			m, wantErr := io.ReadFull(model, q)
			if n != m || gotErr != wantErr || !bytes.Equal(p[:n], q[:m]) {
				rt.Fatalf("reading %d bytes gave %d, %v; want %d, %v", length, n, gotErr, m, wantErr)
			}
		}
	})
}

func testSeekBounds(t *testing.T, s blob.Store) {
	put(t, s, "a.bin", "0123456789")
	put(t, s, "empty.bin", "")
	object, err := s.Open(t.Context(), "a.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	p := make([]byte, 4)
	for _, c := range []struct {
		offset int64
		whence int
		want   string
	}{{-1, io.SeekEnd, "9"}, {0, io.SeekEnd, ""}, {0, io.SeekStart, "0123"}, {2, io.SeekCurrent, "6789"}, {100, io.SeekStart, ""}, {3, io.SeekStart, "3456"}} {
		if _, err := object.Seek(c.offset, c.whence); err != nil {
			t.Fatalf("Seek(%d, %d): %v", c.offset, c.whence, err)
		}
		n, err := io.ReadFull(object, p)
		if string(p[:n]) != c.want || c.want == "" && err != io.EOF {
			t.Errorf("after Seek(%d, %d) read %q, %v; want %q", c.offset, c.whence, p[:n], err, c.want)
		}
	}
	for _, c := range []struct {
		offset int64
		whence int
	}{{-1, io.SeekStart}, {-11, io.SeekEnd}, {0, 17}} {
		if _, err := object.Seek(c.offset, c.whence); err == nil {
			t.Errorf("Seek(%d, %d) succeeds", c.offset, c.whence)
		}
	}
	if got := read(t, s, "empty.bin"); got != "" {
		t.Errorf("an empty object holds %q", got)
	}
}

func testReadAfterClose(t *testing.T, s blob.Store) {
	put(t, s, "a.bin", "0123456789")
	object, err := s.Open(t.Context(), "a.bin")
	if err != nil {
		t.Fatal(err)
	}
	if err := object.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := object.Read(make([]byte, 4)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after Close = %d, %v", n, err)
	}
}
