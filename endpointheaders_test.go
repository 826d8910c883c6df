package kinora_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

func TestCheckEndpointHeaders(t *testing.T) {
	many := map[string]string{}
	for i := range kinora.MaxEndpointHeaders {
		many[fmt.Sprint("X-", i)] = "v"
	}
	for name, headers := range map[string]map[string]string{
		"none": nil, "usual": {"Authorization": "Bearer a.b-c~d+e/f==", "X-Api-Key": "k", "x_y!#$%&'*+-.^`|~": "a\tb c"}, "as many as there may be": many,
		"like reserved ones": {"X-Host": "a", "Hosts": "a", "X-Webhook-Id": "a", "Webhook": "a", "Katalo-Event": "a"},
		"large":              {"X-Large": strings.Repeat("a", kinora.MaxEndpointHeaderBytes-len("X-Large"))},
	} {
		if err := kinora.CheckEndpointHeaders(headers); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	more := map[string]string{"X-More": "v"}
	for k, v := range many {
		more[k] = v
	}
	refused := []map[string]string{
		more, {"": "v"}, {"A B": "v"}, {"A:": "v"}, {"A\r\nB": "v"}, {"Ä": "v"}, {":path": "v"}, {"A\x00": "v"}, {strings.Repeat("é", 99): "v"},
		{"A": ""}, {"A": "b\r\nC: d"}, {"A": "b\nc"}, {"A": "b\rc"}, {"A": "b\x00"}, {"A": "\x7f"}, {"A": "ü"}, {"A": " b"}, {"A": "b\t"}, {"A": "\x80"},
		{"X-A": "1", "x-a": "2"}, {"X-Large": strings.Repeat("a", kinora.MaxEndpointHeaderBytes)},
	}
	for _, name := range []string{"Host", "CONTENT-LENGTH", "content-type", "Content-Encoding", "Content-Foo", "User-Agent", "Transfer-Encoding", "Connection", "Keep-Alive", "TE",
		"Trailer", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Expect", "Accept-Encoding", "Cookie", "Webhook-Id", "webhook-signature", "webhook-anything",
		"X-Katalo-Signature", "x-katalo-new", "X-Kinora-Anything", "HTTP2-Settings"} {
		refused = append(refused, map[string]string{name: "v"})
	}
	for _, headers := range refused {
		if err := kinora.CheckEndpointHeaders(headers); kinora.CodeOf(err) != kinora.ErrInvalid {
			t.Errorf("%.60q: %v", headers, err)
		}
	}
}

// What is accepted goes out as one header line and comes back as it was, and touches no other.
func FuzzCheckEndpointHeaders(f *testing.F) {
	for _, seed := range [][2]string{{"Authorization", "Bearer x"}, {"X-A", "b\r\nHost: c"}, {"Host", "a"}, {"webhook-id", "x"}, {"A B", "c"}, {"X", "\x00"},
		{"X-Ä", "ö"}, {"Transfer-Encoding", "chunked"}, {"x-katalo-signature", "00"}, {"X", " a "}, {":authority", "b"}, {"Te", "trailers"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		err := kinora.CheckEndpointHeaders(map[string]string{name: value})
		if err != nil {
			if kinora.CodeOf(err) != kinora.ErrInvalid {
				t.Fatalf("%v", err)
			}
			if len(value) > 20 && strings.Contains(err.Error(), value) {
				t.Fatalf("the error shows the value: %v", err)
			}
			return
		}
		req, err := http.NewRequest(http.MethodPost, "https://a.example/hook", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Webhook-Id", "evt_1")
		req.Header.Set("User-Agent", "Kinora")
		before := len(req.Header)
		req.Header.Set(name, value)
		var wire bytes.Buffer
		if err := req.Write(&wire); err != nil {
			t.Fatalf("%q: %q cannot be sent: %v", name, value, err)
		}
		got, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			t.Fatalf("%q: %q breaks the request: %v", name, value, err)
		}
		if got.Host != "a.example" || got.ContentLength != 2 || len(got.TransferEncoding) > 0 || got.Header.Get("Webhook-Id") != "evt_1" ||
			got.Header.Get("Content-Type") != "application/json" || got.Header.Get(name) != value || len(got.Header) > before+2 { // and Content-Length
			t.Fatalf("%q: %q became %v of %s", name, value, got.Header, got.Host)
		}
	})
}

func FuzzEventFilter(f *testing.F) {
	f.Add("generation.completed", "generation.failed")
	f.Add("", "generation.completed")
	f.Fuzz(func(t *testing.T, filter, event string) {
		one := kinora.Endpoint{EventTypes: []kinora.EventType{kinora.EventType(filter)}}
		if one.Takes(kinora.EventType(event)) != (filter == event) {
			t.Fatalf("a filter of %q and %q", filter, event)
		}
		if !(&kinora.Endpoint{}).Takes(kinora.EventType(event)) {
			t.Fatalf("no filter, and %q is not taken", event)
		}
	})
}
