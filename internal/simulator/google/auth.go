package google

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// token is an access token that was granted.
type token struct {
	account *Account
	until   time.Time
}

// withAccount finds out who asks: by the key at the Gemini API, by an access token on Vertex
// and in Cloud Storage. A project in the path has to be the account's.
func (s *Simulator) withAccount(h handler) http.HandlerFunc {
	return answerErrors(func(w http.ResponseWriter, r *http.Request) error {
		a, f := s.account(r)
		if f != nil {
			s.count(func(c *counts) { c.unauthorized++ })
			return f
		}
		if project := r.PathValue("project"); project != "" && project != a.Project {
			return problem("PERMISSION_DENIED", "Permission denied on resource project.")
		}
		return h(w, r, a)
	})
}

func (s *Simulator) account(r *http.Request) (*Account, *failure) {
	if strings.HasPrefix(r.URL.Path, "/v1beta/") {
		key := r.Header.Get("X-Goog-Api-Key")
		for i := range s.cfg.Accounts {
			a := &s.cfg.Accounts[i]
			if a.Key != "" && subtle.ConstantTimeCompare([]byte(key), []byte(a.Key)) == 1 {
				return a, nil
			}
		}
		f := problem("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
		f.details = []object{{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}}
		return nil, f
	}
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	granted, ok := s.tokens[bearer]
	if !ok || s.clock.Now().After(granted.until) {
		f := problem("UNAUTHENTICATED", "Request had invalid authentication credentials.")
		f.array = true // as the front end answers
		return nil, f
	}
	return granted.account, nil
}

// grant is POST /token (RFC 7523): a JWT that the service account has signed for an access token.
func (s *Simulator) grant(w http.ResponseWriter, r *http.Request) {
	a := s.asserted(r)
	if a == nil || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		writeJSON(w, http.StatusBadRequest, object{"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
		return
	}
	text := "ya29." + rand.Text()
	s.mu.Lock()
	s.counts.tokens++
	s.tokens[text] = token{a, s.clock.Now().Add(s.cfg.TokenLife)}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, object{"access_token": text, "token_type": "Bearer", "expires_in": int(s.cfg.TokenLife / time.Second)})
}

// asserted is whose service account has signed an assertion; nil = nobody's.
func (s *Simulator) asserted(r *http.Request) *Account {
	parts := strings.Split(r.FormValue("assertion"), ".")
	if len(parts) != 3 {
		return nil
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Audience string `json:"aud"`
		Scope    string `json:"scope"`
		Expires  int64  `json:"exp"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	signature, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || err2 != nil || json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for i := range s.cfg.Accounts {
		a := &s.cfg.Accounts[i]
		if a.Email == claims.Issuer && a.PublicKey != nil && rsa.VerifyPKCS1v15(a.PublicKey, crypto.SHA256, sum[:], signature) == nil {
			timely := claims.Expires > s.clock.Now().Unix() && strings.HasSuffix(claims.Audience, "/token")
			if timely && strings.Contains(claims.Scope, "cloud-platform") {
				return a
			}
		}
	}
	return nil
}

// publish is the key set of the webhooks.
func (s *Simulator) publish(w http.ResponseWriter, _ *http.Request) {
	s.count(func(c *counts) { c.keys++ })
	key := s.signer.PublicKey
	writeJSON(w, http.StatusOK, object{"keys": []object{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": keyID,
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}}})
}

const keyID = "simulated-1"

// sign makes the JWT of a webhook.
func (s *Simulator) sign(key *rsa.PrivateKey, audience string, now time.Time) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // a map of strings and numbers
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(object{"alg": "RS256", "typ": "JWT", "kid": keyID}) + "." +
		part(object{"iss": "https://generativelanguage.googleapis.com", "aud": audience, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return ""
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
