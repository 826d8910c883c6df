package kinora_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

func TestTerminalStatesNeverMove(t *testing.T) {
	for _, from := range kinora.GenerationStates() {
		for _, to := range kinora.GenerationStates() {
			if from.Terminal() && from.CanMove(to) {
				t.Errorf("generation: %s → %s", from, to)
			}
		}
	}
	for _, from := range kinora.AttemptStates() {
		for _, to := range kinora.AttemptStates() {
			if from.Terminal() && from.CanMove(to) {
				t.Errorf("attempt: %s → %s", from, to)
			}
		}
	}
}

// Every state can be reached from the first, and an end from every state: nothing is
// stranded by the table itself.
func TestEveryStateLeadsToAnEnd(t *testing.T) {
	reach := map[kinora.AttemptState]bool{kinora.AttemptQueued: true}
	for range kinora.AttemptStates() {
		for from := range reach {
			for _, to := range kinora.AttemptStates() {
				if from.CanMove(to) {
					reach[to] = true
				}
			}
		}
	}
	for _, s := range kinora.AttemptStates() {
		if !reach[s] {
			t.Errorf("attempt state %s cannot be reached", s)
		}
		if !s.Terminal() && (!s.CanMove(kinora.AttemptFailed) || !s.CanMove(kinora.AttemptCancelled)) {
			t.Errorf("attempt state %s cannot end by deadline or cancel", s)
		}
	}
	for _, s := range kinora.GenerationStates() {
		if !s.Terminal() && (!s.CanMove(kinora.GenerationFailed) || !s.CanMove(kinora.GenerationCancelled)) {
			t.Errorf("generation state %s cannot end by deadline or cancel", s)
		}
	}
	// The only way back is from a submit that provably created nothing.
	for _, s := range kinora.AttemptStates() {
		if s.CanMove(kinora.AttemptQueued) != (s == kinora.AttemptSubmitting || s == kinora.AttemptUnsettled) {
			t.Errorf("%s → queued is %v", s, s.CanMove(kinora.AttemptQueued))
		}
	}
}

func TestFinishObeysTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.SampledFrom(kinora.GenerationStates()).Draw(t, "from")
		to := rapid.SampledFrom(kinora.GenerationStates()).Draw(t, "to")
		g := kinora.Generation{ID: "task_x", State: from, Progress: 42}
		at := time.Unix(1, 0)
		err := g.Finish(to, kinora.NewFailure(kinora.FailureUpstream, "x"), at)
		legal := to.Terminal() && from.CanMove(to)
		if (err == nil) != legal {
			t.Fatalf("%s → %s: %v", from, to, err)
		}
		switch {
		case !legal && (g.State != from || !g.CompletedAt.IsZero()):
			t.Fatalf("a refused move changed the generation: %+v", g)
		case legal && to == kinora.GenerationSucceeded && (g.Failure != nil || g.Progress != 100):
			t.Fatalf("succeeded with %+v", g)
		case legal && to != kinora.GenerationSucceeded && g.Failure == nil:
			t.Fatalf("%s without a failure", to)
		case legal && !g.CompletedAt.Equal(at):
			t.Fatal("no completion time")
		}
	})
}

func TestEventTypes(t *testing.T) {
	for s, want := range map[kinora.GenerationState]kinora.EventType{
		kinora.GenerationSucceeded: kinora.EventCompleted,
		kinora.GenerationFailed:    kinora.EventFailed,
		kinora.GenerationCancelled: kinora.EventFailed,
	} {
		if got := kinora.EventTypeOf(s); got != want {
			t.Errorf("%s → %s", s, got)
		}
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	err := error(&kinora.Error{Code: kinora.ErrUnavailable, Op: "write", Message: "the database is out of reach"})
	if kinora.CodeOf(err) != kinora.ErrUnavailable || kinora.CodeOf(nil) != "" || kinora.CodeOf(errors.New("x")) != kinora.ErrInternal {
		t.Error("codes are not kept")
	}
}

func TestRoles(t *testing.T) {
	order := []kinora.Role{kinora.RoleOwner, kinora.RoleAdmin, kinora.RoleMember}
	for i, r := range order {
		for j, other := range order {
			if got := r.Covers(other); got != (i <= j) {
				t.Errorf("%s covers %s: %v", r, other, got)
			}
		}
	}
	for _, r := range append(order, "") {
		if r.Covers("") || kinora.Role("root").Covers(r) || r.Covers("root") {
			t.Errorf("%q and a word that is no role", r)
		}
	}
	s := kinora.SignedIn{Memberships: []kinora.Membership{{OrganisationID: "org_a", Role: kinora.RoleMember}}}
	if s.RoleIn("org_a") != kinora.RoleMember || s.RoleIn("org_b") != "" {
		t.Error("role in one's own and in a foreign organisation")
	}
	s.Person.Operator = true
	if s.RoleIn("org_b") != kinora.RoleOwner {
		t.Error("an operator's role")
	}
}
