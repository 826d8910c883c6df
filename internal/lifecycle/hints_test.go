package lifecycle_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/provider"
)

// An upstream that callers know as one to be polled may call this server back all the same; a
// caller's address is never its business.
func TestHintsComeToThisServerOnly(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	for name, tc := range map[string]struct{ public, caller, want string }{
		"a caller's address": {"https://kinora.example", "https://caller.example/", "https://kinora.example/callbacks/fake/"},
		"none":               {"https://kinora.example", "", "https://kinora.example/callbacks/fake/"},
		"no public address":  {"", "https://caller.example/", ""},
	} {
		up := newFake(t)
		up.describe.Traits = func(string) provider.Traits { return provider.Traits{Hints: true} }
		h := build(t, db, t.TempDir(), callingBack{up}, withPublicURL(tc.public)).start(t)
		s := submission("x")
		s.Input.CallbackURL = tc.caller
		g := h.accept(t, s)
		if g.Input.CallbackIgnored != (tc.caller != "") {
			t.Errorf("%s: ignored is %v", name, g.Input.CallbackIgnored)
		}
		h.await(t, g.ID)
		if url := up.jobs["up_1"].url; !strings.HasPrefix(url, tc.want) || tc.want == "" && url != "" {
			t.Errorf("%s: the upstream was told %q", name, url)
		}
		h.stop()
	}
}

// unregistered is a fake whose account is never called back.
type unregistered struct{ callingBack }

func (unregistered) RegistersCallback(provider.Account, string) bool { return false }

// Where no callback is registered none is waited for, and none is taken; where one is, it may
// come at a time when nobody can tell whether it is genuine.
func TestCallbacksThatNobodyMakesOrCanCheck(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	call := func(p provider.Provider, up *fake) (*kinora.Attempt, error) {
		h := build(t, db, t.TempDir(), p, withPublicURL("https://kinora.example")).start(t)
		defer h.stop()
		g := h.accept(t, submission("x"))
		h.await(t, g.ID)
		_, token, _ := strings.Cut(up.jobs["up_1"].url, "/callbacks/fake/")
		_, err := h.Callback(t.Context(), "fake", token, provider.InboundCallback{Header: http.Header{"X-Keyless": {"1"}}})
		attempts, listErr := h.Attempts(t.Context(), g.ID)
		if listErr != nil || len(attempts) != 1 {
			t.Fatalf("%d attempts, %v", len(attempts), listErr)
		}
		return attempts[0], err
	}
	for _, registers := range []bool{true, false} {
		up := newFake(t)
		up.describe.Traits = func(string) provider.Traits { return provider.Traits{Hints: true} }
		p, mode, code := provider.Provider(callingBack{up}), kinora.CallbackManaged, kinora.ErrUnavailable
		if !registers {
			p, mode, code = unregistered{callingBack{up}}, kinora.CallbackNone, kinora.ErrNotFound
		}
		if a, err := call(p, up); a.CallbackMode != mode || kinora.CodeOf(err) != code {
			t.Errorf("registered %v: mode %s, a callback meets %v", registers, a.CallbackMode, err)
		}
	}
}

// moving is a fake whose outputs are opened with a key, and have moved.
type moving struct {
	*fake
	to string
}

func (m moving) OpenOutput(context.Context, provider.Upstream, provider.Job, provider.Output) (*http.Response, error) {
	return nil, &provider.Moved{URL: m.to}
}

func TestAnOutputThatHasMovedIsFetchedWithoutAKey(t *testing.T) {
	db := storetest.SQLite(t)
	organise(t, db)
	up := newFake(t)
	up.report = func(*fakeJob) *provider.Report {
		return &provider.Report{State: provider.StateSucceeded, Outputs: []provider.Output{{Kind: kinora.KindImage, Handle: json.RawMessage(`{}`)}}}
	}
	h := build(t, db, t.TempDir(), moving{up, up.outputs.URL + "/x.png"}).start(t)
	if g, outputs := h.await(t, h.accept(t, submission("x")).ID); g.State != kinora.GenerationSucceeded || len(outputs) != 1 {
		t.Errorf("ended as %s with %d outputs", g.State, len(outputs))
	}
	h.stop()
}
