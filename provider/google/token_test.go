package google

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

// recorded answers a request without a network.
type recorded struct{ header http.Header }

func (r *recorded) answer(req *http.Request, body string) *http.Response {
	return &http.Response{StatusCode: 200, Header: r.header, Body: io.NopCloser(strings.NewReader(body)), Request: req}
}

func TestTokensAreKeptUntilShortlyBeforeTheirEnd(t *testing.T) {
	e := newTokenEndpoint(t)
	up := provider.Upstream{Account: vertexAccount(e), Client: e.Client()}
	g := New()
	token := func() string {
		t.Helper()
		got, _, err := g.tokens.of(t.Context(), up)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { _, _, _ = g.tokens.of(t.Context(), up) })
	}
	wg.Wait()
	if got := token(); got != testToken || e.fetched.Load() != 1 {
		t.Errorf("%q after %d fetches", got, e.fetched.Load())
	}
	g.tokens.refused(up, "an older one")
	if got := token(); got != testToken {
		t.Errorf("after the refusal of an older one: %q", got)
	}
	g.tokens.refused(up, testToken)
	if got := token(); got != testToken+"-2" {
		t.Errorf("after a refusal: %q", got)
	}
	// Four minutes are less than a call may have to wait for.
	g.tokens.refused(up, testToken+"-2")
	e.life.Store(240)
	if a, b := token(), token(); a == b {
		t.Error("a token that ends soon is kept")
	}
	// Where no other can be had it is better than none.
	e.status.Store(503)
	if got := token(); !strings.HasPrefix(got, testToken) {
		t.Errorf("while the endpoint is away: %q", got)
	}
}

// A token that was good for an hour may be refused before: that tells nothing of the account
// until a fresh one is refused as well. Nothing was made of either.
func TestARefusedTokenIsReplaced(t *testing.T) {
	e, u, g := newTokenEndpoint(t), providertest.NewUpstream(t), New()
	up := u.With(vertexAccount(e))
	submit := func() error {
		_, err := g.Submit(t.Context(), up, video("veo-3.1-generate-001"))
		return err
	}
	u.Answer(providertest.JSON(200, `{"name":"`+vertexOp+`"}`))
	if err := submit(); err != nil {
		t.Fatal(err)
	}
	g.tokens.keeperOf(up).since = time.Now().Add(-tokenProof)
	u.Answer(refused(401, "UNAUTHENTICATED", "no"))
	for i, want := range []provider.Class{provider.Unavailable, provider.Credential, provider.Credential} {
		if err := submit(); provider.AsError(err, "").Class != want {
			t.Errorf("refusal %d: %v, want %s", i+1, err, want)
		}
	}
	if n := e.fetched.Load(); n != 3 {
		t.Errorf("%d tokens were fetched, want one and one after each refusal", n)
	}
}

func TestTokenFailures(t *testing.T) {
	e := newTokenEndpoint(t)
	for name, tc := range map[string]struct {
		status   int32
		settings []string
		class    provider.Class
	}{
		"refused":            {400, nil, provider.Credential},
		"away":               {503, nil, provider.Unavailable},
		"busy":               {429, nil, provider.Unavailable},
		"no JSON":            {0, []string{SettingServiceAccount, "{not json at all"}, provider.Credential},
		"no such file":       {0, []string{SettingServiceAccount, "/nowhere/secret-name.json"}, provider.Credential},
		"another kind":       {0, []string{SettingServiceAccount, `{"type":"external_account","credential_source":{"executable":{"command":"/bin/sh"}}}`}, provider.Credential},
		"no project":         {0, []string{SettingProject, "", SettingServiceAccount, `{"type":"service_account"}`}, provider.Permission},
		"a strange location": {0, []string{SettingLocation, "evil.example/"}, provider.Permission},
		"two back ends":      {0, []string{SettingAPIKey, testKey}, provider.Permission},
		"no back end":        {0, []string{SettingProject, "", SettingServiceAccount, ""}, provider.Credential},
	} {
		e.status.Store(tc.status)
		account := vertexAccount(e, tc.settings...)
		_, err := New().Submit(t.Context(), provider.Upstream{Account: account, Client: e.Client()}, video("veo-3.1-generate-001"))
		pe := provider.AsError(err, "")
		if err == nil || pe.Class != tc.class || strings.Contains(err.Error(), "secret-name") {
			t.Errorf("%s: %v, want %s", name, err, tc.class)
		}
		for cause := error(pe); cause != nil; cause = pe.Err {
			if strings.Contains(cause.Error(), "PRIVATE KEY") || strings.Contains(cause.Error(), "eyJ") {
				t.Errorf("%s: a secret shows in %v", name, cause)
			}
			if pe.Err == nil || cause == pe.Err {
				break
			}
		}
	}
}

func TestAccountsAreCheckedWithoutAskingAnybody(t *testing.T) {
	e := newTokenEndpoint(t)
	for name, tc := range map[string]struct {
		account provider.Account
		says    string
	}{
		"gemini":     {geminiAccount, ""},
		"vertex":     {vertexAccount(e, SettingStorageURI, "gs://bucket/x"), ""},
		"nothing":    {provider.Account{}, "neither an api_key nor a project"},
		"both":       {vertexAccount(e, SettingAPIKey, testKey), "both an api_key and a project"},
		"no account": {vertexAccount(e, SettingServiceAccount, "{}"), "not the JSON of a service account"},
		"no bucket":  {vertexAccount(e, SettingStorageURI, "s3://bucket"), "gs://bucket/folder"},
	} {
		err := New().CheckAccount(tc.account)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
	if e.fetched.Load() != 0 {
		t.Error("a token was fetched")
	}
}

// A token endpoint that fails is not asked by each of many submits.
func TestTokenFailuresAreRemembered(t *testing.T) {
	e := newTokenEndpoint(t)
	e.status.Store(500)
	g, up := New(), provider.Upstream{Account: vertexAccount(e), Client: e.Client()}
	for range 20 {
		if _, _, err := g.tokens.of(t.Context(), up); err == nil {
			t.Fatal("a token was had")
		}
	}
	if n := e.fetched.Load(); n > 3 {
		t.Errorf("asked %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := g.tokens.of(ctx, up); err == nil {
		t.Error("a call that is over got a token")
	}
}

func TestCredentialsOfTheMachine(t *testing.T) {
	e := newTokenEndpoint(t)
	path := filepath.Join(t.TempDir(), "adc.json")
	if err := os.WriteFile(path, []byte(serviceAccountJSON(e.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	up := provider.Upstream{Account: vertexAccount(e, SettingServiceAccount, ""), Client: e.Client()}
	if got, _, err := New().tokens.of(t.Context(), up); err != nil || got != testToken {
		t.Errorf("of the machine: %q, %v", got, err)
	}
	up.Account = vertexAccount(e, SettingServiceAccount, path, SettingProject, "")
	if got, _, err := New().tokens.of(t.Context(), up); err != nil || !strings.HasPrefix(got, testToken) {
		t.Errorf("of a file: %q, %v", got, err)
	}
	if s, err := siteOf(up); err != nil || s.project != "proj-from-json" {
		t.Errorf("the project of a file: %q, %v", s.project, err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "missing.json"))
	up.Account = vertexAccount(e, SettingServiceAccount, "")
	if _, _, err := New().tokens.of(t.Context(), up); provider.AsError(err, "").Class != provider.Credential {
		t.Errorf("none: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	e := newTokenEndpoint(t)
	for _, tc := range []struct {
		account provider.Account
		f       family
		want    string
	}{
		{geminiAccount, veo, "https://generativelanguage.googleapis.com"},
		{vertexAccount(e), veo, "https://us-central1-aiplatform.googleapis.com"},
		{vertexAccount(e), omni, "https://aiplatform.googleapis.com"},
		{vertexAccount(e, SettingLocation, ""), image, "https://aiplatform.googleapis.com"},
		{provider.Account{BaseURL: "http://127.0.0.1:9", Settings: vertexAccount(e).Settings}, omni, "http://127.0.0.1:9"},
	} {
		s, err := siteOf(provider.Upstream{Account: tc.account})
		if err != nil || s.base(tc.f) != tc.want {
			t.Errorf("%v: %s, %v; want %s", tc.account, s.base(tc.f), err, tc.want)
		}
	}
	proxied, _ := siteOf(provider.Upstream{Account: provider.Account{BaseURL: "https://proxy.example/g", Settings: geminiAccount.Settings}})
	vertex, _ := siteOf(provider.Upstream{Account: vertexAccount(e)})
	const file = "https://generativelanguage.googleapis.com/v1beta/files/f1:download?alt=media"
	if !proxied.trusts(file, veo) || !proxied.trusts("https://proxy.example/x", veo) || vertex.trusts(file, veo) {
		t.Error("who is trusted with a key differs behind a proxy, or on Vertex")
	}
	s, _ := siteOf(provider.Upstream{Account: geminiAccount})
	for address, want := range map[string]bool{
		"https://generativelanguage.googleapis.com/v1beta/files/f1:download?alt=media": true,
		"https://GENERATIVELANGUAGE.googleapis.com/x":                                  true,
		"http://generativelanguage.googleapis.com/x":                                   false,
		"https://generativelanguage.googleapis.com.evil.example/x":                     false,
		"https://generativelanguage.googleapis.com@evil.example/x":                     false,
		"https://generativelanguage.googleapis.com:8443/x":                             false,
		"https://x@generativelanguage.googleapis.com/x":                                false,
		"/v1beta/files/f1":                 false,
		"https://storage.googleapis.com/x": false,
	} {
		if s.trusts(address, veo) != want {
			t.Errorf("%s: trusted is %v", address, !want)
		}
	}
}

func TestGoogleIsGivenHooksThatItCanCall(t *testing.T) {
	local := geminiAccount
	local.BaseURL = "http://127.0.0.1:9877"
	for _, tc := range []struct {
		account  provider.Account
		url, got string
	}{
		{geminiAccount, hook, hook}, {geminiAccount, "http://127.0.0.1/x", ""}, {geminiAccount, "", ""}, {local, "http://127.0.0.1/x", "http://127.0.0.1/x"},
	} {
		s, err := siteOf(provider.Upstream{Account: tc.account})
		if got := s.hook(provider.Request{CallbackURL: tc.url}); err != nil || got != tc.got {
			t.Errorf("%q at %s: %q, %v", tc.url, tc.account.BaseURL, got, err)
		}
	}
}
