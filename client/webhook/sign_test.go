package webhook_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/kinora/kinora/client/webhook"
)

func TestSignVectors(t *testing.T) {
	for name, v := range vectors {
		t.Run(name, func(t *testing.T) {
			seconds, err := strconv.ParseInt(v.timestamp, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			got, err := webhook.SignStandard(standardSecret, v.id, time.Unix(seconds, 999), []byte(v.body))
			if err != nil || got != v.signature {
				t.Errorf("SignStandard = %q, %v; want %q", got, err, v.signature)
			}
			got, err = webhook.SignHex(standardSecret, []byte(v.body))
			if err != nil || got != v.hex {
				t.Errorf("SignHex = %q, %v; want %q", got, err, v.hex)
			}
		})
	}
}

func TestSignStandardRefuses(t *testing.T) {
	tests := map[string]struct {
		secret, id string
		at         time.Time
		want       error // nil: any
	}{
		"empty secret":           {"", "evt_1", sentAt, webhook.ErrEmptySecret},
		"no prefix":              {"dGVzdA==", "evt_1", sentAt, webhook.ErrNotStandard},
		"prefix alone":           {"whsec_", "evt_1", sentAt, webhook.ErrNotStandard},
		"not base64":             {"whsec_***", "evt_1", sentAt, webhook.ErrNotStandard},
		"no padding":             {"whsec_dGVzdA", "evt_1", sentAt, webhook.ErrNotStandard},
		"base64url":              {"whsec_-_-_", "evt_1", sentAt, webhook.ErrNotStandard},
		"line break inside":      {"whsec_dGVz\ndA==", "evt_1", sentAt, webhook.ErrNotStandard},
		"empty id":               {standardSecret, "", sentAt, nil},
		"dot in the id":          {standardSecret, "evt.1", sentAt, nil},
		"space in the id":        {standardSecret, "evt 1", sentAt, nil},
		"line break in the id":   {standardSecret, "evt\r\n1", sentAt, nil},
		"id outside ASCII":       {standardSecret, "évt", sentAt, nil},
		"id too long":            {standardSecret, strings.Repeat("e", webhook.MaxIDLength+1), sentAt, nil},
		"zero time":              {standardSecret, "evt_1", time.Time{}, nil},
		"the epoch":              {standardSecret, "evt_1", time.Unix(0, 0), nil},
		"secret of spaces alone": {"   ", "evt_1", sentAt, webhook.ErrNotStandard},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := webhook.SignStandard(tt.secret, tt.id, tt.at, []byte(body))
			if err == nil || got != "" || tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("got %q, %v; want error %v", got, err, tt.want)
			}
			if s := strings.TrimPrefix(tt.secret, "whsec_"); len(s) > 3 && strings.Contains(err.Error(), s) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestSignHexRefusesTheEmptySecret(t *testing.T) {
	if got, err := webhook.SignHex("", []byte(body)); !errors.Is(err, webhook.ErrEmptySecret) || got != "" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestSignDoesNotCopyTheBody: signing is on the way of every delivery, and bodies may be large.
func TestSignDoesNotCopyTheBody(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 4<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := webhook.SignStandard(standardSecret, "evt_1", sentAt, large); err != nil {
		t.Fatal(err)
	}
	if _, err := webhook.SignHex(standardSecret, large); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("signing 4 MiB allocated %d bytes", grown)
	}
}

// drawDelivery makes a secret, an id, a time near now, and a body.
func drawDelivery(t *rapid.T) (secret, id string, at time.Time, rawBody []byte) {
	key := rapid.SliceOfN(rapid.Byte(), 1, 80).Draw(t, "key")
	secret = webhook.SecretPrefix + base64.StdEncoding.EncodeToString(key)
	id = rapid.StringMatching(`[!-\-/-~]{1,64}`).Draw(t, "id")
	at = time.Now().Add(time.Duration(rapid.IntRange(-200, 200).Draw(t, "offset")) * time.Second)
	rawBody = rapid.SliceOf(rapid.Byte()).Draw(t, "body")
	return secret, id, at, rawBody
}

// TestReferenceLibraryVerifiesOurs checks SignStandard against the specification's own Go library.
func TestReferenceLibraryVerifiesOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret, id, at, rawBody := drawDelivery(t)
		reference, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		got, err := webhook.SignStandard(secret, id, at, rawBody)
		if err != nil {
			t.Fatal(err)
		}
		want, err := reference.Sign(id, at, rawBody)
		if err != nil || got != want {
			t.Fatalf("SignStandard = %q, the reference makes %q (%v)", got, want, err)
		}
		h := http.Header{}
		h.Set(webhook.HeaderID, id)
		h.Set(webhook.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		h.Set(webhook.HeaderSignature, got)
		if err := reference.Verify(rawBody, h); err != nil {
			t.Fatalf("the reference refuses ours: %v", err)
		}
	})
}

// TestWeVerifyTheReferenceLibrary is the other direction, through a whole Verifier. Bodies that are no events
// reach ErrBody, which comes after the signature.
func TestWeVerifyTheReferenceLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret, id, at, rawBody := drawDelivery(t)
		if rapid.Bool().Draw(t, "event") {
			rawBody = []byte(body)
		}
		reference, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := reference.Sign(id, at, rawBody)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set(webhook.HeaderID, id)
		h.Set(webhook.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		h.Set(webhook.HeaderSignature, signature)
		v, err := webhook.NewVerifier([]string{secret})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(h, rawBody); err != nil && !errors.Is(err, webhook.ErrBody) {
			t.Fatalf("we refuse the reference's signature: %v", err)
		}
	})
}

func BenchmarkSignStandard(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := webhook.SignStandard(standardSecret, "evt_01JXEVT0000000000000000001", sentAt, []byte(body)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignHex(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := webhook.SignHex(standardSecret, []byte(body)); err != nil {
			b.Fatal(err)
		}
	}
}
