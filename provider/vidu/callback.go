package vidu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/kinora/kinora/provider"
)

// The fixed words of a signed callback.
const (
	accessKey = "vidu"
	algorithm = "hmac-sha256"

	nonceHeader = "X-Request-Nonce"
)

// tolerance is how far a callback's Date may be from its arrival. Vidu documents none;
// five minutes are what its clients use.
const tolerance = 5 * time.Minute

// VerifyCallback implements provider.CallbackVerifier. Vidu signs method, path, query,
// time and nonce with the API key that created the task, and leaves the body out: a good
// signature says who called, not what is true.
func (*Vidu) VerifyCallback(up provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	if err := verify(keys(up.Account), in); err != nil {
		return provider.Callback{}, &provider.Error{Class: provider.Credential, Message: "the callback is not signed by the upstream", Err: err}
	}
	var t task
	if err := json.Unmarshal(in.Body, &t); err != nil {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	// Older bodies name no task; then the token in the path tells which it is.
	return provider.Callback{UpstreamID: t.id(), Verified: true, Hint: !t.goesOn(), Delivery: signedNonce(in.Header)}, nil
}

// signedNonce is the call's nonce where the signature covers it; one that it leaves out could be
// changed with every replay.
func signedNonce(h http.Header) string {
	for _, name := range strings.Split(h.Get("X-HMAC-SIGNED-HEADERS"), ";") {
		if strings.EqualFold(name, nonceHeader) {
			return h.Get(nonceHeader)
		}
	}
	return ""
}

// goesOn says that the task is in one of the documented states that are no end.
func (t *task) goesOn() bool {
	switch t.state() {
	case "created", "queueing", "processing":
		return true
	}
	return false
}

func verify(keys []string, in provider.InboundCallback) error {
	h := in.Header
	if h == nil {
		h = http.Header{}
	}
	date := h.Get("Date")
	sent, err := http.ParseTime(date)
	switch {
	case h.Get("X-HMAC-ALGORITHM") != algorithm || h.Get("X-HMAC-ACCESS-KEY") != accessKey:
		return errors.New("the algorithm or the access key is another")
	case err != nil:
		return errors.New("the date is missing or malformed")
	case in.Arrived.Sub(sent) > tolerance || in.Arrived.Sub(sent) < -tolerance:
		return errors.New("the date is too far from the time of arrival")
	case h.Get(nonceHeader) == "":
		return errors.New("the nonce is missing")
	}
	given, err := base64.StdEncoding.DecodeString(h.Get("X-HMAC-SIGNATURE"))
	if err != nil {
		return errors.New("the signature is not base64")
	}
	text := signingText(in, date)
	for _, key := range keys {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(text))
		if hmac.Equal(mac.Sum(nil), given) {
			return nil
		}
	}
	return errors.New("the signature is another")
}

// signingText is what is signed. Its last line ends with a newline too, and header names
// stand as X-HMAC-SIGNED-HEADERS spells them.
func signingText(in provider.InboundCallback, date string) string {
	path := in.Path
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	for _, line := range []string{in.Method, path, in.Query, accessKey, date} {
		b.WriteString(line + "\n")
	}
	for _, name := range strings.Split(in.Header.Get("X-HMAC-SIGNED-HEADERS"), ";") {
		if name != "" {
			b.WriteString(name + ":" + in.Header.Get(name) + "\n")
		}
	}
	return b.String()
}
