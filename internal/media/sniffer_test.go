package media_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/media"
)

func TestSniffer(t *testing.T) {
	for name, s := range samples(t) {
		for how, r := range map[string]io.Reader{
			"whole": bytes.NewReader(s.file), "byte by byte": iotest.OneByteReader(bytes.NewReader(s.file)),
			"with its end": iotest.DataErrReader(bytes.NewReader(s.file)),
		} {
			sniffer := media.NewSniffer(r)
			if kind, err := sniffer.Type(); err != nil || kind != s.want.Type {
				t.Errorf("%s, %s: %v, %v", name, how, kind, err)
			}
			if sniffer.Size() != 0 {
				t.Errorf("%s, %s: %d bytes count as passed before any was", name, how, sniffer.Size())
			}
			got, err := io.ReadAll(sniffer)
			sum := sha256.Sum256(s.file)
			if err != nil || !bytes.Equal(got, s.file) || sniffer.Size() != int64(len(got)) || sniffer.SHA256() != hex.EncodeToString(sum[:]) {
				t.Errorf("%s, %s: %d of %d bytes, %v", name, how, len(got), len(s.file), err)
			}
		}
	}
}

// TestSnifferAnyOrder asks for the type at an arbitrary point of an arbitrary stream.
func TestSnifferAnyOrder(t *testing.T) {
	png := pngFile(t, 9, 9)
	rapid.Check(t, func(t *rapid.T) {
		content := append(bytes.Clone(png), make([]byte, rapid.IntRange(0, 3*media.HeadSize).Draw(t, "more"))...)
		sniffer := media.NewSniffer(bytes.NewReader(content))
		var got []byte
		askAt := rapid.IntRange(0, len(content)).Draw(t, "ask at")
		for asked := false; ; {
			if !asked && len(got) >= askAt {
				asked = true
				if kind, err := sniffer.Type(); err != nil || kind != media.PNG {
					t.Fatalf("after %d bytes: %v, %v", len(got), kind, err)
				}
			}
			p := make([]byte, rapid.IntRange(1, 5000).Draw(t, "read"))
			n, err := sniffer.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		sum := sha256.Sum256(content)
		if !bytes.Equal(got, content) || sniffer.SHA256() != hex.EncodeToString(sum[:]) || sniffer.Size() != int64(len(content)) {
			t.Fatalf("%d of %d bytes came through", len(got), len(content))
		}
		if kind, err := sniffer.Type(); err != nil || kind != media.PNG {
			t.Fatalf("at the end: %v, %v", kind, err)
		}
	})
}

func TestSnifferErrors(t *testing.T) {
	cause := errors.New("connection lost")
	file := pngFile(t, 9, 9)
	sniffer := media.NewSniffer(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(cause)))
	if kind, err := sniffer.Type(); kind != media.PNG || err != cause {
		t.Errorf("Type = %v, %v", kind, err)
	}
	got, err := io.ReadAll(sniffer)
	if !bytes.Equal(got, file) || err != cause {
		t.Errorf("passed on %d of %d bytes, %v", len(got), len(file), err)
	}
	if kind, err := media.NewSniffer(strings.NewReader("")).Type(); kind != media.Other || err != nil {
		t.Errorf("an empty stream is %v, %v", kind, err)
	}
	if _, err := media.NewSniffer(stalled{}).Type(); err != io.ErrNoProgress {
		t.Errorf("a reader that never ends: %v", err)
	}
}

type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

// TestSnifferKeepsLittle: a large stream passes through without being kept.
func TestSnifferKeepsLittle(t *testing.T) {
	sniffer := media.NewSniffer(io.LimitReader(&pieces{size: 1 << 40}, 16<<20))
	if _, err := sniffer.Type(); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, sniffer)
	if err != nil || n != 16<<20 || sniffer.Size() != n {
		t.Errorf("%d bytes, %v", n, err)
	}
	if allocated := testing.AllocsPerRun(10, func() { sniffer.Type() }); allocated > 0 {
		t.Errorf("%v allocations to say what is known", allocated)
	}
}
