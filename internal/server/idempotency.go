package server

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
)

const (
	idempotentReplay  = "Idempotent-Replayed"
	maxIdempotencyKey = 255
)

// idempotencyKey returns the Idempotency-Key header: 1 to 255 printable ASCII characters, or "" when there is none.
func idempotencyKey(h http.Header) (string, error) {
	values := h["Idempotency-Key"]
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(values) > 1 || key == "" || len(key) > maxIdempotencyKey {
		return "", badIdempotencyKey()
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", badIdempotencyKey()
		}
	}
	return key, nil
}

// requiredIdempotencyKey is idempotencyKey for the writes of the generations API, which all need one (contract,
// section 3). It is asked for before the body is read.
func requiredIdempotencyKey(h http.Header) (string, error) {
	key, err := idempotencyKey(h)
	if err == nil && key == "" {
		return "", refuse(errMalformed, "Idempotency-Key is required on writes: any text of 1 to %d printable ASCII characters", maxIdempotencyKey)
	}
	return key, err
}

func badIdempotencyKey() error {
	return refuse(errMalformed, "Idempotency-Key must be 1 to %d printable ASCII characters", maxIdempotencyKey)
}

// idempotencyOf is what makes a repeat of this write find what its first try made. hash is that of its body: a document's
// hash, or a formDigest's.
func idempotencyOf(r *http.Request, key, hash string) kinora.Idempotency {
	return kinora.Idempotency{Key: key, Scope: idempotencyScope(r), RequestHash: hash}
}

// idempotencyScope is what a key is good for: one method on one path, ids in it included. Paths here have one spelling.
func idempotencyScope(r *http.Request) string { return r.Method + " " + r.URL.Path }

// tellReplay says in the answer that it is about what an earlier request made. It goes before the body.
func (x *exchange) tellReplay(replayed bool) {
	if replayed {
		x.Header().Set(idempotentReplay, "true")
	}
}

// formDigest is the meaning of a multipart form, whatever its boundary and the order of fields with different names:
// the fields, and the SHA-256 of each file's bytes.
type formDigest struct{ parts []formPart }

type formPart struct {
	name  string
	kind  byte // 'v' = a value, 'f' = a file
	value string
}

func (d *formDigest) field(name, value string) {
	d.parts = append(d.parts, formPart{name, 'v', value})
}

// file notes a file by the SHA-256 of its bytes; what it is called does not count.
func (d *formDigest) file(name string, sum [sha256.Size]byte) {
	d.parts = append(d.parts, formPart{name, 'f', string(sum[:])})
}

// hash is the digest in hexadecimal. Values of one name count in their order.
func (d *formDigest) hash() string {
	parts := slices.Clone(d.parts)
	slices.SortStableFunc(parts, func(a, b formPart) int { return strings.Compare(a.name, b.name) })
	text := []byte("form")
	for _, p := range parts {
		// Every part says how long it is, so that no two forms share a text.
		for _, s := range []string{p.name, string(p.kind), p.value} {
			text = append(strconv.AppendInt(text, int64(len(s)), 10), ':')
			text = append(text, s...)
		}
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
