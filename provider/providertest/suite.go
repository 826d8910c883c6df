// Package providertest is the conformance suite that every provider must pass: what
// package provider promises to the lifecycle, tried against an upstream that answers
// by script.
//
// A provider's own test builds a Suite from its upstream's documents and calls Run.
// The suite then checks what no upstream's documents say: that no status, no broken
// answer and no lost connection makes a provider submit twice, take "perhaps" for
// "no", finish a job on garbage, or put a secret into an error. What one upstream's
// fields mean is not its duty: that is in the golden files and tables of the
// provider's test.
package providertest

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
)

// Suite says what the provider under test speaks. Fields without "optional" are
// required.
type Suite struct {
	Provider provider.Provider
	// Account carries every setting, with made-up secrets of at least eight
	// characters. BaseURL is replaced by the scripted upstream's; a path in it is kept.
	Account provider.Account

	// Request is valid, with a prompt of at least eight characters.
	Request provider.Request
	// Accepted answers Request, and Want is what it means.
	Accepted Reply
	Want     provider.Accepted
	// Golden are more requests whose HTTP form is kept in a file, by name. Request
	// itself is kept as "submit". Optional.
	Golden map[string]provider.Request
	// Refused are requests that Validate refuses, by a part of the refusal's message,
	// which names the caller's field. Optional.
	Refused map[string]provider.Request
	// Refusals are documented answers to a submit that are errors.
	Refusals []Refusal
	// StatusClasses says which class a submit's status has when the body is not the
	// upstream's; absent statuses have the usual one (401 Credential, 403 Permission,
	// 429 Rate, other 4xx anything that means "nothing was created"). Optional.
	StatusClasses map[int]provider.Class

	// Job is one that was accepted, and Poll builds an answer that shows jobs in the
	// upstream's own words, by id. Not for synchronous providers, which have no jobs.
	Job  provider.Job
	Poll func(words map[string]string) Reply
	// Carrying builds the answer to a poll that shows Job as made for the attempt of a
	// reference: another attempt's job is not reported. Only where the upstream shows a
	// reference of ours.
	Carrying func(reference string) Reply
	// Words are all documented status words. Words of Succeeded need not carry outputs:
	// what such an answer means is for Reports.
	Words map[string]provider.State
	// Reports are documented answers to a poll of Job.
	Reports []PollCase

	// Complaint builds the upstream's error answer with some text as its message. The
	// suite puts secrets into it.
	Complaint func(status int, message string) Reply
	// Failed builds the answer to a poll that shows Job as failed with some text as
	// its message. Not for synchronous providers.
	Failed func(message string) Reply

	// Cancelled and TooLate answer a cancel that worked and one that came too late. Only
	// for a Canceler; both zero = Request's model cannot be cancelled, and no call is made.
	Cancelled, TooLate Reply
	// Found and NotFound answer a Reconcile of Request that finds Want and one that shows
	// nothing. Only for a Reconciler; both zero = Request's model cannot be asked about,
	// and no call is made.
	Found, NotFound Reply
	// Uncertain says that NotFound proves nothing, so that it means ErrUncertain instead of
	// ErrNotSubmitted.
	Uncertain bool
	// Patience is how long requests may take, by what Golden calls them; absent ones, and
	// Request itself, no longer than usual. Only for a Patient.
	Patience map[string]time.Duration
	// Callbacks are inbound calls. Only for a CallbackVerifier.
	Callbacks []CallbackCase

	// Output is one of Job's, and Content answers its opening with a body. Only for an
	// Opener.
	Output  provider.Output
	Content Reply

	// Sources are callers' files, for upstreams that want bytes. Optional.
	Sources provider.Sources
	// Auxiliary answers requests that are not the call itself, such as the fetch of an
	// access token; they are not counted. It returns false for all others. Optional.
	Auxiliary func(Recorded) (Reply, bool)
	// ReconcileAuxiliary is Auxiliary for a Reconcile. Optional; nil = Auxiliary too.
	ReconcileAuxiliary func(Recorded) (Reply, bool)
	// Redact removes what differs from run to run, such as a signed token, from the
	// text that goes to a golden file. Optional.
	Redact func(string) string
	// Folder is where the golden files lie, below testdata: each suite of a provider that
	// has several names its own. Optional.
	Folder string
	// Update rewrites the golden files.
	Update bool
}

// Refusal is a documented error answer.
type Refusal struct {
	Name  string
	Reply Reply
	Class provider.Class
	// Says is a part of the error's Message; empty = not checked.
	Says string
}

// PollCase is a documented answer to a poll of Suite.Job.
type PollCase struct {
	Name  string
	Reply Reply
	// Want is the only report's content; its UpstreamID is filled in. Of Err only the
	// class is compared.
	Want provider.Report
	// Class, when not empty, is that of the error of the whole call.
	Class provider.Class
}

// CallbackCase is one inbound call.
type CallbackCase struct {
	Name string
	In   provider.InboundCallback
	// Settings overrides settings of the account, for instance its webhook secret.
	Settings map[string]string
	Want     provider.Callback
	// Class is that of the refusal; empty = the call is taken.
	Class provider.Class
	// Tamper says that the call is signed, over its whole body and within five minutes of
	// its arrival: the suite then also checks that every changed byte, a missing
	// header and another time are refused. VolatileHeaders are those that the
	// signature does not need.
	Tamper          bool
	VolatileHeaders []string
	// BodyUnsigned says that the signature leaves the body out.
	BodyUnsigned bool
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("description", s.testDescription)
	t.Run("golden requests", s.testGolden)
	t.Run("validation", s.testValidate)
	if _, ok := s.Provider.(provider.Fielder); ok {
		t.Run("fields", s.testFields)
	}
	t.Run("submit", s.testSubmit)
	t.Run("submit answered with any status", s.testSubmitStatuses)
	t.Run("submit answered with a broken body", s.testSubmitBroken)
	t.Run("submit with a lost connection", s.testSubmitLost)
	t.Run("documented refusals", s.testRefusals)
	if !s.traits().Synchronous {
		t.Run("poll", s.testReports)
		t.Run("status words", s.testWords)
		if s.Carrying != nil {
			t.Run("another attempt's job", s.testForeign)
		}
		t.Run("poll of many", s.testBatch)
		t.Run("poll answered with any status", s.testPollStatuses)
		t.Run("poll with a lost connection", s.testPollLost)
	}
	t.Run("secrets", s.testSecrets)
	t.Run("the upstream's own sentence", s.testSentence)
	t.Run("redirects", s.testRedirects)
	t.Run("concurrent use", s.testConcurrent)
	if p, ok := s.Provider.(provider.Canceler); ok && !s.traits().Synchronous {
		t.Run("cancel", func(t *testing.T) { s.testCancel(t, p) })
	}
	if p, ok := s.Provider.(provider.Reconciler); ok {
		t.Run("reconcile", func(t *testing.T) { s.testReconcile(t, p) })
	}
	if p, ok := s.Provider.(provider.Opener); ok && !s.Content.none() {
		t.Run("outputs", func(t *testing.T) { s.testOpener(t, p) })
	}
	if p, ok := s.Provider.(provider.Patient); ok {
		t.Run("patience", func(t *testing.T) { s.testPatience(t, p) })
	}
	if p, ok := s.Provider.(provider.CallbackVerifier); ok && (s.traits().Callbacks || s.traits().Hints) {
		t.Run("callbacks", func(t *testing.T) { s.testCallbacks(t, p) })
	}
}

// traits are those of Request's model.
func (s *Suite) traits() provider.Traits {
	return s.Provider.Describe().Model(s.Request.UpstreamModel)
}

func (s *Suite) testDescription(t *testing.T) {
	name := s.Provider.Name()
	for _, r := range name {
		if r < 'a' || r > 'z' {
			t.Errorf("name %q: must be lower-case letters", name)
			break
		}
	}
	if name == "" {
		t.Error("the provider has no name")
	}
	d := s.Provider.Describe()
	if p := d.Poll; !s.traits().Synchronous && (p.First <= 0 || p.Interval <= 0 || p.Ceiling < p.Interval) {
		t.Errorf("pace %+v: first and interval must be above 0, and the ceiling not below the interval", p)
	}
	if _, ok := s.Provider.(provider.CallbackVerifier); !ok && (s.traits().Callbacks || s.traits().Hints) {
		t.Error("the model takes callbacks, and the provider is no CallbackVerifier")
	}
	if d.Traits != nil {
		for _, model := range []string{"", "a model nobody knows", "x/y:z", s.Request.UpstreamModel} {
			if traits := d.Traits(model); traits.BatchPoll < 0 || traits.Synchronous && (traits.Callbacks || traits.Hints) {
				t.Errorf("traits of %q are %+v", model, traits)
			}
		}
	}
	regions := map[string]bool{}
	for _, h := range d.Hosts {
		u, err := url.Parse(h.BaseURL)
		if err != nil || u.Scheme != "https" || strings.HasSuffix(h.BaseURL, "/") || h.Region == "" || regions[h.Region] {
			t.Errorf("host %+v: must have a region of its own and an https address without a trailing slash", h)
		}
		regions[h.Region] = true
	}
	seen := map[string]bool{}
	for _, setting := range d.Settings {
		if setting.Name == "" || setting.Meaning == "" || seen[setting.Name] {
			t.Errorf("setting %+v: must have a name of its own and a meaning", setting)
		}
		seen[setting.Name] = true
		if setting.Required && s.Account.Settings[setting.Name] == "" {
			t.Errorf("the suite's account lacks the required setting %s", setting.Name)
		}
		if v := s.Account.Settings[setting.Name]; setting.Secret && v != "" && len(v) < 8 {
			t.Errorf("the suite's secret %s is too short to be looked for in errors", setting.Name)
		}
	}
	for name := range s.Account.Settings {
		if !seen[name] {
			t.Errorf("the suite's account has the setting %s, which Describe does not name", name)
		}
	}
	if len(s.Request.Prompt) < 8 {
		t.Error("the suite's prompt is too short to be looked for in errors")
	}
}
