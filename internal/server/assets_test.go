package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/asset"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store/storetest"
)

const (
	assetsPath = "/api/v1/source-assets"
	ingestOne  = "ing_01JXJ0A0000000000000000001"
	assetOne   = "src_01JXSRC0000000000000000001"
)

// noNetwork refuses what is not public by its text, and fetches nothing.
type noNetwork struct{ guard *netguard.Guard }

func (n noNetwork) CheckFetch(rawURL string) error { return n.guard.CheckFetch(rawURL) }

func (noNetwork) DownloadVia(context.Context, int, string, int64, io.Writer) (netguard.Downloaded, error) {
	return netguard.Downloaded{}, &netguard.StatusError{Status: 404}
}

// assetFixture serves a real service of source assets that does not ingest by itself.
func assetFixture(t *testing.T, change ...func(*Config)) (*fixture, *asset.Service) {
	t.Helper()
	var service *asset.Service
	f := newFixture(t, append([]func(*Config){func(c *Config) {
		var err error
		service, err = asset.New(asset.Config{DB: storetest.SQLite(t), Files: c.Files.(asset.Files), Fetch: noNetwork{netguard.New(netguard.Config{})}, Node: "n", MaxSize: 1 << 20, MinSide: 16, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		c.Assets, c.Admin = service, documentedAdmin{}
	}}, change...)...)
	return f, service
}

func sourcePNG(t testing.TB, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewNRGBA(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type sourceField struct{ name, file, value string }

func sourceRequest(key string, fields ...sourceField) *http.Request {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, f := range fields {
		if f.file != "" {
			w, _ := form.CreateFormFile(f.name, f.file)
			_, _ = io.WriteString(w, f.value)
		} else {
			_ = form.WriteField(f.name, f.value)
		}
	}
	_ = form.Close()
	r := httptest.NewRequest("POST", assetsPath, &b)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return authorised(r, key)
}

func authorised(r *http.Request, key string) *http.Request {
	r.Header.Set("Authorization", "Bearer "+testKey)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return r
}

func urlRequest(key, body string) *http.Request {
	r := httptest.NewRequest("POST", assetsPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return authorised(r, key)
}

func (f *fixture) answer(r *http.Request) (*httptest.ResponseRecorder, map[string]any) {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	var body map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			f.t.Fatalf("%s: %s", err, w.Body)
		}
	}
	return w, body
}

func TestSourceAssetsAreTaken(t *testing.T) {
	f, _ := assetFixture(t)
	picture := sourceField{"file", "p.png", string(sourcePNG(t, 20))}
	for name, r := range map[string]func(key string) *http.Request{
		"a file": func(key string) *http.Request {
			return sourceRequest(key, sourceField{"reference", "", "r"}, picture, sourceField{"metadata", "", "{}"})
		},
		"a URL": func(key string) *http.Request {
			return urlRequest(key, `{"source_url":"https://a.example/1.jpg","reference":"x","file":null}`)
		},
		"a form URL": func(key string) *http.Request {
			return sourceRequest(key, sourceField{"source_url", "", "https://a.example/1.jpg"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, first := f.answer(r("key " + name))
			if w.Code != 202 || first["status"] != "pending" || first["source_asset_id"] != nil || first["failure"] != nil || len(first) != 6 ||
				!strings.HasPrefix(fmt.Sprint(first["ingest_id"]), "ing_") || first["created_at"] != testTime.UTC().Format(time.RFC3339) {
				t.Fatalf("%d %v", w.Code, first)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("RateLimit-Limit") != "120" || w.Header().Get("Idempotent-Replayed") != "" {
				t.Errorf("headers %v", w.Header())
			}
			before := len(f.storedFiles())
			w, again := f.answer(r("key " + name))
			if w.Code != 202 || again["ingest_id"] != first["ingest_id"] || w.Header().Get("Idempotent-Replayed") != "true" || len(f.storedFiles()) != before {
				t.Errorf("the repeat: %d %v %v; %d files, then %d", w.Code, again, w.Header(), before, len(f.storedFiles()))
			}
			if w, other := f.answer(r("another key")); w.Code != 202 && w.Code != 409 || other["ingest_id"] == first["ingest_id"] {
				t.Errorf("another key: %d %v", w.Code, other)
			}
			read := httptest.NewRequest("GET", fmt.Sprint(assetsPath, "/", first["ingest_id"]), nil)
			if w, got := f.answer(authorised(read, "")); w.Code != 200 || fmt.Sprint(got) != fmt.Sprint(first) || w.Header().Get("RateLimit-Limit") != "1200" {
				t.Errorf("read: %d %v", w.Code, got)
			}
			read.Header.Set("Authorization", "Bearer "+otherKey)
			if w, got := f.answer(read); w.Code != 404 {
				t.Errorf("another organisation reads it: %d %v", w.Code, got)
			}
		})
	}
}

func TestSourceAssetsAreRefused(t *testing.T) {
	picture := sourceField{"file", "p.png", string(sourcePNG(t, 20))}
	typed := func(r *http.Request, contentType string) *http.Request {
		r.Header.Set("Content-Type", contentType)
		return r
	}
	for name, tt := range map[string]struct {
		r       *http.Request
		status  int
		message string
	}{
		"no key":            {sourceRequest("", picture), 400, "Idempotency-Key is required"},
		"no key, JSON":      {urlRequest("", `{"source_url":"https://a.example/"}`), 400, "Idempotency-Key is required"},
		"bad key":           {urlRequest("é", `{"source_url":"https://a.example/"}`), 400, "Idempotency-Key"},
		"two sources":       {sourceRequest("k", picture, sourceField{"source_url", "", "https://a.example/"}), 400, "exactly one source"},
		"two files":         {sourceRequest("k", picture, picture), 400, "exactly one source"},
		"no source":         {sourceRequest("k", sourceField{"reference", "", "x"}), 400, "exactly one source"},
		"empty form":        {sourceRequest("k"), 400, ""},
		"empty JSON":        {urlRequest("k", `{}`), 400, "exactly one source"},
		"null":              {urlRequest("k", `{"source_url":null}`), 400, "exactly one source"},
		"a file in JSON":    {urlRequest("k", `{"source_url":"https://a.example/","file":"x"}`), 400, "exactly one source"},
		"no object":         {urlRequest("k", `[]`), 400, "must be an object"},
		"bad JSON":          {urlRequest("k", `{"source_url":`), 400, "invalid JSON"},
		"a number":          {urlRequest("k", `{"source_url":7}`), 422, "source_url must be a string"},
		"a long URL":        {urlRequest("k", `{"source_url":"https://a.example/`+strings.Repeat("x", 9000)+`"}`), 422, "source_url must be at most"},
		"no web":            {urlRequest("k", `{"source_url":"ftp://a.example/"}`), 422, "source_url: URL must use https or http"},
		"private":           {urlRequest("k", `{"source_url":"http://10.0.0.1/"}`), 422, "source_url: destination is not a public address"},
		"metadata service":  {urlRequest("k", `{"source_url":"http://169.254.169.254/latest"}`), 422, "source_url: destination is not a public address"},
		"loopback":          {urlRequest("k", `{"source_url":"http://[::1]/"}`), 422, "source_url: destination is not a public address"},
		"password":          {urlRequest("k", `{"source_url":"https://u:p@a.example/"}`), 422, "source_url: URL must not have a user name"},
		"GIF":               {sourceRequest("k", sourceField{"file", "x.png", "GIF89a" + strings.Repeat("\x00", 7) + "\x3b"}), 422, "GIF is not taken; send JPEG, PNG or WebP"},
		"text":              {sourceRequest("k", sourceField{"file", "x.png", "hello"}), 422, "is not taken"},
		"empty file":        {sourceRequest("k", sourceField{"file", "x.png", ""}), 422, "an empty file is not taken"},
		"too small":         {sourceRequest("k", sourceField{"file", "x.png", string(sourcePNG(t, 8))}), 422, "8 × 8 pixels"},
		"cut off":           {sourceRequest("k", sourceField{"file", "x.png", string(sourcePNG(t, 20)[:60])}), 422, "cut off"},
		"too large":         {sourceRequest("k", sourceField{"file", "x.png", string(sourcePNG(t, 20)) + strings.Repeat("x", 1<<20)}), 422, "larger than 1.0 MiB"},
		"far too large":     {sourceRequest("k", sourceField{"file", "x.png", string(sourcePNG(t, 20)) + strings.Repeat("x", 2<<20)}), 422, "larger than 1.0 MiB"},
		"large fields":      {sourceRequest("k", sourceField{"metadata", "", strings.Repeat("x", 300<<10)}, picture), 400, "fields are larger"},
		"no boundary":       {typed(sourceRequest("k", picture), "multipart/form-data"), 400, "boundary"},
		"broken form":       {typed(sourceRequest("k", picture), "multipart/form-data; boundary=other"), 400, "multipart"},
		"other type":        {typed(urlRequest("k", `{}`), "text/plain"), 415, "Content-Type must be"},
		"not UTF-8":         {sourceRequest("k", sourceField{"source_url", "", "https://a.example/\xff"}), 400, "UTF-8"},
		"a file cut short":  {cutShort(sourceRequest("k", picture)), 400, ""},
		"a file behind one": {sourceRequest("k", picture, sourceField{"metadata", "", strings.Repeat("x", 300<<10)}), 400, "fields are larger"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := assetFixture(t)
			w, body := f.answer(tt.r)
			refusal, _ := body["error"].(map[string]any)
			if w.Code != tt.status || !strings.Contains(fmt.Sprint(refusal["message"]), tt.message) || len(refusal) < 4 || refusal["retryable"] != false {
				t.Errorf("%d %v, want %d %q", w.Code, body, tt.status, tt.message)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", w.Header())
			}
			if left := f.storedFiles(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// cutShort ends a request's body early.
func cutShort(r *http.Request) *http.Request {
	body, _ := io.ReadAll(r.Body)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body[:len(body)-60])), -1
	return r
}

func TestAnIdempotencyKeyStandsForOneSource(t *testing.T) {
	f, _ := assetFixture(t)
	one, two := sourceField{"file", "p.png", string(sourcePNG(t, 20))}, sourceField{"file", "p.png", string(sourcePNG(t, 21))}
	if w, body := f.answer(sourceRequest("k", one)); w.Code != 202 {
		t.Fatalf("%d %v", w.Code, body)
	}
	for name, r := range map[string]*http.Request{"another file": sourceRequest("k", two), "a URL": urlRequest("k", `{"source_url":"https://a.example/1.jpg"}`),
		"another field": sourceRequest("k", sourceField{"reference", "", "x"}, one)} {
		if w, body := f.answer(r); w.Code != 409 || fmt.Sprint(body["error"].(map[string]any)["code"]) != "idempotency_conflict" {
			t.Errorf("%s: %d %v", name, w.Code, body)
		}
	}
	// What the file is called, and where the form's boundaries are, does not count.
	renamed := one
	renamed.file = "q.png"
	if w, body := f.answer(sourceRequest("k", renamed)); w.Code != 202 || w.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %v", w.Code, body)
	}
	if left := f.storedFiles(); len(left) != 1 {
		t.Errorf("stored: %v", left)
	}
}

func TestFetchesOfSourcesHaveALimitOfTheirOwn(t *testing.T) {
	f, _ := assetFixture(t, func(c *Config) { c.Limits.SourceURL = Limit{PerMinute: 2} })
	body := `{"source_url":"https://a.example/1.jpg"}`
	for i := range 4 {
		w, answer := f.answer(urlRequest(fmt.Sprint("k", i), body))
		if limited := w.Code == 429; limited != (i >= 2) {
			t.Errorf("request %d: %d %v", i, w.Code, answer)
		} else if limited && w.Header().Get("Retry-After") == "" {
			t.Errorf("headers %v", w.Header())
		}
	}
	// A repeat fetches nothing, and a file does not either.
	if w, answer := f.answer(urlRequest("k0", body)); w.Code != 202 || w.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("the repeat: %d %v", w.Code, answer)
	}
	if w, answer := f.answer(sourceRequest("k9", sourceField{"file", "p.png", string(sourcePNG(t, 20))})); w.Code != 202 {
		t.Errorf("a file: %d %v", w.Code, answer)
	}
}

// documentedAssets answers for the OpenAPI document.
type documentedAssets struct{ err error }

func (d documentedAssets) one() *kinora.SourceAsset {
	return &kinora.SourceAsset{IngestID: ingestOne, ID: assetOne, OrganisationID: ownID, State: kinora.AssetReady, SourceURL: "https://a.example/1.jpg?sig=x",
		BlobKey: "assets/1.jpg", ContentType: "image/jpeg", Bytes: 9, SHA256: "ab", Width: 600, Height: 600, CreatedAt: testTime, UpdatedAt: testTime}
}

func (d documentedAssets) Receive(_ context.Context, _ string, file io.Reader) (*kinora.SourceAsset, [sha256.Size]byte, error) {
	text, err := io.ReadAll(file)
	if err == nil && string(text) == "no image" {
		err = kinora.Errorf(kinora.ErrInvalid, "GIF is not taken")
	}
	return d.one(), [sha256.Size]byte{}, err
}

func (d documentedAssets) FromURL(string, string) (*kinora.SourceAsset, error) { return d.one(), nil }

func (d documentedAssets) Recall(context.Context, string, kinora.Idempotency) (*kinora.SourceAsset, error) {
	return nil, nil
}

func (d documentedAssets) Record(_ context.Context, a *kinora.SourceAsset, once kinora.Idempotency) (*kinora.SourceAsset, bool, error) {
	switch once.Key {
	case "again":
		failed := *a
		failed.State, failed.Failure = kinora.AssetFailed, kinora.NewFailure(kinora.FailureSourceUnreachable, "source_url answered with status 404")
		return &failed, true, nil
	case "taken":
		return nil, false, kinora.Errorf(kinora.ErrConflict, "the idempotency key was used with another request")
	}
	return a, false, d.err
}

func (d documentedAssets) Discard(context.Context, *kinora.SourceAsset) {}

func (d documentedAssets) Ingest(_ context.Context, organisation, ingestID string) (*kinora.SourceAsset, error) {
	if ingestID != ingestOne || organisation != ownID {
		return nil, kinora.Errorf(kinora.ErrNotFound, "source asset not found")
	}
	return d.one(), d.err
}

func (d documentedAssets) Asset(ctx context.Context, organisation, assetID string) (*kinora.SourceAsset, error) {
	if assetID != assetOne {
		return nil, kinora.Errorf(kinora.ErrNotFound, "source asset not found")
	}
	return d.Ingest(ctx, organisation, ingestOne)
}

func (d documentedAssets) List(_ context.Context, _ string, state kinora.AssetState, before string, _ int) ([]*kinora.SourceAsset, error) {
	if state == kinora.AssetFailed || before != "" {
		return nil, d.err
	}
	return []*kinora.SourceAsset{d.one(), d.one()}, d.err
}

func (d documentedAssets) Remove(_ context.Context, _, ingestID string) error {
	return d.err
}

func (d documentedAssets) MaxSize() int64 { return 1 << 20 }

// inUse are assets of which none can be removed.
type inUse struct{ documentedAssets }

func (inUse) Remove(context.Context, string, string) error {
	return kinora.Errorf(kinora.ErrConflict, "the source asset is in use")
}

// assetExchanges bring about every answer about source assets.
func assetExchanges() []exchangeCase {
	key := func(k string) []func(*http.Request) { return []func(*http.Request){header("Idempotency-Key", k)} }
	formed := func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") }
	form := func(content string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.png\"\r\n\r\n" + content + "\r\n--b--\r\n"
	}
	const fromURL = `{"source_url":"https://a.example/1.jpg"}`
	failing := func(err error) []func(*Config) {
		return []func(*Config){func(c *Config) { c.Assets = documentedAssets{err} }}
	}
	const admin = "/admin/v1/organisations/" + ownID + "/source-assets"
	return []exchangeCase{
		{method: "POST", target: assetsPath, body: form("image"), status: 202, change: append(key("k"), formed)},
		{method: "POST", target: assetsPath, body: fromURL, status: 202, change: key("again")},
		{method: "POST", target: assetsPath, body: fromURL, status: 400},
		{method: "POST", target: assetsPath, body: fromURL, status: 409, change: key("taken")},
		{method: "POST", target: assetsPath, body: fromURL, status: 415, change: append(key("k"), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })},
		{method: "POST", target: assetsPath, body: form("no image"), status: 422, change: append(key("k"), formed)},
		{method: "POST", target: assetsPath, body: fromURL, status: 500, change: key("k"), config: failing(fmt.Errorf("x"))},
		{method: "POST", target: assetsPath, body: fromURL, status: 503, change: key("k"), config: failing(kinora.Errorf(kinora.ErrUnavailable, "away"))},
		{method: "GET", target: assetsPath + "/" + ingestOne, status: 200},
		{method: "GET", target: assetsPath + "/x", status: 404},
		{method: "GET", target: assetsPath + "/" + ingestOne, status: 500, config: failing(fmt.Errorf("x"))},
		{method: "GET", target: assetsPath + "/" + ingestOne, status: 503, config: failing(kinora.Errorf(kinora.ErrUnavailable, "away"))},
		{method: "GET", target: admin + "?limit=1", status: 200},
		{method: "GET", target: admin + "?state=failed", status: 200},
		{method: "GET", target: admin + "?state=x", status: 400},
		{method: "GET", target: "/admin/v1/organisations/org_2/source-assets", status: 404},
		{method: "GET", target: admin + "/" + assetOne, status: 200},
		{method: "GET", target: admin + "/" + ingestOne, status: 200},
		{method: "GET", target: admin + "/x", status: 404},
		{method: "DELETE", target: admin + "/" + assetOne, status: 204},
		{method: "DELETE", target: admin + "/x", status: 404},
		{method: "DELETE", target: admin + "/" + ingestOne, status: 409, config: []func(*Config){func(c *Config) {
			c.Assets = inUse{documentedAssets{}}
		}}},
	}
}
