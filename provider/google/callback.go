package google

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

const (
	// keysPath is where the Gemini API publishes the keys of per-request webhooks (section 4).
	keysPath = "/.well-known/jwks.json"
	// keysLife is how long published keys are believed (upstream-rules.md, section 2).
	keysLife = 24 * time.Hour
	// keysPause is the least time between two fetches, whatever calls come in: an id that nobody
	// knows must not make this server ask Google for each call.
	keysPause = 30 * time.Second
	// keysTimeout leaves the callback's answer its time.
	keysTimeout = 1500 * time.Millisecond
	// leeway is how far the clocks may be apart.
	leeway   = 5 * time.Minute
	maxToken = 8 << 10
)

// VerifyCallback implements provider.CallbackVerifier. A per-request webhook is signed by a JWT
// whose tie to the body is not documented: it proves that Google calls, and nothing else.
func (g *Google) VerifyCallback(up provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	s, err := siteOf(up)
	if err != nil {
		return provider.Callback{}, err
	}
	if s.vertex { // it has no webhooks (section 4)
		return provider.Callback{}, provider.Errorf(provider.Credential, "the account's upstream does not call back")
	}
	claims, err := g.keys.verify(&s, in)
	if errors.Is(err, errNoKeys) {
		return provider.Callback{}, &provider.Error{Class: provider.Unavailable, Message: "the callback's signature cannot be checked now", Err: err}
	}
	if err != nil {
		return provider.Callback{}, &provider.Error{Class: provider.Credential, Message: "the callback is not signed by the upstream", Err: err}
	}
	out := provider.Callback{Verified: true, Hint: true}
	if !claims.meant(in) {
		out.Doubt = "its audience is not the address that was registered"
	}
	var told struct {
		Data struct {
			ID lenient.Word `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(in.Body, &told); err != nil {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	// What the data of a video are is not documented: only what could be asked for names a job.
	id := string(told.Data.ID)
	switch familyOf(in.UpstreamModel) {
	case veo:
		if operationName(id, s.vertex) {
			out.UpstreamID = id
		}
	case omni:
		if interactionID.MatchString(id) {
			out.UpstreamID = id
		}
	}
	return out, nil
}

// RegistersCallback implements provider.CallbackRegistrar: Vertex AI has no webhooks.
func (*Google) RegistersCallback(a provider.Account, callbackURL string) bool {
	s, err := siteOf(provider.Upstream{Account: a})
	return err == nil && !s.vertex && s.hook(provider.Request{CallbackURL: callbackURL}) != ""
}

// claims are those of a webhook's JWT that are looked at.
type claims struct {
	Audience json.RawMessage `json:"aud"` // one or a list
	Expires  json.Number     `json:"exp"`
	Issued   json.Number     `json:"iat"`
	Before   json.Number     `json:"nbf"`
}

// meant says that the token is for the address that the call came to. Which host the address
// has is the server's knowledge; the path, with the attempt's token, is compared.
func (c *claims) meant(in provider.InboundCallback) bool {
	var list []string
	if one, ok := lenient.Text(c.Audience); ok {
		list = []string{one}
	} else if json.Unmarshal(c.Audience, &list) != nil {
		return false
	}
	for _, aud := range list {
		if u, err := url.Parse(aud); err == nil && u.EscapedPath() == in.Path {
			return true
		}
	}
	return false
}

// timely checks the times of a token against the call's arrival.
func (c *claims) timely(at time.Time) error {
	expires, err := c.Expires.Float64()
	switch {
	case err != nil:
		return errors.New("the token has no end")
	case at.Unix() > int64(expires)+int64(leeway/time.Second):
		return errors.New("the token has expired")
	}
	for _, from := range []json.Number{c.Issued, c.Before} {
		if begins, err := from.Float64(); err == nil && at.Unix() < int64(begins)-int64(leeway/time.Second) {
			return errors.New("the token is of a later time")
		}
	}
	return nil
}

// keySets keeps the published keys, by the address of the API.
type keySets struct {
	mu  sync.Mutex
	set map[string]*keySet
}

func newKeySets() *keySets { return &keySets{set: map[string]*keySet{}} }

type keySet struct {
	mu    sync.Mutex
	keys  map[string]*rsa.PublicKey
	had   time.Time // when keys were fetched
	asked time.Time // when a fetch last began
}

// errNoKeys says that a signature cannot be judged: the published keys are out of reach.
var errNoKeys = errors.New("the published keys could not be read")

// verify checks the JWT of a call: RS256 and nothing else, by one of the published keys.
func (k *keySets) verify(s *site, in provider.InboundCallback) (*claims, error) {
	token := ""
	if in.Header != nil {
		token = strings.TrimSpace(in.Header.Get("Webhook-Signature"))
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxToken {
		return nil, errors.New("there is no token")
	}
	var head struct {
		Algorithm string   `json:"alg"`
		KeyID     string   `json:"kid"`
		Critical  []string `json:"crit"`
	}
	var c claims
	if err := decode(parts[0], &head); err != nil || head.Algorithm != "RS256" || head.KeyID == "" || len(head.Critical) > 0 {
		return nil, errors.New("the token is of another kind")
	}
	if err := decode(parts[1], &c); err != nil {
		return nil, errors.New("the token has no claims")
	}
	if err := c.timely(in.Arrived); err != nil {
		return nil, err // before anybody is asked for a key
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return nil, errors.New("the signature is not base64")
	}
	key, err := k.key(s, head.KeyID)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		return nil, errors.New("the signature is wrong")
	}
	return &c, nil
}

func decode(part string, to any) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// key returns a published key by its id. The keys are fetched from the account's own API, when
// there are none, when they are old, or when the id is new, and not more often than keysPause.
func (k *keySets) key(s *site, id string) (*rsa.PublicKey, error) {
	base := s.base(veo)
	k.mu.Lock()
	set := k.set[base]
	if set == nil {
		set = &keySet{}
		k.set[base] = set
	}
	k.mu.Unlock()

	set.mu.Lock() // others wait for the fetch, which is short
	defer set.mu.Unlock()
	now := time.Now()
	fresh := now.Sub(set.had) < keysLife
	if key := set.keys[id]; key != nil && fresh {
		return key, nil
	}
	if !set.asked.IsZero() && now.Sub(set.asked) < keysPause {
		if !fresh { // the last fetch has failed
			return nil, errNoKeys
		}
		return nil, errors.New("the key is not known")
	}
	set.asked = now
	keys, err := fetchKeys(s.up.Client, base)
	if err != nil {
		return nil, err
	}
	set.keys, set.had = keys, now
	if key := keys[id]; key != nil {
		return key, nil
	}
	return nil, errors.New("the key is not published")
}

// fetchKeys reads a JWK set (RFC 7517); keys of other kinds, and weak ones, are left out.
func fetchKeys(client *http.Client, base string) (map[string]*rsa.PublicKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	defer cancel()
	req, err := http.NewRequest(http.MethodGet, base+keysPath, nil)
	if err != nil || client == nil {
		return nil, errNoKeys
	}
	a, err := provider.Do(ctx, provider.Upstream{Client: client}, provider.Reads, req)
	if err != nil || a.Status != http.StatusOK {
		return nil, errNoKeys
	}
	var set struct {
		Keys []struct {
			Kind      string `json:"kty"`
			ID        string `json:"kid"`
			Use       string `json:"use"`
			Algorithm string `json:"alg"`
			Modulus   string `json:"n"`
			Exponent  string `json:"e"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(a.Body, &set); err != nil {
		return nil, errNoKeys
	}
	out := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.Modulus, "="))
		e, errE := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.Exponent, "="))
		if k.Kind != "RSA" || k.ID == "" || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != "RS256" || errN != nil || errE != nil {
			continue
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if key.N.BitLen() >= 2048 && key.N.BitLen() <= 8192 && len(e) <= 4 && key.E > 1 {
			out[k.ID] = key
		}
	}
	return out, nil
}
