package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// OIDC says how persons sign in by an identity provider that speaks OpenID Connect.
type OIDC struct {
	Issuer       string // empty = there is none
	ClientID     string
	ClientSecret string // empty = a public client
	RedirectURL  string // where the provider sends browsers back to: OIDCFinish answers there
	Label        string // of the button; empty = the issuer's host
	// Domains are those of e-mail addresses whose persons need no invitation: they become members of Organisation, an id.
	// Both or neither are given.
	Domains      []string
	Organisation string
}

const (
	// oidcLife is how long somebody may be at the identity provider.
	oidcLife = 10 * time.Minute
	// oidcTimeout bounds each request to it.
	oidcTimeout = 10 * time.Second
	// oidcRest is how long it is left alone after it has not answered.
	oidcRest = 5 * time.Second
	// oidcContext ties a sealed cookie to its purpose.
	oidcContext = "dashboard_oidc"
)

// provider is the identity provider. It is asked what it can do when it is first needed, so that a server starts while it is
// away, and by one request at a time. After one that failed nobody but who asks again waits for it: those who wait hold places that
// others of their network need to sign in by password.
type provider struct {
	OIDC
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	found  *oidc.Provider // nil until it has answered
	asking chan struct{}  // closed when the request under way has ended; nil = there is none
	failed error          // of the last request; nil = none has failed
	again  time.Time      // when it may be asked again after that
}

func newProvider(o OIDC, now func() time.Time) *provider {
	return &provider{OIDC: o, client: &http.Client{Timeout: oidcTimeout}, now: now}
}

// Check asks the provider what it can do, as the first sign-in would. Errors: ErrUnavailable with a hint.
func (o OIDC) Check(ctx context.Context) error {
	p := newProvider(o, time.Now)
	defer p.client.CloseIdleConnections()
	_, err := p.discover(ctx)
	return err
}

// discover tells what the provider can do, and asks it unless it has told already. Errors: ErrUnavailable with a hint, at once where
// it did not answer a moment ago.
func (p *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	wait := p.found == nil && (p.failed == nil || p.asking == nil && !p.now().Before(p.again))
	if wait && p.asking == nil {
		p.asking = make(chan struct{})
		go p.ask(context.WithoutCancel(ctx)) // others may wait for the same answer; the client's timeout ends it
	}
	asking := p.asking
	p.mu.Unlock()
	if wait {
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		return nil, p.failed
	}
	return p.found, nil
}

// ask asks the provider and keeps what comes of it.
func (p *provider) ask(ctx context.Context) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.Issuer)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.asking)
	p.asking = nil
	if err != nil {
		p.failed, p.again = &kinora.Error{Code: kinora.ErrUnavailable, Op: "sign in", Message: "the identity provider does not answer", Err: err,
			Hint: "is dashboard.oidc.issuer right, and can this server reach it?"}, p.now().Add(oidcRest)
		return
	}
	p.found = found
}

// clientOf is this server as a client of the provider.
func (p *provider) clientOf(found *oidc.Provider) *oauth2.Config {
	endpoint := found.Endpoint()
	endpoint.AuthStyle = p.authStyle(found)
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: p.RedirectURL,
		Endpoint: endpoint, Scopes: []string{oidc.ScopeOpenID, "email", "profile"}}
}

// authStyle is how the provider wants the client's secret. Without it package oauth2 would find out by trying, and a code works
// once.
func (p *provider) authStyle(found *oidc.Provider) oauth2.AuthStyle {
	var told struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"` // absent = client_secret_basic (OpenID Connect Discovery, section 3)
	}
	if err := found.Claims(&told); err != nil || p.ClientSecret == "" {
		return oauth2.AuthStyleInParams
	}
	if len(told.Methods) == 0 || slices.Contains(told.Methods, "client_secret_basic") {
		return oauth2.AuthStyleInHeader
	}
	return oauth2.AuthStyleInParams
}

// journey is what a browser keeps, sealed, while it is at the identity provider.
type journey struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	ReturnTo string    `json:"return_to"`
	Ends     time.Time `json:"ends"`
}

// IdentityProvider tells what the button says by which persons sign in elsewhere; "" = there is no such way.
func (s *Service) IdentityProvider() (label string) {
	if s.provider.Issuer == "" || s.provider.Label != "" {
		return s.provider.Label
	}
	u, err := url.Parse(s.provider.Issuer)
	if err != nil {
		return s.provider.Issuer
	}
	return u.Host
}

// OIDCStart sends somebody to the identity provider: their browser goes to redirectURL and keeps cookie, for ten minutes at
// most, until it comes back to OIDCFinish. returnTo comes back with
// them, sealed meanwhile; what it may be is for the caller to say. Errors: ErrNotFound where there is no provider; ErrUnavailable.
func (s *Service) OIDCStart(ctx context.Context, returnTo string) (redirectURL, cookie string, err error) {
	if s.provider.Issuer == "" {
		return "", "", errNoProvider()
	}
	found, err := s.provider.discover(ctx)
	if err != nil {
		return "", "", err
	}
	j := journey{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), ReturnTo: returnTo, Ends: s.now().Add(oidcLife)}
	text, err := json.Marshal(j)
	if err != nil {
		return "", "", err
	}
	if cookie, err = s.ring.Seal(text, oidcContext); err != nil {
		return "", "", err
	}
	return s.provider.clientOf(found).AuthCodeURL(j.State, oidc.Nonce(j.Nonce), oauth2.S256ChallengeOption(j.Verifier)), cookie, nil
}

func errNoProvider() error {
	return kinora.Errorf(kinora.ErrNotFound, "there is no identity provider to sign in by")
}

// OIDCFinish lets somebody in who comes back from the identity provider with the parameters query, and the cookie that OIDCStart
// has given. Only an e-mail address that the provider has verified counts. It returns the session's token and where the person
// wanted to go.
//
// Errors: ErrUnauthorized for whatever is wrong about the journey; ErrForbidden for a person who is not invited, is disabled, or
// has another account there; ErrNotFound where there is no provider; ErrUnavailable.
func (s *Service) OIDCFinish(ctx context.Context, cookie string, query url.Values, v kinora.Visitor) (session, returnTo string, err error) {
	if s.provider.Issuer == "" {
		return "", "", errNoProvider()
	}
	defer func() { s.metrics.tried(byProvider, err) }()
	j, err := s.openJourney(cookie, query)
	if err != nil {
		return "", "", err
	}
	who, err := s.provider.identify(ctx, j, query.Get("code"), s.now)
	if err != nil {
		return "", "", err
	}
	session, err = s.enter(ctx, who, storable(v))
	return session, j.ReturnTo, err
}

// openJourney checks that the browser that comes back is the one that was sent.
func (s *Service) openJourney(cookie string, query url.Values) (j journey, err error) {
	text, err := s.ring.Open(cookie, oidcContext)
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	switch {
	case err != nil || subtle.ConstantTimeCompare([]byte(j.State), []byte(query.Get("state"))) != 1:
		return j, strayed("it did not begin in this browser", err)
	case !s.now().Before(j.Ends):
		return j, strayed("it took too long", nil)
	case query.Has("iss") && query.Get("iss") != s.provider.Issuer: // RFC 9207
		return j, strayed("another identity provider has answered", nil)
	case query.Get("error") == "access_denied":
		return j, strayed("the identity provider did not let you in", nil)
	case query.Get("code") == "":
		return j, strayed("the identity provider has refused it", errors.New("OIDC error "+cleaned(query.Get("error"), 100)))
	}
	return j, nil
}

// strayed is the error for a sign-in at the identity provider that led nowhere. cause is for operators.
func strayed(why string, cause error) error {
	return &kinora.Error{Code: kinora.ErrUnauthorized, Op: "sign in by the identity provider", Message: "signing in did not work: " + why + "; try again", Err: cause}
}

// identity is somebody as the provider vouches for them.
type identity struct{ subject, email, name string }

// identify exchanges the code for what the provider says of the person.
func (p *provider) identify(ctx context.Context, j journey, code string, now func() time.Time) (who identity, err error) {
	found, err := p.discover(ctx)
	if err != nil {
		return who, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.clientOf(found).Exchange(ctx, code, oauth2.VerifierOption(j.Verifier))
	if err != nil {
		return who, exchangeFailed(ctx, err)
	}
	raw, _ := token.Extra("id_token").(string)
	proof, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID, Now: now}).Verify(ctx, raw)
	if err != nil {
		return who, strayed("the identity provider's answer is not valid", err)
	}
	if subtle.ConstantTimeCompare([]byte(proof.Nonce), []byte(j.Nonce)) != 1 {
		return who, strayed("the identity provider's answer belongs to another sign-in", nil)
	}
	var said struct {
		Email    string   `json:"email"`
		Verified verified `json:"email_verified"`
		Name     string   `json:"name"`
	}
	if proof.Subject == "" { // it must name somebody: all whom it does not would be one and the same
		return who, strayed("the identity provider's answer names nobody", nil)
	}
	if err := proof.Claims(&said); err != nil {
		return who, strayed("the identity provider's answer is not valid", err)
	}
	if said.Email == "" { // some tell it only when they are asked again
		info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err == nil && info.Subject == proof.Subject {
			said.Email, said.Verified = info.Email, verified(info.EmailVerified)
		}
	}
	email, err := normalEmail(said.Email)
	if err != nil || !bool(said.Verified) {
		return who, kinora.Errorf(kinora.ErrForbidden, "the identity provider gives no e-mail address that it has verified")
	}
	return identity{subject: store.SubjectAt(p.Issuer, proof.Subject), email: email, name: cleaned(said.Name, maxName)}, nil
}

// verified is a truth that some providers write as a text.
type verified bool

func (v *verified) UnmarshalJSON(text []byte) error {
	*v = string(text) == "true" || string(text) == `"true"`
	return nil
}

// exchangeFailed leaves out what the provider's answer holds but its code: it may be a secret.
func exchangeFailed(ctx context.Context, err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		cause := errors.New("OIDC token endpoint: " + cleaned(refused.ErrorCode, 100))
		if refused.ErrorCode == "invalid_client" {
			return &kinora.Error{Code: kinora.ErrUnavailable, Op: "sign in by the identity provider", Message: "the identity provider does not accept this server", Err: cause,
				Hint: "check dashboard.oidc.client_id and client_secret"}
		}
		return strayed("the identity provider has refused it", cause)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &kinora.Error{Code: kinora.ErrUnavailable, Op: "sign in by the identity provider", Message: "the identity provider does not answer", Err: err}
}
