// Package seal keeps secrets unreadable at rest and derives the process's other keys,
// both from one master key.
//
// A [Ring] holds the current master key and those before it. [Ring.Seal] encrypts with
// AES-256-GCM under the current one and writes that key's id in front, so that after a
// rotation old texts stay readable and can be told from new ones: put the new key first,
// re-seal what [Ring.Stale] reports, then drop the old key. [Ring.Derive] makes keys for
// other purposes, such as the signatures of file URLs.
//
// Not its duty: where sealed texts are stored, when they are re-sealed, and hashing of
// what never has to be read again (API keys).
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
)

// What can be wrong with a sealed text. None of the texts says more, because what a
// sealed text holds, and how far it was understood, is nobody's business.
var (
	// ErrMalformed: the text was not made by Seal.
	ErrMalformed = errors.New("seal: not a sealed text")
	// ErrUnknownKey: it was sealed with a master key that is not in the ring.
	ErrUnknownKey = errors.New("seal: sealed with a master key that is not configured")
	// ErrTampered: text or context differ from what was sealed.
	ErrTampered = errors.New("seal: the sealed text does not belong here or was changed")
	// ErrNoKey: a ring needs at least one key.
	ErrNoKey = errors.New("seal: no master key")
)

// version starts every sealed text and is part of what is authenticated.
const version = "s1"

// encoding refuses all but one spelling of each text.
var encoding = base64.RawURLEncoding.Strict()

// Ring seals with its first key and opens with all. It is safe for concurrent use, and changes
// only by Replace.
type Ring struct {
	keys atomic.Pointer[[]ringKey]
}

type ringKey struct {
	id     string
	master Key
	aead   cipher.AEAD
}

// NewRing makes a ring of the current master key and, where a rotation is under way, those
// before it. The same key given twice counts once.
func NewRing(keys ...Key) (*Ring, error) {
	r := &Ring{}
	if err := r.Replace(keys...); err != nil {
		return nil, err
	}
	return r, nil
}

// Replace makes keys the ring's, as NewRing would, for every call that begins after it returns.
// A rotation needs it where a process is not to be started anew. When it fails, nothing changes.
func (r *Ring) Replace(keys ...Key) error {
	if len(keys) == 0 {
		return ErrNoKey
	}
	var list []ringKey
	for _, master := range keys {
		if master.IsZero() {
			return ErrNoKey
		}
		id := master.ID()
		if slices.ContainsFunc(list, func(k ringKey) bool { return k.id == id }) {
			continue
		}
		// The master key itself is never used as a cipher key: a derived one cannot
		// meet the keys of Derive.
		block, err := aes.NewCipher(expand(master, "kinora seal aes-256-gcm", 32))
		if err != nil {
			return err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return err
		}
		list = append(list, ringKey{id: id, master: master, aead: aead})
	}
	r.keys.Store(&list)
	return nil
}

// IDs names the keys, the current one first.
func (r *Ring) IDs() []string {
	ids := make([]string, 0, len(r.all()))
	for _, k := range r.all() {
		ids = append(ids, k.id)
	}
	return ids
}

func (r *Ring) all() []ringKey { return *r.keys.Load() }

// Seal encrypts plaintext. context says where the text belongs ("webhook_secret/" and the
// row's id); it is not stored, and Open needs the same one, so that a sealed text moved
// to another row opens nowhere. Sealing the same text twice gives two different results.
//
// Nonces are random: a key is good for about four thousand million texts.
func (r *Ring) Seal(plaintext []byte, context string) (string, error) {
	k := r.all()[0]
	sealed := k.aead.Seal(nil, nil, plaintext, associated(k.id, context))
	return version + "." + k.id + "." + encoding.EncodeToString(sealed), nil
}

// Open decrypts what Seal made with any key of the ring. Errors: ErrMalformed,
// ErrUnknownKey, ErrTampered.
func (r *Ring) Open(sealed, context string) ([]byte, error) {
	id, body, err := split(sealed)
	if err != nil {
		return nil, err
	}
	for _, k := range r.all() {
		if k.id != id {
			continue
		}
		plaintext, err := k.aead.Open(nil, nil, body, associated(id, context))
		if err != nil {
			return nil, ErrTampered
		}
		return plaintext, nil
	}
	return nil, ErrUnknownKey
}

// Stale reports whether a sealed text was made with another key than the current one, so
// that it has to be re-sealed before its key is dropped.
func (r *Ring) Stale(sealed string) bool {
	id := KeyOf(sealed)
	return id != "" && id != r.all()[0].id
}

// KeyOf is the id of the master key that a text was sealed with; empty when it is not a sealed text.
func KeyOf(sealed string) string {
	id, _, err := split(sealed)
	if err != nil {
		return ""
	}
	return id
}

// Derive returns n bytes (at most 8,160) for a purpose: always the same for the same current
// master key, unrelated to those of any other purpose. It panics when n is out of range.
func (r *Ring) Derive(purpose string, n int) []byte {
	return expand(r.all()[0].master, "kinora derive "+purpose, n)
}

// DeriveAll is Derive for every key of the ring, the current one first: what a verifier
// needs so that a rotation of the master key does not void what was signed before.
func (r *Ring) DeriveAll(purpose string, n int) [][]byte {
	keys := r.all()
	list := make([][]byte, len(keys))
	for i, k := range keys {
		list[i] = expand(k.master, "kinora derive "+purpose, n)
	}
	return list
}

// expand is HKDF-SHA256 without salt: the master key is uniformly random already (RFC 5869,
// section 3.1).
func expand(master Key, label string, n int) []byte {
	out, err := hkdf.Key(sha256.New, master.bytes[:], nil, label, n)
	if err != nil {
		panic("seal: " + err.Error()) // only for an n that no caller may ask for
	}
	return out
}

// associated is unambiguous: neither version nor id can hold a dot.
func associated(id, context string) []byte { return []byte(version + "." + id + "." + context) }

func split(sealed string) (id string, body []byte, err error) {
	head, rest, _ := strings.Cut(sealed, ".")
	id, text, found := strings.Cut(rest, ".")
	if head != version || !found || id == "" {
		return "", nil, ErrMalformed
	}
	// encoding/base64 skips line ends.
	if strings.ContainsAny(text, "\r\n") {
		return "", nil, ErrMalformed
	}
	if body, err = encoding.DecodeString(text); err != nil {
		return "", nil, ErrMalformed
	}
	return id, body, nil
}

// NewKey makes a random master key.
func NewKey() Key {
	var k Key
	rand.Read(k.bytes[:]) // never fails
	return k
}
