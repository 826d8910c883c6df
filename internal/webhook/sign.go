package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client/webhook"
)

// errNoSecret fails an attempt, not a delivery: an operator can still set a secret.
var errNoSecret = errors.New("the organisation has no signing secret")

// signature is what the headers of one attempt are made of.
type signature struct {
	delivery  string
	event     string
	eventType kinora.EventType
	attempt   int // 1-based
	at        time.Time
	secrets   []kinora.WebhookSecret // live ones, the current one first
	userAgent string
}

// headers signs body (generations API contract, 10.3): x-katalo-signature with the current
// secret and -previous with the one before it, and the Standard Webhooks headers with every
// secret that has a key in that scheme. Where none has one, those headers are left out.
func (s signature) headers(body []byte) (http.Header, error) {
	if len(s.secrets) == 0 {
		return nil, errNoSecret
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", s.userAgent)
	h.Set(webhook.HeaderDeliveryID, s.delivery)
	h.Set(webhook.HeaderEvent, string(s.eventType))
	h.Set(webhook.HeaderAttempt, strconv.Itoa(s.attempt))

	standard := make([]string, 0, len(s.secrets))
	for i, secret := range s.secrets {
		if name := [...]string{webhook.HeaderHexSignature, webhook.HeaderHexSignaturePrevious}; i < len(name) {
			hex, err := webhook.SignHex(secret.Text, body)
			if err != nil {
				return nil, fmt.Errorf("sign: %w", err)
			}
			h.Set(name[i], hex)
		}
		text, err := webhook.SignStandard(secret.Text, s.event, s.at, body)
		if errors.Is(err, webhook.ErrNotStandard) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		standard = append(standard, text)
	}
	if len(standard) > 0 {
		h.Set(webhook.HeaderID, s.event)
		h.Set(webhook.HeaderTimestamp, strconv.FormatInt(s.at.Unix(), 10))
		h.Set(webhook.HeaderSignature, strings.Join(standard, " "))
	}
	return h, nil
}
