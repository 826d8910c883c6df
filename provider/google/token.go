package google

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	oauthgoogle "golang.org/x/oauth2/google"

	"github.com/kinora/kinora/provider"
)

const (
	// scope is what Vertex AI and Cloud Storage both take.
	scope = "https://www.googleapis.com/auth/cloud-platform"
	// renewBefore is how long before its end a token is replaced: longer than the longest call
	// that is made with it waits for its place.
	renewBefore = 5 * time.Minute
	// tokenTimeout bounds one fetch of a token.
	tokenTimeout = 15 * time.Second
	// tokenPause is how long a failed fetch is not repeated, so that many submits do not stand
	// in line for a token endpoint that hangs.
	tokenPause = 2 * time.Second
	// tokenProof is how old a token is whose refusal tells nothing of the account any more.
	tokenProof = time.Minute
)

// tokens keeps one access token for each set of credentials.
type tokens struct {
	mu     sync.Mutex
	keeper map[[sha256.Size]byte]*tokenKeeper
}

func newTokens() *tokens { return &tokens{keeper: map[[sha256.Size]byte]*tokenKeeper{}} }

// tokenKeeper keeps the token of one set of credentials.
type tokenKeeper struct {
	mu     sync.Mutex
	token  *oauth2.Token
	since  time.Time // when the token was fetched
	failed time.Time // when a fetch last failed
	err    *provider.Error
}

func (t *tokens) keeperOf(up provider.Upstream) *tokenKeeper {
	name := sha256.Sum256([]byte(up.Account.Name + "\x00" + setting(up, SettingServiceAccount)))
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.keeper[name]
	if k == nil {
		k = &tokenKeeper{}
		t.keeper[name] = k
	}
	return k
}

// of returns an access token for an account, and whether it is one of tokenProof or more. Errors are
// *provider.Error of class Credential or Unavailable, and hold nothing of what was sent or answered.
func (t *tokens) of(ctx context.Context, up provider.Upstream) (token string, old bool, err error) {
	k := t.keeperOf(up)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.token != nil && k.token.Expiry.Sub(now) > renewBefore {
		return k.token.AccessToken, now.Sub(k.since) >= tokenProof, nil
	}
	if ctx.Err() != nil { // while waiting in line
		return "", false, &provider.Error{Class: provider.Unavailable, Message: "no access token was had in time", Err: ctx.Err()}
	}
	if now.Sub(k.failed) > tokenPause {
		token, err := fetchToken(up)
		if err == nil {
			k.token, k.since, k.failed, k.err = token, time.Now(), time.Time{}, nil
			return token.AccessToken, false, nil
		}
		k.failed, k.err = now, err
	}
	if k.token != nil && k.token.Expiry.After(now) {
		return k.token.AccessToken, now.Sub(k.since) >= tokenProof, nil // it is still good
	}
	again := *k.err
	return "", false, &again
}

// refused forgets a token that the upstream does not take, so that the next call asks for
// another. A newer one, which some other call has fetched meanwhile, is kept.
func (t *tokens) refused(up provider.Upstream, token string) {
	k := t.keeperOf(up)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token != nil && k.token.AccessToken == token {
		k.token = nil
	}
}

// fetchToken asks the token endpoint that the credentials name.
func fetchToken(up provider.Upstream) (*oauth2.Token, *provider.Error) {
	client := &http.Client{Timeout: tokenTimeout}
	if up.Client != nil {
		client.Transport, client.CheckRedirect = up.Client.Transport, up.Client.CheckRedirect
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, client)
	source, err := credentials(ctx, up)
	if err != nil {
		return nil, err
	}
	token, fetchErr := source.Token()
	if fetchErr != nil {
		return nil, tokenError(fetchErr)
	}
	if token.AccessToken == "" {
		return nil, provider.Errorf(provider.Credential, "the token endpoint gave no access token")
	}
	if token.Expiry.IsZero() { // one that never ends is asked for again all the same
		token.Expiry = time.Now().Add(time.Hour)
	}
	return token, nil
}

// credentials are the account's own, or those of the machine.
func credentials(ctx context.Context, up provider.Upstream) (oauth2.TokenSource, *provider.Error) {
	if setting(up, SettingServiceAccount) == "" {
		found, err := oauthgoogle.FindDefaultCredentials(ctx, scope)
		if err != nil {
			return nil, provider.Errorf(provider.Credential, "the machine has no Google credentials, and the account names none")
		}
		return found.TokenSource, nil
	}
	content, err := serviceAccount(up)
	if err != nil {
		return nil, provider.AsError(err, provider.Credential)
	}
	// Only a service account: other kinds of credentials name commands and addresses of their own.
	cfg, err := oauthgoogle.JWTConfigFromJSON(content, scope)
	if err != nil {
		return nil, provider.Errorf(provider.Credential, "the account's service_account is not the JSON of a service account")
	}
	return cfg.TokenSource(ctx), nil
}

// tokenError keeps the status alone: the body may repeat what was sent.
func tokenError(err error) *provider.Error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) && answered.Response != nil {
		status := answered.Response.StatusCode
		if status >= 400 && status < 500 && status != http.StatusTooManyRequests {
			return &provider.Error{Class: provider.Credential, HTTPStatus: status, Message: "the token endpoint refused the account's credentials"}
		}
		return &provider.Error{Class: provider.Unavailable, Message: fmt.Sprintf("the token endpoint answered with status %d", status)}
	}
	return &provider.Error{Class: provider.Unavailable, Message: "no access token could be had"}
}
