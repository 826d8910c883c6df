package providertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/providertest"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

// minimal is the smallest provider: one job a poll, in the path, and outputs that
// need the key. flaw makes it wrong in one way.
type minimal struct {
	flaw        string
	synchronous bool
}

func (m minimal) Name() string { return "minimal" }

func (m minimal) Describe() provider.Description {
	return provider.Description{
		Traits:   func(string) provider.Traits { return provider.Traits{Synchronous: m.synchronous} },
		Poll:     provider.Pace{First: time.Second, Interval: time.Second, Ceiling: time.Second},
		Settings: []provider.Setting{{Name: "key", Meaning: "the key", Required: true, Secret: true}},
	}
}

func (m minimal) Validate(req provider.Request) error {
	if req.Duration > 5 {
		return provider.Errorf(provider.Invalid, "input.duration must be at most 5")
	}
	return nil
}

func (m minimal) request(up provider.Upstream, method, path string, body any) (*http.Request, error) {
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(method, up.Account.BaseURL+path, bytes.NewReader(payload))
	if err != nil {
		if m.flaw == "the base URL in an error" {
			return nil, fmt.Errorf("minimal: %w", err)
		}
		return nil, provider.Errorf(provider.Permission, "the base URL is not usable")
	}
	req.Header.Set("Authorization", "Bearer "+up.Account.Settings["key"])
	if m.flaw == "net/http repeats it" {
		req.Header.Set("Idempotency-Key", "x")
	}
	return req, nil
}

type answer struct{ ID, Word, URL, Error, Ref string }

func (m minimal) Submit(ctx context.Context, up provider.Upstream, r provider.Request) (provider.Accepted, error) {
	req, err := m.request(up, "POST", "/jobs", map[string]string{"prompt": r.Prompt})
	if err != nil {
		return provider.Accepted{}, err
	}
	if m.flaw == "follows redirects" {
		up.Client = &http.Client{Transport: up.Client.Transport}
	}
	a, err := provider.Do(ctx, up, provider.Effect(m.flaw != "submit as a read"), req)
	if err != nil && m.flaw == "submits again" && ctx.Err() == nil {
		again, _ := m.request(up, "POST", "/jobs", map[string]string{"prompt": r.Prompt})
		a, err = provider.Do(ctx, up, provider.Creates, again)
	}
	if err != nil {
		return provider.Accepted{}, err
	}
	var got answer
	unreadable := json.Unmarshal(a.Body, &got) != nil || got.ID == ""
	switch {
	case a.Status >= 300:
		e := m.refusal(a)
		if m.flaw == "keeps the words from operators" || e.Detail != "" {
			return provider.Accepted{}, e
		}
		return provider.Accepted{}, provider.Quote(m, up, r, e, got.Error)
	case unreadable && m.flaw == "no id is no failure":
		return provider.Accepted{}, nil
	case unreadable:
		return provider.Accepted{}, &provider.Error{Class: provider.OutcomeUnknown, HTTPStatus: a.Status, Message: "unreadable answer"}
	}
	accepted := provider.Accepted{UpstreamID: got.ID}
	if m.synchronous {
		accepted.Report = &provider.Report{UpstreamID: got.ID, State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "http://h/1", Kind: kinora.KindImage}}}
	}
	return accepted, nil
}

func (m minimal) refusal(a provider.Answer) *provider.Error {
	classes := map[int]provider.Class{401: provider.Credential, 403: provider.Permission, 429: provider.Rate, 404: provider.Gone, 410: provider.Gone}
	e := &provider.Error{Class: provider.Invalid, HTTPStatus: a.Status, Message: "refused", RetryAfter: a.RetryAfter(time.Now())}
	if c, ok := classes[a.Status]; ok {
		e.Class = c
	}
	if m.flaw == "repeats what the upstream says" {
		e.Detail = string(a.Body)
	}
	return e
}

func (m minimal) Route(provider.Request) json.RawMessage {
	if m.flaw == "another route than the submit's" {
		return json.RawMessage(`{"path":"/elsewhere"}`)
	}
	return nil
}

func (m minimal) Poll(ctx context.Context, up provider.Upstream, jobs []provider.Job) ([]provider.Report, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	req, err := m.request(up, "GET", "/jobs/"+jobs[0].UpstreamID, nil)
	if err != nil {
		return nil, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, req)
	if err != nil {
		return nil, err
	}
	if a.Status >= 300 {
		if m.flaw == "an unreadable poll ends the job" {
			return []provider.Report{{UpstreamID: jobs[0].UpstreamID, State: provider.StateFailed, Err: m.refusal(a)}}, nil
		}
		return nil, m.refusal(a)
	}
	var got answer
	if json.Unmarshal(a.Body, &got) != nil {
		return nil, provider.Errorf(provider.Unavailable, "unreadable answer")
	}
	if got.Ref != "" && got.Ref != jobs[0].ClientRef && m.flaw != "takes another attempt's job" {
		return nil, nil
	}
	r := provider.Report{UpstreamID: jobs[0].UpstreamID, State: provider.StateRunning, Progress: -1}
	switch got.Word {
	case "done":
		r.State, r.Outputs = provider.StateSucceeded, []provider.Output{{URL: got.URL, Kind: kinora.KindImage}}
	case "failed":
		r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "failed")
	case "running":
	default:
		if m.flaw == "an unknown word ends the job" {
			r.State, r.Err = provider.StateFailed, provider.Errorf(provider.Generation, "failed")
		}
	}
	return []provider.Report{r}, nil
}

func (m minimal) OpenOutput(ctx context.Context, up provider.Upstream, job provider.Job, _ provider.Output) (*http.Response, error) {
	req, err := m.request(up, "GET", "/files/"+job.UpstreamID, nil)
	if err != nil {
		return nil, err
	}
	res, err := up.Client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, provider.Errorf(provider.Unavailable, "unreachable")
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	if m.flaw != "leaves an answer open" {
		_ = res.Body.Close()
	}
	if res.StatusCode >= 500 {
		return nil, provider.Errorf(provider.Unavailable, "overloaded")
	}
	return nil, m.refusal(provider.Answer{Status: res.StatusCode})
}

func (m minimal) Reconcile(ctx context.Context, up provider.Upstream, r provider.Request) (provider.Accepted, error) {
	req, err := m.request(up, "GET", "/jobs?ref="+r.ClientRef, nil)
	if err != nil {
		return provider.Accepted{}, err
	}
	a, err := provider.Do(ctx, up, provider.Reads, req)
	var got struct{ Found []answer }
	switch {
	case err != nil && m.flaw != "no answer is a no":
		return provider.Accepted{}, err
	case err == nil && a.Status >= 300:
		return provider.Accepted{}, m.refusal(a)
	case err == nil && (json.Unmarshal(a.Body, &got) != nil || got.Found == nil):
		return provider.Accepted{}, provider.Errorf(provider.Unavailable, "unreadable answer")
	case len(got.Found) == 0:
		return provider.Accepted{}, provider.ErrNotSubmitted
	}
	return provider.Accepted{UpstreamID: got.Found[0].ID}, nil
}

func suite(m minimal) providertest.Suite {
	word := func(words map[string]string) providertest.Reply {
		for _, w := range words {
			out, _ := json.Marshal(answer{ID: "j1", Word: w, URL: "http://h/1"})
			return providertest.JSON(200, string(out))
		}
		return providertest.Reply{Status: 404}
	}
	s := providertest.Suite{
		Provider: m,
		Account:  provider.Account{BaseURL: "https://h/base", Settings: map[string]string{"key": "sk-0123456789"}},
		Request:  provider.Request{ClientRef: "r1", Prompt: "two kites over a quiet bay"},
		Accepted: providertest.JSON(200, `{"id":"j1"}`),
		Want:     provider.Accepted{UpstreamID: "j1"},
		Refused:  map[string]provider.Request{"input.duration must be at most 5": {Duration: 6}},
		Refusals: []providertest.Refusal{{Name: "rate", Reply: providertest.JSON(429, `{"error":"x"}`), Class: provider.Rate}},
		Job:      provider.Job{UpstreamID: "j1", ClientRef: "r1"},
		Poll:     word,
		Carrying: func(reference string) providertest.Reply {
			out, _ := json.Marshal(answer{ID: "j1", Word: "running", Ref: reference})
			return providertest.JSON(200, string(out))
		},
		Words: map[string]provider.State{"running": provider.StateRunning, "done": provider.StateSucceeded, "failed": provider.StateFailed},
		Reports: []providertest.PollCase{
			{
				Name: "done", Reply: word(map[string]string{"j1": "done"}),
				Want: provider.Report{State: provider.StateSucceeded, Progress: -1, Outputs: []provider.Output{{URL: "http://h/1", Kind: kinora.KindImage}}},
			},
			{Name: "gone", Reply: providertest.Reply{Status: 404}, Class: provider.Gone},
		},
		Complaint: func(status int, message string) providertest.Reply {
			out, _ := json.Marshal(answer{Error: message})
			return providertest.JSON(status, string(out))
		},
		Failed: func(message string) providertest.Reply {
			out, _ := json.Marshal(answer{ID: "j1", Word: "failed", Error: message})
			return providertest.JSON(200, string(out))
		},
		Found:    providertest.JSON(200, `{"found":[{"id":"j1"}]}`),
		NotFound: providertest.JSON(200, `{"found":[]}`),
		Content:  providertest.Reply{Body: "pixels"},
		Update:   *update,
	}
	if m.synchronous {
		s.Poll, s.Failed = nil, nil
		s.Want.Report = &provider.Report{UpstreamID: "j1", State: provider.StateSucceeded, Progress: 100, Outputs: []provider.Output{{URL: "http://h/1", Kind: kinora.KindImage}}}
		s.Found, s.NotFound = providertest.Reply{}, providertest.Reply{}
	}
	return s
}

// onlyProvider hides a provider's optional capabilities.
type onlyProvider struct{ provider.Provider }

// uncertain is a provider that cannot ask about the suite's model.
type uncertain struct{ provider.Provider }

func (uncertain) Reconcile(context.Context, provider.Upstream, provider.Request) (provider.Accepted, error) {
	return provider.Accepted{}, provider.ErrUncertain
}

func TestSuitePassesGoodProviders(t *testing.T) {
	t.Run("nothing to ask by", func(t *testing.T) {
		s := suite(minimal{})
		s.Provider = uncertain{onlyProvider{s.Provider}}
		s.Found, s.NotFound = providertest.Reply{}, providertest.Reply{}
		providertest.Run(t, s)
	})
	t.Run("asynchronous", func(t *testing.T) { providertest.Run(t, suite(minimal{})) })
	t.Run("synchronous", func(t *testing.T) {
		s := suite(minimal{synchronous: true})
		s.Folder = "synchronous"
		s.Provider = onlyProvider{s.Provider}
		providertest.Run(t, s)
	})
}

// flaws are what the suite exists to find, with the part of it that must.
var flaws = map[string]string{
	"keeps the words from operators":  "the upstream's own sentence",
	"submit as a read":                "submit with a lost connection",
	"submits again":                   "submit with a lost connection",
	"net/http repeats it":             "submit with a lost connection",
	"follows redirects":               "redirects",
	"another route than the submit's": "submit",
	"no id is no failure":             "submit answered with a broken body",
	"repeats what the upstream says":  "secrets",
	"the base URL in an error":        "secrets",
	"an unreadable poll ends the job": "poll answered with any status",
	"an unknown word ends the job":    "status words",
	"takes another attempt's job":     "another attempt's job",
	"no answer is a no":               "reconcile",
	"leaves an answer open":           "outputs",
}

const flawVariable = "PROVIDERTEST_FLAW"

// TestFlawed is run by TestSuiteFindsFlaws in a process of its own, where it must
// fail.
func TestFlawed(t *testing.T) {
	if flaw := os.Getenv(flawVariable); flaw != "" {
		providertest.Run(t, suite(minimal{flaw: flaw}))
	}
}

func TestSuiteFindsFlaws(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for flaw, part := range flaws {
		t.Run(flaw, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestFlawed$/^"+strings.ReplaceAll(part, " ", "_")+"$")
			cmd.Env = append(os.Environ(), flawVariable+"="+flaw)
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), "--- FAIL: TestFlawed/") {
				t.Errorf("the suite ends with %v:\n%.2000s", err, out)
			}
		})
	}
}
