package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kinora/kinora"
)

// personBody and the others are the admin API's bodies.
type personBody struct {
	ID           string    `json:"id"`
	Email        string    `json:"email"`
	Name         string    `json:"name"`
	Operator     bool      `json:"operator"`
	HasPassword  bool      `json:"has_password"`
	Disabled     bool      `json:"disabled"`
	CreatedAt    time.Time `json:"created_at"`
	LastSignInAt time.Time `json:"last_sign_in_at"`
}

type memberBody struct {
	OrganisationID   string      `json:"organisation_id"`
	OrganisationName string      `json:"organisation_name"`
	PersonID         string      `json:"person_id"`
	Email            string      `json:"email"`
	Name             string      `json:"name"`
	Role             kinora.Role `json:"role"`
	Pending          bool        `json:"pending"`
	InvitationID     string      `json:"invitation_id"`
	InvitedBy        string      `json:"invited_by"`
	CreatedAt        time.Time   `json:"created_at"`
}

type linkBody struct {
	URL string `json:"url"`
}

func personPath(personID string) string { return "/persons/" + url.PathEscape(personID) }

func memberPath(organisationID, personID string) string {
	return organisationPath(organisationID) + "/members/" + url.PathEscape(personID)
}

func (a *adminAPI) Persons(ctx context.Context) ([]kinora.Person, error) {
	var b struct {
		Persons   []personBody `json:"persons"`
		Truncated bool         `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, "/persons", nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]kinora.Person, len(b.Persons))
	for i, p := range b.Persons {
		list[i] = kinora.Person(p)
	}
	return list, nil
}

func (a *adminAPI) SetOperator(ctx context.Context, personID string, operator bool) error {
	return a.call(ctx, http.MethodPatch, personPath(personID), map[string]bool{"operator": operator}, nil)
}

func (a *adminAPI) SetDisabled(ctx context.Context, personID string, disabled bool) ([]kinora.Ownerless, error) {
	var b struct {
		WithoutOwner []ownerlessShape `json:"organisations_without_owner"`
	}
	if err := a.call(ctx, http.MethodPatch, personPath(personID), map[string]bool{"disabled": disabled}, &b); err != nil {
		return nil, err
	}
	left := make([]kinora.Ownerless, len(b.WithoutOwner))
	for i, o := range b.WithoutOwner {
		left[i] = kinora.Ownerless{OrganisationID: o.ID, OrganisationName: o.Name}
	}
	return left, nil
}

func (a *adminAPI) reset(ctx context.Context, personID string) (string, error) {
	var b linkBody
	err := a.call(ctx, http.MethodPost, personPath(personID)+"/reset", nil, &b)
	return b.URL, err
}

func (a *adminAPI) Members(ctx context.Context, organisationID string) ([]kinora.Membership, error) {
	var b struct {
		Members   []memberBody `json:"members"`
		Truncated bool         `json:"truncated"`
	}
	if err := a.call(ctx, http.MethodGet, organisationPath(organisationID)+"/members", nil, &b); err != nil {
		return nil, err
	}
	a.truncated = b.Truncated
	list := make([]kinora.Membership, len(b.Members))
	for i, m := range b.Members {
		list[i] = kinora.Membership(m)
	}
	return list, nil
}

func (a *adminAPI) invite(ctx context.Context, organisationID, email string, role kinora.Role) (*kinora.Membership, string, error) {
	var b struct {
		memberBody
		Invitation linkBody `json:"invitation"` // stays empty where there is none
	}
	body := map[string]string{"email": email, "role": string(role)}
	if err := a.call(ctx, http.MethodPost, organisationPath(organisationID)+"/members", body, &b); err != nil {
		return nil, "", err
	}
	m := kinora.Membership(b.memberBody)
	return &m, b.Invitation.URL, nil
}

func (a *adminAPI) SetRole(ctx context.Context, organisationID, personID string, role kinora.Role) error {
	return a.call(ctx, http.MethodPatch, memberPath(organisationID, personID), map[string]kinora.Role{"role": role}, nil)
}

func (a *adminAPI) RemoveMember(ctx context.Context, organisationID, personID string) error {
	return a.call(ctx, http.MethodDelete, memberPath(organisationID, personID), nil, nil)
}

func (a *adminAPI) setUpLink(ctx context.Context) (string, error) {
	var b linkBody
	err := a.call(ctx, http.MethodPost, "/setup-link", nil, &b)
	if kinora.CodeOf(err) == kinora.ErrConflict { // set up already
		return "", nil
	}
	return b.URL, err
}

func (a *adminAPI) Audit(ctx context.Context, f kinora.AuditFilter, before string, limit int) ([]kinora.AuditEntry, string, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	for name, value := range map[string]string{"organisation_id": f.OrganisationID, "actor_id": f.ActorID, "actor_kind": string(f.ActorKind), "action": f.Action, "target": f.Target, "cursor": before} {
		if value != "" {
			q.Set(name, value)
		}
	}
	moment(f.Since).put(q, "since")
	moment(f.Until).put(q, "until")
	var b struct {
		Entries []struct {
			ID             string `json:"id"`
			OrganisationID string `json:"organisation_id"`
			Actor          struct {
				Kind    kinora.ActorKind `json:"kind"`
				ID      string           `json:"id"`
				Name    string           `json:"name"`
				Address string           `json:"address"`
			} `json:"actor"`
			Action    kinora.AuditAction `json:"action"`
			Target    string             `json:"target"`
			Detail    json.RawMessage    `json:"detail"`
			CreatedAt time.Time          `json:"created_at"`
		} `json:"entries"`
		NextCursor string `json:"next_cursor"`
	}
	if err := a.call(ctx, http.MethodGet, "/audit?"+q.Encode(), nil, &b); err != nil {
		return nil, "", err
	}
	list := make([]kinora.AuditEntry, len(b.Entries))
	for i, e := range b.Entries {
		list[i] = kinora.AuditEntry{ID: e.ID, OrganisationID: e.OrganisationID, Actor: kinora.Actor(e.Actor), Action: e.Action, Target: e.Target, CreatedAt: e.CreatedAt}
		if string(e.Detail) != "null" {
			list[i].Detail = e.Detail
		}
	}
	return list, b.NextCursor, nil
}
