// Package webhook checks, and makes, the signatures of Kinora's webhooks.
//
// A receiver makes one [Verifier] from its organisation's signing secret and either
// mounts [Handler], or calls [Verifier.VerifyRequest] or [Verifier.Verify] in a handler
// of its own. What comes back is an [Event] that is known to be genuine.
//
// Every delivery carries two independent signatures (generations API contract, 10.3):
//
//   - x-katalo-signature: hex HMAC-SHA256 over the raw body, keyed with the literal text
//     of the secret. It holds no time, so a captured delivery can be replayed for ever.
//   - webhook-id, webhook-timestamp and webhook-signature, as in the Standard Webhooks
//     specification (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and raw
//     body, keyed with the bytes that the secret's base64 part stands for. Left out where
//     the secret is an imported one that is not "whsec_" and valid base64.
//
// # What a receiver has to do itself
//
// Delivery is at least once: the same event can arrive again, also after a 200. Drop
// repeats by JobID and EventType together (or by ID, which is the same on every attempt
// of one event), never by a hash of the body: output URLs are signed anew for each
// attempt, so the bytes differ. Record the key and the work it causes in one
// transaction. Order is not promised either; reading the generation is always the truth.
//
// The package keeps no record of what it has seen, sends nothing, and does not decide
// when a delivery is retried: that is the sender's duty.
package webhook
