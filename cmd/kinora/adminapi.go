package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/tenancy"
)

const (
	adminTimeout   = 30 * time.Second
	maxAdminAnswer = 32 << 20 // bytes
)

// adminAPI speaks the operator's API of a running server, /admin/v1. Its errors are those that the server's own
// services return, made again from code, message and hint.
type adminAPI struct {
	server string // without a slash at the end
	token  string
	http   *http.Client

	// truncated says that the last list was not whole.
	truncated bool
}

// newAdminAPI checks the address; it sends nothing.
func newAdminAPI(server, token string) (*adminAPI, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usage("the server's address must start with http:// or https:// and a host, and have no query", "check --server and KINORA_SERVER")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &adminAPI{
		server: strings.TrimRight(server, "/"), token: token,
		http: &http.Client{Transport: transport, Timeout: adminTimeout,
			// The token goes nowhere but to the server that was named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

func (a *adminAPI) close() { a.http.CloseIdleConnections() }

// ready asks the server whether it can work. An error says what it answered.
func (a *adminAPI) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server+"/readyz", nil)
	if err != nil {
		return errors.New("the request cannot be made")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return a.silent(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d", resp.StatusCode)
	}
	return nil
}

// call sends body, if any, as JSON and reads the answer into result, if any.
func (a *adminAPI) call(ctx context.Context, method, path string, body, result any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.server+"/admin/v1"+path, content)
	if err != nil {
		return errors.New("the request cannot be made")
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("User-Agent", userAgent())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return a.silent(ctx, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return a.silent(ctx, err)
	}
	if resp.StatusCode/100 != 2 {
		return refusal(resp.StatusCode, answer)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return notAdmin()
	}
	return nil
}

// notAdmin is the error for an answer that an admin API does not give.
func notAdmin() error {
	return &kinora.Error{Code: kinora.ErrInternal, Message: "the server's answer is not that of an admin API", Hint: notKinora}
}

const notKinora = "is --server the address of a Kinora server?"

// silent is the error for a server that gave no whole answer.
func (a *adminAPI) silent(ctx context.Context, err error) error {
	if ended := ctx.Err(); errors.Is(ended, context.Canceled) {
		return ended
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &kinora.Error{Code: kinora.ErrUnavailable, Op: "admin API of " + a.server, Message: "the server gave no answer",
		Hint: "is it running, and is --server (KINORA_SERVER) its address?", Err: err}
}

// refusal makes the server's error again.
func refusal(status int, answer []byte) error {
	var envelope struct {
		Error struct {
			Code    kinora.ErrorCode `json:"code"`
			Message string           `json:"message"`
			Hint    string           `json:"hint"`
		} `json:"error"`
	}
	if json.Unmarshal(answer, &envelope) != nil || envelope.Error.Code == "" {
		return &kinora.Error{Code: codeOfStatus(status), Message: fmt.Sprintf("the server answered %d %s", status, http.StatusText(status)), Hint: notKinora}
	}
	e := &kinora.Error{Code: envelope.Error.Code, Message: envelope.Error.Message, Hint: envelope.Error.Hint}
	if status == http.StatusUnauthorized {
		e.Hint = "check KINORA_ADMIN_TOKEN or --admin-token; on the server's machine the token is in admin.token in its data folder"
	}
	if exitOf(e.Code) == exitFailure { // a word that only HTTP knows, such as "malformed"
		e.Code = codeOfStatus(status)
	}
	return e
}

func codeOfStatus(status int) kinora.ErrorCode {
	switch status {
	case http.StatusUnauthorized:
		return kinora.ErrUnauthorized
	case http.StatusForbidden:
		return kinora.ErrForbidden
	case http.StatusNotFound:
		return kinora.ErrNotFound
	case http.StatusConflict:
		return kinora.ErrConflict
	case http.StatusTooManyRequests:
		return kinora.ErrRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return kinora.ErrUnavailable
	}
	if status/100 == 4 {
		return kinora.ErrInvalid
	}
	return kinora.ErrInternal
}

// organisation and the others are the admin API's bodies.
type organisationBody struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	DefaultWebhook string    `json:"default_webhook"`
	WebhookHosts   []string  `json:"webhook_hosts"`
	OperatorHook   string    `json:"operator_hook"`
	Disabled       bool      `json:"disabled"`
	CreatedAt      time.Time `json:"created_at"`

	Allowance kinora.Allowance `json:"allowance"`
}

func (b organisationBody) organisation() *kinora.Organisation {
	return &kinora.Organisation{ID: b.ID, Name: b.Name, DefaultWebhook: b.DefaultWebhook, WebhookHosts: b.WebhookHosts, OperatorHook: b.OperatorHook,
		Disabled: b.Disabled, Allowance: b.Allowance, CreatedAt: b.CreatedAt}
}

type changeBody struct {
	Name           *string   `json:"name,omitempty"`
	DefaultWebhook *string   `json:"default_webhook,omitempty"`
	WebhookHosts   *[]string `json:"webhook_hosts,omitempty"`
	OperatorHook   *string   `json:"operator_hook,omitempty"`
	Disabled       *bool     `json:"disabled,omitempty"`

	Allowance *kinora.AllowanceChange `json:"allowance,omitempty"`
}

func changeOf(c tenancy.OrganisationChange) changeBody {
	b := changeBody{Name: c.Name, DefaultWebhook: c.DefaultWebhook, OperatorHook: c.OperatorHook, Disabled: c.Disabled, Allowance: c.Allowance}
	if c.WebhookHosts != nil {
		hosts := append([]string{}, *c.WebhookHosts...) // an empty list, not null
		b.WebhookHosts = &hosts
	}
	return b
}

type keyBody struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Start      string    `json:"start"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	RevokedAt  time.Time `json:"revoked_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	ReplacedBy string    `json:"replaced_by"`
	Key        string    `json:"key"` // where it was just made
}

func (b keyBody) key(organisationID string) *kinora.Key {
	return &kinora.Key{ID: b.ID, OrganisationID: organisationID, Name: b.Name, Start: b.Start,
		CreatedAt: b.CreatedAt, LastUsedAt: b.LastUsedAt, RevokedAt: b.RevokedAt, ExpiresAt: b.ExpiresAt, ReplacedBy: b.ReplacedBy}
}

type secretBody struct {
	ID        string    `json:"id"`
	Secret    string    `json:"secret"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (b secretBody) secret() *kinora.WebhookSecret {
	return &kinora.WebhookSecret{ID: b.ID, Text: b.Secret, CreatedAt: b.CreatedAt, ExpiresAt: b.ExpiresAt}
}

func organisationPath(organisationID string) string {
	return "/organisations/" + url.PathEscape(organisationID)
}

func (a *adminAPI) CreateOrganisation(ctx context.Context, change tenancy.OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	var b struct {
		organisationBody
		WebhookSecret secretBody `json:"webhook_secret"`
	}
	if err := a.call(ctx, http.MethodPost, "/organisations", changeOf(change), &b); err != nil {
		return nil, nil, err
	}
	return b.organisation(), b.WebhookSecret.secret(), nil
}

func (a *adminAPI) Organisation(ctx context.Context, organisationID string) (*kinora.Organisation, error) {
	var b organisationBody
	if err := a.call(ctx, http.MethodGet, organisationPath(organisationID), nil, &b); err != nil {
		return nil, err
	}
	return b.organisation(), nil
}

func (a *adminAPI) ListOrganisations(ctx context.Context) ([]*kinora.Organisation, error) {
	var b struct {
		Organisations []organisationBody `json:"organisations"`
		Truncated     bool               `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, "/organisations", nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]*kinora.Organisation, len(b.Organisations))
	for i, o := range b.Organisations {
		list[i] = o.organisation()
	}
	return list, nil
}

func (a *adminAPI) UpdateOrganisation(ctx context.Context, organisationID string, change tenancy.OrganisationChange) (*kinora.Organisation, error) {
	var b organisationBody
	if err := a.call(ctx, http.MethodPatch, organisationPath(organisationID), changeOf(change), &b); err != nil {
		return nil, err
	}
	return b.organisation(), nil
}

func (a *adminAPI) WebhookSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error) {
	var b struct {
		WebhookSecrets []secretBody `json:"webhook_secrets"`
		Truncated      bool         `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, organisationPath(organisationID)+"/webhook-secrets", nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]kinora.WebhookSecret, len(b.WebhookSecrets))
	for i, s := range b.WebhookSecrets {
		list[i] = *s.secret()
	}
	return list, nil
}

func (a *adminAPI) RotateWebhookSecret(ctx context.Context, organisationID string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	return a.replaceSecret(ctx, organisationID, nil, overlap)
}

func (a *adminAPI) ImportWebhookSecret(ctx context.Context, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	return a.replaceSecret(ctx, organisationID, &text, overlap)
}

func (a *adminAPI) replaceSecret(ctx context.Context, organisationID string, text *string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	var b secretBody
	err := a.call(ctx, http.MethodPost, organisationPath(organisationID)+"/webhook-secrets", struct {
		OverlapSeconds int64   `json:"overlap_seconds"`
		Secret         *string `json:"secret,omitempty"`
	}{int64(overlap / time.Second), text}, &b)
	if err != nil {
		return nil, err
	}
	return b.secret(), nil
}

func (a *adminAPI) CreateKey(ctx context.Context, organisationID, name string, kind tenancy.KeyKind, expires time.Time) (*kinora.Key, string, error) {
	var b keyBody
	err := a.call(ctx, http.MethodPost, organisationPath(organisationID)+"/keys", struct {
		Name      string          `json:"name"`
		Kind      tenancy.KeyKind `json:"kind"`
		ExpiresAt time.Time       `json:"expires_at,omitzero"`
	}{name, kind, expires}, &b)
	if err != nil {
		return nil, "", err
	}
	return b.key(organisationID), b.Key, nil
}

func (a *adminAPI) ImportKey(ctx context.Context, organisationID, name, text string, expires time.Time) (*kinora.Key, error) {
	var b keyBody
	err := a.call(ctx, http.MethodPost, organisationPath(organisationID)+"/keys", struct {
		Name      string    `json:"name"`
		Key       string    `json:"key"`
		ExpiresAt time.Time `json:"expires_at,omitzero"`
	}{name, text, expires}, &b)
	if err != nil {
		return nil, err
	}
	return b.key(organisationID), nil
}

func (a *adminAPI) RotateKey(ctx context.Context, organisationID, keyID string, overlap time.Duration) (*kinora.Key, string, error) {
	var b keyBody
	err := a.call(ctx, http.MethodPost, organisationPath(organisationID)+"/keys/"+url.PathEscape(keyID)+"/rotate", struct {
		OverlapSeconds int64 `json:"overlap_seconds"`
	}{int64(overlap / time.Second)}, &b)
	if err != nil {
		return nil, "", err
	}
	return b.key(organisationID), b.Key, nil
}

func (a *adminAPI) Keys(ctx context.Context, organisationID string) ([]*kinora.Key, error) {
	var b struct {
		Keys      []keyBody `json:"keys"`
		Truncated bool      `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, organisationPath(organisationID)+"/keys", nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]*kinora.Key, len(b.Keys))
	for i, k := range b.Keys {
		list[i] = k.key(organisationID)
	}
	return list, nil
}

func (a *adminAPI) RevokeKey(ctx context.Context, organisationID, keyID string) error {
	return a.call(ctx, http.MethodDelete, organisationPath(organisationID)+"/keys/"+url.PathEscape(keyID), nil, nil)
}

func (a *adminAPI) Status(ctx context.Context) (keys kinora.MasterKeys, err error) {
	err = a.call(ctx, http.MethodGet, "/master-key", nil, &keys)
	return keys, err
}

func (a *adminAPI) Rotate(ctx context.Context) (change kinora.MasterKeyChange, err error) {
	err = a.call(ctx, http.MethodPost, "/master-key/rotate", nil, &change)
	return change, err
}

func (a *adminAPI) ForgetOld(ctx context.Context, early bool) (change kinora.MasterKeyChange, err error) {
	err = a.call(ctx, http.MethodPost, "/master-key/forget-old", map[string]bool{"early": early}, &change)
	return change, err
}
