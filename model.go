package kinora

import "time"

// Model is a public name that callers send, and what configuration makes of it.
type Model struct {
	Name          string
	Kind          Kind
	Provider      string
	UpstreamModel string   // the upstream's id; empty = Name
	Accounts      []string // names of accounts it may run on; empty = all of the provider
	// Deadline is how long a generation may take from acceptance to its end; 0 = 10 minutes
	// for images and 60 minutes for videos.
	Deadline time.Duration

	// Routes are the ways to make it, where there are several; the fields above are then those
	// of the first one. Empty = they are the only way.
	Routes []Route
	Order  RouteOrder // "" = RoutesListed
	// FailoverAfter is how long work waits for a place at a route before the next one is tried;
	// 0 = DefaultFailoverAfter.
	FailoverAfter time.Duration
	// RetryElsewhere makes a part anew on the next route when an upstream has failed it for
	// reasons that are not the caller's.
	RetryElsewhere bool
	weight         int // of the route, in a model of Along
}

// Route is one way to make a model.
type Route struct {
	Provider      string
	UpstreamModel string   // empty = the model's name
	Accounts      []string // empty = all of the provider
	Weight        int      // share of new work where the order is by weight; 0 counts as 1
}

// RouteOrder says in which order a model's routes are tried.
type RouteOrder string

const (
	RoutesListed   RouteOrder = "listed"   // as they stand
	RoutesWeighted RouteOrder = "weighted" // at random, by weight
)

// DefaultFailoverAfter outlasts the short pauses that a busy upstream asks for, so that they
// do not send work to a dearer one.
const DefaultFailoverAfter = 30 * time.Second

// Along returns the model once for each of its routes, with that route's provider, upstream
// id and accounts.
func (m *Model) Along() []Model {
	routes := m.Routes
	if len(routes) == 0 {
		routes = []Route{{Provider: m.Provider, UpstreamModel: m.UpstreamModel, Accounts: m.Accounts}}
	}
	list := make([]Model, len(routes))
	for i, r := range routes {
		list[i] = *m
		list[i].Provider, list[i].UpstreamModel, list[i].Accounts, list[i].weight = r.Provider, r.UpstreamModel, r.Accounts, r.Weight
		if list[i].UpstreamModel == "" {
			list[i].UpstreamModel = m.Name
		}
	}
	return list
}

// RouteWeight is the share of the route that a model of Along stands for, at least 1.
func (m *Model) RouteWeight() int { return max(1, m.weight) }

// FailoverWait returns FailoverAfter or its default.
func (m *Model) FailoverWait() time.Duration {
	if m.FailoverAfter > 0 {
		return m.FailoverAfter
	}
	return DefaultFailoverAfter
}

// Deadlines that hold where a model's configuration says nothing (submit API contract 3.4).
const (
	DefaultImageDeadline = 10 * time.Minute
	DefaultVideoDeadline = 60 * time.Minute
)

// DeadlineAfter returns the model's deadline, or the default of its kind.
func (m *Model) DeadlineAfter() time.Duration {
	switch {
	case m.Deadline > 0:
		return m.Deadline
	case m.Kind == KindVideo:
		return DefaultVideoDeadline
	}
	return DefaultImageDeadline
}
