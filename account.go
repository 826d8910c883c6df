package kinora

import "time"

// AccountState says whether an upstream account takes new work, and if not, why.
type AccountState string

const (
	AccountReady   AccountState = "ready"
	AccountFull    AccountState = "full"    // as many in flight as its limit allows
	AccountBusy    AccountState = "busy"    // the upstream asked for a pause
	AccountSpent   AccountState = "spent"   // its daily limit is reached
	AccountResting AccountState = "resting" // the upstream gave no usable answer several times in a row
	AccountRefused AccountState = "refused" // the upstream refuses its key, permission or balance
	AccountRetired AccountState = "retired" // by configuration
)

// AccountStates lists every state, for metrics and documentation.
func AccountStates() []AccountState {
	return []AccountState{AccountReady, AccountFull, AccountBusy, AccountSpent, AccountResting, AccountRefused, AccountRetired}
}

// AccountHealth is an upstream account as an operator sees it.
type AccountHealth struct {
	Name        string
	Provider    string
	State       AccountState
	Until       time.Time // when new work is tried again; zero = not known
	InFlight    int       // attempts at the upstream, of all nodes
	MaxInFlight int
	Today       int // submits of this day of UTC, counted where PerDay is set
	PerDay      int // 0 = no limit
	// The last failed submit that this node saw: its class, the upstream's own code, and when.
	LastClass string
	LastCode  string
	LastAt    time.Time
}
