package blob

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// FilesPath is the start of the URL path under which objects are served; the object's key follows.
const FilesPath = "/files/"

const (
	// signatureVersion is part of what is signed. A change of the scheme changes it, so that no signature of one
	// scheme can pass in another.
	signatureVersion = "kinora-file-v1"

	// MinSigningKeyBytes is the shortest key that NewSigner takes.
	MinSigningKeyBytes = 32

	nonceBytes    = 9 // twelve characters, without padding
	maxQueryBytes = 2048
)

// Why a signed URL is refused. An expired URL is one that was valid once: its signature is right.
var (
	ErrSignature = errors.New("the URL's signature is not valid")
	ErrExpired   = errors.New("the URL has expired")
)

var encoding = base64.RawURLEncoding.Strict()

// Signer makes and checks URLs that open one object for a limited time, to whoever holds them. It signs version, expiry,
// nonce and path with HMAC-SHA256. The nonce makes two URLs for one object different, so that a client sees that it was
// given a fresh one. It is safe for concurrent use.
type Signer struct {
	keys atomic.Pointer[[][]byte]
}

// NewSigner returns a Signer that signs with the first key and accepts all of them: to rotate, put the new key in front
// and keep the old one until the last URL made with it has expired. Each key has at least MinSigningKeyBytes bytes and
// serves nothing else.
func NewSigner(keys ...[]byte) (*Signer, error) {
	s := &Signer{}
	if err := s.Replace(keys...); err != nil {
		return nil, err
	}
	return s, nil
}

// Replace changes the keys, as NewSigner takes them, for every call that begins after it returns. When it fails, nothing
// changes.
func (s *Signer) Replace(keys ...[]byte) error {
	if len(keys) == 0 {
		return errors.New("blob: signer: a key is needed")
	}
	list := make([][]byte, len(keys))
	for i, key := range keys {
		if len(key) < MinSigningKeyBytes {
			return fmt.Errorf("blob: signer: key %d has %d bytes, at least %d are needed", i+1, len(key), MinSigningKeyBytes)
		}
		list[i] = slices.Clone(key)
	}
	s.keys.Store(&list)
	return nil
}

// Sign returns the query string that makes path valid until expires, which is cut down to the second. path is the
// decoded URL path.
func (s *Signer) Sign(path string, expires time.Time) (query string) {
	random := make([]byte, nonceBytes)
	rand.Read(random) // never fails
	exp, nonce := strconv.FormatInt(expires.Unix(), 10), encoding.EncodeToString(random)
	return "exp=" + exp + "&n=" + nonce + "&sig=" + encoding.EncodeToString(mac((*s.keys.Load())[0], path, exp, nonce))
}

// Verify checks the query string of a request for path, the decoded URL path, and returns when the URL expires. Other
// parameters are ignored; they are not signed, so nothing may depend on them. Errors: ErrSignature, and ErrExpired from
// the moment of expiry on.
func (s *Signer) Verify(path, query string, now time.Time) (expires time.Time, err error) {
	if len(query) > maxQueryBytes {
		return time.Time{}, ErrSignature
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values["exp"]) != 1 || len(values["n"]) != 1 || len(values["sig"]) != 1 {
		return time.Time{}, ErrSignature
	}
	exp, nonce := values.Get("exp"), values.Get("n")
	seconds, numberErr := strconv.ParseInt(exp, 10, 64)
	sig, sigErr := decode(values.Get("sig"))
	_, nonceErr := decode(nonce)
	if numberErr != nil || sigErr != nil || nonceErr != nil || exp != strconv.FormatInt(seconds, 10) {
		return time.Time{}, ErrSignature
	}
	valid := false
	for _, key := range *s.keys.Load() {
		if hmac.Equal(sig, mac(key, path, exp, nonce)) {
			valid = true
		}
	}
	if !valid {
		return time.Time{}, ErrSignature
	}
	expires = time.Unix(seconds, 0).UTC()
	if !now.Before(expires) {
		return expires, ErrExpired
	}
	return expires, nil
}

// decode refuses all but one spelling. Strict alone does not: the decoder skips line ends.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, ErrSignature
	}
	return encoding.DecodeString(text)
}

// mac puts path last: neither exp nor nonce can hold a line end, so no two triples give the same text.
func mac(key []byte, path, exp, nonce string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(signatureVersion + "\n" + exp + "\n" + nonce + "\n" + path))
	return h.Sum(nil)
}

// URL returns the signed URL of the object under base, e.g. "https://media.example.com". base may have a path, for a proxy
// that takes it off again. The key has to end in the extension of its type: clients tell images from videos by it.
func (s *Signer) URL(base, key string, expires time.Time) (string, error) {
	if err := ValidateKey(key); err != nil {
		return "", err
	}
	if ext := path.Ext(key); ext == "" || ext == "." {
		return "", &Error{Op: "sign", Key: key, Kind: ErrInvalidKey, Err: errors.New("it has no extension")}
	}
	segments := strings.Split(key, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return strings.TrimRight(base, "/") + FilesPath + strings.Join(segments, "/") + "?" + s.Sign(FilesPath+key, expires), nil
}

// KeyOf returns the key in a decoded URL path under FilesPath, or ErrNotFound for a path that cannot lead to an object.
func KeyOf(path string) (string, error) {
	key, found := strings.CutPrefix(path, FilesPath)
	if !found || keyFault(key) != "" {
		return "", ErrNotFound
	}
	return key, nil
}
