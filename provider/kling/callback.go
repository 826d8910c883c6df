package kling

import (
	"strings"

	"github.com/kinora/kinora/provider"
)

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
	if len(secrets) > 0 && (provider.StandardWebhookSigned(in.Header) || !mayBeUnsigned(in, &t)) {
		if err := provider.VerifyStandardWebhook(secrets, in); err != nil {
			return provider.Callback{}, &provider.Error{Class: provider.Credential, Message: "the callback is not signed by the upstream", Err: err}
		}
		verified = true
	}
	if !readable || t.id() == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	return provider.Callback{UpstreamID: t.id(), Verified: verified, Hint: !t.goesOn()}, nil
}

// goesOn says that the task is in one of the documented states that are no end.
func (t *task) goesOn() bool {
	status, _ := t.status()
	return status == "submitted" || status == "processing"
}

// mayBeUnsigned says that a callback is one of the older family: by its body and, since
// anybody can write a body, by the attempt's model.
func mayBeUnsigned(in provider.InboundCallback, t *task) bool {
	f, _ := familyOf(in.UpstreamModel)
	return t.ID == "" && t.TaskID != "" && f == legacy
}
