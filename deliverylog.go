package kinora

// LoggedAttempt is an attempt with the request that was sent, as it is made again from what was
// kept. What would let its reader act as us or as a receiver is hidden: signatures, the values
// of an endpoint's own headers, and the queries of file URLs.
type LoggedAttempt struct {
	DeliveryAttempt
	RequestHeaders []HeaderLine // nil = nothing was sent
	RequestBody    string       // empty = nothing was sent, or its generation is no longer known
}

// HeaderLine is a header of a request that was sent.
type HeaderLine struct {
	Name  string `json:"name"`
	Value string `json:"value"` // "[hidden]" where it is a secret
}
