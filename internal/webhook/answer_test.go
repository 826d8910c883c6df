package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestReadAnswerIsBounded(t *testing.T) {
	body := &counting{r: strings.NewReader(strings.Repeat("x", 10<<20))}
	head, err := readAnswer(body)
	if err != nil || body.n != readLimit || len(head) != keptWhenFailed+maskMargin {
		t.Errorf("read %d bytes, kept %d, %v", body.n, len(head), err)
	}
	boom := errors.New("boom")
	head, err = readAnswer(io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(boom)))
	if string(head) != "begun" || !errors.Is(err, boom) {
		t.Errorf("kept %q, %v", head, err)
	}
	if _, err = readAnswer(io.MultiReader(strings.NewReader(strings.Repeat("x", 20<<10)), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("an answer that breaks off behind what is kept: %v", err)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func testMask() *mask {
	return &mask{secrets: secretsOf(testSecret, importedSecret),
		outputs: []OutputItem{{URL: "https://files.example/o/1.jpg?exp=17&n=aa&sig=Zm9vYmFy"}}}
}

func TestAnswerTextHidesWhatIsEchoed(t *testing.T) {
	link := "https://files.example/o/1.jpg?exp=17&n=aa&sig=Zm9vYmFy"
	encoded := strings.TrimPrefix(testSecret, "whsec_")
	key, _ := base64.StdEncoding.DecodeString(encoded)
	quoted, _ := json.Marshal(link)
	for name, echo := range map[string]string{
		"secret":                  testSecret,
		"secret without prefix":   encoded,
		"decoded key":             string(key),
		"imported secret":         importedSecret,
		"secret, query-escaped":   url.QueryEscape(testSecret),
		"URL":                     link,
		"URL in JSON":             string(quoted),
		"URL in JSON, slashes":    strings.ReplaceAll(link, "/", `\/`),
		"URL in JSON, both":       strings.ReplaceAll(string(quoted), "/", `\/`),
		"URL in HTML":             html.EscapeString(link),
		"query alone":             "exp=17&n=aa&sig=Zm9vYmFy",
		"secret, cut off":         testSecret[:len(testSecret)-3],
		"with a control inside":   testSecret[:20] + "\x00" + testSecret[20:],
		"with terminal sequences": testSecret[:20] + "\x1b" + testSecret[20:],
	} {
		t.Run(name, func(t *testing.T) {
			got := answerText([]byte("got: "+echo), testMask(), keptWhenFailed)
			for _, hidden := range []string{"dGVzdHNlY3JldHRlc3R", "testsecrettest", importedSecret, "Zm9vYmFy"} {
				if strings.Contains(got, hidden) {
					t.Errorf("%q shows %q", got, hidden)
				}
			}
			if !strings.HasPrefix(got, "got: ") || !strings.Contains(got, masked) {
				t.Errorf("got %q", got)
			}
		})
	}
	if got := answerText([]byte("fine, whsec is a word and so is an-imported thing"), testMask(), keptWhenFailed); strings.Contains(got, masked) {
		t.Errorf("too much is hidden: %q", got)
	}
}

// A signature and the body would let its reader send the event again, and a URL's query is often a token.
func TestAnswerTextHidesSignaturesAndTheQuery(t *testing.T) {
	to, _ := url.Parse("https://hooks.example/in?id=7&token=let%2Bme+in")
	m := func() *mask {
		return &mask{to: to, headers: map[string]string{"X-Mode": "o", "X-Token": "opensesame"}, sent: http.Header{
			"Webhook-Signature": {"v1,b25lc2lnbmF0dXJl v1,dHdvc2lnbmF0dXJl"}, "X-Katalo-Signature": {"0a1b2c3d4e5f"}, "X-Katalo-Signature-Previous": {"a0b1c2d3e4f5"}}}
	}
	for echo, want := range map[string]string{
		"v1,b25lc2lnbmF0dXJl v1,dHdvc2lnbmF0dXJl":  "[hidden] [hidden]",
		"wrong: dHdvc2lnbmF0dXJl":                  "wrong: [hidden]",
		"0a1b2c3d4e5f, a0b1c2d3e4f5":               "[hidden], [hidden]",
		"POST /in?id=7&token=let%2Bme+in HTTP/1.1": "POST [hidden] HTTP/1.1",
		"id=7&token=let%2Bme+in":                   "[hidden]",
		"no token let+me in":                       "no token [hidden]",
		"opensesame, too good":                     "[hidden], too good",
	} {
		if got := answerText([]byte(echo), m(), keptWhenFailed); got != want {
			t.Errorf("%q is shown as %q", echo, got)
		}
	}
}

func TestAnswerTextAcrossTheCut(t *testing.T) {
	for shift := range len(testSecret) + 2 {
		head := strings.Repeat("x", keptWhenFailed-shift) + testSecret + strings.Repeat("y", 500)
		got := answerText([]byte(head), testMask(), keptWhenFailed)
		if strings.Contains(got, "whsec_") {
			t.Fatalf("shift %d shows %q", shift, got[len(got)-80:])
		}
	}
}

func TestAnswerTextIsCleanAndBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		head := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(rt, "head")
		limit := rapid.IntRange(1, 300).Draw(rt, "limit")
		checkClean(rt, answerText(head, nil, limit), limit)
	})
}

func checkClean(t interface{ Fatalf(string, ...any) }, got string, limit int) {
	if len(got) > limit {
		t.Fatalf("%d bytes, limit %d", len(got), limit)
	}
	if !utf8.ValidString(got) {
		t.Fatalf("not UTF-8: %q", got)
	}
	if i := strings.IndexFunc(got, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
		t.Fatalf("a control character: %q", got)
	}
}

func FuzzAnswerText(f *testing.F) {
	for _, seed := range []string{"", "ok", testSecret, "\xff\xfe", "\x00", "é", strings.Repeat("ü", 100), "\u0085\u2028"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		got := answerText(head, testMask(), 64)
		checkClean(t, got, 64)
		if bytes.Contains([]byte(got), []byte(testSecret)) {
			t.Fatalf("shows the secret: %q", got)
		}
	})
}
