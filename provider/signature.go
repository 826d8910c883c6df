package provider

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// callbackAge is how far a signed callback's timestamp may be from its arrival, as the
// Standard Webhooks specification has it.
const callbackAge = 5 * time.Minute

// VerifyStandardWebhook checks a callback that is signed by the Standard Webhooks scheme.
// One of the secrets ("whsec_" and base64) must have made one of its signatures: during a
// rotation there are several of each. The error quotes neither.
func VerifyStandardWebhook(secrets []string, in InboundCallback) error {
	header := in.Header
	if header == nil {
		header = http.Header{}
	}
	// The library would compare with the machine's time of now.
	sent, err := strconv.ParseInt(header.Get(standardwebhooks.HeaderWebhookTimestamp), 10, 64)
	if err != nil {
		return errors.New("the timestamp is missing or malformed")
	}
	if age := in.Arrived.Sub(time.Unix(sent, 0)); age > callbackAge || age < -callbackAge {
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

// StandardWebhookSigned tells whether a callback carries any of the scheme's headers.
func StandardWebhookSigned(h http.Header) bool {
	for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		if h.Get(name) != "" {
			return true
		}
	}
	return false
}
