package server

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

const personOne = "per_01HF8Z3KQX2A6Y4N3R8M5W7V9P"

// fakePeople has one person, the last of everything where err says so, and writes down in calls who asked.
type fakePeople struct {
	err   error
	calls *[]kinora.Actor
	full  bool // somebody is in already
}

func (f fakePeople) find(ctx context.Context, organisationID, personID string) error {
	if a, ok := kinora.ActorOf(ctx); ok && f.calls != nil {
		*f.calls = append(*f.calls, a)
	}
	switch {
	case f.err != nil:
		return f.err
	case organisationID != ownID && organisationID != "" || personID != personOne && personID != "":
		return kinora.Errorf(kinora.ErrNotFound, "not there")
	}
	return nil
}

func (f fakePeople) SetupLink(ctx context.Context) (string, error) {
	if f.full {
		return "", nil
	}
	return "kset_a+b", f.find(ctx, "", "")
}

func (f fakePeople) person() kinora.Person {
	return kinora.Person{ID: personOne, Email: "ada@example.com", Name: "Ada", Operator: true, HasPassword: true, CreatedAt: testTime}
}

func (f fakePeople) member() kinora.Membership {
	return kinora.Membership{OrganisationID: ownID, OrganisationName: "acme", PersonID: personOne, Email: "ada@example.com", Name: "Ada", Role: kinora.RoleOwner, CreatedAt: testTime}
}

func (f fakePeople) Persons(ctx context.Context) ([]kinora.Person, error) {
	return []kinora.Person{f.person()}, f.find(ctx, "", "")
}

func (f fakePeople) Person(ctx context.Context, personID string) (*kinora.Person, []kinora.Membership, error) {
	p := f.person()
	return &p, []kinora.Membership{f.member()}, f.find(ctx, "", personID)
}

func (f fakePeople) SetOperator(ctx context.Context, personID string, operator bool) error {
	if !operator && f.err == nil {
		return kinora.Errorf(kinora.ErrConflict, "this is the last operator")
	}
	return f.find(ctx, "", personID)
}

func (f fakePeople) SetDisabled(ctx context.Context, personID string, disabled bool) ([]kinora.Ownerless, error) {
	left, err := f.Ownerless(ctx)
	if !disabled {
		left = nil
	}
	if err == nil {
		err = f.find(ctx, "", personID)
	}
	return left, err
}

func (f fakePeople) Ownerless(context.Context) ([]kinora.Ownerless, error) {
	return []kinora.Ownerless{{OrganisationID: ownID, OrganisationName: "acme"}}, f.err
}

func (f fakePeople) ResetPassword(ctx context.Context, personID string) (string, error) {
	return "kinv_reset", f.find(ctx, "", personID)
}

func (f fakePeople) Members(ctx context.Context, organisationID string) ([]kinora.Membership, error) {
	return []kinora.Membership{f.member()}, f.find(ctx, organisationID, "")
}

func (f fakePeople) Invite(ctx context.Context, organisationID, email string, role kinora.Role) (*kinora.Membership, string, error) {
	m := f.member()
	if err := f.find(ctx, organisationID, ""); err != nil {
		return nil, "", err
	}
	switch email {
	case "taken@example.com":
		return nil, "", kinora.Errorf(kinora.ErrConflict, "a member already")
	case "":
		return nil, "", kinora.Errorf(kinora.ErrInvalid, "email is required")
	case "ada@example.com":
		return &m, "", nil
	}
	m.Pending, m.Email, m.Role, m.InvitationID, m.InvitedBy = true, email, role, "inv_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "grace@example.com"
	return &m, "kinv_fresh", nil
}

func (f fakePeople) SetRole(ctx context.Context, organisationID, personID string, role kinora.Role) error {
	if f.err == nil && !role.Valid() {
		return kinora.Errorf(kinora.ErrInvalid, "role must be owner, admin or member")
	}
	if f.err == nil && role == kinora.RoleMember {
		return kinora.Errorf(kinora.ErrConflict, "this is the last owner")
	}
	return f.find(ctx, organisationID, personID)
}

func (f fakePeople) RemoveMember(ctx context.Context, organisationID, personID string) error {
	if f.full {
		return kinora.Errorf(kinora.ErrConflict, "this is the last owner")
	}
	return f.find(ctx, organisationID, personID)
}

func (f fakePeople) Audit(ctx context.Context, filter kinora.AuditFilter, before string, limit int) ([]kinora.AuditEntry, string, error) {
	if filter.Action == "nothing" {
		return nil, "", kinora.Errorf(kinora.ErrInvalid, "action must be one of those listed")
	}
	list := []kinora.AuditEntry{
		{ID: "aud_2", OrganisationID: ownID, Actor: kinora.Actor{Kind: kinora.ActorPerson, ID: personOne, Name: "ada@example.com", Address: "192.0.2.7"}, Action: kinora.AuditKeyCreate, Target: keyOne,
			Detail: json.RawMessage(`{"name":"ci"}`), CreatedAt: testTime},
		{ID: "aud_1", Actor: kinora.Actor{Kind: kinora.ActorSystem}, Action: kinora.AuditEndpointDisable, CreatedAt: testTime},
	}
	switch {
	case before == "aud_2":
		return list[1:], "", f.find(ctx, "", "")
	case limit == 1:
		return list[:1], "aud_2", f.find(ctx, "", "")
	}
	return list, "", f.find(ctx, "", "")
}

func TestAdminShowsLinksOnce(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.People, c.DashboardURL = fakePeople{}, "https://kinora.example/in/dashboard" })
	for _, tc := range []struct{ method, path, body, want string }{
		{"POST", "/admin/v1/setup-link", "", `"url":"https://kinora.example/in/dashboard/setup?token=kset_a%2Bb"`},
		{"POST", "/admin/v1/persons/" + personOne + "/reset", "", `"url":"https://kinora.example/in/dashboard/invitation?token=kinv_reset"`},
		{"POST", orgPath + "/members", `{"email":"new@example.com","role":"admin"}`, `"pending":true,"invitation_id":"inv_01HF8Z3KQX2A6Y4N3R8M5W7V9P","invited_by":"grace@example.com","created_at":"2026-06-14T10:30:00Z","invitation":{"token":"kinv_fresh","url":"https://kinora.example/in/dashboard/invitation?token=kinv_fresh"}`},
		{"POST", orgPath + "/members", `{"email":"ada@example.com","role":"admin"}`, `"invitation":null`},
	} {
		if status, answer := f.admin(tc.method, tc.path, tc.body); status != 201 || !strings.Contains(answer, tc.want) {
			t.Errorf("%s %s answered %d %s, want %s", tc.method, tc.path, status, answer, tc.want)
		}
	}
	for _, path := range []string{"/admin/v1/persons", "/admin/v1/persons/" + personOne, orgPath + "/members"} {
		if _, answer := f.admin("GET", path, ""); strings.Contains(answer, "kinv_") || strings.Contains(answer, "kset_") {
			t.Errorf("%s tells a token: %s", path, answer)
		}
	}
	f = newFixture(t, func(c *Config) { c.People = fakePeople{full: true} })
	if status, answer := f.admin("POST", "/admin/v1/setup-link", ""); status != 409 || !strings.Contains(answer, "kinora person invite") {
		t.Errorf("answered %d %s", status, answer)
	}
}

// What is done with the admin token is the operator's doing, whatever the request says.
func TestTheAdminTokenActsAsTheOperator(t *testing.T) {
	var calls []kinora.Actor
	f := newFixture(t, func(c *Config) { c.People = fakePeople{calls: &calls} })
	f.admin("PATCH", "/admin/v1/persons/"+personOne, `{"disabled":true}`, header("X-Forwarded-For", "198.51.100.1"), header("X-Actor", "ada@example.com"))
	if len(calls) == 0 || calls[0] != (kinora.Actor{Kind: kinora.ActorOperator, Address: "192.0.2.1"}) {
		t.Errorf("acted as %+v", calls)
	}
}

func TestAdminAuditPages(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.People = fakePeople{} })
	var first, second auditPage
	status, answer := f.admin("GET", "/admin/v1/audit?limit=1&action=key.create", "")
	if err := json.Unmarshal([]byte(answer), &first); status != 200 || err != nil || len(first.Entries) != 1 || first.NextCursor == nil {
		t.Fatalf("answered %d %s, %v", status, answer, err)
	}
	if e := first.Entries[0]; *e.OrganisationID != ownID || *e.Actor.ID != personOne || *e.Target != keyOne || !strings.Contains(answer, `"detail":{"name":"ci"}`) {
		t.Errorf("%s", answer)
	}
	status, answer = f.admin("GET", "/admin/v1/audit?action=key.create&cursor="+*first.NextCursor, "")
	if err := json.Unmarshal([]byte(answer), &second); status != 200 || err != nil || len(second.Entries) != 1 || second.Entries[0].ID != "aud_1" || second.NextCursor != nil {
		t.Fatalf("answered %d %s, %v", status, answer, err)
	}
	if e := second.Entries[0]; e.OrganisationID != nil || e.Actor.ID != nil || e.Target != nil || e.Detail != nil {
		t.Errorf("%s", answer)
	}
	for _, query := range []string{"cursor=" + *first.NextCursor, "since=yesterday", "limit=0", "limit=201", "action=nothing", "target=", "actor_id=a&actor_id=b", "actor_kind="} {
		if status, answer := f.admin("GET", "/admin/v1/audit?"+query, ""); status != 400 {
			t.Errorf("%s answered %d %s", query, status, answer)
		}
	}
}

func TestPersonsAreChangedOneThingAtATime(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.People = fakePeople{} })
	for body, want := range map[string]int{`{"operator":true}`: 200, `{"disabled":true}`: 200, `{"operator":false}`: 409, `{}`: 400, `{"operator":true,"disabled":true}`: 400, `{"email":"x"}`: 400} {
		if status, answer := f.admin("PATCH", "/admin/v1/persons/"+personOne, body); status != want {
			t.Errorf("%s answered %d %s, want %d", body, status, answer, want)
		}
	}
	for body, want := range map[string]string{`{"disabled":true}`: `"organisations_without_owner":[{"id":"` + ownID + `","name":"acme"}]`, `{"disabled":false}`: `"organisations_without_owner":[]`} {
		if _, answer := f.admin("PATCH", "/admin/v1/persons/"+personOne, body); !strings.Contains(answer, want) {
			t.Errorf("%s answered %s, want %s", body, answer, want)
		}
	}
}
