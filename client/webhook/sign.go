package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Names of the headers of a delivery (generations API contract, 10.3).
const (
	HeaderID        = "webhook-id"        // the event's id, the same on every attempt
	HeaderTimestamp = "webhook-timestamp" // unix seconds of this attempt
	HeaderSignature = "webhook-signature" // values of SignStandard, separated by a space

	HeaderHexSignature         = "x-katalo-signature"          // SignHex with the present secret
	HeaderHexSignaturePrevious = "x-katalo-signature-previous" // SignHex with the secret before a rotation, while both are valid
	HeaderDeliveryID           = "x-katalo-delivery-id"        // not signed
	HeaderEvent                = "x-katalo-event"              // not signed
	HeaderAttempt              = "x-katalo-attempt"            // 1-based number of the attempt; not signed
)

// SecretPrefix marks a secret whose rest is the base64 text of the Standard Webhooks key.
const SecretPrefix = "whsec_"

// MaxIDLength is the longest webhook-id that is signed or accepted, in bytes.
const MaxIDLength = 256

var (
	// ErrEmptySecret refuses the empty secret: anybody could sign with it.
	ErrEmptySecret = errors.New("webhook: the secret is empty")
	// ErrNotStandard says that a secret is not SecretPrefix followed by valid, padded, non-empty base64,
	// and so has no Standard Webhooks signature. It still works for the hex header.
	ErrNotStandard = errors.New("webhook: the secret is not whsec_ followed by base64")
)

// versionPrefix starts every signature of the only scheme that uses a shared secret;
// "v1a" is the specification's Ed25519 scheme.
const versionPrefix = "v1,"

// SignStandard returns one value for webhook-signature: "v1," and the padded base64 of
// HMAC-SHA256 over "{id}.{unix seconds}.{body}". During a rotation the header holds one
// value per secret, separated by a space, the new one first.
//
// body is the exact bytes that go on the wire; it is read, neither kept nor copied. Parts of a
// second are cut off, so send timestamp.Unix() as webhook-timestamp.
//
// It fails with ErrNotStandard for an imported secret, and with another error for an id that
// is empty, longer than MaxIDLength, holds a dot (the separator: the signed text would be
// ambiguous) or anything but visible ASCII, and for a time at or before 1970.
func SignStandard(secret, id string, timestamp time.Time, body []byte) (string, error) {
	key, err := standardKey(secret)
	if err != nil {
		return "", err
	}
	if !validID(id) {
		return "", fmt.Errorf("webhook: the id must be 1 to %d visible ASCII characters without a dot", MaxIDLength)
	}
	seconds := timestamp.Unix()
	if seconds <= 0 {
		return "", errors.New("webhook: the timestamp must be after 1970")
	}
	return standardSignature(key, id, strconv.FormatInt(seconds, 10), body), nil
}

// SignHex returns the value of x-katalo-signature: 64 lower-case hex characters of HMAC-SHA256
// over body. The key is the secret's literal text, "whsec_" included, never decoded.
//
// body is the exact bytes that go on the wire; it is read, neither kept nor copied. It fails only for the
// empty secret, with ErrEmptySecret.
func SignHex(secret string, body []byte) (string, error) {
	if secret == "" {
		return "", ErrEmptySecret
	}
	return hexSignature([]byte(secret), body), nil
}

// standardKey returns the key bytes that a secret's base64 part stands for.
func standardKey(secret string) ([]byte, error) {
	if secret == "" {
		return nil, ErrEmptySecret
	}
	encoded, ok := strings.CutPrefix(secret, SecretPrefix)
	// encoding/base64 skips line breaks; other languages' decoders do not.
	if !ok || encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return nil, ErrNotStandard
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, ErrNotStandard // err would show where in the secret the fault is
	}
	return key, nil
}

// standardSignature is SignStandard after all checks; seconds is the text of the header.
func standardSignature(key []byte, id, seconds string, body []byte) string {
	head := make([]byte, 0, len(id)+len(seconds)+2)
	head = append(head, id...)
	head = append(head, '.')
	head = append(head, seconds...)
	head = append(head, '.')

	mac := hmac.New(sha256.New, key)
	mac.Write(head)
	mac.Write(body)
	sum := mac.Sum(head[:0])

	text := make([]byte, 0, len(versionPrefix)+base64.StdEncoding.EncodedLen(sha256.Size))
	text = append(text, versionPrefix...)
	return string(base64.StdEncoding.AppendEncode(text, sum))
}

// hexSignature is SignHex after all checks.
func hexSignature(key, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// validID reports whether id can stand in front of a dot in the signed text.
func validID(id string) bool {
	if id == "" || len(id) > MaxIDLength {
		return false
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return true
}
