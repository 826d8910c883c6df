package netguard

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestNothingGetsThrough sends every vector three ways: through CheckURL, through the client (which checks the URL
// again), and through the bare transport, where only the dial stands between the URL and the listener.
func TestNothingGetsThrough(t *testing.T) {
	f := newForbidden(t)
	port := f.port()
	g := newGuard(t, Config{
		Resolver: &zone{t: t, answers: vectorZone},
		Ports:    []uint16{port},
	})
	open := newGuard(t, Config{
		Resolver:  &zone{t: t, answers: vectorZone},
		Ports:     []uint16{port},
		AllowHTTP: true,
	})
	all := vectors()
	if len(all) < 140 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		raw := strings.ReplaceAll(v.url, "{p}", strconv.Itoa(int(port)))
		t.Run(name(raw), func(t *testing.T) {
			checkEarly(t, g, raw, v.early)
			// What a looser setting lets pass early has to end at the dial.
			mustFail(t, g.WebhookClient(), raw)
			mustFail(t, open.WebhookClient(), raw)
			mustFail(t, open.FetchClient(3), raw)
			mustFail(t, &http.Client{Transport: g.webhook}, raw)
			mustFail(t, &http.Client{Transport: open.fetch}, raw)
		})
	}
	f.assertUntouched()
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

// publicNeighbours are the addresses right beside the refused blocks, and some well-known public ones. They must stay
// reachable: a guard that refuses too much gets switched off.
var publicNeighbours = []string{
	"1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34",
	"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0",
	"172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0",
	"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
	"192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0",
	"198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
	"2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2001:4860:4860::8888",
	"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::",
	"2606:4700:4700::1111", "2606:4700::5efe:8.8.8.8", "2606:4700::5eff:127.0.0.1", "2606:4700::100:5efe:127.0.0.1", "2606:4700::7f00:1",
	"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::", "2a00:1450:4001::1",
	"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
}
