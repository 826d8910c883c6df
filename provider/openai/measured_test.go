package openai

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// pictureOf is an image with bytes behind its end, so that it has a size.
func pictureOf(t *testing.T, w, h, size int, encode func(*bytes.Buffer, image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, max(0, size-b.Len()))...)
}

// What OpenAI's own models take is known before they are called, wherever the files are opened; other models have limits of
// their own.
func TestSizesOfFiles(t *testing.T) {
	asPNG := func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) }
	asJPEG := func(b *bytes.Buffer, i image.Image) error { return jpeg.Encode(b, i, nil) }
	small, turned := pictureOf(t, 32, 16, 0, asPNG), pictureOf(t, 16, 32, 0, asPNG)
	masked := func(changes ...func(*provider.Request)) provider.Request {
		return aPicture(append([]func(*provider.Request){sources(1), meta("mask_url", `"https://img.example/mask"`)}, changes...)...)
	}
	other := model("images:Qwen/Qwen-Image-Edit")
	for name, c := range map[string]struct {
		req          provider.Request
		source, mask []byte
		says         string
	}{
		"an image of just below 50 MB": {aPicture(sources(1)), pictureOf(t, 8, 8, 50<<20-1, asPNG), nil, ""},
		"an image of 50 MB":            {aPicture(sources(1)), pictureOf(t, 8, 8, 50<<20, asPNG), nil, "input.image must be smaller than 50 MB"},
		"for another model":            {aPicture(sources(1), other), pictureOf(t, 8, 8, 50<<20, asPNG), nil, ""},
		"a mask":                       {masked(), small, small, ""},
		"a mask of just below 4 MB":    {masked(), small, pictureOf(t, 32, 16, 4<<20-1, asPNG), ""},
		"a mask of 4 MB":               {masked(), small, pictureOf(t, 32, 16, 4<<20, asPNG), "input.metadata.mask_url must be smaller than 4 MB"},
		"a mask of another size":       {masked(), small, pictureOf(t, 32, 15, 0, asPNG), "input.metadata.mask_url must be of the size of the image that it masks, 32x16"},
		"a mask for another model":     {masked(other), small, pictureOf(t, 32, 15, 0, asPNG), ""},
		"a mask of a photo's size":     {masked(), pictureOf(t, 32, 16, 0, asJPEG), turned, ""},
		"a mask of another photo's":    {masked(), pictureOf(t, 32, 32, 0, asJPEG), turned, "input.metadata.mask_url must be of the size"},
		"an image without a header":    {masked(), []byte("\x89PNG\r\n\x1a\n and so on"), small, ""},
		"a mask for a response":        {masked(model("responses:gpt-5.6-terra")), small, pictureOf(t, 32, 15, 0, asPNG), "input.metadata.mask_url must be of the size"},
	} {
		for _, how := range []string{"multipart", "json"} {
			u := providertest.NewUpstream(t)
			u.Answer(providertest.JSON(400, `{}`))
			up := u.With(with(SettingEdits, how, SettingSources, ""))
			up.Sources = providertest.Sources{"https://img.example/1.png?a=1&b=2": c.source, "https://img.example/mask": c.mask}
			_, err := New().Submit(t.Context(), up, c.req)
			e := provider.AsError(err, "")
			if calls := len(u.Take()); (calls == 0) != (c.says != "") || c.says != "" && (e.Class != provider.Invalid || !strings.HasPrefix(e.Message, c.says)) {
				t.Errorf("%s as %s: %v after %d calls, want %q", name, how, err, calls, c.says)
			}
		}
	}
}
