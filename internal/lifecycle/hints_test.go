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
