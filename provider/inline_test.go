package provider_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// A body says the same as a document whose files were put in at once, however it is read.
func TestInline(t *testing.T) {
	pngFile := []byte("\x89PNG\r\n\x1a\n and more")
	u := providertest.NewUpstream(t)
	up := u.With(provider.Account{})
	large := append(append([]byte(nil), pngFile...), bytes.Repeat([]byte("0123456789"), 100_000)...)
	up.Sources = providertest.Sources{"https://a.example/1": pngFile, "https://a.example/2": large}
	p := provider.NewInline()
	list := []string{}
	for i := range 12 { // "-1" is the beginning of "-10"
		f, err := p.Add(t.Context(), up, "input.image", []string{"https://a.example/1", "https://a.example/2"}[i%2], []string{"image/png"})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f.Mark)
	}
	req, err := provider.NewRequest(up, http.MethodPost, "/x", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Attach(req, map[string]any{"files": list, "before": "x", "zz": "<&>"}); err != nil {
		t.Fatal(err)
	}
	check := func(r io.Reader) {
		t.Helper()
		text, err := io.ReadAll(r)
		if err != nil || int64(len(text)) != req.ContentLength {
			t.Fatalf("%d bytes, announced %d, %v", len(text), req.ContentLength, err)
		}
		var got struct {
			Files [][]byte
			ZZ    string
		}
		if err := json.Unmarshal(text, &got); err != nil || len(got.Files) != 12 || got.ZZ != "<&>" {
			t.Fatalf("%d files, %v", len(got.Files), err)
		}
		for i, f := range got.Files {
			if want := [][]byte{pngFile, large}[i%2]; !bytes.Equal(f, want) {
				t.Errorf("file %d has %d bytes, want %d", i, len(f), len(want))
			}
		}
	}
	check(req.Body)
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(again, make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	third, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Read(make([]byte, 1)); err == nil {
		t.Error("a reading that was given up goes on")
	}
	check(third)
	p.Release()
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a body is read after its release")
	}
}
