package consumers_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/npmtest"
)

// check is one question to a verifier that others have written.
type check struct {
	name     string
	delivery delivery
	header   string // for verifiers of one header: which
	secret   string
	genuine  bool
}

// rotated are three real deliveries: before a rotation, while its overlap lasts, and of an organisation that has taken over
// a secret that is none of Standard Webhooks.
type rotated struct {
	before, during, imported delivery

	oldSecret, newSecret, importedSecret string
}

func rotate(t *testing.T) rotated {
	t.Helper()
	w, other := newWorld(t), newWorld(t)
	r := rotated{oldSecret: w.secret(), importedSecret: "a-secret-from-elsewhere", before: w.record(t)}
	secret, err := w.Tenancy().RotateWebhookSecret(t.Context(), w.organisation(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.newSecret, r.during = secret.Text, w.record(t)
	if _, err := other.Tenancy().ImportWebhookSecret(t.Context(), other.organisation(), r.importedSecret, 0); err != nil {
		t.Fatal(err)
	}
	r.imported = other.record(t)
	return r
}

const strangeSecret = "whsec_Zm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2VkMzI="

// The official Standard Webhooks libraries verify our deliveries, whichever secret of a rotation the receiver knows, and
// nothing else.
func TestStandardWebhooksLibraries(t *testing.T) {
	r := rotate(t)
	if n := len(strings.Fields(r.during.header.Get(webhook.HeaderSignature))); n != 2 {
		t.Errorf("%d signatures while the overlap lasts", n)
	}
	for _, name := range []string{webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature} {
		if got := r.imported.header.Values(name); len(got) > 0 {
			t.Errorf("%s %q although the secret has no key for it", name, got)
		}
	}
	changed := bytes.Replace(r.during.body, []byte("order-17"), []byte("order-18"), 1)
	checks := []check{
		{name: "before, its secret", delivery: r.before, secret: r.oldSecret, genuine: true},
		{name: "before, the secret to come", delivery: r.before, secret: r.newSecret},
		{name: "during, the old secret", delivery: r.during, secret: r.oldSecret, genuine: true},
		{name: "during, the new secret", delivery: r.during, secret: r.newSecret, genuine: true},
		{name: "during, a strange secret", delivery: r.during, secret: strangeSecret},
		{name: "changed body", delivery: r.during.saying(string(changed)), secret: r.newSecret},
		{name: "changed id", delivery: r.during.with(webhook.HeaderID, "evt_2"), secret: r.newSecret},
		{name: "sent ten minutes ago", delivery: r.during.signedAt(t, time.Now().Add(-10*time.Minute), r.newSecret), secret: r.newSecret},
		{name: "headers taken off", delivery: r.imported, secret: r.newSecret},
	}
	t.Run("Go", func(t *testing.T) {
		for _, c := range checks {
			library, err := standardwebhooks.NewWebhook(c.secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := library.Verify(c.delivery.body, c.delivery.header); (err == nil) != c.genuine {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
	t.Run("JavaScript", func(t *testing.T) {
		dir, err := os.MkdirTemp(npm.Folder(t), "interop-") // below node_modules' folder, where imports are looked for
		if err != nil {
			t.Fatal(err)
		}
		answers(t, dir, checks, `
import { Webhook } from "standardwebhooks";
const verify = ({ body, headers, secret }) => {
  try {
    return new Webhook(secret).verify(body, headers).job_id !== undefined;
  } catch (error) {
    if (error.name !== "WebhookVerificationError") throw error;
    return false;
  }
};`)
	})
}

// Clients of the generations API take the whole header as hexadecimal, and the secret as it is shown: the page's own
// sample does, and verifies our deliveries with it.
func TestHexadecimalHeader(t *testing.T) {
	npmtest.Needs(t, "node")
	r := rotate(t)
	const now, before = webhook.HeaderHexSignature, webhook.HeaderHexSignaturePrevious
	if got := r.before.header.Values(before); len(got) > 0 {
		t.Errorf("%s %q before any rotation", before, got)
	}
	if got := r.imported.header.Values(before); len(got) > 0 {
		t.Errorf("%s %q after a rotation without overlap", before, got)
	}
	changed := bytes.Replace(r.during.body, []byte("order-17"), []byte("order-18"), 1)
	dir := t.TempDir()
	write(t, dir, "hexadecimal.mjs", snippet(t, "hexadecimal.mjs"))
	answers(t, dir, []check{
		{name: "before", delivery: r.before, header: now, secret: r.oldSecret, genuine: true},
		{name: "during, the new secret", delivery: r.during, header: now, secret: r.newSecret, genuine: true},
		{name: "during, the old secret", delivery: r.during, header: before, secret: r.oldSecret, genuine: true},
		{name: "during, the old secret in the new one's place", delivery: r.during, header: now, secret: r.oldSecret},
		{name: "imported", delivery: r.imported, header: now, secret: r.importedSecret, genuine: true},
		{name: "changed body", delivery: r.during.saying(string(changed)), header: now, secret: r.newSecret},
		{name: "strange secret", delivery: r.during, header: now, secret: strangeSecret},
		{name: "no header", delivery: r.during.with(now, ""), header: now, secret: r.newSecret},
		{name: "short header", delivery: r.during.with(now, r.during.header.Get(now)[:62]), header: now, secret: r.newSecret},
		{name: "not hexadecimal", delivery: r.during.with(now, strings.Repeat("zz", 32)), header: now, secret: r.newSecret},
	}, `
import { verifyHexadecimal } from "./hexadecimal.mjs";
const verify = ({ body, headers, header, secret }) => verifyHexadecimal(body, headers[header] ?? "", secret);`)
}

// answers has a JavaScript function verify answer the checks. Headers are named in lower case, as Node has them, and the
// body is a Buffer.
func answers(t *testing.T, dir string, checks []check, verify string) {
	t.Helper()
	type question struct {
		Body    string            `json:"body"` // base64
		Headers map[string]string `json:"headers"`
		Header  string            `json:"header"`
		Secret  string            `json:"secret"`
	}
	var questions []question
	for _, c := range checks {
		q := question{Body: base64.StdEncoding.EncodeToString(c.delivery.body), Headers: map[string]string{}, Header: c.header, Secret: c.secret}
		for name, values := range c.delivery.header {
			q.Headers[strings.ToLower(name)] = values[0]
		}
		questions = append(questions, q)
	}
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", write(t, dir, "checks.mjs", verify+`
import { readFileSync } from "node:fs";
const questions = JSON.parse(readFileSync(0));
console.log(JSON.stringify(questions.map((q) => verify({ ...q, body: Buffer.from(q.body, "base64") }))));
`))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var got []bool
	if err := json.Unmarshal(out, &got); err != nil || len(got) != len(checks) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, c := range checks {
		if got[i] != c.genuine {
			t.Errorf("%s: verified %v, want %v", c.name, got[i], c.genuine)
		}
	}
}
