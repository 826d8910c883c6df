package providertest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
)

// certain is the judgement of a submit that surely created nothing.
func certain(c provider.Class) bool { return c != provider.OutcomeUnknown }

func (s *Suite) testSubmit(t *testing.T) {
	u := s.upstream(t)
	u.Answer(s.Accepted)
	before := fmt.Sprintf("%#v", s.Request)
	got, err := s.Provider.Submit(t.Context(), u.With(s.Account), s.Request)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, s.Want) {
		t.Errorf("accepted %+v, want %+v", got, s.Want)
	}
	if n := len(u.Take()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if p, ok := s.Provider.(provider.Router); ok {
		if route := p.Route(s.Request); !reflect.DeepEqual(route, got.Handle) {
			t.Errorf("the route is %s, and the submit's handle %s", route, got.Handle)
		}
	}
	if after := fmt.Sprintf("%#v", s.Request); after != before {
		t.Errorf("Submit changed the request from %s to %s", before, after)
	}
}

// submitOnce submits and wants exactly one request to have reached the upstream.
func (s *Suite) submitOnce(t *testing.T, u *Upstream, what string) (provider.Accepted, error) {
	t.Helper()
	got, err := s.Provider.Submit(t.Context(), u.With(s.Account), s.Request)
	if n := len(u.Take()); n != 1 {
		t.Errorf("%s: %d requests reached the upstream, want 1", what, n)
	}
	return got, err
}

// testSubmitStatuses answers with every status and bodies that are not the
// upstream's: the rule of ambiguous submits must hold without a body's help.
func (s *Suite) testSubmitStatuses(t *testing.T) {
	u := s.upstream(t)
	for status := 200; status < 600; status++ {
		for _, body := range alienTo(status) {
			u.Answer(Reply{Status: status, Body: body, Header: map[string]string{"Retry-After": "7"}})
			what := fmt.Sprintf("status %d with body %.20q", status, body)
			got, err := s.submitOnce(t, u, what)
			if err == nil {
				t.Fatalf("%s: taken as accepted: %+v", what, got)
			}
			e := s.checkError(t, err)
			want, listed := s.StatusClasses[status]
			if !listed {
				want, listed = usualClass[status]
			}
			redirect := status >= 300 && status < 400 && !slices.Contains([]int{301, 302, 307, 308}, status)
			unknown := status < 300 || redirect || status >= 500 || status == 408 || status == 499
			switch {
			case listed && e.Class != want:
				t.Errorf("%s: class %s, want %s", what, e.Class, want)
			case !listed && unknown != !certain(e.Class):
				t.Errorf("%s: class %s", what, e.Class)
			}
			if e.HTTPStatus != status {
				t.Errorf("%s: HTTPStatus %d", what, e.HTTPStatus)
			}
			if status == http.StatusTooManyRequests && e.RetryAfter != 7*time.Second {
				t.Errorf("%s: RetryAfter %v, want 7s", what, e.RetryAfter)
			}
		}
	}
}

// usualClass is what a status means at most upstreams.
var usualClass = map[int]provider.Class{
	http.StatusUnauthorized:    provider.Credential,
	http.StatusForbidden:       provider.Permission,
	http.StatusTooManyRequests: provider.Rate,
}

// testSubmitBroken spoils an answer that says yes.
func (s *Suite) testSubmitBroken(t *testing.T) {
	whole := s.Accepted.Body
	u := s.upstream(t)
	expect := func(what string, reply Reply) {
		t.Helper()
		u.Answer(reply)
		got, err := s.submitOnce(t, u, what)
		if err == nil {
			t.Errorf("%s: taken as accepted: %+v", what, got)
			return
		}
		if e := s.checkError(t, err); e.Class != provider.OutcomeUnknown {
			t.Errorf("%s: class %s, want %s", what, e.Class, provider.OutcomeUnknown)
		}
	}
	reply := s.Accepted
	for cut := 0; cut < len(strings.TrimRight(whole, " \n")); cut++ {
		reply.Body = whole[:cut]
		expect(fmt.Sprintf("the first %d bytes of the answer", cut), reply)
	}
	reply.Body, reply.Cut = whole, CutBody
	expect("an answer that breaks off", reply)
	reply.Cut, reply.Body = CutNone, whole+strings.Repeat(" ", provider.MaxAnswer)
	expect("an answer that is too large", reply)
}

// testSubmitLost takes the connection away at every point of a submit.
func (s *Suite) testSubmitLost(t *testing.T) {
	want := func(t *testing.T, err error, class provider.Class) {
		t.Helper()
		if err == nil {
			t.Fatal("taken as accepted")
		}
		if e := s.checkError(t, err); e.Class != class {
			t.Errorf("class %s, want %s", e.Class, class)
		}
	}
	t.Run("after the request", func(t *testing.T) {
		u := s.upstream(t)
		u.Answer(Reply{Cut: CutAnswer})
		_, err := s.submitOnce(t, u, "a lost connection")
		want(t, err, provider.OutcomeUnknown)
	})
	t.Run("after the request, on a connection used before", func(t *testing.T) {
		// Here net/http itself repeats requests that it takes for repeatable.
		u := s.upstream(t)
		u.Answer(s.Accepted)
		if _, err := s.submitOnce(t, u, "the first submit"); err != nil {
			t.Fatal(err)
		}
		u.Answer(Reply{Cut: CutAnswer})
		_, err := s.submitOnce(t, u, "a lost connection")
		want(t, err, provider.OutcomeUnknown)
	})
	for name, reply := range map[string]Reply{
		"while waiting for the answer": {Hang: true},
		"while reading the answer":     {Status: s.Accepted.Status, Header: s.Accepted.Header, Body: s.Accepted.Body, HangBody: true},
	} {
		t.Run("given up "+name, func(t *testing.T) {
			u := s.upstream(t)
			u.Answer(reply)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				select {
				case <-u.arrived:
				case <-ctx.Done():
				}
				cancel()
			}()
			_, err := s.Provider.Submit(ctx, u.With(s.Account), s.Request)
			want(t, err, provider.OutcomeUnknown)
			if n := len(u.Take()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
	t.Run("nothing listens", func(t *testing.T) {
		u := s.upstream(t)
		u.server.Close()
		_, err := s.Provider.Submit(t.Context(), u.With(s.Account), s.Request)
		if s.Auxiliary == nil {
			want(t, err, provider.Unavailable)
		}
	})
	t.Run("no TLS", func(t *testing.T) {
		u := s.upstream(t)
		up := u.With(s.Account)
		up.Account.BaseURL = "https" + strings.TrimPrefix(up.Account.BaseURL, "http")
		_, err := s.Provider.Submit(t.Context(), up, s.Request)
		want(t, err, provider.Unavailable)
		if n := len(u.Take()); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
	t.Run("given up before it begins", func(t *testing.T) {
		u := s.upstream(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Provider.Submit(ctx, u.With(s.Account), s.Request)
		want(t, err, provider.Unavailable)
		if n := len(u.Take()); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	})
}

func (s *Suite) testRefusals(t *testing.T) {
	u := s.upstream(t)
	for _, r := range s.Refusals {
		u.Answer(r.Reply)
		_, err := s.submitOnce(t, u, r.Name)
		if err == nil {
			t.Errorf("%s: taken as accepted", r.Name)
			continue
		}
		if e := s.checkError(t, err); e.Class != r.Class || !strings.Contains(e.Message, r.Says) {
			t.Errorf("%s: class %s, message %q; want %s, %q", r.Name, e.Class, e.Message, r.Class, r.Says)
		}
	}
}

// testConcurrent is for the race detector.
func (s *Suite) testConcurrent(t *testing.T) {
	u := s.upstream(t)
	u.Answer(s.Accepted)
	up := u.With(s.Account)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Provider.Submit(t.Context(), up, s.Request); err != nil {
				t.Errorf("submit: %v", err)
			}
			_ = s.Provider.Validate(s.Request) // only that it may be called now
		})
	}
	wg.Wait()
	if n := len(u.Take()); n != 8 {
		t.Errorf("%d requests, want 8", n)
	}
}
