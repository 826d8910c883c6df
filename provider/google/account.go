package google

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/kinora/kinora/provider"
)

const (
	geminiURL       = "https://generativelanguage.googleapis.com"
	vertexURL       = "https://aiplatform.googleapis.com"
	cloudStorageURL = "https://storage.googleapis.com"
	defaultLocation = "global"
)

// site is the back end that an account is at.
type site struct {
	up       provider.Upstream
	vertex   bool
	project  string
	location string
	// The token of the call that is made at present, and whether it is an old one.
	token    string
	tokenOld bool
}

// What becomes a part of a host name or of a path.
var (
	locationShape = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	projectShape  = regexp.MustCompile(`^[a-z0-9.:-]{1,100}$`)
)

// siteOf reads an account's settings. An account that leads nowhere is an *Error of class
// Credential or Permission.
func siteOf(up provider.Upstream) (site, error) {
	s := site{up: up, project: setting(up, SettingProject), location: setting(up, SettingLocation)}
	hasKey, hasAccount := setting(up, SettingAPIKey) != "", setting(up, SettingServiceAccount) != ""
	switch {
	case hasKey && (s.project != "" || hasAccount):
		return s, provider.Errorf(provider.Permission, "the account has both an api_key and a project or service account; it can only be at one of them")
	case hasKey:
		return s, nil
	case s.project == "" && !hasAccount:
		return s, provider.Errorf(provider.Credential, "the account has neither an api_key nor a project")
	}
	s.vertex = true
	if s.location == "" {
		s.location = defaultLocation
	}
	if s.project == "" {
		content, err := serviceAccount(up)
		if err != nil {
			return s, err
		}
		var named struct {
			Project string `json:"project_id"`
		}
		_ = json.Unmarshal(content, &named) // what is not JSON names none
		s.project = named.Project
	}
	if !projectShape.MatchString(s.project) || !locationShape.MatchString(s.location) {
		return s, provider.Errorf(provider.Permission, "the account's project or location is not usable")
	}
	return s, nil
}

func setting(up provider.Upstream, name string) string {
	return strings.TrimSpace(up.Account.Settings[name])
}

// serviceAccount is the JSON that the setting holds or names.
func serviceAccount(up provider.Upstream) ([]byte, error) {
	value := setting(up, SettingServiceAccount)
	if strings.HasPrefix(value, "{") {
		return []byte(value), nil
	}
	content, err := os.ReadFile(value)
	if err != nil { // its path may say more than a log should
		return nil, provider.Errorf(provider.Credential, "the account's service_account is neither JSON nor a file that can be read")
	}
	return content, nil
}

// own says that the account names an address of its own instead of Google's.
func (s *site) own() bool {
	return s.up.Account.BaseURL != "" && s.up.Account.BaseURL != geminiURL
}

// base is the address before the API version (sections 2.1, 2.2 and 3). Interactions on Vertex
// live at the global address whatever the location.
func (s *site) base(f family) string {
	switch {
	case s.own():
		return s.up.Account.BaseURL
	case !s.vertex:
		return geminiURL
	case s.location == defaultLocation || f == omni:
		return vertexURL
	}
	return "https://" + s.location + "-" + strings.TrimPrefix(vertexURL, "https://")
}

// modelPath is a model's resource, to which a method is added.
func (s *site) modelPath(upstreamModel string) string {
	model := url.PathEscape(modelID(upstreamModel))
	if s.vertex {
		return "/v1/projects/" + s.project + "/locations/" + s.location + "/publishers/google/models/" + model
	}
	return "/v1beta/models/" + model
}

// interactions is the collection of interactions.
func (s *site) interactions() string {
	if s.vertex {
		return "/v1beta1/projects/" + s.project + "/locations/global/interactions"
	}
	return "/v1beta/interactions"
}

// hook is the webhook's address that a request carries (section 4); empty = none. Google itself
// is given none that it could not call: a refusal would cost the submit.
func (s *site) hook(req provider.Request) string {
	if !s.own() && !strings.HasPrefix(req.CallbackURL, "https://") {
		return ""
	}
	return req.CallbackURL
}

// storage is where Cloud Storage is reached.
func (s *site) storage() string {
	if own := setting(s.up, SettingStorageURL); own != "" {
		return strings.TrimSuffix(own, "/")
	}
	return cloudStorageURL
}

// request builds a call to an address of the account's own, with what opens it: the key, or
// a token that is good for some minutes more. Section 2.2: jobs outlive tokens.
func (g *Google) request(ctx context.Context, s *site, method, base, path string, payload []byte) (*http.Request, error) {
	authorization := ""
	if s.vertex {
		var err error
		if s.token, s.tokenOld, err = g.tokens.of(ctx, s.up); err != nil {
			return nil, err
		}
		authorization = "Bearer " + s.token
	}
	at := s.up
	at.Account.BaseURL = base
	req, err := provider.NewRequest(at, method, path, authorization, payload)
	if err != nil {
		return nil, err
	}
	if !s.vertex {
		req.Header.Set("X-Goog-Api-Key", setting(s.up, SettingAPIKey))
	}
	return req, nil
}

// trusts says that an address may be given the account's key: it lies at the account's own
// origin or, for one at the Gemini API, at that API's (section 6, trap 8; upstream-rules.md,
// section 5).
func (s *site) trusts(raw string, f family) bool {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Host == "" {
		return false
	}
	for _, base := range []string{s.base(f), geminiURL} {
		own, err := url.Parse(base)
		if err == nil && strings.EqualFold(u.Scheme, own.Scheme) && strings.EqualFold(u.Host, own.Host) {
			return base != geminiURL || !s.vertex
		}
	}
	return false
}

// CheckAccount implements provider.AccountChecker.
func (*Google) CheckAccount(a provider.Account) error {
	up := provider.Upstream{Account: a}
	if _, err := siteOf(up); err != nil {
		return err
	}
	if setting(up, SettingServiceAccount) != "" {
		if _, err := credentials(context.Background(), up); err != nil {
			return err
		}
	}
	_, err := storagePlace(up, provider.Request{})
	return err
}
