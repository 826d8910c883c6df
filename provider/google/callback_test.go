package google

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var arrival = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

// signed is a per-request webhook of Google's (section 4).
func signed(id, aud string, change func(head, claims map[string]any)) provider.InboundCallback {
	head := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k1"}
	claims := map[string]any{"iss": "https://generativelanguage.googleapis.com", "aud": aud, "iat": arrival.Unix(), "exp": arrival.Add(3 * time.Minute).Unix()}
	if change != nil {
		change(head, claims)
	}
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, privateKey(), crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return provider.InboundCallback{
		Method: "POST", Path: "/callbacks/google/JOBTOKEN", Arrived: arrival,
		Header: http.Header{"Webhook-Signature": {text + "." + base64.RawURLEncoding.EncodeToString(signature)}, "Webhook-Id": {"w1"}, "Webhook-Timestamp": {"1"}},
		Body:   fmt.Appendf(nil, `{"type":"video.generated","version":"v1","timestamp":"2026-09-01T12:00:00Z","data":{"id":%q},"user_metadata":{"job":"x"}}`, id),
	}
}

func keySetJSON(ids ...string) string {
	var keys []map[string]string
	for _, id := range ids {
		keys = append(keys, map[string]string{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": id,
			"n": base64.RawURLEncoding.EncodeToString(privateKey().N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(privateKey().E)).Bytes()),
		})
	}
	out, _ := json.Marshal(map[string]any{"keys": append(keys, map[string]string{"kty": "EC", "kid": "other"}, map[string]string{"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"})})
	return string(out)
}

// callbackCases are calls that are refused, the first because the suite has no upstream that publishes keys.
// Those that are taken are in TestCallbacks.
func callbackCases(model string) []providertest.CallbackCase {
	named := func(in provider.InboundCallback) provider.InboundCallback { in.UpstreamModel = model; return in }
	changed := func(change func(head, claims map[string]any)) provider.InboundCallback {
		return named(signed("op", hook, change))
	}
	return []providertest.CallbackCase{
		{Name: "keys out of reach", In: named(signed("op-1", hook, nil)), Class: provider.Unavailable},
		{Name: "another algorithm", In: changed(func(head, _ map[string]any) { head["alg"] = "HS256" }), Class: provider.Credential},
		{Name: "none", In: changed(func(head, _ map[string]any) { head["alg"] = "none" }), Class: provider.Credential},
		{Name: "expired", In: changed(func(_, c map[string]any) { c["exp"] = arrival.Add(-time.Hour).Unix() }), Class: provider.Credential},
		{Name: "without an end", In: changed(func(_, c map[string]any) { delete(c, "exp") }), Class: provider.Credential},
	}
}

func TestCallbacks(t *testing.T) {
	u := providertest.NewUpstream(t)
	u.Answer(providertest.JSON(200, keySetJSON("k0", "k1")))
	up := u.With(geminiAccount)
	g := New()
	for name, tc := range map[string]struct {
		in    provider.InboundCallback
		model string
		want  provider.Callback
	}{
		"a video":          {signed(geminiOp, hook, nil), "veo-3.1-generate-preview", provider.Callback{UpstreamID: geminiOp, Verified: true, Hint: true}},
		"an unknown id":    {signed("op-1", hook, nil), "veo-3.1-generate-preview", provider.Callback{Verified: true, Hint: true}},
		"an interaction":   {signed("v1_abc", hook, nil), "gemini-omni-1.1-flash", provider.Callback{UpstreamID: "v1_abc", Verified: true, Hint: true}},
		"another audience": {signed("v1_abc", "kinora", nil), "gemini-omni-1.1-flash", provider.Callback{UpstreamID: "v1_abc", Verified: true, Hint: true, Doubt: "its audience is not the address that was registered"}},
		"several audiences": {signed("v1_abc", "", func(_, c map[string]any) { c["aud"] = []string{"x", hook} }), "gemini-omni-1.1-flash",
			provider.Callback{UpstreamID: "v1_abc", Verified: true, Hint: true}},
	} {
		tc.in.UpstreamModel = tc.model
		if got, err := g.VerifyCallback(up, tc.in); err != nil || fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tc.want)
		}
	}
	if r := u.Take(); len(r) != 1 || r[0].Target != "/.well-known/jwks.json" || len(r[0].Header.Values("X-Goog-Api-Key")) != 0 {
		t.Errorf("the keys were fetched by %+v", r)
	}

	good := signed("v1_abc", hook, nil)
	for name, spoil := range map[string]func(*provider.InboundCallback){
		"a changed signature": func(in *provider.InboundCallback) {
			s := []byte(in.Header.Get("Webhook-Signature"))
			s[len(s)-20] ^= 1
			in.Header.Set("Webhook-Signature", string(s))
		},
		"changed claims": func(in *provider.InboundCallback) {
			other := signed("v1_abc", "https://x.example/", nil).Header.Get("Webhook-Signature")
			a, b := splitToken(other), splitToken(in.Header.Get("Webhook-Signature"))
			in.Header.Set("Webhook-Signature", a[0]+"."+a[1]+"."+b[2])
		},
		"no token":  func(in *provider.InboundCallback) { in.Header = nil },
		"too early": func(in *provider.InboundCallback) { in.Arrived = arrival.Add(-10 * time.Minute) },
		"too late":  func(in *provider.InboundCallback) { in.Arrived = arrival.Add(10 * time.Minute) },
		"an unused key": func(in *provider.InboundCallback) {
			*in = signed("x", hook, func(h, _ map[string]any) { h["kid"] = "weak" })
		},
	} {
		in := good
		in.Header = good.Header.Clone()
		spoil(&in)
		if got, err := g.VerifyCallback(up, in); provider.AsError(err, "").Class != provider.Credential {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	vertex := vertexAccount(newTokenEndpoint(t))
	if _, err := g.VerifyCallback(provider.Upstream{Account: vertex}, good); err == nil {
		t.Error("a call for an account that is never called back was taken")
	}
	if New().RegistersCallback(vertex, "https://kinora.example") || New().RegistersCallback(geminiAccount, "") || !New().RegistersCallback(geminiAccount, "https://kinora.example") {
		t.Error("the Gemini API calls back, Vertex AI does not")
	}
	in := good
	in.Body = []byte("{")
	if _, err := g.VerifyCallback(up, in); provider.AsError(err, "").Class != provider.Invalid {
		t.Errorf("a body that is no JSON: %v", err)
	}
}

func splitToken(token string) (parts [3]string) {
	_, _ = fmt.Sscanf(token, "%s", &parts[0])
	n := 0
	parts[0] = ""
	for _, r := range token {
		if r == '.' {
			n++
			continue
		}
		parts[n] += string(r)
	}
	return parts
}

// published is a transport that answers with a key set, or fails, in no time.
type published struct {
	ids   []string
	fail  bool
	asked int
}

func (p *published) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked++
	if p.fail {
		return nil, fmt.Errorf("out of reach")
	}
	rec := &recorded{header: http.Header{}}
	return rec.answer(r, keySetJSON(p.ids...)), nil
}

func TestKeysAreKeptAndNotAskedForInAFlood(t *testing.T) {
	privateKey() // made outside the bubble
	synctest.Test(t, func(t *testing.T) {
		source := &published{ids: []string{"k1"}}
		up := provider.Upstream{Account: geminiAccount, Client: &http.Client{Transport: source}}
		g := New()
		verify := func(kid string) error {
			in := signed("v1_abc", hook, func(head, c map[string]any) {
				head["kid"], c["iat"], c["exp"] = kid, time.Now().Unix(), time.Now().Add(time.Minute).Unix()
			})
			in.Arrived = time.Now()
			_, err := g.VerifyCallback(up, in)
			return err
		}
		expect := func(what, kid string, taken bool, asked int) {
			t.Helper()
			err := verify(kid)
			if (err == nil) != taken || source.asked != asked {
				t.Errorf("%s: %v, keys were asked for %d times, want %d", what, err, source.asked, asked)
			}
		}
		expect("the first", "k1", true, 1)
		for range 100 {
			expect("a flood of unknown keys", "k2", false, 1)
		}
		time.Sleep(31 * time.Second)
		source.ids = []string{"k1", "k2"}
		expect("a new key", "k2", true, 2)
		expect("the old key", "k1", true, 2)
		time.Sleep(23 * time.Hour)
		expect("within a day", "k1", true, 2)
		time.Sleep(2 * time.Hour)
		source.fail = true
		expect("keys of yesterday", "k1", false, 3)
		expect("keys out of reach", "k1", false, 3)
		if err := verify("k1"); provider.AsError(err, "").Class != provider.Unavailable {
			t.Errorf("while the keys are out of reach: %v, want unavailable, so that the call is made again", err)
		}
		time.Sleep(31 * time.Second)
		source.fail = false
		expect("keys in reach again", "k1", true, 4)
	})
}
