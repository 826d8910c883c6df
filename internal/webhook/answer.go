package webhook

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
)

const (
	// readLimit bounds what is read of an answer, in bytes on the wire: nobody decompresses it.
	readLimit = 64 << 10
	// keptWhenFailed is how much text of a failed attempt's answer is logged, in bytes.
	keptWhenFailed = 4 << 10
	// keptWhenDelivered is the same for a success: it is rarely looked at, and there are many.
	keptWhenDelivered = 256
	// maxAnswerHead bounds the logged header lines of an answer, in bytes.
	maxAnswerHead = 2 << 10
	// maskMargin is read beyond what is kept, so that a secret across the cut is seen whole.
	maskMargin = 4 << 10
	// maxErrorText bounds an error text, in bytes.
	maxErrorText = 400
	// leastMasked is the shortest text that is hidden, and the shortest piece of one at the end of a
	// text, in bytes: what is shorter stands in answers by chance too, and to hide it would make
	// them unreadable.
	leastMasked = 8
)

// readAnswer reads at most readLimit bytes and returns the first of them. An answer that
// ends within the limit leaves its connection fit for reuse.
func readAnswer(body io.Reader) (head []byte, err error) {
	body = io.LimitReader(body, readLimit)
	head, err = io.ReadAll(io.LimitReader(body, keptWhenFailed+maskMargin))
	if err != nil {
		return head, err
	}
	_, err = io.Copy(io.Discard, body)
	return head, err
}

// mask hides what a receiver must not be able to write into our log by echoing it: the
// organisation's secrets, and the signatures, the endpoint's headers, the signed URLs and the
// query of its own URL that were just sent.
// The nil mask hides nothing.
type mask struct {
	secrets []kinora.WebhookSecret
	outputs []OutputItem
	headers map[string]string
	to      *url.URL    // nil = unknown
	sent    http.Header // of the request, signatures among them; nil = none was made

	once  sync.Once // most answers are empty, and then there is nothing to prepare
	texts []string  // longest first
}

func (m *mask) prepare() {
	for _, s := range m.secrets {
		m.add(s.Text)
		if encoded, ok := strings.CutPrefix(s.Text, webhook.SecretPrefix); ok {
			m.add(encoded)
			if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				m.add(string(key))
			}
		}
	}
	for _, o := range m.outputs {
		m.add(o.URL)
		if u, err := url.Parse(o.URL); err == nil {
			m.add(u.RawQuery)
		}
	}
	for _, value := range m.headers {
		m.add(value)
		// Of "Bearer" and a token, the token may come back alone.
		if _, credentials, found := strings.Cut(value, " "); found {
			m.add(strings.TrimSpace(credentials))
		}
	}
	for _, name := range []string{webhook.HeaderHexSignature, webhook.HeaderHexSignaturePrevious, webhook.HeaderSignature} {
		for _, signature := range strings.Fields(m.sent.Get(name)) {
			m.add(signature)
			// Of version and signature, the latter may come back alone.
			if _, alone, found := strings.Cut(signature, ","); found {
				m.add(alone)
			}
		}
	}
	m.addQuery()
	sort.SliceStable(m.texts, func(i, j int) bool { return len(m.texts[i]) > len(m.texts[j]) })
}

// addQuery takes the query of the URL that was sent to: with its path, as access logs and error pages
// have it, alone, and each value alone.
func (m *mask) addQuery() {
	if m.to == nil || m.to.RawQuery == "" {
		return
	}
	m.add(m.to.RequestURI())
	m.add(m.to.RawQuery)
	for _, values := range m.to.Query() {
		for _, value := range values {
			m.add(value)
		}
	}
}

// add takes a text in the spellings in which an echo would come back.
func (m *mask) add(s string) {
	if len(s) < leastMasked {
		return
	}
	spellings := []string{s, url.QueryEscape(s), html.EscapeString(s), strings.ReplaceAll(s, "/", `\/`)}
	if quoted, err := json.Marshal(s); err == nil {
		inner := string(quoted[1 : len(quoted)-1])
		spellings = append(spellings, inner, strings.ReplaceAll(inner, "/", `\/`))
	}
	seen := map[string]bool{}
	for _, text := range spellings {
		if !seen[text] {
			seen[text] = true
			m.texts = append(m.texts, text)
		}
	}
}

const masked = "[hidden]"

func (m *mask) apply(s string) string {
	if m == nil || s == "" {
		return s
	}
	m.once.Do(m.prepare)
	for _, text := range m.texts {
		s = strings.ReplaceAll(s, text, masked)
	}
	return s
}

// applyToHead also hides the beginning of a secret at the end of s, where an answer that
// broke off may have left one.
func (m *mask) applyToHead(s string) string {
	if s = m.apply(s); m == nil {
		return s
	}
	for _, text := range m.texts {
		for n := min(len(text)-1, len(s)); n >= leastMasked; n-- {
			if strings.HasSuffix(s, text[:n]) {
				return s[:len(s)-n] + masked
			}
		}
	}
	return s
}

// answerText makes the log's text of an answer: masked, valid UTF-8, without control
// characters, at most limit bytes.
func answerText(head []byte, m *mask, limit int) string {
	if len(head) == 0 {
		return ""
	}
	// Twice: a secret's raw bytes do not survive cleaning, and cleaning may join what was apart.
	return cut(m.applyToHead(clean(m.apply(string(head)))), limit)
}

// credentialHeaders are headers of an answer whose values let their holder in somewhere.
var credentialHeaders = map[string]bool{
	"Set-Cookie": true, "Set-Cookie2": true, "Cookie": true, "Authorization": true, "Proxy-Authorization": true,
	"Authentication-Info": true, "Proxy-Authentication-Info": true, "X-Api-Key": true, "X-Auth-Token": true, "X-Csrf-Token": true,
}

// answerHead makes the log's text of an answer's headers: one line each, in order of name, as
// many as find room.
func answerHead(header http.Header, m *mask, limit int) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			if credentialHeaders[name] {
				value = masked
			}
			line := strings.ToLower(name) + ": " + answerText([]byte(value), m, limit) + "\n"
			if b.Len()+len(line) > limit {
				return b.String()
			}
			b.WriteString(line)
		}
	}
	return b.String()
}

// clean makes text that both databases and every terminal can take: PostgreSQL refuses NUL,
// and escape sequences would be played back to whoever reads the log.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// cut shortens s to at most limit bytes, between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
