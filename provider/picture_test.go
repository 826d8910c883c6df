package provider_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
)

// picture is an image of a size as base64.
func picture(t *testing.T, width, height int, asJPEG bool) string {
	t.Helper()
	var b bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, width, height))
	err := png.Encode(&b, img)
	if asJPEG {
		b.Reset()
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestPicturesInARequest(t *testing.T) {
	const uri = "data:image/png;base64,"
	l := provider.PictureLimits{Bytes: 1 << 20, Types: []string{"image/png", "image/jpeg"}, Side: 300, Ratio: 2.5}
	for name, c := range map[string]struct{ value, says string }{
		"right":              {uri + picture(t, 300, 750, false), ""},
		"right, bare":        {picture(t, 750, 300, true), ""},
		"declared otherwise": {"data:image/jpg;base64," + picture(t, 300, 300, true), ""},
		"small":              {uri + picture(t, 299, 400, false), "input.metadata.image must be an image of at least 300 pixels a side; it has 299 × 400"},
		"small, bare":        {picture(t, 400, 299, true), "at least 300 pixels"},
		"long":               {uri + picture(t, 300, 751, false), "between 1:2.5 and 2.5:1; it has 300 × 751"},
		"wide":               {uri + picture(t, 751, 300, true), "between 1:2.5 and 2.5:1"},
		"another type":       {"data:image/gif;base64,R0lGODlhAQABAAAAACw=", "must be of one of the types image/png, image/jpeg"},
		"a type in disguise": {uri + "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==", "must be of one of the types"},
		"large":              {uri + picture(t, 300, 300, false) + strings.Repeat("A", 2<<20), "at most 1 MB"},
		"a URL":              {"https://cdn.example/a.gif", ""},
		"a file's id":        {"mm_file://1", ""},
		"a head alone":       {uri + "iVBORw0KGgo=", ""},
		"no base64":          {uri + "iVBORw0KGgo?&%", ""},
		"words":              {"a red kite", ""},
		"nothing":            {"", ""},
	} {
		text, err := json.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		bad := l.Check(map[string]json.RawMessage{"image": text, "mask": json.RawMessage(`"data:image/gif;base64,R0lGOD"`)}, "image", "image_tail")
		if c.says == "" && bad != nil || c.says != "" && (bad == nil || bad.Class != provider.Invalid || !strings.Contains(bad.Message, c.says)) {
			t.Errorf("%s: %v, want %q", name, bad, c.says)
		}
	}
	deep := json.RawMessage(`[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"` + uri + picture(t, 20, 20, false) + `"}}]`)
	if bad := l.Check(map[string]json.RawMessage{"content": deep}, "content"); bad == nil || !strings.HasPrefix(bad.Message, "input.metadata.content[1].image_url.url must be") {
		t.Errorf("within a list: %v", bad)
	}
	if bad := (provider.PictureLimits{}).Check(map[string]json.RawMessage{"content": deep}, "content"); bad != nil {
		t.Errorf("without limits: %v", bad)
	}
}

func TestMetadataSize(t *testing.T) {
	metadata := map[string]json.RawMessage{"a": make(json.RawMessage, 1<<20), "b": make(json.RawMessage, 1<<20)}
	if bad := provider.CheckMetadataSize(metadata, 2<<20); bad != nil {
		t.Error(bad)
	}
	if bad := provider.CheckMetadataSize(metadata, 2<<20-1); bad == nil || bad.Class != provider.Invalid || !strings.Contains(bad.Message, "at most 1 MB in all") {
		t.Error(bad)
	}
}
