package providertest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
)

func (s *Suite) testCancel(t *testing.T, p provider.Canceler) {
	u := s.upstream(t)
	up := u.With(s.Account)
	if !s.cancels() {
		if err := p.Cancel(t.Context(), up, s.Job); !errors.Is(err, provider.ErrNotCancellable) || len(u.Take()) != 0 {
			t.Errorf("a model that cannot be cancelled: error %v, want ErrNotCancellable without a call", err)
		}
		return
	}
	u.Answer(s.Cancelled)
	if err := p.Cancel(t.Context(), up, s.Job); err != nil {
		t.Errorf("a cancel that worked: %v", err)
	}
	u.Answer(s.TooLate)
	if err := p.Cancel(t.Context(), up, s.Job); !errors.Is(err, provider.ErrNotCancellable) {
		t.Errorf("a cancel that came too late: error %v, want ErrNotCancellable", err)
	}
	for status := 300; status < 600; status++ {
		u.Answer(Reply{Status: status, Body: "{}"})
		if err := p.Cancel(t.Context(), up, s.Job); err == nil {
			t.Errorf("status %d: taken as cancelled", status)
		} else if !errors.Is(err, provider.ErrNotCancellable) {
			s.checkError(t, err)
		}
	}
	u.Answer(Reply{Cut: CutAnswer})
	if err := p.Cancel(t.Context(), up, s.Job); err == nil || sentinel(err) {
		t.Errorf("a lost answer: error %v", err)
	}
}

// cancels and reconciles tell what Request's model can do of what its provider can.
func (s *Suite) cancels() bool    { return !s.Cancelled.none() || !s.TooLate.none() }
func (s *Suite) reconciles() bool { return !s.Found.none() || !s.NotFound.none() }

// testReconcile guards the one answer that lets a submit be repeated.
func (s *Suite) testReconcile(t *testing.T, p provider.Reconciler) {
	u := s.reconciled(t)
	up := u.With(s.Account)
	if !s.reconciles() {
		if _, err := p.Reconcile(t.Context(), up, s.Request); !errors.Is(err, provider.ErrUncertain) || len(u.Take()) != 0 {
			t.Errorf("a model that cannot be asked about: error %v, want ErrUncertain without a call", err)
		}
		return
	}
	u.Answer(s.Found)
	if got, err := p.Reconcile(t.Context(), up, s.Request); err != nil || !reflect.DeepEqual(got, s.Want) {
		t.Errorf("found %+v, error %v; want %+v", got, err, s.Want)
	}
	u.Answer(s.NotFound)
	want := provider.ErrNotSubmitted
	if s.Uncertain {
		want = provider.ErrUncertain
	}
	if _, err := p.Reconcile(t.Context(), up, s.Request); !errors.Is(err, want) {
		t.Errorf("nothing there: error %v, want %v", err, want)
	}
	doubtful := func(what string, reply Reply) {
		t.Helper()
		u.Answer(reply)
		got, err := p.Reconcile(t.Context(), up, s.Request)
		switch {
		case err == nil:
			t.Errorf("%s: found %+v", what, got)
		case errors.Is(err, provider.ErrNotSubmitted):
			t.Errorf("%s: taken for certainty that nothing is there; the job would be paid twice", what)
		case errors.Is(err, provider.ErrUncertain):
		default:
			s.checkError(t, err)
		}
	}
	for status := 200; status < 600; status++ {
		for _, body := range alienTo(status) {
			doubtful(fmt.Sprintf("status %d with body %.20q", status, body), Reply{Status: status, Body: body})
		}
	}
	doubtful("no answer", Reply{Cut: CutAnswer})
	half := s.NotFound
	half.Cut = CutBody
	doubtful("half an answer", half)
	for cut := 0; cut < len(s.NotFound.Body)-1; cut++ {
		half = s.NotFound
		half.Body = half.Body[:cut]
		doubtful(fmt.Sprintf("the first %d bytes of the answer", cut), half)
	}
}

// testOpener opens an output; its content goes through unread.
func (s *Suite) testOpener(t *testing.T, p provider.Opener) {
	u := s.upstream(t)
	up := u.With(s.Account)
	u.Answer(s.Content)
	res, err := p.OpenOutput(t.Context(), up, s.Job, s.Output)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || string(body) != s.Content.Body {
		t.Errorf("read %d bytes of %d, error %v", len(body), len(s.Content.Body), err)
	}
	s.compareGolden(t, "output", u.Take())

	secret := signedURL
	for _, v := range s.secrets() {
		secret += " " + v
	}
	for status := 300; status < 600; status++ {
		u.Answer(s.Complaint(status, secret))
		res, err := p.OpenOutput(t.Context(), up, s.Job, s.Output)
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("status %d: opened", status)
			continue
		}
		e := s.checkError(t, err)
		if (status == http.StatusGone || status == http.StatusNotFound) && e.Class != provider.Gone || status >= 500 && e.Class != provider.Unavailable {
			t.Errorf("status %d: class %s", status, e.Class)
		}
	}
	u.Answer(Reply{Cut: CutAnswer})
	if res, err := p.OpenOutput(t.Context(), up, s.Job, s.Output); err == nil {
		_ = res.Body.Close()
		t.Error("a lost connection: opened")
	} else if e := s.checkError(t, err); e.Class != provider.Unavailable {
		t.Errorf("a lost connection: class %s", e.Class)
	}
}

func (s *Suite) testPatience(t *testing.T, p provider.Patient) {
	if got := p.Patience(s.Request); got != 0 {
		t.Errorf("the suite's request may take %v, want no longer than usual", got)
	}
	for name, req := range s.Golden {
		if got := p.Patience(req); got != s.Patience[name] {
			t.Errorf("%s: may take %v, want %v", name, got, s.Patience[name])
		}
	}
}

func (s *Suite) testCallbacks(t *testing.T, p provider.CallbackVerifier) {
	for _, c := range s.Callbacks {
		t.Run(c.Name, func(t *testing.T) {
			up := provider.Upstream{Account: s.Account}
			up.Account.Settings = maps.Clone(s.Account.Settings)
			maps.Copy(up.Account.Settings, c.Settings)
			got, err := p.VerifyCallback(up, c.In)
			switch {
			case c.Class == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case c.Class != "" && err == nil:
				t.Fatalf("taken: %+v", got)
			case err != nil:
				if e := s.checkError(t, err); e.Class != c.Class {
					t.Errorf("class %s, want %s", e.Class, c.Class)
				}
			case !reflect.DeepEqual(got, c.Want):
				t.Errorf("means %+v, want %+v", got, c.Want)
			}
			for _, body := range alien {
				in := c.In
				in.Body = []byte(body)
				if _, err := p.VerifyCallback(up, in); err != nil {
					s.checkError(t, err)
				}
			}
			if c.Tamper {
				s.testTampered(t, p, up, c)
			}
		})
	}
}

// testTampered changes a signed call at every place where a forger would.
func (s *Suite) testTampered(t *testing.T, p provider.CallbackVerifier, up provider.Upstream, c CallbackCase) {
	refused := func(what string, in provider.InboundCallback) {
		t.Helper()
		got, err := p.VerifyCallback(up, in)
		if err == nil {
			t.Errorf("%s: taken: %+v", what, got)
			return
		}
		if e := s.checkError(t, err); e.Class != provider.Credential {
			t.Errorf("%s: class %s, want %s", what, e.Class, provider.Credential)
		}
	}
	for i := range c.In.Body {
		if c.BodyUnsigned {
			break
		}
		in := c.In
		in.Body = slices.Clone(in.Body)
		in.Body[i] ^= 1
		refused(fmt.Sprintf("byte %d changed", i), in)
	}
	for name := range c.In.Header {
		if slices.Contains(c.VolatileHeaders, name) {
			continue
		}
		in := c.In
		in.Header = in.Header.Clone()
		in.Header.Del(name)
		refused("without "+name, in)
		in.Header.Set(name, "x")
		refused("with another "+name, in)
	}
	for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		in := c.In
		in.Arrived = in.Arrived.Add(off)
		refused(fmt.Sprintf("arriving %v from its time", off), in)
	}
	in := c.In
	in.Header = http.Header{}
	refused("without headers", in)
	in.Header = nil
	refused("with nil headers", in)
}
