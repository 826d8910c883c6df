package people

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// The prefixes tell secret scanners, and people, what was found.
const (
	sessionPrefix = "kses_"
	setUpPrefix   = "kset_"
	linkPrefix    = "kinv_" // of invitations and links for a new password
)

// newToken makes a token with 256 random bits, and the form in which it is stored.
func newToken(prefix string) (token, hash string) {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	token = prefix + base64.RawURLEncoding.EncodeToString(random)
	return token, hashOf(token)
}

// hashOf is the form in which tokens are stored. They are random, so that nothing slower is needed, and being looked up by
// their hash they tell nothing by the time that an answer takes.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// formToken derives what a session's forms must carry. It follows from the session's token alone, so that every node knows
// it, and tells nothing about it.
func formToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("kinora form token"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
