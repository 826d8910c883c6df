package webhook

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Defaults of a Verifier.
const (
	// DefaultTolerance is how far webhook-timestamp may be from the clock, either way.
	DefaultTolerance = 5 * time.Minute
	// DefaultMaxBody is the largest body that VerifyRequest reads, in bytes.
	DefaultMaxBody = 1 << 20
)

// Why a delivery was refused. Find them with errors.Is.
var (
	// ErrMissing: the headers that are needed are not there.
	ErrMissing = errors.New("webhook: signature headers are missing")
	// ErrMalformed: a header is sent twice, over-long, or not in the form that the contract gives.
	ErrMalformed = errors.New("webhook: signature headers are malformed")
	// ErrTimestamp: webhook-timestamp is too old or too far ahead. A replay, or one of the two clocks is wrong.
	ErrTimestamp = errors.New("webhook: timestamp is outside the tolerance")
	// ErrMismatch: no signature fits the body and a secret. A forgery, the wrong secret, or a
	// body that is not the raw bytes (parsed and written again, decompressed, re-encoded).
	ErrMismatch = errors.New("webhook: no signature matches")
	// ErrTooLarge: the body is larger than WithMaxBody allows; its signature was not looked at.
	ErrTooLarge = errors.New("webhook: the body is too large")
	// ErrBody: the signature is genuine and the body is not an event.
	ErrBody = errors.New("webhook: the body is not an event")
)

// Verifier checks deliveries against one or several secrets. It is safe for concurrent use.
type Verifier struct {
	// keys stands behind a pointer so that printing a Verifier never shows a secret.
	keys      *keys
	tolerance time.Duration
	now       func() time.Time
	maxBody   int64
	policy    timestampPolicy
}

// keys are the HMAC keys, made ready once.
type keys struct {
	standard [][]byte // Standard Webhooks keys of the whsec_ secrets
	all      [][]byte // literal texts of all secrets
	imported [][]byte // literal texts of those without a Standard Webhooks key
}

// timestampPolicy says which secrets may prove a delivery by the hex header alone.
type timestampPolicy int

const (
	timestampByKind timestampPolicy = iota // imported secrets only
	timestampAlways                        // none
	timestampNever                         // all
)

// Option changes a default of NewVerifier.
type Option func(*Verifier) error

// WithTolerance sets how far webhook-timestamp may be from the clock, either way; exactly d is still
// accepted. Default DefaultTolerance.
func WithTolerance(d time.Duration) Option {
	return func(v *Verifier) error {
		if d <= 0 {
			return errors.New("webhook: the tolerance must be positive")
		}
		v.tolerance = d
		return nil
	}
}

// WithClock sets the source of the present time. Default time.Now.
func WithClock(now func() time.Time) Option {
	return func(v *Verifier) error {
		if now == nil {
			return errors.New("webhook: the clock is nil")
		}
		v.now = now
		return nil
	}
}

// WithMaxBody sets the largest body that VerifyRequest and Handler read, in bytes. Default DefaultMaxBody.
func WithMaxBody(n int64) Option {
	return func(v *Verifier) error {
		if n <= 0 {
			return errors.New("webhook: the body limit must be positive")
		}
		v.maxBody = n
		return nil
	}
}

// RequireTimestamp decides whether x-katalo-signature alone, which covers no time, is proof enough.
//
// Without this option it depends on the secret. A delivery signed with a whsec_ secret always carries the
// webhook-* headers too; when they are missing somebody took them off, most likely to replay an old
// delivery, and it is refused. An imported secret has no webhook-* headers, so its hex signature is accepted.
//
// RequireTimestamp(true) refuses the hex header whatever the secret; NewVerifier then fails unless there is a
// whsec_ secret. RequireTimestamp(false) accepts the hex header with every secret: only for receivers behind
// something that drops the webhook-* headers. It gives up the protection against replays; drop repeats with
// the greatest care then.
//
// With any setting, webhook-* headers that are there must verify as soon as one secret is able to check them.
func RequireTimestamp(required bool) Option {
	return func(v *Verifier) error {
		v.policy = timestampNever
		if required {
			v.policy = timestampAlways
		}
		return nil
	}
}

// NewVerifier makes a Verifier that accepts what any of the secrets has signed. Give the new and the old secret
// during a rotation, and drop the old one when the overlap (24 h by default) is over.
//
// A secret is the text that the sender shows, "whsec_" included. It fails for no secret, an empty one, one with
// white space around it (a line break from a file: the signatures could never match), and for a bad option.
// The errors name a secret by its position only.
func NewVerifier(secrets []string, opts ...Option) (*Verifier, error) {
	v := &Verifier{keys: &keys{}, tolerance: DefaultTolerance, now: time.Now, maxBody: DefaultMaxBody}
	if len(secrets) == 0 {
		return nil, errors.New("webhook: no secret")
	}
	for i, secret := range secrets {
		if err := v.keys.add(secret); err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
	}
	for _, opt := range opts {
		if err := opt(v); err != nil {
			return nil, err
		}
	}
	if v.policy == timestampAlways && len(v.keys.standard) == 0 {
		return nil, fmt.Errorf("webhook: RequireTimestamp needs a secret that can sign a timestamp: %w", ErrNotStandard)
	}
	return v, nil
}

func (k *keys) add(secret string) error {
	if strings.TrimSpace(secret) != secret {
		return errors.New("webhook: white space around the secret")
	}
	key, err := standardKey(secret)
	switch {
	case err == nil:
		k.standard = append(k.standard, key)
	case errors.Is(err, ErrNotStandard) && secret != SecretPrefix:
		k.imported = append(k.imported, []byte(secret))
	default:
		return ErrEmptySecret
	}
	k.all = append(k.all, []byte(secret))
	return nil
}

// String tells how many secrets there are, and nothing about them.
func (v *Verifier) String() string {
	return fmt.Sprintf("webhook.Verifier(%d secrets)", len(v.keys.all))
}

// Verify checks one delivery and returns its event.
//
// rawBody is the body exactly as it arrived, before any parsing. When the webhook-* headers are there and a
// secret can check them, they alone decide; otherwise x-katalo-signature or -previous does, within
// RequireTimestamp's rules.
//
// Errors: ErrMissing, ErrMalformed, ErrTimestamp, ErrMismatch; and ErrBody when the signature is genuine
// but the body is not an event. Secrets and signatures are compared in constant time.
func (v *Verifier) Verify(header http.Header, rawBody []byte) (Event, error) {
	d, err := v.precheck(header)
	if err != nil {
		return Event{}, err
	}
	return v.verify(d, rawBody)
}

// precheck does everything that needs no body, so that an unsigned request is refused before it is read.
func (v *Verifier) precheck(header http.Header) (deliveryHeaders, error) {
	d, err := parseHeaders(header)
	if err != nil {
		return d, err
	}
	if v.decidedByStandard(d) {
		return d, v.checkTime(d.timestamp)
	}
	if len(v.hexKeys()) == 0 {
		return d, fmt.Errorf("%w: %s, %s and %s are required", ErrMissing, HeaderID, HeaderTimestamp, HeaderSignature)
	}
	return d, d.checkHex()
}

func (v *Verifier) verify(d deliveryHeaders, rawBody []byte) (Event, error) {
	standard := v.decidedByStandard(d)
	if standard && !v.matchStandard(d, rawBody) || !standard && !v.matchHex(d, rawBody) {
		return Event{}, ErrMismatch
	}
	event, err := decodeEvent(rawBody)
	if err != nil {
		return Event{}, err
	}
	event.Attempt = d.attempt
	if standard {
		event.ID, event.Timestamp = d.id, d.timestamp
	}
	return event, nil
}

// decidedByStandard: webhook-* headers count as soon as one secret can check them. A receiver that knows an
// imported secret only cannot, and during a rotation to a whsec_ secret lives from x-katalo-signature-previous.
func (v *Verifier) decidedByStandard(d deliveryHeaders) bool {
	return d.standard && len(v.keys.standard) > 0
}

// hexKeys are the secrets whose hex signature is proof by itself.
func (v *Verifier) hexKeys() [][]byte {
	switch v.policy {
	case timestampAlways:
		return nil
	case timestampNever:
		return v.keys.all
	default:
		return v.keys.imported
	}
}

func (v *Verifier) checkTime(t time.Time) error {
	age := v.now().Sub(t)
	if age > v.tolerance || age < -v.tolerance {
		return ErrTimestamp
	}
	return nil
}

// matchStandard compares every signature with every secret and stops early for none, so that the time taken
// tells nothing about which of them fitted.
func (v *Verifier) matchStandard(d deliveryHeaders, body []byte) bool {
	match := 0
	for _, key := range v.keys.standard {
		want := []byte(standardSignature(key, d.id, d.seconds, body))
		for got := range strings.SplitSeq(d.signatures, " ") {
			match |= subtle.ConstantTimeCompare([]byte(got), want)
		}
	}
	return match == 1
}

func (v *Verifier) matchHex(d deliveryHeaders, body []byte) bool {
	match := 0
	for _, key := range v.hexKeys() {
		want := []byte(hexSignature(key, body))
		for _, got := range d.hex {
			match |= subtle.ConstantTimeCompare([]byte(got), want)
		}
	}
	return match == 1
}
