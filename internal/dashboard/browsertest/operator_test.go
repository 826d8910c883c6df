package browsertest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora/client"
)

// A person on call: the overview tells of work as it comes, an attempt is looked at and given up, and both stand in the log. Then
// an organisation is made, gets a budget, and somebody is let in as an operator.
func TestOperator(t *testing.T) {
	began := time.Now()
	s := startSite(t, nil)
	p := s.owner(t)
	p.Go("/dashboard/operator")
	p.See("Nothing waits")
	id := s.submitAs(t, client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "a kite", Metadata: map[string]any{"sandbox": map[string]any{"delay": "1h"}}}})
	p.SeeIn("#overview-lanes", "open")
	p.Picture("operator")

	// An attempt whose next look has come anyway is hastened by nobody, and the log tells of none: it is pressed until the hand was first.
	attempt := "/dashboard/operator/attempts/" + id + "_0"
	for logged := false; !logged; logged = strings.Contains(p.Text("main"), "had an attempt looked at") {
		p.Go(attempt)
		p.Press("Look now")
		p.See("is being taken")
		p.Go("/dashboard/operator/audit?action=attempt.look")
		if time.Since(began) > 2*time.Minute {
			t.Fatal("no look by hand is in the log")
		}
	}
	p.Go(attempt)
	p.Press("Give up")
	p.Has("dialog[open]")
	p.AccessibleInBoth()
	p.Fill("Reason, for the records", "nobody waits for it")
	p.Click("dialog[open] [type=submit]")
	p.See("The attempt has been given up.")
	p.Go("/dashboard/operator/audit?action=attempt.")
	p.See("gave an attempt up: nobody waits for it")
	p.See("had an attempt looked at")

	p.Go("/dashboard/operator/organisations")
	p.Press("New organisation")
	p.Fill("Name", "Kites & Sons")
	p.Press("Make the organisation")
	p.See("It is not shown again")
	p.AccessibleInBoth()
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(1280, 900)
	p.Press("Set its limits and budget")
	p.Allow("422")
	p.Fill("Budget a calendar month, in US dollars", "plenty")
	p.Press("Save limits and budget")
	p.See("write US dollars")
	p.AccessibleInBoth()
	p.Fill("Budget a calendar month, in US dollars", "99.50")
	p.Press("Save limits and budget")
	p.See("of a budget of $99.50")

	p.Go("/dashboard/operator/persons/invite")
	p.Fill("E-mail address", "bea@example.com")
	p.Fill("Operator of this server too", "on")
	p.Press("Invite")
	p.See("Invitation for bea@example.com")
	p.Press("Back to the person")
	p.SeeIn("main", "operator")
	p.Press("Disable")
	p.Click("dialog[open] [type=submit]")
	p.See("The account has been disabled")
}
