package ark

import (
	"encoding/json"

	"github.com/kinora/kinora/provider"
)

// VerifyCallback implements provider.CallbackVerifier. The vendor documents no signature: the
// token in the path is the only proof, and what the body says is worth no more than a look.
// The body is that of a query for the task.
func (*Ark) VerifyCallback(_ provider.Upstream, in provider.InboundCallback) (provider.Callback, error) {
	var t task
	if err := json.Unmarshal(in.Body, &t); err != nil || t.ID == "" {
		return provider.Callback{}, provider.Errorf(provider.Invalid, "the callback could not be read")
	}
	return provider.Callback{UpstreamID: t.ID, Hint: true}, nil
}
