package browsertest_test

import (
	"testing"

	"github.com/kinora/kinora/client"
)

// The first way through: the set-up link, a password, the list, a generation that arrives while it is looked at and comes to its
// end there, out and in again. Each page is held against the rules for accessible pages, in both colours, and fits a phone.
func TestFirstWayThrough(t *testing.T) {
	s := startSite(t, nil)
	p := s.open(t)
	p.Go("/dashboard/setup?token=wrong")
	p.AccessibleInBoth()

	p = s.owner(t)
	p.See("No generations yet")
	p.AccessibleInBoth()

	id := s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Reference: "order-17", Input: client.Input{Prompt: "a lighthouse at dusk"}})
	p.Has("#row-" + id)
	p.SeeIn("#row-"+id, "order-17")
	p.SeeIn("#row-"+id, "succeeded")
	p.Gone("#generations-empty .empty")
	p.AccessibleInBoth()
	p.Size(360, 740)
	p.FitsWidth()
	p.Press("Menu")
	p.Accessible()
	p.Size(1280, 900)

	p.Fill("Reference", "order-18")
	p.Press("Apply")
	p.See("Nothing matches")
	p.Press("Reset")
	p.Has("#row-" + id)

	p.Press("Ada")
	p.At("/dashboard/account")
	p.AccessibleInBoth()
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(1280, 900)
	p.Press("Dark")
	p.Has("html[data-theme=dark]")
	p.At("/dashboard/account")

	p.Press("Sign out")
	p.At("/dashboard/sign-in")
	p.AccessibleInBoth()
	p.Allow("422")
	p.Fill("E-mail address", ownerEmail)
	p.Fill("Password", "not the password")
	p.Press("Sign in")
	p.SeeIn("[role=alert]", "the e-mail address or the password is wrong")
	p.Accessible()
	p.Fill("Password", password)
	p.Press("Sign in")
	p.At(s.path("/generations"))
	p.Has("#row-" + id)
}
