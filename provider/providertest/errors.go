package providertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
)

// signedURL stands for what an upstream's own text may hold and no error may.
const signedURL = "https://cdn.example/file.mp4?sig=c2lnbmVkLXVybA"

func (s *Suite) upstream(t *testing.T) *Upstream {
	u := NewUpstream(t)
	u.auxiliary, u.sources = s.Auxiliary, s.Sources
	return u
}

// reconciled is upstream for calls of Reconcile.
func (s *Suite) reconciled(t *testing.T) *Upstream {
	u := s.upstream(t)
	if s.ReconcileAuxiliary != nil {
		u.auxiliary = s.ReconcileAuxiliary
	}
	return u
}

// secrets are the account's secret settings by name.
func (s *Suite) secrets() map[string]string {
	out := map[string]string{}
	for _, setting := range s.Provider.Describe().Settings {
		if v := s.Account.Settings[setting.Name]; setting.Secret && v != "" {
			out[setting.Name] = v
		}
	}
	return out
}

// checkError wants err to be one that the lifecycle can act on and an operator may
// read.
func (s *Suite) checkError(t *testing.T, err error) *provider.Error {
	t.Helper()
	var e *provider.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is no *provider.Error", err, err)
	}
	if !slices.Contains(provider.Classes(), e.Class) {
		t.Errorf("error %v has the unknown class %q", err, e.Class)
	}
	if e.Message == "" {
		t.Errorf("error of class %s has no message", e.Class)
	}
	s.checkSecrets(t, err, e)
	return e
}

// checkSecrets looks through everything that an error could print.
func (s *Suite) checkSecrets(t *testing.T, err error, e *provider.Error) {
	t.Helper()
	texts := []string{err.Error(), e.Error(), e.Message, e.Detail, e.Code}
	for cause := e.Err; cause != nil; cause = errors.Unwrap(cause) {
		texts = append(texts, cause.Error(), fmt.Sprintf("%+v", cause))
	}
	for _, text := range texts {
		for name, secret := range s.secrets() {
			if strings.Contains(text, secret) {
				t.Errorf("an error text holds the secret %s: %q", name, text)
			}
		}
		for what, secret := range map[string]string{"the prompt": s.Request.Prompt, "a signed URL": "c2lnbmVkLXVybA"} {
			if strings.Contains(text, secret) {
				t.Errorf("an error text holds %s: %q", what, text)
			}
		}
	}
}

// alien are bodies that are no answer of any upstream's API: those of a proxy, a
// login page, another service.
var alien = []string{
	"", "null", "true", "0", `"x"`, "[]", "{}", `[{}]`, "<html><body>502 Bad Gateway</body></html>",
	`{"message":"no Route matched"}`, `{"data":null}`, `{"error":null}`, `{"error":"x"}`, `{"error":[]}`, `{"code":"x","data":[]}`,
	`{"status":7,"id":{}}`, "{\"id\":", "\x00\xff\xfe", strings.Repeat("[", 20_000),
}

// alienTo are the bodies to try with a status: all with those that mean something,
// two with the rest.
func alienTo(status int) []string {
	switch status {
	case 200, 201, 202, 400, 401, 402, 403, 404, 409, 410, 422, 429, 500, 503:
		return alien
	}
	return []string{"", "{}"}
}

// callers are all calls of the provider to its upstream, by name.
func (s *Suite) callers(t *testing.T) map[string]func(provider.Upstream) error {
	calls := map[string]func(provider.Upstream) error{
		"submit": func(up provider.Upstream) error {
			_, err := s.Provider.Submit(t.Context(), up, s.Request)
			return err
		},
	}
	if !s.traits().Synchronous {
		calls["poll"] = func(up provider.Upstream) error {
			reports, err := s.Provider.Poll(t.Context(), up, []provider.Job{s.Job})
			for _, r := range reports {
				if r.Err != nil {
					s.checkError(t, r.Err)
				}
			}
			return err
		}
	}
	if p, ok := s.Provider.(provider.Canceler); ok && s.cancels() && !s.traits().Synchronous {
		calls["cancel"] = func(up provider.Upstream) error { return p.Cancel(t.Context(), up, s.Job) }
	}
	if p, ok := s.Provider.(provider.Reconciler); ok && s.reconciles() {
		calls["reconcile"] = func(up provider.Upstream) error {
			_, err := p.Reconcile(t.Context(), up, s.Request)
			return err
		}
	}
	return calls
}

// sentinel says whether an error is one of those that need no class.
func sentinel(err error) bool {
	return errors.Is(err, provider.ErrNotCancellable) || errors.Is(err, provider.ErrNotSubmitted) || errors.Is(err, provider.ErrUncertain)
}

// testSecrets lets the upstream say everything that no error may repeat.
func (s *Suite) testSecrets(t *testing.T) {
	message := "wrong: " + s.Request.Prompt + " " + signedURL
	for _, secret := range s.secrets() {
		message += " " + secret
	}
	u := s.upstream(t)
	up := u.With(s.Account)
	for name, call := range s.callers(t) {
		for _, status := range []int{200, 400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 503} {
			for _, reply := range []Reply{s.Complaint(status, message), {Status: status, Body: message}} {
				u.Answer(reply)
				if err := call(up); err != nil && !sentinel(err) {
					e := s.checkError(t, err)
					if t.Failed() {
						t.Fatalf("%s answered with %d: %v", name, status, e)
					}
				}
			}
		}
		// Each secret alone: a filter for sentences lets a single word through.
		for _, secret := range s.secrets() {
			u.Answer(s.Complaint(400, secret))
			if err := call(up); err != nil && !sentinel(err) {
				s.checkError(t, err)
			}
		}
	}
	if s.Failed != nil {
		u.Answer(s.Failed(message))
		reports, err := s.Provider.Poll(t.Context(), up, []provider.Job{s.Job})
		if err != nil || len(reports) != 1 || reports[0].State != provider.StateFailed || reports[0].Err == nil {
			t.Fatalf("a failed job: %+v, error %v", reports, err)
		}
		s.checkError(t, reports[0].Err)
	}
	for _, dead := range []string{"http://127.0.0.1:1", "://", "http://[::1", u.URL + "/%zz"} {
		for _, call := range s.callers(t) {
			broken := up
			broken.Account.BaseURL = dead
			if err := call(broken); err == nil {
				t.Errorf("a call to %s went well", dead)
			} else {
				s.checkError(t, err)
			}
		}
	}
}

// plainWords stand for what an upstream says and an operator may read.
const plainWords = "the frame rate of this clip is odd"

// testSentence wants operators to read what the upstream says of a refused submit, and callers not to.
func (s *Suite) testSentence(t *testing.T) {
	u := s.upstream(t)
	u.Answer(s.Complaint(400, plainWords))
	_, err := s.Provider.Submit(t.Context(), u.With(s.Account), s.Request)
	if err == nil {
		t.Fatal("a complaint was taken as accepted")
	}
	if e := s.checkError(t, err); !strings.Contains(e.Detail, plainWords) || strings.Contains(e.Error(), plainWords) {
		t.Errorf("the error %q has the detail %q; want the upstream's words in the detail alone", e.Error(), e.Detail)
	}
}

// testRedirects wants the key to stay where it belongs.
func (s *Suite) testRedirects(t *testing.T) {
	u, elsewhere := s.upstream(t), s.upstream(t)
	elsewhere.Answer(s.Accepted)
	up := u.With(s.Account)
	for name, call := range s.callers(t) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			u.Answer(Reply{Status: status, Header: map[string]string{"Location": elsewhere.URL + "/v1"}})
			err := call(up)
			if err == nil && name != "poll" {
				t.Errorf("%s answered with %d went well", name, status)
			}
			if err != nil {
				if sentinel(err) {
					t.Errorf("%s answered with %d: %v", name, status, err)
				} else {
					s.checkError(t, err)
				}
			}
			for _, r := range elsewhere.Take() {
				t.Errorf("%s answered with %d was carried on as %s %s to another origin, with headers %v", name, status, r.Method, r.Target, r.Header)
			}
		}
	}
}
