package kling

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/kinora/kinora/provider"
)

// The life of a token, as Kling's documents have it.
const (
	tokenLife   = 30 * time.Minute
	tokenBefore = 5 * time.Second
)

// authorization is the header for a call to a family: the API key, or for the older
// family a token made for this very call, so that one which has expired is never sent. False = the
// account has nothing that opens the family.
func authorization(account provider.Account, f family, now time.Time) (string, bool) {
	if key := account.Settings[SettingAPIKey]; key != "" {
		return "Bearer " + key, true
	}
	access, secret := account.Settings[SettingAccessKey], account.Settings[SettingSecretKey]
	if f == modern || access == "" || secret == "" {
		return "", false
	}
	return "Bearer " + token(access, secret, now), true
}

// untimely says that an answer refuses a token of two keys for its time alone.
func untimely(account provider.Account, a provider.Answer) bool {
	code := codeOf(a)
	return account.Settings[SettingAPIKey] == "" && (code == codeTooEarly || code == codeExpired)
}

// token makes a JSON Web Token (HS256) with the three claims that Kling reads; others it
// refuses.
func token(access, secret string, now time.Time) string {
	claims, _ := json.Marshal(struct { // three plain fields, which can always be marshalled
		Issuer    string `json:"iss"`
		Expires   int64  `json:"exp"`
		NotBefore int64  `json:"nbf"`
	}{access, now.Add(tokenLife).Unix(), now.Add(-tokenBefore).Unix()})
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}
