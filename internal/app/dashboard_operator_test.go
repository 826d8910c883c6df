package app_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/store/storetest"
)

// The operator's area over the real services: an attempt is given up, an organisation made with its first key, limited and switched
// off, somebody invited, who can be made an operator once the link is followed; and all of it stands in the audit log.
func TestDashboardOfAnOperator(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		root := firstPerson(t, a)
		const area = "/dashboard/operator"
		// How full the disk is, is the machine's own business.
		_, _, first := root.get(area)
		if strings.Count(first, `<p class="notice `) != 1 || !strings.Contains(first, "Nothing needs you now") && !strings.Contains(first, "are left for files") {
			t.Errorf("a new instance needs somebody:\n%s", first)
		}
		task, err := clientOf(t, a, a.Bootstrapped().KeyText).Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image",
			Input: client.Input{Prompt: "a kite", Size: "64x64", Metadata: map[string]any{"sandbox": map[string]any{"delay": "1h"}}}})
		if err != nil {
			t.Fatal(err)
		}
		attempt := area + "/attempts/" + task.ID + "_0"
		until(t, "the attempt is open", func() bool { _, _, body := root.get(attempt); return strings.Contains(body, ">open<") })
		root.see(area+"/accounts", "sandbox", ">1 of ")
		if _, _, body := root.send(attempt+"/settle", "upstream_id", "x"); !strings.Contains(body, "known already") {
			t.Errorf("an attempt whose job is known is settled:\n%s", body)
		}
		root.send(attempt+"/give-up", "reason", "nobody waits for it")
		root.see(attempt, ">failed<", "given_up")

		_, _, body := root.send(area+"/organisations/new", "name", "Kites")
		key, page := regexp.MustCompile(`sk-\w{48}`).FindString(body), regexp.MustCompile(area+`/organisations/org_\w+`).FindString(body)
		if key == "" || page == "" || !strings.Contains(body, "whsec_") {
			t.Fatalf("the organisation's secrets are not shown:\n%s", body)
		}
		authorised := http.Header{"Authorization": {"Bearer " + key}}
		if status, _, _ := fetch(t, a.LocalURL()+"/v1/models", authorised); status != http.StatusOK {
			t.Errorf("the first key gets %d", status)
		}
		root.send(page+"/allowance", "allowance.budget_usd", "99.5", "allowance.limits.usage_summary", "7")
		root.see(page, "of a budget of $99.50", `value="7"`)
		root.send(page + "/disable")
		root.see(page, "switched off")
		until(t, "the key is refused", func() bool {
			status, _, _ := fetch(t, a.LocalURL()+"/v1/models", authorised)
			return status != http.StatusOK
		})

		_, _, body = root.send(area+"/persons/invite", "email", "bea@example.com", "organisation", page[strings.LastIndexByte(page, '/')+1:], "role", "member", "operator", "on")
		if !invitationLink.MatchString(body) || !strings.Contains(body, "They are no operator yet") {
			t.Errorf("there is no link, or no word of what it cannot give yet:\n%s", body)
		}
		root.see(area+"/persons", "bea@example.com")
		root.see(area+"/audit", "gave an attempt up: nobody waits for it", "created the organisation", "changed the organisation", "invited")
		root.see(area+"/configuration/installation", "changes applied", "current")
		root.see(area+"/configuration/offer", "sandbox-image")
	})
}
