package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinora/kinora/client/webhook"
)

// contractSecret is the one of both contracts' test vectors.
const contractSecret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="

// contractVector is a delivery with the signatures that a contract gives for it.
type contractVector struct {
	body, id, timestamp, signature, hex string
	eventType, jobID                    string
}

// generationsVector is that of the generations API contract, 10.3.
var generationsVector = contractVector{
	body:      `{"event_type":"generation.failed","job_id":"job_01JXJ0B0000000000000000001","source_asset_id":"src_01JXSRC0000000000000000001","reference":"listing-123","outputs":[],"failure":{"code":"quality_rejected","message":"no output passed review","retryable":true},"metadata":{"row":7}}`,
	id:        "evt_01JXEVT0000000000000000001",
	timestamp: "1790000000",
	signature: "v1,rwIFyjFQBv9w3e4EXsJhRww7OoR+LapZGj/HUo9e678=",
	hex:       "084ef427455d1b97cd84b617337a7f5ff939245eb4793e2b01d2d79526c4ffa4",
	eventType: "generation.failed", jobID: "job_01JXJ0B0000000000000000001",
}

// submitVector is that of the submit API contract, 4.4.
var submitVector = contractVector{
	body:      `{"event_type":"generation.completed","job_id":"task_01HF8Z3KQX2A6Y4N3R8M5W7V9P","source_asset_id":null,"reference":null,"outputs":[{"output_id":"out_01JXQ7T0000000000000000002","role":"primary","url":"https://files.example/t/01HF8Z3KQX2A6Y4N3R8M5W7V9P-0.mp4?sig=x","expires_at":"2026-06-14T10:46:30Z","content_type":"video/mp4","width":1280,"height":720}],"failure":null,"metadata":{}}`,
	id:        "evt_01JXEVT0000000000000000002",
	timestamp: "1781433090",
	signature: "v1,pnrCJ0poXPmhbvfVWGtr4pev7TnqNkNFii+OhAUtzrw=",
	hex:       "65357fcb9d81c646ea72808d758e31455c8d2e1775f9856601a92167a0cd87de",
	eventType: "generation.completed", jobID: "task_01HF8Z3KQX2A6Y4N3R8M5W7V9P",
}

func (v contractVector) standard() []string {
	return []string{"--header", "webhook-id: " + v.id, "--header", "webhook-timestamp:" + v.timestamp, "-H", "Webhook-Signature: " + v.signature}
}

func (v contractVector) katalo() []string {
	return []string{"--header", "X-Katalo-Signature: " + v.hex}
}

func (v contractVector) sentAt(t *testing.T) time.Time {
	t.Helper()
	seconds, err := strconv.ParseInt(v.timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(seconds, 0)
}

// clockAt is a console's clock that stands still.
type clockAt time.Time

func (c clockAt) Now() time.Time { return time.Time(c) }

func (clockAt) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// verifyAt runs kinora webhook verify at an instant, with the contracts' secret in the environment.
func verifyAt(t *testing.T, at time.Time, stdin string, args ...string) invocation {
	t.Helper()
	var out, errOut bytes.Buffer
	c := newConsole(strings.NewReader(stdin), &out, &errOut)
	c.clock = clockAt(at)
	exit := c.run(t.Context(), append([]string{"webhook", "verify"}, args...))
	return invocation{exit: exit, out: out.String(), errOut: errOut.String()}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func join(lists ...[]string) (all []string) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func TestWebhookVerifyContractVectors(t *testing.T) {
	t.Setenv("KINORA_WEBHOOK_SECRET", contractSecret)
	for name, v := range map[string]contractVector{"generations API": generationsVector, "submit API": submitVector} {
		t.Run(name, func(t *testing.T) {
			at := v.sentAt(t).Add(12 * time.Second)

			got := verifyAt(t, at, v.body, join(v.standard(), v.katalo())...)
			if got.exit != exitOK || got.errOut != "" {
				t.Fatalf("exit %d: %s", got.exit, got.errOut)
			}
			for _, want := range []string{"verified by webhook-signature", v.id, v.eventType, v.jobID, "12.0 s ago", "✓ webhook-signature", "✓ x-katalo-signature"} {
				if !strings.Contains(got.out, want) {
					t.Errorf("%q is not told:\n%s", want, got.out)
				}
			}

			got = verifyAt(t, at, v.body, join(v.standard(), v.katalo(), []string{"--json", "-H", "x-katalo-attempt: 3"})...)
			want := map[string]any{
				"verified_by": "webhook-signature", "event_id": v.id, "event_type": v.eventType, "job_id": v.jobID,
				"sent_at": v.sentAt(t).UTC().Format(time.RFC3339), "age_seconds": 12.0, "attempt": 3.0,
				"signatures": []any{
					map[string]any{"header": "webhook-signature", "matches": true, "secret": 1.0},
					map[string]any{"header": "x-katalo-signature", "matches": true, "secret": 1.0},
				},
			}
			if diff := cmp.Diff(want, document(t, got.out)); diff != "" || got.exit != exitOK {
				t.Errorf("exit %d, JSON (-want +got):\n%s", got.exit, diff)
			}

			// The hex signature alone, which signs neither time nor id.
			got = verifyAt(t, at, v.body, join(v.katalo(), []string{"--json"})...)
			doc := document(t, got.out)
			if got.exit != exitOK || doc["verified_by"] != "x-katalo-signature" || doc["event_id"] != nil || doc["sent_at"] != nil || doc["age_seconds"] != nil {
				t.Errorf("hex alone: exit %d, %v", got.exit, doc)
			}
			if got = verifyAt(t, at, v.body, v.katalo()...); !strings.Contains(got.out, "a replay looks the same") {
				t.Errorf("hex alone says nothing about replays:\n%s", got.out)
			}

			// Years later, as a recording: only when asked for.
			later := at.Add(3 * 365 * 24 * time.Hour)
			if got = verifyAt(t, later, v.body, v.standard()...); got.exit != exitFailure || !strings.Contains(got.errOut, "1095 days ago") || !strings.Contains(got.errOut, "--ignore-age") {
				t.Errorf("old: exit %d: %s", got.exit, got.errOut)
			}
			if got = verifyAt(t, later, v.body, append(v.standard(), "--ignore-age")...); got.exit != exitOK || !strings.Contains(got.out, "not judged") {
				t.Errorf("old, age ignored: exit %d: %s%s", got.exit, got.out, got.errOut)
			}
			if got = verifyAt(t, at.Add(-time.Hour), v.body, v.standard()...); got.exit != exitFailure || !strings.Contains(got.errOut, "ahead of this machine's clock") {
				t.Errorf("from the future: exit %d: %s", got.exit, got.errOut)
			}
		})
	}
}

// What is read from where: files, standard input, a request as it was recorded.
func TestWebhookVerifySources(t *testing.T) {
	v := generationsVector
	at := v.sentAt(t)
	body := write(t, "body.json", v.body)
	recorded := write(t, "request.http", "POST /hooks HTTP/1.1\r\nHost: hooks.example:443\r\nwebhook-id: "+v.id+"\r\nwebhook-timestamp: "+v.timestamp+
		"\r\nwebhook-signature:   "+v.signature+"\r\n\r\n{\"not\":\"a header\"}")
	for name, test := range map[string]struct {
		env, stdin string
		args       []string
	}{
		"body in a file, headers recorded with LF": {contractSecret, "",
			[]string{body, "--headers", write(t, "headers", "webhook-id: "+v.id+"\nwebhook-timestamp: "+v.timestamp+"\nwebhook-signature: "+v.signature)}},
		"a whole recorded request":           {contractSecret, "", []string{body, "--headers", recorded}},
		"body on standard input, named":      {contractSecret, v.body, join([]string{"-"}, v.standard())},
		"secret as a flag":                   {"", v.body, join(v.standard(), []string{"--secret", contractSecret})},
		"secret on standard input":           {"", contractSecret + "\n", join([]string{body, "--secret-stdin"}, v.standard())},
		"several secrets in the variable":    {"whsec_b3RoZXI= " + contractSecret, v.body, v.standard()},
		"several secrets, each as a flag":    {"", v.body, join(v.standard(), []string{"--secret", "whsec_b3RoZXI=", "--secret", contractSecret})},
		"several secrets on standard input":  {"", "whsec_b3RoZXI=\r\n" + contractSecret + "\r\n", join([]string{body, "--secret-stdin"}, v.standard())},
		"headers from both, file and flags":  {contractSecret, "", join([]string{body, "--headers", write(t, "some", "host: hooks.example\n")}, v.standard())},
		"an imported secret with commas too": {"an,imported,secret " + contractSecret, v.body, v.standard()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KINORA_WEBHOOK_SECRET", test.env)
			if got := verifyAt(t, at, test.stdin, test.args...); got.exit != exitOK {
				t.Errorf("exit %d: %s", got.exit, got.errOut)
			}
		})
	}
}

// Whatever does not verify says why in one word for programs, and what to do for people.
func TestWebhookVerifyRefusals(t *testing.T) {
	v := generationsVector
	at := v.sentAt(t)
	hexOf := func(secret, body string) string {
		t.Helper()
		text, err := webhook.SignHex(secret, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return "x-katalo-signature: " + text
	}
	for name, test := range map[string]struct {
		secret, body string
		args         []string
		code, hint   string
	}{
		"changed body":     {contractSecret, strings.Replace(v.body, "listing-123", "listing-124", 1), join(v.standard(), v.katalo()), codeMismatch, "byte for byte"},
		"another secret":   {"whsec_b3RoZXI=", v.body, v.standard(), codeMismatch, "this organisation's secret"},
		"line end behind":  {contractSecret, v.body + "\r\n", v.standard(), codeMismatch, "line end"},
		"changed id":       {contractSecret, v.body, join([]string{"-H", "webhook-id: evt_2"}, v.standard()[2:], v.katalo()), codeMismatch, "x-katalo-signature does match"},
		"old and forged":   {contractSecret, v.body, join([]string{"-H", "webhook-timestamp: 1700000000"}, v.standard()[:2], v.standard()[4:]), codeMismatch, ""},
		"forged hex":       {contractSecret, v.body, []string{"-H", "x-katalo-signature: " + strings.Repeat("0", 64)}, codeMismatch, "byte for byte"},
		"hex in capitals":  {contractSecret, v.body, []string{"-H", strings.ToUpper(hexOf(contractSecret, v.body))}, codeBadForm, ""},
		"no signature":     {contractSecret, v.body, []string{"-H", "content-type: application/json"}, codeNoSignature, "x-katalo-signature"},
		"one of three":     {contractSecret, v.body, []string{"-H", "webhook-id: " + v.id}, codeBadForm, ""},
		"sent twice":       {contractSecret, v.body, join(v.standard(), v.standard()), codeBadForm, ""},
		"imported secret":  {"an-imported-secret", v.body, v.standard(), codeNoSignature, "checks x-katalo-signature only"},
		"genuine, no JSON": {contractSecret, "hello", []string{"-H", hexOf(contractSecret, "hello")}, codeBodyNoEvent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KINORA_WEBHOOK_SECRET", test.secret)
			got := verifyAt(t, at, test.body, append(test.args, "--json")...)
			if got.exit != exitFailure || got.out != "" {
				t.Fatalf("exit %d, out %q, err %s", got.exit, got.out, got.errOut)
			}
			failed, _ := document(t, got.errOut)["error"].(map[string]any)
			if hint, _ := failed["hint"].(string); failed["code"] != test.code || !strings.Contains(hint, test.hint) {
				t.Errorf("%v, want code %s and a hint with %q", failed, test.code, test.hint)
			}
			if strings.Contains(got.errOut, test.secret) {
				t.Error("the secret is shown")
			}
		})
	}
}

func TestWebhookVerifyUsage(t *testing.T) {
	v := generationsVector
	body := write(t, "body.json", v.body)
	large := write(t, "large.json", strings.Repeat(" ", webhook.DefaultMaxBody+1))
	for name, test := range map[string]struct {
		env, stdin string
		args       []string
		says       string
	}{
		"no secret":                {"", v.body, v.standard(), "no webhook secret"},
		"secret without content":   {"whsec_", v.body, v.standard(), "empty"},
		"no headers":               {contractSecret, v.body, nil, "no headers"},
		"header without a colon":   {contractSecret, v.body, []string{"-H", "Bearer sk-secret"}, "header 1"},
		"header without a name":    {contractSecret, v.body, []string{"-H", ": value"}, "header 1"},
		"no such body":             {contractSecret, "", join([]string{body + ".gone"}, v.standard()), "no such file"},
		"no such headers":          {contractSecret, "", []string{body, "--headers", body + ".gone"}, "no such file"},
		"body too large":           {contractSecret, "", join([]string{large}, v.standard()), "more than"},
		"standard input too large": {contractSecret, strings.Repeat(" ", webhook.DefaultMaxBody+1), v.standard(), "more than"},
		"both on standard input":   {"", contractSecret, append(v.standard(), "--secret-stdin"), "cannot hold both"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KINORA_WEBHOOK_SECRET", test.env)
			got := verifyAt(t, v.sentAt(t), test.stdin, test.args...)
			if got.exit != exitUsage || got.out != "" || !strings.Contains(got.errOut, test.says) || strings.Contains(got.errOut, "sk-secret") {
				t.Errorf("exit %d, out %q, err %s", got.exit, got.out, got.errOut)
			}
		})
	}
}

// While a secret is being rotated a receiver may know the new one, the old one or both.
func TestWebhookVerifyRotation(t *testing.T) {
	const fresh = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3MzI="
	at := time.Unix(1790000000, 0)
	body := generationsVector.body
	header := http.Header{}
	for name, secret := range map[string]string{webhook.HeaderHexSignature: fresh, webhook.HeaderHexSignaturePrevious: contractSecret} {
		text, err := webhook.SignHex(secret, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		header.Set(name, text)
	}
	var signatures []string
	for _, secret := range []string{fresh, contractSecret} {
		text, err := webhook.SignStandard(secret, "evt_1", at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, text)
	}
	args := []string{"-H", "webhook-id: evt_1", "-H", "webhook-timestamp: 1790000000", "-H", "webhook-signature: " + strings.Join(signatures, " ")}
	for name := range header {
		args = append(args, "-H", name+": "+header.Get(name))
	}
	for name, test := range map[string]struct {
		secrets string
		want    []string
	}{
		"the new one": {fresh, []string{"✓ webhook-signature\n", "✓ x-katalo-signature\n", "✗ x-katalo-signature-previous  made with none"}},
		"the old one": {contractSecret, []string{"✓ webhook-signature\n", "✗ x-katalo-signature  made with none", "✓ x-katalo-signature-previous\n"}},
		"both": {fresh + " " + contractSecret, []string{"✓ webhook-signature  made with secret 1", "✓ x-katalo-signature  made with secret 1",
			"✓ x-katalo-signature-previous  made with secret 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KINORA_WEBHOOK_SECRET", test.secrets)
			got := verifyAt(t, at, body, args...)
			if got.exit != exitOK || !strings.Contains(got.out, "verified by webhook-signature") {
				t.Fatalf("exit %d: %s%s", got.exit, got.out, got.errOut)
			}
			for _, want := range test.want {
				if !strings.Contains(got.out, want) {
					t.Errorf("%q is not told:\n%s", want, got.out)
				}
			}
		})
	}
}

// What arrives from outside is shown without what would drive a terminal.
func TestWebhookVerifyShowsForeignTextSafely(t *testing.T) {
	t.Setenv("KINORA_WEBHOOK_SECRET", contractSecret)
	body := "{\"event_type\":\"a\\u001b[2Jb\",\"job_id\":\"\\u202ejob\"}"
	hex, err := webhook.SignHex(contractSecret, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	got := verifyAt(t, time.Now(), body, "-H", "x-katalo-signature: "+hex)
	if got.exit != exitOK || strings.ContainsAny(got.out, "\x1b\u202e") {
		t.Errorf("exit %d: %q", got.exit, got.out)
	}
}
