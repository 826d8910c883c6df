package kling

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// handler is a handler that knows who asks. One that returns an error has not written
// anything.
type handler func(http.ResponseWriter, *http.Request, *account) error

// withAccount finds out who asks.
func (s *Simulator) withAccount(f family, h handler) http.HandlerFunc {
	return answerErrors(func(w http.ResponseWriter, r *http.Request) error {
		a, bad := s.authenticate(r.Header.Get("Authorization"), f)
		if bad != nil {
			s.count(func(c *counts) { c.unauthorized++ })
			return bad
		}
		return h(w, r, a)
	})
}

func (s *Simulator) authenticate(header string, f family) (*account, *failure) {
	if header == "" {
		return nil, problem(1001, "Authorization is empty")
	}
	given, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || given == "" || strings.ContainsAny(given, " \t") {
		return nil, problem(1002, "Authorization is invalid")
	}
	for _, a := range s.accounts {
		if same(given, a.Key) {
			return a, nil
		}
	}
	if strings.Count(given, ".") != 2 || f == modern {
		return nil, problem(1000, "authentication failed")
	}
	return s.byToken(given)
}

// same compares without telling by its time how much is right.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// claims are the three that a token has.
type claims struct {
	Issuer    *string `json:"iss"`
	Expires   *int64  `json:"exp"`
	NotBefore *int64  `json:"nbf"`
}

// byToken checks a token: three parts, HS256, exactly three claims, the secret key's
// signature, and the time.
func (s *Simulator) byToken(token string) (*account, *failure) {
	parts := strings.Split(token, ".")
	var head struct{ Alg, Typ string }
	var c claims
	if !decode(parts[0], &head) || !decode(parts[1], &c) || head.Alg != "HS256" || head.Typ != "JWT" ||
		c.Issuer == nil || c.Expires == nil || c.NotBefore == nil {
		return nil, problem(1002, "Authorization is invalid")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, problem(1002, "Authorization is invalid")
	}
	var found *account
	for _, a := range s.accounts {
		if a.AccessKey == "" || a.AccessKey != *c.Issuer {
			continue
		}
		mac := hmac.New(sha256.New, []byte(a.SecretKey))
		mac.Write([]byte(parts[0] + "." + parts[1]))
		if hmac.Equal(mac.Sum(nil), signature) {
			found = a
		}
	}
	now := s.clock.Now()
	switch {
	case found == nil:
		return nil, problem(1000, "authentication failed")
	case now.Before(time.Unix(*c.NotBefore, 0)):
		return nil, problem(1003, "the token is not valid yet")
	case !now.Before(time.Unix(*c.Expires, 0)):
		return nil, problem(1004, "the token has expired")
	}
	return found, nil
}

// decode reads a part of a token; one with other fields than were asked for is refused.
func decode(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return false
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	return dec.Decode(into) == nil
}
