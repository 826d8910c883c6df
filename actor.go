package kinora

import "context"

// ActorKind is what sort of actor makes a change.
type ActorKind string

const (
	ActorPerson ActorKind = "person" // somebody who is signed in to the dashboard
	// ActorOperator is whoever has the admin token, the command line included, and a person who is signed in and works as an operator:
	// in the operator's area, or in an organisation that they do not belong to. Such a person has ID and Name; owners of the
	// organisation are not shown these.
	ActorOperator ActorKind = "operator"
	ActorKey      ActorKind = "key"    // an organisation's API key
	ActorSystem   ActorKind = "system" // the server by itself, such as an endpoint that it disabled
)

// ActorKinds lists every kind.
func ActorKinds() []ActorKind { return []ActorKind{ActorPerson, ActorOperator, ActorKey, ActorSystem} }

// Actor is who makes a change.
type Actor struct {
	Kind    ActorKind
	ID      string // a person's or key's; empty for others
	Name    string // as people know it: an e-mail address, a key's name; empty = none
	Address string // network address that the request came from; empty = none
}

type actorKey struct{}

// WithActor returns a context whose changes are a's. The services write them to the audit log in the transactions that make
// them. Nothing is written for a context without an actor: what callers do by their API keys is told by the records
// that it makes.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns the actor of a context; false = none.
func ActorOf(ctx context.Context) (Actor, bool) {
	a, ok := ctx.Value(actorKey{}).(Actor)
	return a, ok
}
