package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/store"
)

// The log keeps of a request what its rows do not tell: some 150 bytes, whatever the payload.
// The rest is made again when somebody looks: headers from delivery and attempt, the body from
// the generation and its outputs. What would let the reader act as us or as a receiver is not
// shown: signatures, the values of an endpoint's own headers, and the queries of file URLs.

// sentRequest notes what a request is made of.
func sentRequest(header http.Header, secrets []kinora.WebhookSecret, n Notice, body []byte) kinora.SentRequest {
	sum := sha256.Sum256(body)
	sent := kinora.SentRequest{
		UserAgent: header.Get("User-Agent"), Secrets: len(secrets),
		BodyBytes: len(body), BodySHA256: base64.RawStdEncoding.EncodeToString(sum[:]),
	}
	if signatures := header.Get(webhook.HeaderSignature); signatures != "" {
		sent.Standard = 1 + strings.Count(signatures, " ")
	}
	if len(n.Outputs) > 0 {
		sent.LinksUntil = n.Outputs[0].ExpiresAt
	}
	return sent
}

// namesOf tells which headers of its own an endpoint was sent; nil = none.
func namesOf(headers map[string]string) (names []string) {
	for name := range headers {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return names
}

// SentHeaders makes the header lines of an attempt's request again, in the order in which the
// documentation tells them; nil when none was sent.
func SentHeaders(d *kinora.Delivery, a *kinora.DeliveryAttempt) []kinora.HeaderLine {
	if a.Sent.IsZero() {
		return nil
	}
	var list []kinora.HeaderLine
	add := func(name, value string) {
		list = append(list, kinora.HeaderLine{Name: strings.ToLower(name), Value: value})
	}
	add("host", cmp.Or(a.Sent.Host, hostOf(d.URL)))
	add("content-type", "application/json")
	add("content-length", strconv.Itoa(a.Sent.BodyBytes))
	add("user-agent", a.Sent.UserAgent)
	if n := a.Sent.Standard; n > 0 {
		add(webhook.HeaderID, d.EventID)
		add(webhook.HeaderTimestamp, strconv.FormatInt(a.StartedAt.Unix(), 10))
		add(webhook.HeaderSignature, strings.Repeat(masked+" ", n-1)+masked)
	}
	add(webhook.HeaderHexSignature, masked)
	if a.Sent.Secrets > 1 {
		add(webhook.HeaderHexSignaturePrevious, masked)
	}
	add(webhook.HeaderDeliveryID, d.ID)
	add(webhook.HeaderEvent, string(d.EventType))
	add(webhook.HeaderAttempt, strconv.Itoa(a.Number))
	for _, name := range a.Sent.Custom {
		add(name, masked)
	}
	return list
}

// hostOf returns a URL's host and port; empty where it cannot be read.
func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Host
}

// SentBody makes the body of an attempt's request again, with the queries of its file URLs
// hidden. It is empty when none was sent, or when the generation is no longer known.
func SentBody(c *store.EventContent, a *kinora.DeliveryAttempt, link FileURL) (string, error) {
	if a.Sent.IsZero() || c == nil {
		return "", nil
	}
	if c.Generation == nil {
		return c.Event.Body, nil
	}
	notice := Payload(c.Event, c.Generation, c.Outputs, func(key string) (string, time.Time) {
		text, _ := link(key)
		address, _, _ := strings.Cut(text, "?")
		return address + "?" + masked, a.Sent.LinksUntil
	})
	body, err := notice.Encode()
	return string(body), err
}
