package server

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestGenerationRecord(t *testing.T) {
	reference := "listing-123 <&>"
	at := testTime.Add(999 * time.Millisecond)
	record := func(state kinora.GenerationState) *kinora.Generation {
		return &kinora.Generation{
			ID: taskOne, OrganisationID: ownID, Surface: kinora.SurfaceSubmit, Kind: kinora.KindImage, State: state, Progress: 7,
			CreatedAt: at.In(time.FixedZone("", -7200)), UpdatedAt: at.Add(time.Second),
		}
	}
	failed := record(kinora.GenerationFailed)
	failed.Failure, failed.CompletedAt = kinora.NewFailure(kinora.FailureQualityRejected, "no output passed review"), at.Add(time.Second)
	refused := record(kinora.GenerationFailed)
	refused.Failure = kinora.NewFailure(kinora.FailureInvalidRequest, "no such size")
	cancelled := record(kinora.GenerationCancelled)
	unexplained := record(kinora.GenerationFailed)
	echoed := record(kinora.GenerationRunning)
	echoed.ID, echoed.Surface, echoed.Reference = jobOne, kinora.SurfaceGenerations, &reference
	echoed.Metadata = json.RawMessage("{ \"row\":\t7.0,\n\"html\":\"<b>\\u00e4\"\r\n}") // byte for byte, white space too
	queued := record(kinora.GenerationQueued)
	queued.ID, queued.Model, queued.ParentID = jobOne, "m", taskOne
	queued.Request = &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "furnish", RoomTypes: []string{"Kitchen"}, StylePreset: "Modern"}
	done := record(kinora.GenerationSucceeded)
	done.CompletedAt = at.Add(time.Second)

	body := func(id, status, reference, metadata, outputs, failure, completed string) string {
		return `{"job_id":"` + id + `","status":"` + status + `","workflow":null,"capture_type":null,"mode":null,` +
			`"room_types":null,"style_preset":null,"source_asset_id":null,"reference":` + reference + `,"metadata":` + metadata +
			`,"parent_job_id":null,"outputs":` + outputs + `,"failure":` + failure +
			`,"created_at":"2026-06-14T10:30:00Z","updated_at":"2026-06-14T10:30:01Z","completed_at":` + completed +
			`,"model":"","progress":7,"queue_position":null,"eta_seconds":null}`
	}
	tests := map[string]struct {
		g       *kinora.Generation
		outputs []kinora.Output
		outlook kinora.Outlook
		want    string
	}{
		"queued, of a workflow": {
			g: queued, outlook: kinora.Outlook{Position: 3, ETA: 4100 * time.Millisecond},
			want: `{"job_id":"` + jobOne + `","status":"queued","workflow":"staging","capture_type":"photo","mode":"furnish","room_types":["Kitchen"],` +
				`"style_preset":"Modern","source_asset_id":null,"reference":null,"metadata":{},"parent_job_id":"` + taskOne + `","outputs":[],"failure":null,` +
				`"created_at":"2026-06-14T10:30:00Z","updated_at":"2026-06-14T10:30:01Z","completed_at":null,"model":"m","progress":7,"queue_position":3,"eta_seconds":5}`,
		},
		"ingesting": {g: record(kinora.GenerationIngesting), want: body(taskOne, "ingesting", "null", "{}", "[]", "null", "null")},
		"queued":    {g: record(kinora.GenerationQueued), want: body(taskOne, "queued", "null", "{}", "[]", "null", "null")},
		"running, with what is echoed": {
			g:    echoed,
			want: body(jobOne, "processing", `"listing-123 <&>"`, "{ \"row\":\t7.0,\n\"html\":\"<b>\\u00e4\"\r\n}", "[]", "null", "null"),
		},
		"refused by the upstream": { // in a code of the contract's (6.3)
			g:    refused,
			want: body(taskOne, "failed", "null", "{}", "[]", `{"code":"upstream_error","message":"no such size","retryable":false}`, "null"),
		},
		"failed": {
			g: failed,
			want: body(taskOne, "failed", "null", "{}", "[]",
				`{"code":"quality_rejected","message":"no output passed review","retryable":true}`, `"2026-06-14T10:30:01Z"`),
		},
		"failed without a reason": {
			g: unexplained,
			want: body(taskOne, "failed", "null", "{}", "[]",
				`{"code":"internal_error","message":"the generation failed","retryable":true}`, "null"),
		},
		"cancelled": {
			g: cancelled,
			want: body(taskOne, "cancelled", "null", "{}", "[]",
				`{"code":"cancelled","message":"cancelled","retryable":false}`, "null"),
		},
		"succeeded": {
			g: done,
			outputs: []kinora.Output{
				{ID: "out_1", Role: "primary", BlobKey: "a.jpg", ContentType: "image/jpeg", Width: 2048, Height: 1365},
				{ID: "out_2", Role: "alternate", BlobKey: "b.jpg", ContentType: "image/jpeg", RemovedAt: at},
				{ID: "out_3", Role: "alternate", BlobKey: "c.mp4", ContentType: "video/mp4"},
			},
			want: body(taskOne, "succeeded", "null", "{}",
				`[{"output_id":"out_1","role":"primary","url":"https://files.example/a.jpg?sig=x&exp=1","expires_at":"2026-06-14T10:45:00Z","content_type":"image/jpeg","width":2048,"height":1365},`+
					`{"output_id":"out_3","role":"alternate","url":"https://files.example/c.mp4?sig=x&exp=1","expires_at":"2026-06-14T10:45:00Z","content_type":"video/mp4","width":null,"height":null}]`,
				"null", `"2026-06-14T10:30:01Z"`),
		},
		"succeeded, files gone": {g: done, want: body(taskOne, "succeeded", "null", "{}", "[]", "null", `"2026-06-14T10:30:01Z"`)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(c *Config) {
				c.FileURL = func(key string) (string, time.Time) {
					return "https://files.example/" + key + "?sig=x&exp=1", testTime.Add(15 * time.Minute)
				}
			})
			f.generations.store(tt.g, tt.outputs...)
			if !tt.g.State.Terminal() {
				f.generations.outlook = tt.outlook
			}
			w := f.do("GET", "/api/v1/generations/"+tt.g.ID, "")
			is(t, w, 200, tt.want)
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Content-Type": "application/json",
				"RateLimit-Limit": "1200", "RateLimit-Remaining": "1199", "RateLimit-Reset": "1",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Each read gives URLs of its own (contract, section 6).
func TestGenerationURLsAreFresh(t *testing.T) {
	f := newFixture(t)
	f.generations.store(&kinora.Generation{ID: taskOne, OrganisationID: ownID, State: kinora.GenerationSucceeded, CreatedAt: testTime},
		kinora.Output{ID: "out_1", BlobKey: "a.jpg"})
	first := f.do("GET", "/api/v1/generations/"+taskOne, "").Body.String()
	if second := f.do("GET", "/api/v1/generations/"+taskOne, "").Body.String(); first == second {
		t.Error("two reads gave the same URL")
	}
}

func TestGenerationErrors(t *testing.T) {
	envelope := func(code, message string, retryable, retryAfter string) string {
		return `{"error":{"code":"` + code + `","message":"` + message + `","retryable":` + retryable + `,"retry_after":` + retryAfter + `}}`
	}
	notFound := envelope("not_found", "generation not found", "false", "null")
	f := newFixture(t)
	f.generations.store(&kinora.Generation{ID: jobOne, OrganisationID: otherID, State: kinora.GenerationQueued, CreatedAt: testTime})
	for _, id := range []string{jobOne, taskOne, "x", "out_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "%00", "a%2fb"} {
		is(t, f.do("GET", "/api/v1/generations/"+id, ""), 404, notFound)
	}
	if len(f.generations.asked) != 2 {
		t.Errorf("these reached the store: %q", f.generations.asked)
	}
	is(t, f.do("GET", "/api/v1/generations/"+jobOne, "", key("sk-wrong")), 401, envelope("unauthorized", "unknown API key", "false", "null"))
	is(t, f.do("GET", "/api/v1/generations/"+jobOne, "", key(disabledKey)), 403,
		envelope("forbidden", "API access is switched off for this organisation", "false", "null"))
	is(t, f.do("GET", "/api/v1/generations/"+jobOne, "", key(brokenKey)), 503, envelope("internal_error", "the database is out of reach", "true", "1"))
	is(t, f.do("POST", "/api/v1/generations/"+jobOne, "{}"), 405, envelope("bad_request", "method POST is not allowed here", "false", "null"))
	w := f.do("GET", "/api/v1/nothing", "")
	is(t, w, 404, envelope("not_found", "no such route", "false", "null"))
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("errors may be cached")
	}
}
