package sandbox

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"testing"
)

// photo serves a picture at every path but /none, where there is none, and /text, which is no picture.
func photo(t *testing.T, w, h int) (url string, picture *image.RGBA) {
	picture = image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{200, 190, 170, 255}
			if x > w/3 && x < w/2 && y > h/4 {
				c = color.RGBA{60, 50, 40, 255}
			}
			picture.SetRGBA(x, y, c)
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, nil); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNotFound)
		case "/text":
			_, _ = w.Write([]byte("a text"))
		default:
			_, _ = w.Write(file.Bytes())
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, picture
}

// edited makes a picture from a reference and returns it.
func (b *bench) edited(fields string) image.Image {
	b.t.Helper()
	got := b.status(b.submit(`"model":"sandbox-image","prompt":"x","seed":5,"client_ref":"r",` + fields))
	if len(got.Outputs) != 1 {
		b.t.Fatalf("the job has not ended well: %+v", got)
	}
	a := b.get(got.Outputs[0].URL)
	img, _, err := image.Decode(bytes.NewReader(a.body))
	if a.status != 200 || err != nil {
		b.t.Fatalf("the output: %d, %v", a.status, err)
	}
	return img
}

// step is how much darker the picture is within the dark part of the photo than beside it, 0..255.
func step(img image.Image) int {
	b := img.Bounds()
	gray := func(x int) int {
		return int(color.GrayModel.Convert(img.At(b.Dx()*x/100, b.Dy()/2)).(color.Gray).Y)
	}
	return gray(20) - gray(42)
}

func TestImagesAreMadeFromTheirReference(t *testing.T) {
	b := newBench(t, nil)
	url, original := photo(t, 300, 200)
	for _, tc := range []struct {
		name, fields string
		w, h         int
		kept         bool
	}{
		{"its own size", `"options":{"delay":0},"images":["` + url + `/a.jpg?sig=1"]`, 300, 200, true},
		{"auto", `"size":"auto","options":{"delay":0},"images":["` + url + `/a.jpg?sig=2"]`, 300, 200, true},
		{"a size that was asked for", `"size":"160x120","options":{"delay":0},"images":["` + url + `/a.jpg"]`, 160, 120, true},
		{"identical", `"options":{"delay":0,"image":"identical"},"images":["` + url + `/a.jpg"]`, 300, 200, true},
		{"small", `"size":"800x640","options":{"delay":0,"image":"small"},"images":["` + url + `/a.jpg"]`, 100, 80, true},
		{"not there", `"options":{"delay":0},"images":["` + url + `/none"]`, 1024, 1024, false},
		{"no picture", `"options":{"delay":0},"images":["` + url + `/text"]`, 1024, 1024, false},
		{"elsewhere", `"options":{"delay":0},"images":["http://203.0.113.5/a.jpg"]`, 1024, 1024, false},
		{"blank", `"options":{"delay":0,"image":"blank"},"images":["` + url + `/a.jpg"]`, 300, 200, false},
	} {
		img := b.edited(tc.fields)
		if size := img.Bounds().Size(); size.X != tc.w || size.Y != tc.h {
			t.Errorf("%s: %v, want %d×%d", tc.name, size, tc.w, tc.h)
		}
		if kept := step(img) > 60; kept != tc.kept && tc.name != "not there" && tc.name != "no picture" && tc.name != "elsewhere" {
			t.Errorf("%s: the reference's dark part is kept: %v", tc.name, kept)
		}
	}
	same := b.edited(`"options":{"delay":0,"image":"identical"},"images":["` + url + `/a.jpg"]`)
	restyled := b.edited(`"options":{"delay":0},"images":["` + url + `/b.jpg"]`)
	if far := distance(same, original); far > 6 {
		t.Errorf("identical is %d away from the reference", far)
	}
	if far := distance(restyled, original); far < 5 {
		t.Errorf("restyled is only %d away from the reference", far)
	}
	if far := distance(b.edited(`"seed":6,"options":{"delay":0},"images":["`+url+`/a.jpg"]`), restyled); far == 0 {
		t.Error("another seed gives the same picture")
	}
	// The URL's signature is no part of the picture.
	if far := distance(b.edited(`"options":{"delay":0},"images":["`+url+`/c.jpg?sig=9"]`), restyled); far != 0 {
		t.Error("another signature gives another picture")
	}
}

// distance is the mean difference of two pictures of one size, 0..255.
func distance(a, b image.Image) int {
	sum, n := 0, 0
	for y := 0; y < a.Bounds().Dy()*9/10; y += 7 {
		for x := 0; x < a.Bounds().Dx(); x += 7 {
			p, q := color.RGBAModel.Convert(a.At(x, y)).(color.RGBA), color.RGBAModel.Convert(b.At(x, y)).(color.RGBA)
			for _, d := range []int{int(p.R) - int(q.R), int(p.G) - int(q.G), int(p.B) - int(q.B)} {
				sum, n = sum+max(d, -d), n+1
			}
		}
	}
	return sum / n
}

// TestImageTimes: only the first pictures of a prompt are spoiled.
func TestImageTimes(t *testing.T) {
	b := newBench(t, nil)
	var sizes []string
	for i, prompt := range []string{"x", "x", "x", "y"} {
		id := b.submit(fmt.Sprintf(`"model":"sandbox-image","prompt":%q,"client_ref":"r%d","size":"640x640","options":{"delay":0,"image":"small","image_times":2}`, prompt, i))
		img, _, err := image.DecodeConfig(bytes.NewReader(b.get(b.url + "/v1/files/" + id + "-0.jpg").body))
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, fmt.Sprint(img.Width))
	}
	if got := fmt.Sprint(sizes); got != "[80 80 640 80]" {
		t.Errorf("widths %s", got)
	}
}
