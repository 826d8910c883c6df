package media_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"

	"github.com/kinora/kinora/internal/media"
)

// One pass over a download names it, stores it and identifies it: the type is known before the first byte is passed on,
// so the file can be stored under a name with the right extension.
func ExampleSniffer() {
	download := strings.NewReader("GIF89a\x01\x00\x01\x00\x00\x00\x00;")
	sniffer := media.NewSniffer(download)
	kind, err := sniffer.Type()
	if err != nil {
		fmt.Println(err)
		return
	}
	name := "out/1" + kind.Extension()
	if _, err := io.Copy(io.Discard, sniffer); err != nil { // in the place of a store's Put
		fmt.Println(err)
		return
	}
	fmt.Println(name, kind.ContentType(), sniffer.Size(), sniffer.SHA256()[:8])
	// Output: out/1.gif image/gif 14 1f19970f
}

func ExampleProbe() {
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 640, 480))); err != nil {
		fmt.Println(err)
		return
	}
	found, err := media.Probe(bytes.NewReader(file.Bytes()))
	fmt.Println(found.Type, found.Width, found.Height, err)
	found, err = media.Probe(bytes.NewReader(file.Bytes()[:50]))
	fmt.Println(found.Type, found.Width, found.Height, err)
	// Output:
	// image/png 640 480 <nil>
	// image/png 640 480 media: image/png: truncated file
}
