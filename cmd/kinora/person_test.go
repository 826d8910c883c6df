package main

import (
	"slices"
	"strings"
	"testing"
)

// tryPeople goes through persons and the audit log, after tryOrganisations and tryKeys.
func tryPeople(t *testing.T) {
	const org, ada = "Acme Ltd", "ada@example.com"
	setUp := invoke(t, "", "setup-link")
	if setUp.exit != exitOK || !strings.Contains(setUp.out, "/dashboard/setup?token=kset_") || !strings.Contains(setUp.out, "http") {
		t.Errorf("set-up link: exit %d\n%s%s", setUp.exit, setUp.out, setUp.errOut)
	}
	const memberKeys = "created_at email invitation_id invited_by name organisation_id organisation_name pending person_id role"
	invited := document(t, invoke(t, "", "person", "invite", " Ada@Example.com", "--org", org, "--role", "owner", "--json").out)
	link, _ := invited["link"].(string)
	if keysOf(invited) != sorted(append(strings.Fields(memberKeys), "link")) || !strings.Contains(link, "/dashboard/invitation?token=kinv_") || invited["pending"] != true || invited["email"] != ada {
		t.Fatalf("invited: %v", invited)
	}
	id := invited["person_id"].(string)
	if again := invoke(t, "", "person", "invite", ada, "--org", org); again.exit != exitOK || !strings.Contains(again.out, "kinv_") || strings.Contains(again.out, link) {
		t.Errorf("invited again: exit %d\n%s%s", again.exit, again.out, again.errOut)
	}
	if taken := invoke(t, "", "setup-link"); taken.exit != exitConflict || !strings.Contains(taken.errOut, "person invite") {
		t.Errorf("set up twice: exit %d\n%s", taken.exit, taken.errOut)
	}
	for _, args := range [][]string{
		{"person", "role", ada, "admin", "--org", org}, {"person", "disable", ada}, {"person", "enable", ada},
	} {
		if got := invoke(t, "", args...); got.exit != exitOK || !strings.Contains(got.out, ada) {
			t.Errorf("%v: exit %d\n%s%s", args, got.exit, got.out, got.errOut)
		}
	}
	out := document(t, invoke(t, "", "person", "disable", ada, "--json").out)
	if none, ok := out["organisations_without_owner"].([]any); !ok || len(none) != 0 || out["disabled"] != true {
		t.Errorf("disabled: %v", out)
	}
	invoke(t, "", "person", "enable", ada)
	reset := document(t, invoke(t, "", "person", "reset", ada, "--json").out)
	if keysOf(reset) != "link person_id" || !strings.Contains(reset["link"].(string), "kinv_") {
		t.Errorf("reset: %v", reset)
	}
	persons, _ := document(t, invoke(t, "", "person", "list", "--json").out)["persons"].([]any)
	if len(persons) != 1 || keysOf(persons[0]) != "created_at disabled email has_password id last_sign_in_at name operator" || persons[0].(map[string]any)["last_sign_in_at"] != nil {
		t.Errorf("persons: %v", persons)
	}
	members, _ := document(t, invoke(t, "", "person", "list", "--org", org, "--json").out)["members"].([]any)
	if len(members) != 1 || keysOf(members[0]) != memberKeys || members[0].(map[string]any)["role"] != "admin" {
		t.Errorf("members: %v", members)
	}
	if text := invoke(t, "", "person", "list"); !strings.Contains(text.out, ada) || !strings.Contains(text.out, "invited") {
		t.Errorf("list for people:\n%s%s", text.out, text.errOut)
	}
	for _, wrong := range []struct {
		args []string
		exit int
	}{
		{[]string{"person", "disable", "nobody@example.com"}, exitNotFound}, {[]string{"person", "remove", ada, "--org", "nowhere"}, exitNotFound},
		{[]string{"person", "operator", ada}, exitConflict}, // has not followed the invitation
		{[]string{"person", "invite", "nobody", "--org", org}, exitUsage}, {[]string{"person", "role", ada, "king", "--org", org}, exitUsage},
		{[]string{"audit", "--action", "nothing"}, exitUsage}, {[]string{"audit", "--limit", "0"}, exitUsage},
	} {
		if got := invoke(t, "", wrong.args...); got.exit != wrong.exit {
			t.Errorf("%v: exit %d, want %d\n%s", wrong.args, got.exit, wrong.exit, got.errOut)
		}
	}
	tryPersonal(t, ada)
	if got := invoke(t, "", "person", "remove", ada, "--org", org); got.exit != exitOK {
		t.Errorf("remove: exit %d\n%s", got.exit, got.errOut)
	}
	tryAudit(t, org, id)
}

func tryAudit(t *testing.T, org, personID string) {
	log := invoke(t, "", "audit", "--json")
	entries, _ := document(t, log.out)["entries"].([]any)
	var actions []string
	for _, entry := range entries {
		e := entry.(map[string]any)
		if keysOf(e) != "action actor created_at detail id organisation_id target" || e["actor"].(map[string]any)["kind"] != "operator" {
			t.Errorf("entry: %v", e)
		}
		actions = append(actions, e["action"].(string))
	}
	for _, want := range []string{"organisation.create", "organisation.update", "key.create", "key.import", "key.revoke", "endpoint.create", "member.add", "member.role", "member.remove",
		"person.create", "person.disable", "person.enable", "person.reset"} {
		if !slices.Contains(actions, want) {
			t.Errorf("the audit log has no %s: %v", want, actions)
		}
	}
	if strings.Contains(log.out, "kinv_") || strings.Contains(log.out, "kset_") || strings.Contains(log.out, "sk-imported-0123456789abcdefghij") {
		t.Error("the audit log tells a secret")
	}
	for args, want := range map[string]int{
		"--action key --limit 2": 2, "--action member.role": 1, "--target " + personID + " --action person.disable": 2, "--since 1h --action member --org " + org: 4, "--until 1d": 0,
	} {
		list := append([]string{"audit", "--json"}, strings.Fields(strings.Replace(args, org, "ORG", 1))...)
		for i := range list {
			list[i] = strings.Replace(list[i], "ORG", org, 1)
		}
		if got, _ := document(t, invoke(t, "", list...).out)["entries"].([]any); len(got) != want {
			t.Errorf("%s: %d entries, want %d: %v", args, len(got), want, got)
		}
	}
	if text := invoke(t, "", "audit", "--limit", "3"); text.exit != exitOK || !strings.Contains(text.out, "operator") || !strings.Contains(text.out, "member.remove") {
		t.Errorf("for people: exit %d\n%s%s", text.exit, text.out, text.errOut)
	}
}
