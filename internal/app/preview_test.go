package app_test

import (
	"bytes"
	"encoding/json"
	"image"
	_ "image/jpeg"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/store/storetest"
)

// Whoever looks after source images sees each by a signed URL of a small picture, which is made when it is first looked at.
func TestPreviewsOfSourceImages(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		ingest, err := c.CreateAsset(t.Context(), "room.png", bytes.NewReader(photo(t, 1200, 600)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WaitAsset(t.Context(), ingest.IngestID); err != nil {
			t.Fatal(err)
		}
		get := func(url string) *http.Response {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+a.AdminToken())
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			return resp
		}
		var list struct {
			SourceAssets []struct {
				URL        string `json:"url"`
				PreviewURL string `json:"preview_url"`
			} `json:"source_assets"`
		}
		if err := json.NewDecoder(get(a.LocalURL() + "/admin/v1/organisations/" + a.Bootstrapped().Organisation.ID + "/source-assets").Body).Decode(&list); err != nil {
			t.Fatal(err)
		}
		if len(list.SourceAssets) != 1 {
			t.Fatalf("listed: %+v", list)
		}
		for url, width := range map[string]int{list.SourceAssets[0].URL: 1200, list.SourceAssets[0].PreviewURL: 480} {
			resp := get(url)
			if p, _, err := image.DecodeConfig(resp.Body); resp.StatusCode != http.StatusOK || err != nil || p.Width != width || p.Height != width/2 {
				t.Errorf("%s: %d, %+v, %v", url, resp.StatusCode, p, err)
			}
		}
		if resp := get(strings.Replace(list.SourceAssets[0].PreviewURL, "sig", "gis", 1)); resp.StatusCode != http.StatusForbidden {
			t.Errorf("without its signature a preview answered %d", resp.StatusCode)
		}
	})
}
