package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
)

func (f *fixture) regenerate(jobID, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	if body != "" {
		change = append([]func(*http.Request){header("Content-Type", "application/json")}, change...)
	}
	return f.do("POST", createPath+"/"+jobID+"/regenerate", body, append([]func(*http.Request){once}, change...)...)
}

func parentOf(request kinora.WorkflowRequest) *kinora.Generation {
	reference := "listing-123"
	return &kinora.Generation{
		ID: jobOne, OrganisationID: ownID, Surface: kinora.SurfaceGenerations, State: kinora.GenerationFailed, SourceAssetID: ownAsset, Request: &request,
		Reference: &reference, Metadata: json.RawMessage(`{ "row":7}`), WebhookURL: "https://own.example/h", CreatedAt: testTime, UpdatedAt: testTime,
	}
}

func furnished() kinora.WorkflowRequest {
	return kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Kitchen"}, StylePreset: "Modern"}
}

func TestRegenerateInheritsAndOverrides(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want kinora.WorkflowRequest
	}{
		"nothing sent":   {``, furnished()},
		"an empty body":  {`{}`, furnished()},
		"nulls":          {`{"mode":null,"style_preset":null,"reference":null,"metadata":null,"webhook":null}`, furnished()},
		"another style":  {`{"style_preset":"Coastal"}`, kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Kitchen"}, StylePreset: "Coastal"}},
		"other rooms":    {`{"room_types":["Living Room","Dining Room"]}`, kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Living Room", "Dining Room"}, StylePreset: "Modern"}},
		"a panorama now": {`{"capture_type":"panorama360"}`, kinora.WorkflowRequest{Workflow: "staging", CaptureType: "panorama360", RoomTypes: []string{"Kitchen"}, StylePreset: "Modern"}},
		"pro_capture":    {`{"workflow":"pro_capture","room_types":[]}`, kinora.WorkflowRequest{Workflow: "pro_capture", CaptureType: "photo", StylePreset: "Modern"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := createFixture(t)
			f.generations.store(parentOf(furnished()))
			w := f.regenerate(jobOne, tt.body)
			if w.Code != 202 {
				t.Fatalf("answered %d %s", w.Code, w.Body)
			}
			if record := decodeRecord(t, w); record.ParentJobID == nil || *record.ParentJobID != jobOne || record.JobID == jobOne || *record.SourceAssetID != ownAsset {
				t.Errorf("the record is %s", w.Body)
			}
			sub := f.generations.only(t)
			if diff := cmp.Diff(&tt.want, sub.Request); diff != "" {
				t.Errorf("the request is %s", diff)
			}
			if sub.Source.AssetID != ownAsset || sub.ParentID != jobOne || *sub.Reference != "listing-123" || string(sub.Metadata) != `{ "row":7}` || sub.WebhookURL != "https://own.example/h" {
				t.Errorf("submitted %+v", sub)
			}
		})
	}
	f, _ := createFixture(t)
	f.generations.store(parentOf(furnished()))
	f.regenerate(jobOne, `{"reference":"","metadata":{},"webhook":{"url":"https://new.example/h"}}`)
	if sub := f.generations.only(t); *sub.Reference != "" || string(sub.Metadata) != "{}" || sub.WebhookURL != "https://new.example/h" {
		t.Errorf("submitted %+v", sub)
	}
}

// A generation that was cancelled before its source was there has the source that came later.
func TestRegenerateFindsASourceThatCameLater(t *testing.T) {
	f, _ := createFixture(t)
	parent := parentOf(furnished())
	parent.State, parent.SourceAssetID, parent.AwaitedAssetID = kinora.GenerationCancelled, "", ownAsset
	f.generations.store(parent)
	if w := f.regenerate(jobOne, ""); w.Code != 202 || *decodeRecord(t, w).SourceAssetID != ownAsset || f.generations.only(t).Source.AssetID != ownAsset {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestRegenerateRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		parent func(g *kinora.Generation)
		body   string
		status int
	}{
		"a source":                              {nil, `{"source_asset_id":"` + ownAsset + `"}`, 400},
		"a source URL":                          {nil, `{"source_url":"https://a.example/"}`, 400},
		"an empty source":                       {nil, `{"source_url":""}`, 400},
		"a file":                                {nil, `{"file":"x"}`, 400},
		"a parent being fetched":                {func(g *kinora.Generation) { g.State, g.SourceAssetID = kinora.GenerationIngesting, "" }, ``, 422},
		"its source is still being taken":       {func(g *kinora.Generation) { g.SourceAssetID, g.AwaitedAssetID = "", pendingAsset }, ``, 422},
		"its awaited source is gone":            {func(g *kinora.Generation) { g.SourceAssetID, g.AwaitedAssetID = "", "src_01JXSRC0000000000000000009" }, ``, 422},
		"a parent without source":               {func(g *kinora.Generation) { g.SourceAssetID = "" }, ``, 422},
		"a task":                                {func(g *kinora.Generation) { g.Request = nil }, ``, 422},
		"its source was removed":                {func(g *kinora.Generation) { g.SourceAssetID = "src_01JXSRC0000000000000000009" }, ``, 422},
		"another organisation's":                {func(g *kinora.Generation) { g.OrganisationID = otherID }, ``, 404},
		"a rule broken":                         {nil, `{"room_types":["Kitchen","Bathroom"]}`, 422},
		"mode for a panorama":                   {nil, `{"capture_type":"panorama360","mode":"furnish"}`, 422},
		"what the new row needs":                {func(g *kinora.Generation) { g.Request.Mode, g.Request.RoomTypes = "clean", nil }, `{"mode":"furnish"}`, 422},
		"the parent's style is no longer there": {func(g *kinora.Generation) { g.Request.StylePreset = "Gothic" }, ``, 422},
		"no JSON":                               {nil, `{`, 400},
	} {
		f, _ := createFixture(t)
		g := parentOf(furnished())
		if tt.parent != nil {
			tt.parent(g)
		}
		f.generations.store(g)
		w := f.regenerate(jobOne, tt.body)
		if problem(t, w); w.Code != tt.status || len(f.generations.accepted) != 0 {
			t.Errorf("%s: answered %d %s", name, w.Code, w.Body)
		}
	}
	f, _ := createFixture(t)
	f.generations.store(parentOf(furnished()))
	noKey := func(r *http.Request) { r.Header.Del("Idempotency-Key") }
	if w := f.regenerate(jobOne, "", noKey); w.Code != 400 {
		t.Errorf("without a key: answered %d %s", w.Code, w.Body)
	}
	if w := f.regenerate(jobOne, "x=1", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }); w.Code != 415 {
		t.Errorf("a form: answered %d %s", w.Code, w.Body)
	}
	for _, id := range []string{"job_00000000000000000000000000", "x"} {
		if w := f.regenerate(id, ""); w.Code != 404 {
			t.Errorf("%s: answered %d %s", id, w.Code, w.Body)
		}
	}
}

// A key is good for the regenerates of one generation.
func TestRegenerateIsIdempotent(t *testing.T) {
	f, _ := createFixture(t)
	f.generations.store(parentOf(furnished()))
	other := parentOf(furnished())
	other.ID = "job_01HF8Z3KQX2A6Y4N3R8M5W7V9Q"
	f.generations.store(other)
	key := func(r *http.Request) { r.Header.Set("Idempotency-Key", "k") }
	first, again := f.regenerate(jobOne, "", key), f.regenerate(jobOne, "{}", key)
	if first.Code != 202 || again.Body.String() != first.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("answered %d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if w := f.regenerate(jobOne, `{"style_preset":"Coastal"}`, key); w.Code != 409 {
		t.Errorf("another body: answered %d %s", w.Code, w.Body)
	}
	if w := f.regenerate(other.ID, "", key); w.Code != 202 || decodeRecord(t, w).JobID == decodeRecord(t, first).JobID {
		t.Errorf("of another generation: answered %d %s", w.Code, w.Body)
	}
}
