package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
)

const opSubmit = "POST /api/generate/submit"

// MaxIdempotencyKey is the longest Idempotency-Key, in bytes.
const MaxIdempotencyKey = 255

// SubmitRequest asks for one generation (submit API contract, section 2.1). The server checks it; what it
// refuses is ErrInvalid with the server's own message.
type SubmitRequest struct {
	// Model is the public name, for example "kling-v1". Required.
	Model string `json:"model"`
	Input Input  `json:"input"`
	// Webhook asks for one signed event when the generation ends; nil = the organisation's default
	// destination, if it has one.
	Webhook *Webhook `json:"webhook,omitempty"`
	// Reference is the caller's own id, echoed in the event; at most 255 characters, empty = none.
	Reference string `json:"reference,omitempty"`
	// Metadata is the caller's own object, echoed in the event; at most 16 KiB of JSON, nil = none. Not
	// Input.Metadata.
	Metadata map[string]any `json:"metadata,omitempty"`
}

// Input is what to make. Which fields a model reads is the contract's sections 2.3 to 2.5.
type Input struct {
	// Prompt is the description. Required, not only white space.
	Prompt string `json:"prompt"`
	// Size is "1280x720", "16:9" or "auto"; empty = the model's default.
	Size string `json:"size,omitempty"`
	// Image is the URL of one reference image, http or https; it comes before Images.
	Image string `json:"image,omitempty"`
	// Images are the URLs of reference images, http or https.
	Images []string `json:"images,omitempty"`
	// Duration is the length of a video in seconds; 0 = Seconds, or the model's default.
	Duration int `json:"duration,omitempty"`
	// Seconds is the same as text, "4"; Duration wins.
	Seconds string `json:"seconds,omitempty"`
	// Metadata are the model's own fields, such as "resolution", "n" or "callback_url", passed through.
	Metadata map[string]any `json:"metadata,omitempty"`
}

// Webhook is where the event of one generation goes.
type Webhook struct {
	// URL is https, its host public. Verify what arrives there with the package client/webhook.
	URL string `json:"url"`
}

// SubmitOption changes one Submit, or one write of the generations API.
type SubmitOption func(*submitOptions)

type submitOptions struct {
	key   string
	noKey bool
}

// IdempotencyKey makes repeated Submits of the same request one task: within 24 h the server answers the same
// key and body with the same task, and another body with ErrConflict. Use a key of your own, kept with your
// order, wherever your program may repeat a Submit itself, for example after a restart: the automatic key
// protects one call only. 1 to MaxIdempotencyKey characters of printable ASCII without spaces at the ends.
func IdempotencyKey(key string) SubmitOption {
	return func(o *submitOptions) { o.key, o.noKey = key, false }
}

// NoIdempotencyKey sends no key; the submit is then tried exactly once. For servers of the submit API that do not
// know the header: there, a repeated try could be a second, paid task. The generations API wants a key on every write.
func NoIdempotencyKey() SubmitOption {
	return func(o *submitOptions) { o.noKey = true }
}

// Submit creates a task and returns it as accepted, usually TaskNotStarted. When it returns, the server has
// the task safely on disk.
//
// Each call carries an Idempotency-Key, by default a new random one, and only therefore is repeated after
// failures that may pass: a try whose answer was lost and its repetition are one task, paid once. Two
// calls of Submit are two tasks, unless they carry the same key of the caller's (IdempotencyKey).
//
// Errors: *Error with ErrInvalid, ErrUnauthorized, ErrInsufficientQuota, ErrForbidden, ErrConflict,
// ErrRateLimited or ErrUnavailable; ErrUnavailable alone when no answer came; the context's. After
// ErrUnavailable and after the context's end it is not known whether the task exists. With a key of your own,
// submit again with it to find out; the automatic one is gone then.
func (c *Client) Submit(ctx context.Context, request SubmitRequest, opts ...SubmitOption) (*Task, error) {
	key, err := keyOf(opSubmit, opts)
	if err != nil {
		return nil, err
	}
	body, err := marshal(opSubmit, request)
	if err != nil {
		return nil, err
	}
	submit := call{op: opSubmit, method: http.MethodPost, path: "/api/generate/submit", body: body}
	var a answer
	if key == "" {
		a, err = c.once(ctx, submit)
	} else {
		submit.header = http.Header{"Idempotency-Key": {key}}
		a, err = c.repeat(ctx, submit)
	}
	if err != nil {
		return nil, err
	}
	return c.decodeTask(opSubmit, a)
}

// keyOf is the idempotency key that options ask for, a new random one where they ask for none; "" = none is to be sent.
func keyOf(op string, opts []SubmitOption) (string, error) {
	o := submitOptions{key: rand.Text()} // 130 random bits
	for _, opt := range opts {
		opt(&o)
	}
	if o.noKey {
		return "", nil
	}
	if !validIdempotencyKey(o.key) {
		return "", fmt.Errorf("client: %s: %w: the idempotency key must be 1 to %d characters of printable ASCII", op, ErrInvalid, MaxIdempotencyKey)
	}
	return o.key, nil
}

func validIdempotencyKey(key string) bool {
	if key == "" || len(key) > MaxIdempotencyKey || key[0] == ' ' || key[len(key)-1] == ' ' {
		return false
	}
	for i := 0; i < len(key); i++ {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}
