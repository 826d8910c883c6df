package h264

import (
	"bytes"
	"os"
	"testing"

	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }

// An independent decoder must show, bit for bit, what the encoder predicts from.
func TestDecodersAgree(t *testing.T) {
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			c := encode(t, s.cfg, 1, s.frames, s.texture)
			frames, size := browsertest.DecodeH264(t, c.codec, c.units), len(c.frames[0])
			if len(frames) != size*len(c.frames) {
				t.Fatalf("decoder made %d bytes, want %d frames of %d", len(frames), len(c.frames), size)
			}
			for i, want := range c.frames {
				if got := frames[i*size : (i+1)*size]; !bytes.Equal(got, want) {
					t.Fatalf("frame %d differs from what the encoder predicts from, first at byte %d", i, firstDifference(got, want))
				}
			}
		})
	}
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
