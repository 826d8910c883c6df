package upload

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestDecodeBase64EverySpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "data")
		encoding := rapid.SampledFrom([]*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding}).Draw(t, "encoding")
		text := encoding.EncodeToString(data)
		if width := rapid.IntRange(0, 80).Draw(t, "line width"); width > 0 {
			var b strings.Builder
			for i := 0; i < len(text); i += width {
				b.WriteString(text[i:min(i+width, len(text))] + rapid.SampledFrom([]string{"\n", "\r\n", " ", "\t"}).Draw(t, "break"))
			}
			text = b.String()
		}
		text = rapid.SampledFrom([]string{"", "data:image/png;base64,", "DATA:;BASE64,", "data:video/mp4;name=a;base64,"}).Draw(t, "head") + text
		var r io.Reader = strings.NewReader(text)
		switch rapid.IntRange(0, 3).Draw(t, "pieces") {
		case 1:
			r = iotest.OneByteReader(r)
		case 2:
			r = iotest.HalfReader(r)
		case 3:
			r = iotest.DataErrReader(r)
		}
		got, err := io.ReadAll(DecodeBase64(r))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%q decoded to %x, %v; want %x", text, got, err, data)
		}
	})
}

func TestDecodeBase64Refuses(t *testing.T) {
	for _, text := range []string{
		"!", "AAAA!", "AAA=A", "A===B", "AAAA=AAAA", "é", "data:image/png,AAAA", "data:image/png;base64", "data:", "data",
		"data:" + strings.Repeat("x", 300) + ";base64,AAAA", "A", "AAAAA", "data:image/png;base64,data:image/png;base64,AAAA", "\x00\x00\x00\x00",
	} {
		if got, err := io.ReadAll(DecodeBase64(strings.NewReader(text))); err == nil && text != "data" {
			t.Errorf("%q decoded to %x", text, got)
		}
	}
	broken := errors.New("broken")
	for _, head := range []string{"", "d", "data:", "data:;base64,", "AAAA", "AA"} {
		if _, err := io.ReadAll(DecodeBase64(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken)))); !errors.Is(err, broken) {
			t.Errorf("behind %q the reader's error became %v", head, err)
		}
	}
}

func TestSaveBase64(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	text := "data:image/gif;base64," + base64.StdEncoding.EncodeToString(pngFile())
	u, err := f.SaveBase64(t.Context(), testOrg, "demo", strings.NewReader(text), nil)
	// What the data URL says it is does not count.
	if err != nil || u.ContentType != "image/png" || u.OriginalName != "upload.png" || !bytes.Equal(f.read(u.BlobKey), pngFile()) {
		t.Fatalf("%+v, %v", u, err)
	}
	f = newFixture(t, storetest.SQLite(t))
	for _, bad := range []string{"", "data:image/png;base64,", text[:len(text)-30] + "!!", "aGVsbG8=", text[:len(text)-40] + "=" + text[len(text)-40:]} {
		_, err := f.SaveBase64(t.Context(), testOrg, "", strings.NewReader(bad), nil)
		wantError(t, bad, err, kinora.ErrInvalid, "Invalid file data")
		f.wantNothing(bad)
	}
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"", "AAAA", "data:image/png;base64,AAAA", "A-_/", "AA==", "data:", "AA=A", " A A A A "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole, err1 := io.ReadAll(DecodeBase64(strings.NewReader(text)))
		pieces, err2 := io.ReadAll(DecodeBase64(iotest.OneByteReader(strings.NewReader(text))))
		if (err1 == nil) != (err2 == nil) || err1 == nil && !bytes.Equal(whole, pieces) {
			t.Fatalf("%q depends on how it arrives: %x %v, %x %v", text, whole, err1, pieces, err2)
		}
		if err1 == nil && len(whole) > len(text) {
			t.Fatalf("%q grew to %d bytes", text, len(whole))
		}
	})
}
