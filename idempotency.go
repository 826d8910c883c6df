package kinora

import "time"

// IdempotencyWindow is how long an idempotency key stands for what its first request made
// (generations API contract 3).
const IdempotencyWindow = 24 * time.Hour

// Idempotency is what makes a repeated write find what its first try made. Without a Key
// every request is a new one.
type Idempotency struct {
	Key string
	// Scope is the method and path that the key is good for.
	Scope string
	// RequestHash identifies the request's content; see Submission.RequestHash.
	RequestHash string
}
