package dashboard

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

func readyAsset(n int) *kinora.SourceAsset {
	return &kinora.SourceAsset{IngestID: fmt.Sprintf("ing_%03d", n), ID: fmt.Sprintf("src_%03d", n), OrganisationID: north, State: kinora.AssetReady,
		BlobKey: fmt.Sprintf("assets/%03d.png", n), Width: 640, Height: 480, Bytes: 2048, ContentType: "image/png"}
}

func TestTheGallery(t *testing.T) {
	s := newStand(t, nil)
	has(t, s.page(t, "member", "/assets"), "No assets yet", "Add an image")
	s.tenant.assets = []*kinora.SourceAsset{
		{IngestID: "ing_003", State: kinora.AssetPending},
		{IngestID: "ing_002", State: kinora.AssetFailed, Failure: kinora.NewFailure(kinora.FailureSourceInvalid, "this is <b>no</b> image"), SourceURL: "https://u:p@example.com/a?token=s3cret"},
		readyAsset(1),
	}
	body := s.page(t, "member", "/assets")
	has(t, body, `src="http://kinora.test/files/previews/assets/001.png"`, "640 × 480, 2.0 KiB", "src_001", "On its way", "this is &lt;b&gt;no&lt;/b&gt; image", `/assets/live?waiting=ing_003"`)
	if only := s.page(t, "member", "/assets?state=ready"); strings.Contains(only, "ing_003") || strings.Contains(only, "/live") {
		t.Error("the filter lets others through, or waits for nothing")
	}
	for i := range assetRows + 1 {
		s.tenant.assets = append([]*kinora.SourceAsset{readyAsset(100 + i)}, s.tenant.assets...)
	}
	has(t, s.page(t, "member", "/assets?state=ready"), "/assets?before=ing_101&amp;state=ready")
	has(t, s.page(t, "member", "/assets?before=ing_002"), "src_001", "← Newest")
}

func TestOneAsset(t *testing.T) {
	s := newStand(t, nil)
	failed := &kinora.SourceAsset{IngestID: "ing_002", State: kinora.AssetFailed, Failure: kinora.NewFailure(kinora.FailureSourceInvalid, "no image"), SourceURL: "https://u:p@example.com/a?token=s3cret"}
	s.tenant.assets = []*kinora.SourceAsset{failed, readyAsset(1), {IngestID: "ing_000", State: kinora.AssetProcessing}}
	body := s.page(t, "member", "/assets/ing_001")
	has(t, body, "http://kinora.test/files/assets/001.png", "image/png", "src_001")
	if strings.Contains(body, "Delete") {
		t.Error("a member is offered to delete")
	}
	body = s.page(t, "member", "/assets/ing_002")
	has(t, body, "no image", "example.com/a")
	if strings.Contains(body, "s3cret") || strings.Contains(body, "u:p") {
		t.Errorf("the page shows a secret:\n%s", body)
	}
	for path, want := range map[string]string{"/assets/ing_001/delete": "/assets", "/assets/ing_000/delete": "/assets/ing_000"} {
		if got := s.post("admin", path); got.Code != http.StatusSeeOther || !strings.HasSuffix(got.Header().Get("Location"), north+want) {
			t.Errorf("%s: %d %s", path, got.Code, got.Header().Get("Location"))
		}
	}
	if !slices.Equal(s.tenant.done, []string{"admin@example.com: delete ing_001"}) {
		t.Errorf("done: %q", s.tenant.done)
	}
	if got := s.ask("member", "/dashboard/o/"+north+"/assets/ing_777", nil); got.Code != http.StatusNotFound {
		t.Errorf("an unknown asset: %d", got.Code)
	}
}

// The page of an asset leads to what was made from it, and the page of a generation to its asset.
func TestAssetsAndGenerationsLeadToEachOther(t *testing.T) {
	s := newStand(t, nil)
	s.tenant.assets = []*kinora.SourceAsset{readyAsset(1), {IngestID: "ing_000", State: kinora.AssetProcessing}}
	has(t, s.page(t, "member", "/assets/ing_001"), "Made from it", "Nothing yet")
	h := workflowHistory()
	s.generations.set(*h.Generation)
	s.generations.next = "further"
	has(t, s.page(t, "member", "/assets/ing_001"), "/generations/"+jobOne, "/generations?asset=src_001")
	if want := (kinora.GenerationSearch{Source: "src_001"}); s.generations.search != want {
		t.Errorf("asked for %+v", s.generations.search)
	}
	hasNot(t, s.page(t, "member", "/assets/ing_000"), "Made from it", jobOne)
	s.page(t, "member", "/generations?asset=src_9")
	if want := (kinora.GenerationSearch{Source: "src_9"}); s.generations.search != want {
		t.Errorf("asked for %+v", s.generations.search)
	}

	h.Source.IngestID = "ing_001"
	s.histories.set(h)
	has(t, s.page(t, "member", "/generations/"+jobOne), `/assets/ing_001"><code>src_1</code></a>`)
	h.Source = nil
	s.histories.set(h)
	body := s.page(t, "member", "/generations/"+jobOne)
	has(t, body, "<code>src_1</code>")
	hasNot(t, body, "/assets/ing_001")
}

// upload posts the form for a new asset with a file.
func (s *stand) upload(t *testing.T, content, sourceURL string) *httptest.ResponseRecorder {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, field := range [][2]string{{"form_token", s.token("member")}, {"once", "key-1"}, {"source_url", sourceURL}} {
		if err := form.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	name := "kite.png"
	if content == "" {
		name = "" // as browsers send a field with nothing chosen
	}
	part, err := form.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write([]byte(content))
	}
	if err != nil || form.Close() != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "http://kinora.test/dashboard/o/"+north+"/assets/new", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
	return s.send(r)
}

func TestAssetsAreSentToTheAPI(t *testing.T) {
	s := newStand(t, nil)
	s.cfg.API = s.tenant
	has(t, s.page(t, "member", "/assets/new"), `enctype="multipart/form-data"`, "up to 1.0 MiB")
	for _, c := range [][2]string{{"picture", ""}, {"", " https://example.com/a.png "}, {"picture", "https://example.com/a.png"}} {
		if got := s.upload(t, c[0], c[1]); got.Code != http.StatusSeeOther {
			t.Errorf("%q: %d %s", c, got.Code, got.Body)
		}
	}
	const request = "member@example.com " + north + " POST /api/v1/source-assets key-1"
	if want := []string{request + " file=picture", request + " source_url=https://example.com/a.png", request + " source_url=https://example.com/a.png file=picture"}; !slices.Equal(s.tenant.sent, want) {
		t.Errorf("sent:\n%q", s.tenant.sent)
	}
	s.tenant.refuses = kinora.Errorf(kinora.ErrInvalid, "this is no image")
	got := s.upload(t, "text", "")
	if got.Code != http.StatusUnprocessableEntity {
		t.Errorf("a text: %d", got.Code)
	}
	has(t, got.Body.String(), `id="field-file-error"`, "no image")
	has(t, s.upload(t, "", "https://example.com/x").Body.String(), `id="field-source_url-error"`, `value="https://example.com/x"`)
	s.tenant.refuses = &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many requests"}
	if got := s.upload(t, "picture", ""); got.Code != http.StatusSeeOther {
		t.Errorf("too many: %d", got.Code)
	}
	if got := s.upload(t, strings.Repeat("x", 2<<20), ""); got.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a file that is too large: %d", got.Code)
	}
}
