package kinora

import "time"

// StatusNone is the class of an attempt that got no answer.
const StatusNone = -1

// DeliverySearch says which deliveries an operator looks for. Zero fields do not matter.
type DeliverySearch struct {
	Organisation string
	Generation   string
	Endpoint     string // an endpoint's id; needs Organisation
	Destination  string // a URL of which scheme, host and port count; needs Organisation
	EventType    EventType
	State        DeliveryState
	Status       int // class of the last attempt's answer, 1 to 5 for 1xx to 5xx; StatusNone = it had none
	// Since and Until bound when the delivery was made, to the millisecond: Since ≤ t < Until.
	Since, Until time.Time
}
