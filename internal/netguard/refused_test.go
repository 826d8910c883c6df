package netguard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/netguard/netguardtest"
)

// TestNothingGetsThrough sends every vector three ways: through CheckURL, through the client (which checks the URL
// again), and through the bare transport, where only the dial stands between the URL and the listener.
func TestNothingGetsThrough(t *testing.T) {
	f := netguardtest.NewForbidden(t)
	port := f.Port()
	g := newGuard(t, Config{
		Resolver: &zone{t: t, answers: netguardtest.Names()},
		Ports:    []uint16{port},
	})
	open := newGuard(t, Config{
		Resolver:  &zone{t: t, answers: netguardtest.Names()},
		Ports:     []uint16{port},
		AllowHTTP: true,
	})
	all := netguardtest.Vectors(port)
	if len(all) < 140 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		raw := v.URL
		t.Run(name(raw), func(t *testing.T) {
			checkEarly(t, g, raw, Code(v.Early))
			// What a looser setting lets pass early has to end at the dial.
			mustFail(t, g.WebhookClient(), raw)
			mustFail(t, open.WebhookClient(), raw)
			mustFail(t, open.FetchClient(3), raw)
			mustFail(t, &http.Client{Transport: g.webhook}, raw)
			mustFail(t, &http.Client{Transport: open.fetch}, raw)
		})
	}
	f.AssertUntouched()
	t.Logf("%d vectors", len(all))
}

func name(raw string) string {
	if len(raw) > 60 {
		raw = raw[:60]
	}
	return raw
}

func checkEarly(t *testing.T, g *Guard, raw string, want Code) {
	t.Helper()
	u, err := g.CheckURL(raw, Webhook)
	if want == "" {
		if err != nil {
			t.Errorf("CheckURL refused what only the dial can know: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("CheckURL accepted it as %s", u)
	}
	r := refusalOf(t, err)
	if r.Code != want {
		t.Errorf("code %s, want %s", r.Code, want)
	}
	if r.Code == CodeNotPublic && r.Message != notPublicMessage {
		t.Errorf("message %q is not the constant one", r.Message)
	}
}

// mustFail asserts that a request fails before it reaches anything. Where the guard refused it, the text gives nothing
// away but the rule.
func mustFail(t *testing.T, c *http.Client, raw string) {
	t.Helper()
	var trace Trace
	req, err := http.NewRequestWithContext(WithTrace(context.Background(), &trace), http.MethodPost, raw, strings.NewReader("{}"))
	if err != nil {
		return // net/url or net/http does not even take it
	}
	resp, err := c.Do(req)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("got an answer from %s", raw)
	}
	var r *Refusal
	if errors.As(err, &r) && r.Code == CodeNotPublic && r.Error() != notPublicMessage {
		t.Errorf("message %q is not the constant one", r.Error())
	}
	if facts := trace.Facts(); r != nil && facts != (Facts{}) {
		t.Errorf("the trace of a refused request says %+v", facts)
	}
}
