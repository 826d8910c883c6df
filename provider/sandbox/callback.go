package sandbox

import (
	"encoding/json"

	"github.com/kinora/kinora/provider"
)

// VerifyCallback implements provider.CallbackVerifier. With a webhook secret in the
// account every callback must be signed (Standard Webhooks); without one none is
// checked, and the token in its path is the only proof.
func (*Sandbox) VerifyCallback(up provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	secret := up.Account.Settings[SettingWebhookSecret]
	if secret != "" {
		if err := provider.VerifyStandardWebhook([]string{secret}, in); err != nil {
			return provider.Callback{}, &provider.Error{Class: provider.Credential, Message: "the callback is not signed by the upstream", Err: err}
		}
	}
	var s status
	if err := json.Unmarshal(in.Body, &s); err != nil || s.ID == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	return provider.Callback{UpstreamID: s.ID, Verified: secret != "", Hint: s.Status != "queued" && s.Status != "running"}, nil
}
