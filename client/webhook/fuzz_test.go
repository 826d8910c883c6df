package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora/client/webhook"
)

// FuzzVerifyHeaders gives arbitrary headers and bodies to a receiver that knows both kinds of secrets. Whatever it
// accepts must hold a signature that a second, naive computation makes too.
func FuzzVerifyHeaders(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.id, v.timestamp, v.signature, v.hex, v.body)
		f.Add("", "", "", v.hex, v.body)
	}
	genuine := sign(f, "evt_1", sentAt, body, standardSecret)
	f.Add("evt_1", "1790000000", genuine.Get(webhook.HeaderSignature), "", body)
	f.Add("evt_1", "1790000000", "v2,x "+genuine.Get(webhook.HeaderSignature), genuine.Get(webhook.HeaderHexSignature), body)
	imported := sign(f, "evt_1", sentAt, body, importedSecret)
	f.Add("", "", "", imported.Get(webhook.HeaderHexSignature), body)
	f.Add("", "", "", strings.ToUpper(imported.Get(webhook.HeaderHexSignature)), body)
	f.Add("a.b", "+1", "v1,", "x", "")
	f.Add("evt_1", "9999999999999999999999", " , ,, v1", strings.Repeat("0", 64), "{}")

	verifier := newVerifier(f, []string{standardSecret, importedSecret})
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(standardSecret, webhook.SecretPrefix))
	if err != nil {
		f.Fatal(err)
	}
	digest := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}

	f.Fuzz(func(t *testing.T, id, timestamp, signature, hexSignature, rawBody string) {
		h := http.Header{}
		for name, value := range map[string]string{
			webhook.HeaderID: id, webhook.HeaderTimestamp: timestamp, webhook.HeaderSignature: signature, webhook.HeaderHexSignature: hexSignature,
		} {
			if value != "" {
				h.Set(name, value)
			}
		}
		event, err := verifier.Verify(h, []byte(rawBody))
		if err != nil && !errors.Is(err, webhook.ErrBody) {
			known := []error{webhook.ErrMissing, webhook.ErrMalformed, webhook.ErrTimestamp, webhook.ErrMismatch}
			if !slices.ContainsFunc(known, func(target error) bool { return errors.Is(err, target) }) {
				t.Fatalf("an error outside the documented list: %v", err)
			}
			return
		}
		standard := "v1," + base64.StdEncoding.EncodeToString(digest(key, fmt.Sprintf("%s.%s.%s", id, timestamp, rawBody)))
		bySignature := id != "" && slices.Contains(strings.Split(signature, " "), standard)
		byHex := id == "" && timestamp == "" && signature == "" && hexSignature == hex.EncodeToString(digest([]byte(importedSecret), rawBody))
		if !bySignature && !byHex {
			t.Fatalf("accepted without a signature: id %q, timestamp %q, %q, %q", id, timestamp, signature, hexSignature)
		}
		if err == nil && event.ID != id {
			t.Fatalf("event id %q, header %q", event.ID, id)
		}
	})
}
