package kling

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/kinora/kinora/provider"
)

// tolerance is how far a callback's timestamp may be from its arrival, as Kling's
// documents have it.
const tolerance = 5 * time.Minute

// VerifyCallback implements provider.CallbackVerifier. Kling signs callbacks (Standard
// Webhooks) once the account has made a secret in its console. With a secret configured,
// callbacks about models of the newer family must be signed; whether those of the older one
// are is not documented, so that an unsigned one is taken for the mere hint that every
// callback is.
func (*Kling) VerifyCallback(up provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	secrets := strings.FieldsFunc(up.Account.Settings[SettingWebhookSecret], func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' })
	var t task
	readable := readTask(in.Body, &t) == nil
	verified := false
	if len(secrets) > 0 && (signed(in.Header) || !mayBeUnsigned(in, &t)) {
		if err := verify(secrets, in); err != nil {
			return provider.Callback{}, &provider.Error{Class: provider.Credential, Message: "the callback is not signed by the upstream", Err: err}
		}
		verified = true
	}
	if !readable || t.id() == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	return provider.Callback{UpstreamID: t.id(), Verified: verified, Hint: true}, nil
}

// mayBeUnsigned says that a callback is one of the older family: by its body and, since
// anybody can write a body, by the attempt's model.
func mayBeUnsigned(in provider.InboundCallback, t *task) bool {
	f, _ := familyOf(in.UpstreamModel)
	return t.ID == "" && t.TaskID != "" && f == legacy
}

func signed(h http.Header) bool {
	return h.Get(standardwebhooks.HeaderWebhookSignature) != "" || h.Get(standardwebhooks.HeaderWebhookID) != "" || h.Get(standardwebhooks.HeaderWebhookTimestamp) != ""
}

// verify wants one of the secrets to have made one of the signatures: during a rotation
// there are several of each.
func verify(secrets []string, in provider.InboundCallback) error {
	header := in.Header
	if header == nil {
		header = http.Header{}
	}
	// The library would compare with the machine's time of now.
	sent, err := strconv.ParseInt(header.Get(standardwebhooks.HeaderWebhookTimestamp), 10, 64)
	if err != nil {
		return errors.New("the timestamp is missing or malformed")
	}
	if age := in.Arrived.Sub(time.Unix(sent, 0)); age > tolerance || age < -tolerance {
		return errors.New("the timestamp is too far from the time of arrival")
	}
	failure := errors.New("no webhook secret is usable")
	for _, secret := range secrets {
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			continue // err would quote the secret
		}
		if failure = webhook.VerifyIgnoringTimestamp(in.Body, header); failure == nil {
			return nil
		}
	}
	return failure
}
