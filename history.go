package kinora

// History is what is kept about a generation beside its own record, all of one instant.
type History struct {
	Generation *Generation
	Source     *SourceAsset // what it is made from; nil = nothing, or its file has been removed
	Outputs    []Output     // everything that was made, published or not, its file kept or not, in the order in which it was asked for
	Attempts   []*Attempt   // in order
	Reviews    []*Review    // in order of rounds
	Event      *Event       // nil until it has ended
	Deliveries []DeliveryHistory
	Entry      *UsageEntry // of the ledger; nil unless it succeeded
}

// DeliveryHistory is a delivery with its newest attempts, oldest first, without what was answered.
type DeliveryHistory struct {
	*Delivery
	Log []DeliveryAttempt
}

// Origin is where a generation came from, and what has come of it.
type Origin struct {
	// By is the person who submitted it; nil = one of the organisation's keys did, or the audit log does not reach back so far.
	By *Actor
	// IdempotencyKey is the key that its request was sent with. It is known for IdempotencyWindow; "" = none, or not any more.
	IdempotencyKey string
	// Regenerations are those that were made anew from it, oldest first, at most twenty; MoreRegenerations says that there are others.
	Regenerations     []Relative
	MoreRegenerations bool
}

// Relative is a generation as another one names it.
type Relative struct {
	ID    string
	State GenerationState
}
