package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/provider"
)

// The vector of the contract upstream-openai, section 4, which upstream-google, section 4, has for Google's too.
const (
	hookSecret    = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	hookBody      = `{"id":"evt_1","object":"event","type":"response.completed","created_at":1790000000,"data":{"id":"resp_1"}}`
	hookSignature = "v1,KOTLGnkxsh2lXZZdtZtWXrtw2vnt1AKVuGBEz1enp6I="
)

func TestStandardWebhooksOfTheContract(t *testing.T) {
	sent := time.Unix(1790000000, 0)
	other := "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3MzI="
	for name, tc := range map[string]struct {
		id, timestamp, signature, body string
		secrets                        []string
		arrived                        time.Time
		refused                        bool
	}{
		"the vector":                        {},
		"one of several signatures":         {signature: "v1,AAAA " + hookSignature},
		"one of several secrets":            {secrets: []string{other, hookSecret}},
		"just in time":                      {arrived: sent.Add(5 * time.Minute)},
		"from a clock that is ahead":        {arrived: sent.Add(-5 * time.Minute)},
		"too late":                          {arrived: sent.Add(5*time.Minute + time.Second), refused: true},
		"too early":                         {arrived: sent.Add(-5*time.Minute - time.Second), refused: true},
		"a changed byte":                    {body: strings.Replace(hookBody, "resp_1", "resp_2", 1), refused: true},
		"another id":                        {id: "wh_2", refused: true},
		"another time that is near":         {timestamp: "1790000001", refused: true},
		"another version of the signature":  {signature: "v2" + hookSignature[2:], refused: true},
		"no signature":                      {signature: "-", refused: true},
		"another secret":                    {secrets: []string{other}, refused: true},
		"no secret":                         {secrets: []string{}, refused: true},
		"a secret that is none, and no way": {secrets: []string{"plain text"}, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			or := func(v, def string) string {
				if v == "" {
					return def
				}
				return v
			}
			in := provider.InboundCallback{Body: []byte(or(tc.body, hookBody)), Arrived: tc.arrived, Header: http.Header{}}
			in.Header.Set("webhook-id", or(tc.id, "wh_1"))
			in.Header.Set("webhook-timestamp", or(tc.timestamp, "1790000000"))
			if tc.signature != "-" {
				in.Header.Set("webhook-signature", or(tc.signature, hookSignature))
			}
			if in.Arrived.IsZero() {
				in.Arrived = sent.Add(3 * time.Second)
			}
			if tc.secrets == nil {
				tc.secrets = []string{hookSecret}
			}
			if err := provider.VerifyStandardWebhook(tc.secrets, in); (err != nil) != tc.refused {
				t.Errorf("%v", err)
			}
		})
	}
}
