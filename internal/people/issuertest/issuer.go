// Package issuertest is a small OpenID Connect provider for tests: a real one, with keys, codes and a token endpoint that checks
// what it is sent. A person there signs in as Claims says, without being asked.
package issuertest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// ClientID and ClientSecret are those of the one client that it knows.
const (
	ClientID     = "kinora"
	ClientSecret = "the client's secret"
)

// Issuer is the provider; its URL is the issuer. Change Claims only while nobody signs in.
type Issuer struct {
	*httptest.Server
	Claims map[string]any // of the next id_token, over what is usual: ada@example.com, verified, subject sub-1
	Asked  int            // for tokens, so far

	t   testing.TB
	key *rsa.PrivateKey
	now func() time.Time

	mu    sync.Mutex
	codes map[string]url.Values // what a code was asked for with
}

// New starts a provider that ends with the test. now is the clock of its tokens.
func New(t testing.TB, now func() time.Time) *Issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t, key: key, now: now, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
			"userinfo_endpoint": i.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig",
			"n": encoded(key.N.Bytes()), "e": encoded(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.FormValue("redirect_uri")+"?"+i.Authorize(r.URL.String()).Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer an-access-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		i.answer(w, map[string]any{"sub": "sub-1", "email": "told.later@example.com", "email_verified": "true"})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *Issuer) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		i.t.Error(err)
	}
}

// Authorize does what a person does there, and returns the parameters that the browser comes back with.
func (i *Issuer) Authorize(redirectURL string) url.Values {
	i.t.Helper()
	u, err := url.Parse(redirectURL)
	if err != nil {
		i.t.Error(err)
		return nil
	}
	asked := u.Query()
	if asked.Get("response_type") != "code" || asked.Get("code_challenge_method") != "S256" || asked.Get("client_id") != ClientID || asked.Get("nonce") == "" || asked.Get("scope") != "openid email profile" {
		i.t.Errorf("asked with %v", asked)
	}
	code := rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.codes[code] = asked
	return url.Values{"code": {code}, "state": {asked.Get("state")}, "iss": {i.URL}}
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.Asked++
	refuse := func(code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + ClientSecret + `"}`))
	}
	if name, secret, _ := r.BasicAuth(); name != ClientID || secret != url.QueryEscape(ClientSecret) {
		refuse("invalid_client")
		return
	}
	asked, ok := i.codes[r.FormValue("code")]
	delete(i.codes, r.FormValue("code"))
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || asked.Get("code_challenge") != encoded(challenge[:]) || asked.Get("redirect_uri") != r.FormValue("redirect_uri") {
		refuse("invalid_grant")
		return
	}
	claims := map[string]any{"iss": i.URL, "aud": ClientID, "sub": "sub-1", "nonce": asked.Get("nonce"), "email": "Ada@Example.com", "email_verified": true, "name": "Ada",
		"iat": i.now().Unix(), "exp": i.now().Add(time.Minute).Unix()}
	for name, v := range i.Claims {
		claims[name] = v
	}
	i.answer(w, map[string]any{"access_token": "an-access-token", "token_type": "Bearer", "id_token": i.sign(claims)})
}

func (i *Issuer) sign(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		i.t.Error(err)
	}
	signed := encoded([]byte(`{"alg":"RS256","kid":"one"}`)) + "." + encoded(text)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		i.t.Error(err)
	}
	return signed + "." + encoded(signature)
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
