package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/workflow"
)

const (
	ownAsset      = "src_01JXSRC0000000000000000001"
	pendingAsset  = "src_01JXSRC0000000000000000002"
	foreignAsset  = "src_01JXSRC0000000000000000003"
	foreignIngest = "ing_01JXSRC0000000000000000003"
	createPath    = "/api/v1/generations"
)

// fakeAssets has an asset that is ready, one that is not, and one of another organisation.
type fakeAssets struct {
	documentedAssets
	received  [][]byte
	discarded []string
}

func (f *fakeAssets) Asset(_ context.Context, organisationID, assetID string) (*kinora.SourceAsset, error) {
	a := &kinora.SourceAsset{ID: assetID, OrganisationID: organisationID, State: kinora.AssetReady, Width: 2048, Height: 1365}
	switch {
	case assetID == pendingAsset:
		a.State = kinora.AssetProcessing
	case assetID != ownAsset && (assetID != foreignAsset || organisationID != otherID):
		return nil, kinora.Errorf(kinora.ErrNotFound, "no such asset")
	}
	return a, nil
}

func (f *fakeAssets) Ingest(ctx context.Context, organisationID, ingestID string) (*kinora.SourceAsset, error) {
	if ingestID == foreignIngest && organisationID == otherID {
		return &kinora.SourceAsset{IngestID: ingestID, OrganisationID: otherID, State: kinora.AssetReady}, nil
	}
	return f.documentedAssets.Ingest(ctx, organisationID, ingestID)
}

func (f *fakeAssets) Receive(_ context.Context, organisationID string, file io.Reader) (*kinora.SourceAsset, [32]byte, error) {
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, [32]byte{}, err
	}
	if string(content) == "GIF89a" {
		return nil, [32]byte{}, kinora.Errorf(kinora.ErrInvalid, "GIF files are not taken")
	}
	f.received = append(f.received, content)
	return &kinora.SourceAsset{IngestID: fmt.Sprint("ing_", len(f.received)), OrganisationID: organisationID}, sha256.Sum256(content), nil
}

func (f *fakeAssets) Discard(_ context.Context, a *kinora.SourceAsset) {
	if a != nil {
		f.discarded = append(f.discarded, a.IngestID)
	}
}

func (f *fakeAssets) FromURL(organisationID, rawURL string) (*kinora.SourceAsset, error) {
	if !isWebURL(rawURL) || strings.Contains(rawURL, "localhost") {
		return nil, kinora.Errorf(kinora.ErrInvalid, "source_url must be public")
	}
	return &kinora.SourceAsset{OrganisationID: organisationID, SourceURL: rawURL}, nil
}

func builtIns(t testing.TB) *workflow.Set {
	t.Helper()
	set, err := workflow.BuiltIns()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// createFixture is a server on which generations of the built-in workflows are created.
func createFixture(t testing.TB, change ...func(*Config)) (*fixture, *fakeAssets) {
	t.Helper()
	assets := &fakeAssets{}
	f := newFixture(t, append([]func(*Config){func(c *Config) { c.Workflows, c.Assets = builtIns(t), assets }}, change...)...)
	f.generations.accept = f.generations.make
	return f, assets
}

// once is a header that makes each write a new one.
var nextKey = 0

func once(r *http.Request) {
	nextKey++
	r.Header.Set("Idempotency-Key", fmt.Sprint("generation-listing-123-lr-", nextKey))
}

const (
	cleanPhoto = `"workflow":"staging","capture_type":"photo","mode":"clean"`
	ofAsset    = `"source_asset_id":"` + ownAsset + `",`
)

func (f *fixture) create(body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do("POST", createPath, body, append([]func(*http.Request){once, header("Content-Type", "application/json")}, change...)...)
}

// problem is the code of an error in the generations API's envelope, which must have all four keys, and the fields it names.
func problem(t *testing.T, w *httptest.ResponseRecorder) (code string, fields []string) {
	t.Helper()
	var body struct{ Error map[string]json.RawMessage }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("answered %d %s: %v", w.Code, w.Body, err)
	}
	for _, key := range []string{"code", "message", "retryable", "retry_after"} {
		if body.Error[key] == nil {
			t.Errorf("the error %s has no %s", w.Body, key)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Request-Id") == "" {
		t.Errorf("headers %v", w.Header())
	}
	var details []kinora.FieldError
	_ = json.Unmarshal(body.Error["code"], &code)
	_ = json.Unmarshal(body.Error["details"], &details)
	for _, d := range details {
		fields = append(fields, d.Field)
	}
	return code, fields
}

func TestCreateGeneration(t *testing.T) {
	f, _ := createFixture(t)
	metadata := `{"row": 7,  "text":"\u00e4<&>"}`
	w := f.create(`{"source_asset_id":"` + ownAsset + `","workflow":"staging","capture_type":"photo","mode":"furnish","room_types":["Living Room","Kitchen"],` +
		`"style_preset":"Scandinavian","reference":"listing-123","metadata":` + metadata + `,"webhook":{"url":"https://your.domain/hooks/generations"},"count":3}`)
	if w.Code != 202 || !strings.Contains(w.Body.String(), `"metadata":`+metadata+`,`) {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	record := decodeRecord(t, w)
	if record.Status != "queued" || record.SourceAssetID == nil || *record.SourceAssetID != ownAsset || record.ParentJobID != nil {
		t.Errorf("the record is %s", w.Body)
	}
	sub := f.generations.only(t)
	want := &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Living Room", "Kitchen"}, StylePreset: "Scandinavian"}
	if diff := cmp.Diff(want, sub.Request); diff != "" {
		t.Errorf("the request is %s", diff)
	}
	if sub.OrganisationID != ownID || sub.Surface != kinora.SurfaceGenerations || sub.Source.AssetID != ownAsset || sub.WebhookURL != "https://your.domain/hooks/generations" ||
		*sub.Reference != "listing-123" || string(sub.Metadata) != metadata || !strings.Contains(sub.Input.Prompt, "scandinavian") || sub.IdempotencyScope != "POST "+createPath {
		t.Errorf("submitted %+v", sub)
	}
	// The same record is read afterwards.
	if again := f.do("GET", createPath+"/"+record.JobID, ""); again.Body.String() != w.Body.String() {
		t.Errorf("read %s", again.Body)
	}
}

func TestCreateWithInlineSource(t *testing.T) {
	f, assets := createFixture(t)
	w := f.create(`{"source_url":"https://a.example/1.jpg",` + cleanPhoto + `}`)
	if record := decodeRecord(t, w); w.Code != 202 || record.Status != "ingesting" || record.SourceAssetID != nil {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	if source := f.generations.accepted[0].Source; source.URL != "https://a.example/1.jpg" || source.Received != nil {
		t.Errorf("the source is %+v", source)
	}
	w = f.createForm(t, nil, "room_types", "Kitchen", "file", "jpeg", "room_types", "Living Room", "workflow", "staging", "capture_type", "photo", "mode", "furnish",
		"style_preset", "Modern", "metadata", ` { "a" : [1.0] } `, "webhook", `{"url":"https://your.domain/h"}`, "reference", "r", "source_url", "")
	if record := decodeRecord(t, w); w.Code != 202 || record.Status != "ingesting" || !strings.Contains(w.Body.String(), `"metadata":{ "a" : [1.0] },`) {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	sub := f.generations.accepted[1]
	if sub.Source.Received == nil || string(assets.received[0]) != "jpeg" || sub.WebhookURL != "https://your.domain/h" || *sub.Reference != "r" ||
		!slices.Equal(sub.Request.RoomTypes, []string{"Kitchen", "Living Room"}) || len(assets.discarded) != 0 {
		t.Errorf("submitted %+v %+v, discarded %v", sub, sub.Request, assets.discarded)
	}
	w = f.createForm(t, nil, "file", "jpeg", "room_types", `["Kitchen"]`, "workflow", "staging", "capture_type", "photo", "mode", "furnish", "style_preset", "Modern")
	if w.Code != 202 || !slices.Equal(f.generations.accepted[2].Request.RoomTypes, []string{"Kitchen"}) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if f.transfers.inside.Load() != 0 || f.inFlight.inside.Load() != 0 {
		t.Error("a place is held still")
	}
}

// createForm sends a form of names and values; "file" is a file.
func (f *fixture) createForm(t *testing.T, change func(*http.Request), fields ...string) *httptest.ResponseRecorder {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == "file" {
			part, err := form.CreateFormFile("file", "photo.jpg")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(part, fields[i+1])
			continue
		}
		if err := form.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	_ = form.Close()
	return f.doReader("POST", createPath, &body, once, header("Content-Type", form.FormDataContentType()), func(r *http.Request) {
		if change != nil {
			change(r)
		}
	})
}

func TestCreateRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		body   string
		status int
		code   string
		fields []string
	}{
		"no source":             {`{` + cleanPhoto + `}`, 400, "bad_request", nil},
		"two sources":           {`{` + ofAsset + `"source_url":"https://a.example/",` + cleanPhoto + `}`, 400, "bad_request", nil},
		"an empty source":       {`{"source_url":"",` + cleanPhoto + `}`, 400, "bad_request", nil},
		"a file in JSON":        {`{"file":"data:image/png;base64,AAAA",` + cleanPhoto + `}`, 400, "bad_request", nil},
		"no JSON":               {`{`, 400, "bad_request", nil},
		"no object":             {`[]`, 400, "bad_request", nil},
		"an unknown asset":      {`{"source_asset_id":"src_01JXSRC0000000000000000009",` + cleanPhoto + `}`, 404, "not_found", nil},
		"a malformed asset":     {`{"source_asset_id":"x",` + cleanPhoto + `}`, 404, "not_found", nil},
		"a foreign asset":       {`{"source_asset_id":"` + foreignAsset + `",` + cleanPhoto + `}`, 404, "not_found", nil},
		"an asset in the works": {`{"source_asset_id":"` + pendingAsset + `",` + cleanPhoto + `}`, 422, "validation_error", []string{"source_asset_id"}},
		"a local source":        {`{"source_url":"http://localhost/a.jpg",` + cleanPhoto + `}`, 422, "validation_error", []string{"source_url"}},
		"no workflow":           {`{` + ofAsset + `"capture_type":"photo"}`, 422, "validation_error", []string{"workflow"}},
		"another workflow":      {`{` + ofAsset + `"workflow":"stage"}`, 422, "validation_error", []string{"workflow"}},
		"a cell that is none":   {`{` + ofAsset + `"workflow":"pro_capture","capture_type":"floorplan"}`, 422, "validation_error", []string{"capture_type"}},
		"mode for a panorama":   {`{` + ofAsset + `"workflow":"staging","capture_type":"panorama360","mode":"furnish","style_preset":"Modern"}`, 422, "validation_error", []string{"mode"}},
		"two families":          {`{` + ofAsset + `"workflow":"staging","capture_type":"photo","mode":"furnish","room_types":["Kitchen","Bathroom"],"style_preset":"Modern"}`, 422, "validation_error", []string{"room_types"}},
		"no rooms, no style":    {`{` + ofAsset + `"workflow":"staging","capture_type":"photo","mode":"furnish"}`, 422, "validation_error", []string{"room_types", "style_preset"}},
		"types":                 {`{` + ofAsset + `"workflow":1,"mode":true,"room_types":"Kitchen","style_preset":[],"metadata":[],"reference":7,"webhook":"x"}`, 422, "validation_error", []string{"workflow", "mode", "room_types", "style_preset", "metadata", "reference", "webhook.url"}},
		"a long reference":      {`{` + ofAsset + cleanPhoto + `,"reference":"` + strings.Repeat("ä", 256) + `"}`, 422, "validation_error", []string{"reference"}},
		"large metadata":        {`{` + ofAsset + cleanPhoto + `,"metadata":{"a":"` + strings.Repeat("x", 16<<10) + `"}}`, 422, "validation_error", []string{"metadata"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := createFixture(t)
			w := f.create(tt.body)
			code, fields := problem(t, w)
			if w.Code != tt.status || code != tt.code || !slices.Equal(fields, tt.fields) {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
			if len(f.generations.accepted) != 0 {
				t.Error("something was accepted")
			}
		})
	}
	f, _ := createFixture(t)
	good := `{` + ofAsset + cleanPhoto + `}`
	for name, tt := range map[string]struct {
		change func(*http.Request)
		status int
		code   string
	}{
		"no key":             {func(r *http.Request) { r.Header.Del("Idempotency-Key") }, 400, "bad_request"},
		"a long key":         {func(r *http.Request) { r.Header.Set("Idempotency-Key", strings.Repeat("k", 256)) }, 400, "bad_request"},
		"another media type": {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, "bad_request"},
		"no boundary":        {func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data") }, 400, "bad_request"},
	} {
		w := f.create(good, tt.change)
		if code, _ := problem(t, w); w.Code != tt.status || code != tt.code {
			t.Errorf("%s: answered %d %s", name, w.Code, w.Body)
		}
	}
	for code, want := range map[kinora.ErrorCode]int{kinora.ErrRateLimited: 429, kinora.ErrNoUpstream: 503, kinora.ErrUnavailable: 503, kinora.ErrInternal: 500} {
		f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
			return nil, kinora.Errorf(code, "no")
		}
		if w := f.create(good); w.Code != want {
			t.Errorf("%s: answered %d %s", code, w.Code, w.Body)
		}
	}
}

// What is wrong with a form's fields is told in a form's words, with the code that JSON has.
func TestCreateFormFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fields []string
		status int
		says   string
	}{
		"metadata with a key twice": {[]string{"metadata", `{"a":1,"a":2}`}, 400, `metadata has the key \"a\" twice`},
		"metadata with NUL":         {[]string{"metadata", `{"a":"\u0000"}`}, 400, "metadata holds U+0000"},
		"metadata that is no JSON":  {[]string{"metadata", `{`}, 422, "metadata must be one JSON object"},
		"metadata twice":            {[]string{"metadata", `{}`, "metadata", `{}`}, 422, "metadata was sent twice"},
		"reference with NUL":        {[]string{"reference", "a\x00"}, 400, "reference holds U+0000"},
		"deep metadata":             {[]string{"metadata", strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)}, 400, "the form is nested too deeply"},
		"mode twice":                {[]string{"mode", "clean"}, 422, "mode was sent twice"},
	} {
		f, source := createFixture(t)
		form := append([]string{"file", "a", "workflow", "staging", "capture_type", "photo", "mode", "clean"}, tt.fields...)
		w := f.createForm(t, nil, form...)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || len(source.discarded) != 1 {
			t.Errorf("%s: answered %d %s; discarded %v", name, w.Code, w.Body, source.discarded)
		}
	}
}

// Whatever is wrong with a form, its file does not stay.
func TestCreateFormRefusals(t *testing.T) {
	clean := []string{"workflow", "staging", "capture_type", "photo", "mode", "clean"}
	for name, tt := range map[string]struct {
		fields    []string
		status    int
		discarded int
	}{
		"no file":               {clean, 400, 0},
		"two files":             {append([]string{"file", "a", "file", "b"}, clean...), 400, 1},
		"file and URL":          {append([]string{"file", "a", "source_url", "https://a.example/"}, clean...), 400, 1},
		"a rule broken":         {[]string{"file", "a", "workflow", "staging"}, 422, 1},
		"metadata is no JSON":   {append([]string{"file", "a", "metadata", "x"}, clean...), 422, 1},
		"rooms are no JSON":     {append([]string{"file", "a", "room_types", "[x"}, clean...), 422, 1},
		"a GIF":                 {append([]string{"file", "GIF89a"}, clean...), 422, 0},
		"too large":             {append([]string{"file", strings.Repeat("x", 3<<20)}, clean...), 422, 0},
		"a field that is large": {append([]string{"file", "a", "reference", strings.Repeat("x", 300<<10)}, clean...), 400, 1},
		"a field with a NUL":    {append([]string{"file", "a", "reference", "\x00"}, clean...), 400, 1},
	} {
		f, assets := createFixture(t)
		w := f.createForm(t, nil, tt.fields...)
		if w.Code != tt.status || len(assets.discarded) != tt.discarded || len(f.generations.accepted) != 0 {
			t.Errorf("%s: answered %d %s, discarded %v", name, w.Code, w.Body, assets.discarded)
		}
		problem(t, w)
	}
	f, assets := createFixture(t)
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		return nil, kinora.Errorf(kinora.ErrUnavailable, "the answer to the commit was lost")
	}
	if w := f.createForm(t, nil, append([]string{"file", "a"}, clean...)...); w.Code != 503 || len(assets.discarded) != 0 {
		t.Errorf("answered %d %s, discarded %v: perhaps it was committed", w.Code, w.Body, assets.discarded)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	f, assets := createFixture(t)
	key := header("Idempotency-Key", "k")
	replace := func(r *http.Request) { r.Header.Del("Idempotency-Key"); key(r) }
	first := f.create(`{`+ofAsset+cleanPhoto+`}`, replace)
	again := f.create("{ "+cleanPhoto+`,"source_asset_id":"`+ownAsset+`"}`, replace)
	if first.Code != 202 || again.Code != 202 || again.Body.String() != first.Body.String() || first.Header().Get("Idempotent-Replayed") != "" || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("answered %d %s %v, then %d %s %v", first.Code, first.Body, first.Header(), again.Code, again.Body, again.Header())
	}
	// The replay shows the present state.
	g := *f.generations.stored[decodeRecord(t, first).JobID]
	g.State = kinora.GenerationSucceeded
	f.generations.store(&g, kinora.Output{ID: "out_1", BlobKey: "a.jpg"})
	if w := f.create(`{`+ofAsset+cleanPhoto+`}`, replace); w.Code != 202 || !strings.Contains(w.Body.String(), `"output_id":"out_1"`) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if w := f.create(`{`+ofAsset+cleanPhoto+`,"reference":"x"}`, replace); w.Code != 409 {
		t.Errorf("another request: answered %d %s", w.Code, w.Body)
	} else if code, _ := problem(t, w); code != "idempotency_conflict" {
		t.Errorf("code %s", code)
	}
	// Errors are not remembered.
	other := func(r *http.Request) { r.Header.Set("Idempotency-Key", "k2") }
	f.create(`{`+ofAsset+`"workflow":"x"}`, other)
	if w := f.create(`{`+ofAsset+cleanPhoto+`}`, other); w.Code != 202 || w.Header().Get("Idempotent-Replayed") != "" {
		t.Errorf("after an error: answered %d %s", w.Code, w.Body)
	}
	// A form is the same whatever its boundary; of the second file nothing stays.
	third := func(r *http.Request) { r.Header.Set("Idempotency-Key", "k3") }
	form := []string{"file", "a", "workflow", "staging", "capture_type", "photo", "mode", "clean"}
	one, two := f.createForm(t, third, form...), f.createForm(t, third, form...)
	if one.Code != 202 || two.Body.String() != one.Body.String() || two.Header().Get("Idempotent-Replayed") != "true" || !slices.Equal(assets.discarded, []string{"ing_2"}) {
		t.Errorf("answered %d %s, then %d %s; discarded %v", one.Code, one.Body, two.Code, two.Body, assets.discarded)
	}
	form[1] = "b"
	if w := f.createForm(t, third, form...); w.Code != 409 {
		t.Errorf("another file: answered %d %s", w.Code, w.Body)
	}
}
