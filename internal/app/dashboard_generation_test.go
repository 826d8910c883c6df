package app_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store/storetest"
)

// newcomer is a browser at which somebody is signed in who was just invited.
func newcomer(t *testing.T, a *app.App, organisation, email string, role kinora.Role) signedIn {
	t.Helper()
	_, token, err := a.People().Invite(t.Context(), organisation, email, role)
	if err == nil {
		_, err = a.People().AcceptInvitation(t.Context(), token, kinora.NewPerson{Name: email, Password: dashboardPassword}, kinora.Visitor{})
	}
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitor(t, a)
	_, _, body := v.post("/dashboard/sign-in", url.Values{"email": {email}, "password": {dashboardPassword}})
	return signedIn{v, tokenOf(t, body)}
}

var onceField = regexp.MustCompile(`name="once" value="([^"]+)"`)

// The page of a generation over the real services, on both databases: what it shows to whom, files, regenerate and cancel with what
// they leave in the audit log, and nothing of it for another organisation.
func TestDashboardGeneration(t *testing.T) {
	folder := t.TempDir()
	recipe := "name: strict\nextends: staging\nmetadata:\n  sandbox: {image: blank, image_times: 1}\n"
	if err := os.WriteFile(filepath.Join(folder, "strict.yaml"), []byte(recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, func(c *config.Config) {
			c.WorkflowsDir = folder
			c.Prices.Workflows = map[string]config.USD{"strict": 80_000}
		})
		organisation := a.Bootstrapped().Organisation.ID
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		made, err := c.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: "strict", CaptureType: "photo", Mode: "clean", Reference: "listing-1"}, "room.png", bytes.NewReader(photo(t, 800, 600)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WaitGeneration(t.Context(), made.JobID, client.GenerationWaitOptions{}); err != nil {
			t.Fatal(err)
		}
		candidates, err := a.Candidates(t.Context(), made.JobID)
		if err != nil {
			t.Fatal(err)
		}
		byState := map[kinora.OutputState]string{}
		for _, o := range candidates {
			byState[o.State] = o.ID
		}
		if byState[kinora.OutputRejected] == "" || byState[kinora.OutputPublished] == "" {
			t.Fatalf("candidates %v", byState)
		}

		member := newcomer(t, a, organisation, "member@example.com", kinora.RoleMember)
		list := "/dashboard/o/" + organisation + "/generations/"
		path := list + made.JobID
		status, _, body := member.get(path)
		for _, want := range []string{"listing-1", "$0.08", "an API key", "generation.completed", "not_blank", "/outputs/" + byState[kinora.OutputPublished]} {
			if status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("the page (%d) lacks %q", status, want)
			}
		}
		if strings.Contains(body, "/outputs/"+byState[kinora.OutputRejected]) || strings.Contains(body, "Upstream id") {
			t.Error("a member sees what is the operator's")
		}
		for part, want := range map[string]int{"/source": http.StatusOK, "/outputs/" + byState[kinora.OutputPublished]: http.StatusOK, "/outputs/" + byState[kinora.OutputRejected]: http.StatusNotFound, "/record": http.StatusOK} {
			if status, _, _ := member.get(path + part); status != want {
				t.Errorf("%s: %d", part, status)
			}
		}

		// Made anew by a form that is sent twice: once.
		_, _, body = member.get(path + "/regenerate")
		once := onceField.FindStringSubmatch(body)
		if once == nil {
			t.Fatalf("the form has no key:\n%s", body)
		}
		form := []string{"mode", "furnish", "room_types", "Kitchen", "once", once[1]}
		if status, _, wrong := member.send(path+"/regenerate", form...); status != http.StatusUnprocessableEntity || !strings.Contains(wrong, `id="field-style_preset-error"`) {
			t.Errorf("without a style: %d\n%s", status, wrong)
		}
		form = append(form, "style_preset", "Modern")
		status, first, again := member.send(path+"/regenerate", form...)
		if _, second, _ := member.send(path+"/regenerate", form...); status != http.StatusOK || second != first || !strings.HasPrefix(first, list+"job_") {
			t.Fatalf("made anew as %s and %s, %d", first, second, status)
		}
		if !strings.Contains(again, "member@example.com") || !strings.Contains(again, made.JobID) {
			t.Error("the new page tells neither who had it made nor from what")
		}
		child := strings.TrimPrefix(first, list)
		if _, _, body := member.get(path); !strings.Contains(body, child) {
			t.Error("the page of the first does not lead to the second")
		}
		if _, err := c.WaitGeneration(t.Context(), child, client.GenerationWaitOptions{}); err != nil {
			t.Fatal(err)
		}

		slow, err := c.Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "x", Metadata: map[string]any{"sandbox": map[string]any{"delay": "10m"}}}})
		if err != nil {
			t.Fatal(err)
		}
		if status, at, body := member.send(list + slow.ID + "/cancel"); status != http.StatusOK || at != list+slow.ID || !strings.Contains(body, "has been cancelled") {
			t.Errorf("cancelled: %d at %s", status, at)
		}
		if _, _, body := member.send(list + made.JobID + "/cancel"); !strings.Contains(body, "cannot be cancelled") {
			t.Error("cancelling what has ended is not refused in words")
		}

		entries, _, err := a.People().Audit(t.Context(), kinora.AuditFilter{OrganisationID: organisation, Action: "generation."}, "", 10)
		var log []string
		for _, e := range entries {
			var detail map[string]string
			_ = json.Unmarshal(e.Detail, &detail)
			log = append(log, string(e.Action)+" "+e.Target+" "+e.Actor.Name+" "+detail["parent"])
		}
		want := []string{"generation.cancel " + slow.ID + " member@example.com ", "generation.regenerate " + child + " member@example.com " + made.JobID}
		if err != nil || strings.Join(log, "\n") != strings.Join(want, "\n") {
			t.Errorf("the audit log has\n%s\nwant\n%s\n%v", strings.Join(log, "\n"), strings.Join(want, "\n"), err)
		}

		other, err := a.NewOrganisation(t.Context(), "second")
		if err != nil {
			t.Fatal(err)
		}
		stranger := newcomer(t, a, other, "stranger@example.com", kinora.RoleOwner)
		for _, part := range []string{"", "/record", "/source", "/regenerate", "/outputs/" + byState[kinora.OutputPublished]} {
			for _, in := range []string{organisation, other} {
				if status, _, _ := stranger.get("/dashboard/o/" + in + "/generations/" + made.JobID + part); status != http.StatusNotFound {
					t.Errorf("a stranger gets %d for %s of %s", status, part, in)
				}
			}
		}
		if status, _, _ := member.get(list + "job_%00"); status != http.StatusNotFound {
			t.Errorf("an id that is none: %d", status)
		}
	})
}
