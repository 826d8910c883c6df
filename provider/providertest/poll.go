package providertest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kinora/kinora/provider"
)

// poll polls the suite's job and checks what holds for every poll.
func (s *Suite) poll(t *testing.T, u *Upstream, what string) ([]provider.Report, error) {
	t.Helper()
	reports, err := s.Provider.Poll(t.Context(), u.With(s.Account), []provider.Job{s.Job})
	if err != nil {
		if len(reports) > 0 {
			t.Errorf("%s: reports together with an error", what)
		}
		if e := s.checkError(t, err); e.Class == provider.OutcomeUnknown {
			t.Errorf("%s: class %s, which is for submits", what, e.Class)
		}
		return nil, err
	}
	s.checkReports(t, what, reports, s.Job.UpstreamID)
	return reports, nil
}

func (s *Suite) checkReports(t *testing.T, what string, reports []provider.Report, ids ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range reports {
		if !slices.Contains(ids, r.UpstreamID) || seen[r.UpstreamID] {
			t.Errorf("%s: a report on job %q, asked for %q", what, r.UpstreamID, ids)
		}
		seen[r.UpstreamID] = true
		switch r.State {
		case provider.StateSucceeded:
			if len(r.Outputs) == 0 {
				t.Errorf("%s: success without an output", what)
			}
		case provider.StateFailed, provider.StateExpired:
			if r.Err == nil {
				t.Errorf("%s: %s without a reason", what, r.State)
			} else {
				s.checkError(t, r.Err)
			}
		case provider.StateQueued, provider.StateRunning, provider.StateCancelled:
		default:
			t.Errorf("%s: unknown state %q", what, r.State)
		}
		if r.Progress < -1 || r.Progress > 100 {
			t.Errorf("%s: progress %d", what, r.Progress)
		}
	}
}

func (s *Suite) testReports(t *testing.T) {
	u := s.upstream(t)
	for _, c := range s.Reports {
		u.Answer(c.Reply)
		reports, err := s.poll(t, u, c.Name)
		if c.Class != "" {
			if err == nil {
				t.Errorf("%s: went well, want class %s", c.Name, c.Class)
			} else if e := s.checkError(t, err); e.Class != c.Class {
				t.Errorf("%s: class %s, want %s", c.Name, e.Class, c.Class)
			}
			continue
		}
		if err != nil || len(reports) != 1 {
			t.Errorf("%s: %d reports, error %v", c.Name, len(reports), err)
			continue
		}
		got, want := reports[0], c.Want
		want.UpstreamID = s.Job.UpstreamID
		if classOf(got.Err) != classOf(want.Err) {
			t.Errorf("%s: reason %v, want %v", c.Name, got.Err, want.Err)
		}
		got.Err, want.Err = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.Name, got, want)
		}
	}
}

func classOf(e *provider.Error) provider.Class {
	if e == nil {
		return ""
	}
	return e.Class
}

// testWords checks every documented word, and that an unknown one never ends a job.
func (s *Suite) testWords(t *testing.T) {
	u := s.upstream(t)
	words := maps.Clone(s.Words)
	for _, unknown := range []string{"warming_up", "succeeded_partially", "failing", "", " "} {
		if _, ok := words[unknown]; !ok {
			words[unknown] = provider.StateRunning
		}
	}
	for word, want := range words {
		u.Answer(s.Poll(map[string]string{s.Job.UpstreamID: word}))
		reports, err := s.poll(t, u, fmt.Sprintf("word %q", word))
		if err != nil || len(reports) != 1 {
			t.Errorf("word %q: %d reports, error %v", word, len(reports), err)
			continue
		}
		got := reports[0].State
		if want == provider.StateSucceeded && got == provider.StateFailed && classOf(reports[0].Err) == provider.Generation {
			continue // the answer had no outputs
		}
		if got != want {
			t.Errorf("word %q: state %s, want %s", word, got, want)
		}
	}
}

// testForeign polls a job that the upstream shows as made for one attempt or another. An id that a person has
// mixed up, or an unsigned callback has brought, must not lead to somebody else's outputs.
func (s *Suite) testForeign(t *testing.T) {
	if s.Job.ClientRef == "" {
		t.Fatal("the suite's job has no reference")
	}
	u := s.upstream(t)
	for ref, want := range map[string]int{
		s.Job.ClientRef: 1, "": 1,
		"task_01J00000000000000000000000_0": 0, "job_01J00000000000000000000000_12": 0,
	} {
		u.Answer(s.Carrying(ref))
		reports, err := s.poll(t, u, fmt.Sprintf("reference %q", ref))
		if err != nil || len(reports) != want {
			t.Errorf("a job of %q, asked for by %q: %+v, error %v", ref, s.Job.ClientRef, reports, err)
		}
	}
}

// testBatch polls two jobs in one call where the provider says that it can.
func (s *Suite) testBatch(t *testing.T) {
	u := s.upstream(t)
	if reports, err := s.Provider.Poll(t.Context(), u.With(s.Account), nil); err != nil || len(reports) != 0 || len(u.Take()) != 0 {
		t.Errorf("a poll of no jobs: %+v, error %v", reports, err)
	}
	if s.traits().BatchPoll < 2 {
		return
	}
	other := s.Job
	other.UpstreamID += "-2"
	unknown := s.Job
	unknown.UpstreamID += "-3"
	jobs := []provider.Job{s.Job, other, unknown}
	u.Answer(s.Poll(map[string]string{s.Job.UpstreamID: "a word nobody knows", other.UpstreamID: "nor this", "somebody-elses": "x"}))
	reports, err := s.Provider.Poll(t.Context(), u.With(s.Account), jobs)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(u.Take()); n != 1 {
		t.Errorf("%d requests for three jobs, want 1", n)
	}
	s.checkReports(t, "a poll of three", reports, s.Job.UpstreamID, other.UpstreamID, unknown.UpstreamID)
	found := 0
	for _, r := range reports {
		if r.UpstreamID == unknown.UpstreamID {
			if r.State != provider.StateExpired || classOf(r.Err) != provider.Gone {
				t.Errorf("a job that the answer leaves out: %+v", r)
			}
			continue
		}
		found++
	}
	if found != 2 {
		t.Errorf("%d reports on two jobs", found)
	}
}

// testPollStatuses answers with every status and bodies that are not the upstream's:
// none of them may end a job that perhaps still runs.
func (s *Suite) testPollStatuses(t *testing.T) {
	u := s.upstream(t)
	for status := 200; status < 600; status++ {
		for _, body := range alienTo(status) {
			u.Answer(Reply{Status: status, Body: body})
			what := fmt.Sprintf("status %d with body %.20q", status, body)
			reports, err := s.poll(t, u, what)
			for _, r := range reports {
				lost := r.State == provider.StateExpired && classOf(r.Err) == provider.Gone
				if r.State.Final() && !(lost && (status == http.StatusNotFound || status == http.StatusGone)) {
					t.Errorf("%s: ended the job: %+v", what, r)
				}
			}
			if status >= 300 && status != http.StatusNotFound && status != http.StatusGone && err == nil {
				t.Errorf("%s: no error", what)
			}
			if err == nil {
				continue
			}
			e := s.checkError(t, err)
			if status >= 500 && e.Class != provider.Unavailable {
				t.Errorf("%s: class %s, want %s", what, e.Class, provider.Unavailable)
			}
			if want, ok := usualClass[status]; ok && s.StatusClasses[status] == "" && e.Class != want {
				t.Errorf("%s: class %s, want %s", what, e.Class, want)
			}
		}
	}
	whole := s.Poll(map[string]string{s.Job.UpstreamID: "x"})
	whole.Body += strings.Repeat(" ", provider.MaxAnswer)
	u.Answer(whole)
	if _, err := s.poll(t, u, "a large answer"); err == nil {
		t.Error("an answer that is too large was taken")
	}
}

func (s *Suite) testPollLost(t *testing.T) {
	whole := s.Poll(map[string]string{s.Job.UpstreamID: "x"})
	broken := whole
	broken.Cut = CutBody
	u := s.upstream(t)
	for what, reply := range map[string]Reply{"no answer": {Cut: CutAnswer}, "half an answer": broken} {
		u.Answer(reply)
		_, err := s.poll(t, u, what)
		if err == nil {
			t.Errorf("%s: went well", what)
		} else if e := s.checkError(t, err); e.Class != provider.Unavailable {
			t.Errorf("%s: class %s, want %s", what, e.Class, provider.Unavailable)
		}
	}
	u.Answer(Reply{Hang: true})
	for len(u.arrived) > 0 {
		<-u.arrived
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-u.arrived:
		case <-ctx.Done():
		}
		cancel()
	}()
	if _, err := s.Provider.Poll(ctx, u.With(s.Account), []provider.Job{s.Job}); err == nil {
		t.Error("a poll that was given up went well")
	} else {
		s.checkError(t, err)
	}
}
