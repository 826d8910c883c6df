package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestExtensionIsTruthful(t *testing.T) {
	mp4 := "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomavc1"
	for _, test := range []struct {
		name, content, url, want, kind string
	}{
		{"PNG under another name", string(pngOf(t, 3, 2)), "https://x/a.jpg", ".png", "image/png"},
		{"MP4, cut off", mp4, "https://x/a.webm", ".mp4", "video/mp4"},
		{"unknown content, known URL", "a new format", "https://x/a.GLB?sig=1", ".glb", "application/octet-stream"},
		{"unknown content, odd URL", "a new format", "https://x/a.tar~../", ".bin", "application/octet-stream"},
		{"empty", "", "https://x/", ".bin", "application/octet-stream"},
	} {
		var f savedFile
		ext, err := f.look(strings.NewReader(test.content), test.url)
		if err != nil || ext != test.want || f.ContentType != test.kind {
			t.Errorf("%s: %q, %s, %v; want %q, %s", test.name, ext, f.ContentType, err, test.want, test.kind)
		}
	}
	var f savedFile
	if _, err := f.look(bytes.NewReader(pngOf(t, 8, 4)), ""); err != nil || f.Width != 8 || f.Height != 4 {
		t.Errorf("size %d × %d, %v", f.Width, f.Height, err)
	}
}

func FuzzFileStem(f *testing.F) {
	for _, seed := range []string{fakeTask, "../../etc/passwd", ".hidden", "a\x00b", strings.Repeat("x", 300), "ид"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		stem := fileStem(id)
		if len(stem) > 80 || strings.ContainsAny(stem, "./\\\x00 ") {
			t.Errorf("fileStem(%q) = %q", id, stem)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{"n=1", `a={"b":[1,2]}`, "a=", "=", "a", `a="`, "a= 1 ", "k=true"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pair string) {
		fields, err := metadata([]string{pair})
		if err != nil {
			return
		}
		key, value, _ := strings.Cut(pair, "=")
		got, there := fields[key]
		if !there {
			t.Fatalf("%q: no field %q", pair, key)
		}
		if text, plain := got.(string); plain && text != value {
			t.Errorf("%q became %q", value, text)
		}
	})
}
