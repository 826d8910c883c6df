package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/kinora/kinora"
)

// maxKeyBytes is longer than every key, ours and imported ones.
const maxKeyBytes = 512

// authenticate finds out who sends the request, on routes that ask for it. Which kinds of keys there are is the
// Authenticator's knowledge: here a key is whatever a Bearer header can carry.
func (s *Server) authenticate(ctx context.Context, x *exchange, r *http.Request) error {
	if a := actingOf(ctx); a != nil {
		return s.authenticateActor(ctx, x, a)
	}
	switch x.route.auth {
	case keyed:
		token, ok := bearer(r.Header)
		if !ok {
			return refuse(kinora.ErrUnauthorized, "missing or malformed API key; send Authorization: Bearer <key>")
		}
		key, organisation, err := s.cfg.Authenticator.Authenticate(ctx, token)
		if err != nil {
			return err
		}
		x.key, x.organisation = key, organisation
	case adminned:
		token, ok := bearer(r.Header)
		if !ok || !s.isAdmin(token) {
			return refuse(kinora.ErrUnauthorized, "missing or wrong admin token; send Authorization: Bearer <token>")
		}
	}
	return nil
}

// isAdmin compares digests, so that neither length nor content of the token can be found out by timing.
func (s *Server) isAdmin(token string) bool {
	given := tokenDigest(token)
	return s.cfg.AdminToken != "" && subtle.ConstantTimeCompare(given[:], s.admin[:]) == 1
}

func tokenDigest(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// bearer returns the token of the one Authorization header (RFC 6750, section 2.1). The scheme's case does not matter;
// a token of anything but visible ASCII, or a second header, is malformed.
func bearer(h http.Header) (token string, ok bool) {
	values := h["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	const scheme = "bearer "
	v := values[0]
	if len(v) <= len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
		return "", false
	}
	token = strings.TrimLeft(v[len(scheme):], " ")
	if token == "" || len(token) > maxKeyBytes {
		return "", false
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return "", false
		}
	}
	return token, true
}
