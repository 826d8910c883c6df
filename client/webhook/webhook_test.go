package webhook_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/kinora/kinora/client/webhook"
)

const (
	// standardSecret is the one of the contracts' test vectors.
	standardSecret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	otherStandard  = "whsec_b3RoZXJzZWNyZXRvdGhlcnNlY3JldG90aGVyc2VjMzI="
	importedSecret = "an-imported-secret"
)

var sentAt = time.Unix(1790000000, 0)

// vector is one delivery with the signatures that the contract gives for it.
type vector struct {
	body, id, timestamp, signature, hex string
}

// The vectors of the generations API contract, 10.3, and of the submit API contract, 4.4.
var vectors = map[string]vector{
	"generations API": {
		body:      `{"event_type":"generation.failed","job_id":"job_01JXJ0B0000000000000000001","source_asset_id":"src_01JXSRC0000000000000000001","reference":"listing-123","outputs":[],"failure":{"code":"quality_rejected","message":"no output passed review","retryable":true},"metadata":{"row":7}}`,
		id:        "evt_01JXEVT0000000000000000001",
		timestamp: "1790000000",
		signature: "v1,rwIFyjFQBv9w3e4EXsJhRww7OoR+LapZGj/HUo9e678=",
		hex:       "084ef427455d1b97cd84b617337a7f5ff939245eb4793e2b01d2d79526c4ffa4",
	},
	"submit API": {
		body:      `{"event_type":"generation.completed","job_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","source_asset_id":null,"reference":null,"outputs":[{"output_id":"out_01JXQ7T0000000000000000002","role":"primary","url":"https://files.example/t/01HF8Z3KQX2A6Y4N3R8M5W7V9P-0.mp4?sig=x","expires_at":"2026-06-14T10:46:30Z","content_type":"video/mp4","width":1280,"height":720}],"failure":null,"metadata":{}}`,
		id:        "evt_01JXEVT0000000000000000002",
		timestamp: "1781433090",
		signature: "v1,pnrCJ0poXPmhbvfVWGtr4pev7TnqNkNFii+OhAUtzrw=",
		hex:       "65357fcb9d81c646ea72808d758e31455c8d2e1775f9856601a92167a0cd87de",
	},
}

// body is a genuine event for tests that are not about its contents.
const body = `{"event_type":"generation.completed","job_id":"job_1","source_asset_id":null,"reference":null,"outputs":[],"failure":null,"metadata":{}}`

// sign makes the headers that the sender makes: hex with the first secret and, when there is a
// second one, -previous with that; one standard signature per whsec_ secret.
func sign(t testing.TB, id string, at time.Time, rawBody string, secrets ...string) http.Header {
	t.Helper()
	h := http.Header{}
	for i, secret := range secrets {
		text, err := webhook.SignHex(secret, []byte(rawBody))
		if err != nil {
			t.Fatal(err)
		}
		h.Set([]string{webhook.HeaderHexSignature, webhook.HeaderHexSignaturePrevious}[i], text)

		standard, err := webhook.SignStandard(secret, id, at, []byte(rawBody))
		if err != nil {
			continue
		}
		if before := h.Get(webhook.HeaderSignature); before != "" {
			standard = before + " " + standard
		}
		h.Set(webhook.HeaderID, id)
		h.Set(webhook.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		h.Set(webhook.HeaderSignature, standard)
	}
	return h
}

// newVerifier makes a Verifier whose clock stands at sentAt.
func newVerifier(t testing.TB, secrets []string, opts ...webhook.Option) *webhook.Verifier {
	t.Helper()
	opts = append([]webhook.Option{webhook.WithClock(func() time.Time { return sentAt })}, opts...)
	v, err := webhook.NewVerifier(secrets, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
