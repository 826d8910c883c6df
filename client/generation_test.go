package client_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora/client"
)

func TestGeneration(t *testing.T) {
	at := func(minute, second int) time.Time { return time.Date(2026, 9, 21, 14, minute, second, 0, time.UTC) }
	completed, source, reference := at(15, 0), "src_01JXSRC0000000000000000001", "listing-123"
	tests := map[string]struct {
		body string
		want client.Generation
	}{
		"succeeded, the contract's example": {
			`{"job_id":"job_01JXJ0B0000000000000000001","status":"succeeded","workflow":"staging","capture_type":"photo","mode":"furnish",
 "room_types":["Living Room","Kitchen"],"style_preset":"Scandinavian","source_asset_id":"src_01JXSRC0000000000000000001",
 "reference":"listing-123","metadata":{"row":7},"parent_job_id":null,
 "outputs":[{"output_id":"out_01JXQ7T0000000000000000001","role":"primary","url":"https://files.example/o/1.jpg?sig=x","expires_at":"2026-09-21T14:30:00Z",
   "content_type":"image/jpeg","width":2048,"height":1365}],
 "failure":null,"created_at":"2026-09-21T14:13:20Z","updated_at":"2026-09-21T14:15:00Z","completed_at":"2026-09-21T14:15:00Z"}`,
			client.Generation{
				JobID: "job_01JXJ0B0000000000000000001", Status: client.GenerationSucceeded, Workflow: "staging", CaptureType: "photo", Mode: "furnish",
				RoomTypes: []string{"Living Room", "Kitchen"}, StylePreset: "Scandinavian", SourceAssetID: &source, Reference: &reference,
				Metadata: json.RawMessage(`{"row":7}`),
				Outputs: []client.Output{{ID: "out_01JXQ7T0000000000000000001", Role: "primary", URL: "https://files.example/o/1.jpg?sig=x",
					ExpiresAt: at(30, 0), ContentType: "image/jpeg", Width: 2048, Height: 1365}},
				CreatedAt: at(13, 20), UpdatedAt: at(15, 0), CompletedAt: &completed,
			},
		},
		"failed, nulls": {
			`{"job_id":"job_1","status":"failed","workflow":null,"capture_type":null,"mode":null,"room_types":null,"style_preset":null,"source_asset_id":null,"reference":null,"metadata":{},"parent_job_id":"job_0","outputs":[],
 "failure":{"code":"quality_rejected","message":"no output passed review","retryable":true},"created_at":"2026-09-21T14:13:20Z","updated_at":"2026-09-21T14:15:00Z","completed_at":null,"new_field":1}`,
			client.Generation{
				JobID: "job_1", Status: client.GenerationFailed, Metadata: json.RawMessage(`{}`), ParentJobID: "job_0", Outputs: []client.Output{},
				Failure:   &client.Failure{Code: "quality_rejected", Message: "no output passed review", Retryable: true},
				CreatedAt: at(13, 20), UpdatedAt: at(15, 0),
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, s, _ := scripted(t, reply(200, tt.body))
			got, err := c.Generation(t.Context(), tt.want.JobID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Error(diff)
			}
			if s.seen[0].method != "GET" || s.seen[0].path != "/prefix/api/v1/generations/"+tt.want.JobID {
				t.Errorf("%s %s", s.seen[0].method, s.seen[0].path)
			}
		})
	}
}

func TestGenerationErrors(t *testing.T) {
	c, s, _ := scripted(t, unavailable, reply(404, `{"error":{"code":"not_found","message":"no such job","retryable":false,"retry_after":null}}`))
	if _, err := c.Generation(t.Context(), "job_1"); !errors.Is(err, client.ErrNotFound) || len(s.seen) != 2 {
		t.Errorf("got %v after %d requests", err, len(s.seen))
	}
}

func TestTerminal(t *testing.T) {
	for status, want := range map[client.GenerationStatus]bool{
		client.GenerationIngesting: false, client.GenerationQueued: false, client.GenerationProcessing: false, "reviewing": false,
		client.GenerationSucceeded: true, client.GenerationFailed: true, client.GenerationCancelled: true,
	} {
		if status.Terminal() != want {
			t.Errorf("%s: %t", status, !want)
		}
	}
	for status, want := range map[client.TaskStatus]bool{
		client.TaskNotStarted: false, client.TaskRunning: false, "dreaming": false, client.TaskFinished: true, client.TaskFailed: true,
	} {
		if status.Terminal() != want {
			t.Errorf("%s: %t", status, !want)
		}
	}
}
