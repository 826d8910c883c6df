// Package webhook turns events into deliveries that arrive: it routes an event to its
// destinations, signs and POSTs the body, decides what each answer means, retries on a
// schedule, and holds back destinations that are full or broken so that nobody else waits
// for them.
//
// # Where the truth is
//
// A delivery's row, committed in the transaction that ends the generation, is the durable
// job. It is in exactly one of four places: due (claimable at due_at), leased to a node,
// held for its destination, or at its end. Nothing about a delivery lives only in memory:
// what a node has in hand when it dies is leased, and leases of dead nodes are released.
// The POST starts after a committed claim and its result is written once, afterwards; a
// crash in between costs a duplicate, which receivers drop by webhook-id.
//
// # How one destination cannot hurt another
//
// First attempts, retries and deliveries taken back from waiting are claimed apart and have
// room of their own (the tracks of gate.go). Within a track, destinations that are slow,
// failing or not yet known share at most half of the room, and of that half no organisation
// gets more than is left for the others. A destination (an endpoint; or organisation,
// scheme, host and port of a request's own URL or the default callback URL) has a concurrency
// limit that starts small, grows with each 2xx and shrinks with each failure to answer, and a
// breaker. What has no room is written back as held and costs nothing until its destination
// has room again; it is then taken in order of age.
//
// # Not its duty
//
// Which addresses may be dialled (package netguard), where secrets are kept (package
// tenancy), when a generation ends (package lifecycle), which nodes are alive (lifecycle
// too, which releases a dead node's leases), and the HTTP surfaces that show deliveries.
package webhook
