package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
)

const (
	testSecret     = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	otherSecret    = "whsec_b3RoZXJzZWNyZXRvdGhlcnNlY3JldG90aGVyc2VjMzI="
	importedSecret = "an-imported-secret"
)

func text(s string) *string { return &s }

func secretsOf(texts ...string) (list []kinora.WebhookSecret) {
	for _, s := range texts {
		list = append(list, kinora.WebhookSecret{Text: s})
	}
	return list
}

// TestContractVectors: the bodies and signatures that the generations API contract (10.3)
// and the submit API contract (4.4) give, made by what makes real deliveries.
func TestContractVectors(t *testing.T) {
	task := &kinora.Generation{ID: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P", State: kinora.GenerationSucceeded}
	files := func(key string) (string, time.Time) {
		return "https://files.example/t/" + key + "?sig=x", time.Date(2026, 6, 14, 10, 46, 30, 999, time.UTC)
	}
	tests := map[string]struct {
		notice                         Notice
		body, id, standard, hex, event string
		at                             int64
	}{
		"generations API": {
			notice: Notice{EventType: kinora.EventFailed, JobID: "job_01JXJ0B0000000000000000001", SourceAssetID: text("src_01JXSRC0000000000000000001"),
				Reference: text("listing-123"), Failure: kinora.NewFailure(kinora.FailureQualityRejected, "no output passed review"), Metadata: []byte(`{"row":7}`)},
			body:     `{"event_type":"generation.failed","job_id":"job_01JXJ0B0000000000000000001","source_asset_id":"src_01JXSRC0000000000000000001","reference":"listing-123","outputs":[],"failure":{"code":"quality_rejected","message":"no output passed review","retryable":true},"metadata":{"row":7}}`,
			id:       "evt_01JXEVT0000000000000000001",
			at:       1790000000,
			standard: "v1,rwIFyjFQBv9w3e4EXsJhRww7OoR+LapZGj/HUo9e678=",
			hex:      "084ef427455d1b97cd84b617337a7f5ff939245eb4793e2b01d2d79526c4ffa4",
			event:    "generation.failed",
		},
		"submit API": {
			notice: Payload(&kinora.Event{Type: kinora.EventCompleted}, task, []kinora.Output{{ID: "out_01JXQ7T0000000000000000002", Role: "primary",
				BlobKey: "01HF8Z3KQX2A6Y4N3R8M5W7V9P-0.mp4", ContentType: "video/mp4", Width: 1280, Height: 720}}, files),
			body:     `{"event_type":"generation.completed","job_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","source_asset_id":null,"reference":null,"outputs":[{"output_id":"out_01JXQ7T0000000000000000002","role":"primary","url":"https://files.example/t/01HF8Z3KQX2A6Y4N3R8M5W7V9P-0.mp4?sig=x","expires_at":"2026-06-14T10:46:30Z","content_type":"video/mp4","width":1280,"height":720}],"failure":null,"metadata":{}}`,
			id:       "evt_01JXEVT0000000000000000002",
			at:       1781433090,
			standard: "v1,pnrCJ0poXPmhbvfVWGtr4pev7TnqNkNFii+OhAUtzrw=",
			hex:      "65357fcb9d81c646ea72808d758e31455c8d2e1775f9856601a92167a0cd87de",
			event:    "generation.completed",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body, err := tt.notice.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if string(body) != tt.body {
				t.Errorf("body\n%s\nwant\n%s", body, tt.body)
			}
			h, err := signature{delivery: "dlv_1", event: tt.id, eventType: tt.notice.EventType, attempt: 3, at: time.Unix(tt.at, 0),
				secrets: secretsOf(testSecret), userAgent: "Kinora/1.2.3 (+webhooks)"}.headers(body)
			if err != nil {
				t.Fatal(err)
			}
			want := http.Header{}
			for k, v := range map[string]string{
				"content-type": "application/json", "user-agent": "Kinora/1.2.3 (+webhooks)", "x-katalo-signature": tt.hex,
				"x-katalo-delivery-id": "dlv_1", "x-katalo-event": tt.event, "x-katalo-attempt": "3", "webhook-id": tt.id,
				"webhook-signature": tt.standard, "webhook-timestamp": strconv.FormatInt(tt.at, 10),
			} {
				want.Set(k, v)
			}
			if diff := cmp.Diff(want, h); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPayload(t *testing.T) {
	link := func(key string) (string, time.Time) {
		return "https://f.example/" + key + "?a=1&b=<2>", time.Unix(1790000000, 5).In(time.FixedZone("", 7200))
	}
	event := func(g *kinora.Generation) *kinora.Event { return &kinora.Event{Type: kinora.EventTypeOf(g.State)} }
	outputs := []kinora.Output{{ID: "out_1", Role: "primary", BlobKey: "k", ContentType: "image/png"}}
	tests := map[string]struct {
		g    kinora.Generation
		want string
	}{
		"cancelled": {kinora.Generation{ID: "job_1", State: kinora.GenerationCancelled, Failure: kinora.NewFailure(kinora.FailureCancelled, "cancelled by the caller")},
			`{"event_type":"generation.failed","job_id":"job_1","source_asset_id":null,"reference":null,"outputs":[],"failure":{"code":"cancelled","message":"cancelled by the caller","retryable":false},"metadata":{}}`},
		"a failed one publishes no output": {kinora.Generation{ID: "job_1", State: kinora.GenerationFailed, Failure: kinora.NewFailure(kinora.FailureTimeout, "<late> & \"lost\"")},
			`{"event_type":"generation.failed","job_id":"job_1","source_asset_id":null,"reference":null,"outputs":[],"failure":{"code":"timeout","message":"<late> & \"lost\"","retryable":true},"metadata":{}}`},
		"what the upstream refused has a code of the contract's": {kinora.Generation{ID: "job_1", State: kinora.GenerationFailed, Failure: kinora.NewFailure(kinora.FailureInvalidRequest, "no such size")},
			`{"event_type":"generation.failed","job_id":"job_1","source_asset_id":null,"reference":null,"outputs":[],"failure":{"code":"upstream_error","message":"no such size","retryable":false},"metadata":{}}`},
		"empty reference is not an absent one": {kinora.Generation{ID: "job_1", State: kinora.GenerationSucceeded, Reference: text(""), Metadata: []byte("null")},
			`{"event_type":"generation.completed","job_id":"job_1","source_asset_id":null,"reference":"","outputs":[{"output_id":"out_1","role":"primary","url":"https://f.example/k?a=1&b=<2>","expires_at":"2026-09-21T14:13:20Z","content_type":"image/png","width":0,"height":0}],"failure":null,"metadata":{}}`},
		"metadata keeps its bytes": {kinora.Generation{ID: "job_1", State: kinora.GenerationCancelled, Metadata: []byte("{ \"b\":1.0,\n \"a\":\"\\u003c<&>\", \"n\":12345678901234567890 }")},
			`{"event_type":"generation.failed","job_id":"job_1","source_asset_id":null,"reference":null,"outputs":[],"failure":null,"metadata":{ "b":1.0,` + "\n" + ` "a":"\u003c<&>", "n":12345678901234567890 }}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Payload(event(&tt.g), &tt.g, outputs, link).Encode()
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestEncodeRefusesMetadataThatIsNotJSON(t *testing.T) {
	for _, bad := range []string{`{`, `{} {}`, `"a`, `{"a":1}}`, `,`} {
		if got, err := (Notice{Metadata: []byte(bad)}).Encode(); err == nil {
			t.Errorf("metadata %s gave %s", bad, got)
		}
	}
}

// keys are the seven keys in the contract's order.
var keys = []string{"event_type", "job_id", "source_asset_id", "reference", "outputs", "failure", "metadata"}

func checkBody(t interface{ Fatalf(string, ...any) }, body, metadata []byte) {
	if !json.Valid(body) {
		t.Fatalf("not JSON: %q", body)
	}
	if !bytes.HasSuffix(body, append(append([]byte(`,"metadata":`), metadata...), '}')) {
		t.Fatalf("metadata %q is not kept in %q", metadata, body)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	_, _ = dec.Token()
	for _, want := range keys {
		key, err := dec.Token()
		if err != nil || key != want {
			t.Fatalf("key %v (%v), want %s in %s", key, err, want, body)
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			t.Fatalf("value of %s: %v", want, err)
		}
	}
	if dec.More() {
		t.Fatalf("more than seven keys: %s", body)
	}
}

func TestEncodeAlwaysHasTheSevenKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		object := rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "metadata")
		var metadata bytes.Buffer
		enc := json.NewEncoder(&metadata)
		enc.SetEscapeHTML(rapid.Bool().Draw(rt, "escaped"))
		enc.SetIndent("", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(rt, "indent"))
		if err := enc.Encode(object); err != nil {
			rt.Fatal(err)
		}
		n := Notice{EventType: kinora.EventFailed, JobID: rapid.String().Draw(rt, "job"), Reference: text(rapid.String().Draw(rt, "reference")),
			Failure: &kinora.Failure{Message: rapid.String().Draw(rt, "message")}, Metadata: metadata.Bytes()}
		body, err := n.Encode()
		if err != nil {
			rt.Fatal(err)
		}
		checkBody(rt, body, metadata.Bytes())
	})
}

func FuzzEncodeMetadata(f *testing.F) {
	for _, seed := range []string{"{}", `{"a":1}`, "null", " {} ", "{\"a\":\"\xff\"}", `{"a":{"b":[1,2,{}]}}`, "{", "}{", "\u2028"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, metadata []byte) {
		body, err := Notice{JobID: "job_1", Metadata: metadata}.Encode()
		if err != nil || len(metadata) == 0 || string(metadata) == "null" {
			return
		}
		checkBody(t, body, metadata)
	})
}

func TestHeaders(t *testing.T) {
	body := []byte(`{"event_type":"generation.failed","job_id":"job_1"}`)
	at := time.Unix(1790000000, 123)
	hex := func(secret string) string { s, _ := webhook.SignHex(secret, body); return s }
	std := func(secret string) string { s, _ := webhook.SignStandard(secret, "evt_1", at, body); return s }
	tests := map[string]struct {
		secrets             []string
		now, previous, sigs string
	}{
		"one":                         {[]string{testSecret}, hex(testSecret), "", std(testSecret)},
		"rotated":                     {[]string{otherSecret, testSecret}, hex(otherSecret), hex(testSecret), std(otherSecret) + " " + std(testSecret)},
		"rotated twice":               {[]string{otherSecret, importedSecret, testSecret}, hex(otherSecret), hex(importedSecret), std(otherSecret) + " " + std(testSecret)},
		"imported":                    {[]string{importedSecret}, hex(importedSecret), "", ""},
		"prefix without base64":       {[]string{"whsec_???"}, hex("whsec_???"), "", ""},
		"rotated to an imported one":  {[]string{importedSecret, testSecret}, hex(importedSecret), hex(testSecret), std(testSecret)},
		"rotated from an imported on": {[]string{testSecret, importedSecret}, hex(testSecret), hex(importedSecret), std(testSecret)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, err := signature{event: "evt_1", at: at, secrets: secretsOf(tt.secrets...)}.headers(body)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{h.Get("x-katalo-signature"), h.Get("x-katalo-signature-previous"), h.Get("webhook-signature")}
			if diff := cmp.Diff([]string{tt.now, tt.previous, tt.sigs}, got); diff != "" {
				t.Error(diff)
			}
			for _, name := range []string{"webhook-id", "webhook-timestamp"} {
				if (h.Get(name) == "") != (tt.sigs == "") {
					t.Errorf("%s = %q beside signatures %q", name, h.Get(name), tt.sigs)
				}
			}
			for _, secret := range tt.secrets {
				if !strings.HasPrefix(secret, "whsec_d") && !strings.HasPrefix(secret, "whsec_b") {
					continue
				}
				official, err := standard.NewWebhook(secret)
				if err != nil {
					t.Fatal(err)
				}
				if err := official.VerifyIgnoringTimestamp(body, h); err != nil {
					t.Errorf("the official library: %v", err)
				}
			}
		})
	}
	if _, err := (signature{event: "evt_1", at: at}).headers(body); err == nil {
		t.Error("signed without a secret")
	}
}
