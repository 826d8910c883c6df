package server

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora"
)

// shownRecord is what tests read of a record.
type shownRecord struct {
	JobID         string  `json:"job_id"`
	Status        string  `json:"status"`
	SourceAssetID *string `json:"source_asset_id"`
	ParentJobID   *string `json:"parent_job_id"`
	Progress      int     `json:"progress"`
}

func decodeRecord(t *testing.T, w *httptest.ResponseRecorder) (record shownRecord) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &record); err != nil {
		t.Fatalf("answered %d %s: %v", w.Code, w.Body, err)
	}
	return record
}

func TestListGenerations(t *testing.T) {
	f := newFixture(t)
	is(t, f.do("GET", "/api/v1/generations", ""), 200, `{"generations":[],"next_cursor":null}`)
	is(t, f.do("GET", "/api/v1/generations?status=processing&reference=listing%201&model=m&workflow=w&source_asset_id=src_1&created_after=2026-06-14T10:30:00%2B02:00&created_before=2026-06-15T00:00:00Z", ""),
		200, `{"generations":[],"next_cursor":null}`)
	want := []kinora.GenerationSearch{{}, {State: kinora.GenerationRunning, Reference: "listing 1", Model: "m", Workflow: "w", Source: "src_1",
		Since: time.Date(2026, 6, 14, 8, 30, 0, 0, time.UTC), Until: time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)}}
	if diff := cmp.Diff(want, f.generations.searches, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("asked for:\n%s", diff)
	}
	for _, query := range []string{"status=running", "status=", "limit=0", "limit=101", "limit=x", "cursor=x", "created_after=yesterday", "reference=", "source_asset_id=", "model=a&model=b", "colour=red", "reference=%ff"} {
		if w := f.do("GET", "/api/v1/generations?"+query, ""); w.Code != 400 || !strings.Contains(w.Body.String(), `"code":"bad_request"`) {
			t.Errorf("%s: answered %d %s", query, w.Code, w.Body)
		}
	}
	w := f.do("GET", "/api/v1/generations?status=bogus", "")
	if !strings.Contains(w.Body.String(), `"status must be one of ingesting, queued, processing, succeeded, failed, cancelled"`) {
		t.Errorf("a wrong status: %s", w.Body)
	}
}

// A cursor goes on where its page ended, with the same filters of the same organisation and no others.
func TestListCursors(t *testing.T) {
	f := newFixture(t)
	f.generations.listed = func() ([]kinora.Listed, string, error) {
		g := &kinora.Generation{ID: taskOne, OrganisationID: ownID, State: kinora.GenerationSucceeded, Metadata: json.RawMessage(`{ "a" : 1 }`), CreatedAt: testTime, UpdatedAt: testTime}
		return []kinora.Listed{{Generation: g, Outputs: []kinora.Output{{ID: "out_1", BlobKey: "a.jpg"}}}, {Generation: g}}, "17-task_1", nil
	}
	w := f.do("GET", "/api/v1/generations?model=m&limit=2", "")
	var page struct {
		Generations []struct {
			JobID    string          `json:"job_id"`
			Metadata json.RawMessage `json:"metadata"`
			Outputs  []struct{ URL string }
		}
		NextCursor string `json:"next_cursor"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Generations) != 2 || page.NextCursor == "" {
		t.Fatalf("answered %d %s (%v)", w.Code, w.Body, err)
	}
	if one := page.Generations[0]; string(one.Metadata) != `{ "a" : 1 }` || len(one.Outputs) != 1 || one.Outputs[0].URL == "" {
		t.Errorf("the first is %+v", one)
	}
	cursor := "cursor=" + url.QueryEscape(page.NextCursor)
	for query, want := range map[string]int{
		"model=m&limit=7&" + cursor: 200, "limit=2&model=n&" + cursor: 400, cursor: 400, "model=m&cursor=" + page.NextCursor[1:]: 400,
	} {
		if w := f.do("GET", "/api/v1/generations?"+query, ""); w.Code != want {
			t.Errorf("%s: answered %d %s", query, w.Code, w.Body)
		}
	}
	if w := f.do("GET", "/api/v1/generations?model=m&"+cursor, "", key(otherKey)); w.Code != 400 {
		t.Errorf("another organisation's cursor was taken: %d", w.Code)
	}
	if got := f.generations.before; len(got) != 2 || got[1] != "17-task_1" {
		t.Errorf("went on at %q", got)
	}
}
