package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/kinora/kinora/provider"
)

// tolerance is how far a callback's timestamp may be from its arrival, as the
// Standard Webhooks specification has it.
const tolerance = 5 * time.Minute

// VerifyCallback implements provider.CallbackVerifier. With a webhook secret in the
// account every callback must be signed (Standard Webhooks); without one none is
// checked, and the token in its path is the only proof.
func (*Sandbox) VerifyCallback(up provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	secret := up.Account.Settings[SettingWebhookSecret]
	if secret != "" {
		if err := verify(secret, in); err != nil {
			return provider.Callback{}, &provider.Error{Class: provider.Credential, Message: "the callback is not signed by the upstream", Err: err}
		}
	}
	var s status
	if err := json.Unmarshal(in.Body, &s); err != nil || s.ID == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	return provider.Callback{UpstreamID: s.ID, Verified: secret != "", Hint: true}, nil
}

func verify(secret string, in provider.InboundCallback) error {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return errors.New("the account's webhook secret is not whsec_ and base64") // err would quote it
	}
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
	return webhook.VerifyIgnoringTimestamp(in.Body, header)
}
