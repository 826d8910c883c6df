package server

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/kinora/kinora"
)

// People keeps the persons who sign in to the dashboard; *people.Service is one, and its comments say what the methods do.
type People interface {
	SetupLink(ctx context.Context) (token string, err error)
	Persons(ctx context.Context) ([]kinora.Person, error)
	Person(ctx context.Context, personID string) (*kinora.Person, []kinora.Membership, error)
	SetOperator(ctx context.Context, personID string, operator bool) error
	SetDisabled(ctx context.Context, personID string, disabled bool) (left []kinora.Ownerless, err error)
	Ownerless(ctx context.Context) ([]kinora.Ownerless, error)
	ResetPassword(ctx context.Context, personID string) (token string, err error)
	personalThings

	Members(ctx context.Context, organisationID string) ([]kinora.Membership, error)
	Invite(ctx context.Context, organisationID, email string, role kinora.Role) (m *kinora.Membership, token string, err error)
	SetRole(ctx context.Context, organisationID, personID string, role kinora.Role) error
	RemoveMember(ctx context.Context, organisationID, personID string) error

	Audit(ctx context.Context, f kinora.AuditFilter, before string, limit int) (page []kinora.AuditEntry, next string, err error)
}

func (s *Server) peopleRoutes() []route {
	if s.cfg.People == nil || s.cfg.AdminToken == "" {
		return nil
	}
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	const (
		persons = "/admin/v1/persons"
		person  = persons + "/{person_id}"
		members = "/admin/v1/organisations/{organisation_id}/members"
		member  = members + "/{person_id}"
	)
	return []route{
		on(http.MethodGet, persons, s.adminPersons),
		on(http.MethodGet, person, s.adminPerson),
		on(http.MethodPatch, person, s.adminChangePerson),
		on(http.MethodPost, person+"/reset", s.adminResetPassword),
		on(http.MethodGet, person+"/sessions", s.adminSessions),
		on(http.MethodDelete, person+"/sessions", s.adminEndSessions),
		on(http.MethodDelete, person+"/sessions/{session_id}", s.adminEndSession),
		on(http.MethodGet, members, s.adminMembers),
		on(http.MethodPost, members, s.adminInvite),
		on(http.MethodPatch, member, s.adminSetRole),
		on(http.MethodDelete, member, s.adminRemoveMember),
		on(http.MethodPost, "/admin/v1/setup-link", s.adminSetupLink),
		on(http.MethodGet, "/admin/v1/audit", s.adminAudit),
	}
}

type personView struct {
	ID           string  `json:"id"`
	Email        string  `json:"email"`
	Name         string  `json:"name"` // "" = none
	Operator     bool    `json:"operator"`
	HasPassword  bool    `json:"has_password"`
	Disabled     bool    `json:"disabled"`
	CreatedAt    *string `json:"created_at"`
	LastSignInAt *string `json:"last_sign_in_at"` // null = never
}

func viewPerson(p kinora.Person) personView {
	return personView{ID: p.ID, Email: p.Email, Name: p.Name, Operator: p.Operator, HasPassword: p.HasPassword, Disabled: p.Disabled,
		CreatedAt: apiTime(p.CreatedAt), LastSignInAt: apiTime(p.LastSignInAt)}
}

type personList struct {
	Persons   []personView `json:"persons"`
	Truncated bool         `json:"truncated"`
}

type onePersonView struct {
	personView
	Memberships []memberView `json:"memberships"`
}

// changedPersonView is the answer to a change of a person.
type changedPersonView struct {
	onePersonView
	WithoutOwner []ownerlessView `json:"organisations_without_owner"` // by the person's being disabled
}

// ownerlessView is an organisation that has members and no owner who can sign in.
type ownerlessView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func viewOwnerless(list []kinora.Ownerless) []ownerlessView {
	views := make([]ownerlessView, len(list))
	for i, o := range list {
		views[i] = ownerlessView{ID: o.OrganisationID, Name: o.OrganisationName}
	}
	return views
}

type memberView struct {
	OrganisationID   string      `json:"organisation_id"`
	OrganisationName string      `json:"organisation_name"`
	PersonID         string      `json:"person_id"`
	Email            string      `json:"email"`
	Name             string      `json:"name"` // the person's
	Role             kinora.Role `json:"role"`
	Pending          bool        `json:"pending"`       // invited, and gives no right yet
	InvitationID     *string     `json:"invitation_id"` // null = not pending
	InvitedBy        *string     `json:"invited_by"`    // null = an operator, or not known
	CreatedAt        *string     `json:"created_at"`
}

func viewMembers(list []kinora.Membership) []memberView {
	views := make([]memberView, len(list))
	for i, m := range list {
		views[i] = memberView{OrganisationID: m.OrganisationID, OrganisationName: m.OrganisationName, PersonID: m.PersonID, Email: m.Email, Name: m.Name,
			Role: m.Role, Pending: m.Pending, InvitationID: optional(m.InvitationID), InvitedBy: optional(m.InvitedBy), CreatedAt: apiTime(m.CreatedAt)}
	}
	return views
}

type memberList struct {
	Members   []memberView `json:"members"`
	Truncated bool         `json:"truncated"`
}

// linkView is a one-time link. It is shown once: whoever has it comes in.
type linkView struct {
	Token string `json:"token"`
	URL   string `json:"url"`
}

type invitedView struct {
	memberView
	Invitation *linkView `json:"invitation"` // null = the membership stands already
}

// link is where a browser takes up a token.
func (s *Server) link(page, token string) *linkView {
	return &linkView{Token: token, URL: s.cfg.DashboardURL + page + "?token=" + url.QueryEscape(token)}
}

func (s *Server) adminPersons(ctx context.Context, x *exchange, _ *http.Request) error {
	list, err := s.cfg.People.Persons(ctx)
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := personList{Persons: make([]personView, len(shown)), Truncated: truncated}
	for i, p := range shown {
		answer.Persons[i] = viewPerson(p)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) adminPerson(ctx context.Context, x *exchange, r *http.Request) error {
	view, err := s.onePerson(ctx, r.PathValue("person_id"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, view)
	return nil
}

func (s *Server) onePerson(ctx context.Context, personID string) (view onePersonView, err error) {
	p, belongs, err := s.cfg.People.Person(ctx, personID)
	if err != nil {
		return view, err
	}
	return onePersonView{personView: viewPerson(*p), Memberships: viewMembers(belongs)}, nil
}

// adminChangePerson sets one thing at a time, because each may be refused.
func (s *Server) adminChangePerson(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		Name     *string `json:"name"` // "" = the e-mail address is shown
		Operator *bool   `json:"operator"`
		Disabled *bool   `json:"disabled"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	set := 0
	for _, is := range []bool{body.Name != nil, body.Operator != nil, body.Disabled != nil} {
		if is {
			set++
		}
	}
	personID := r.PathValue("person_id")
	var (
		left []kinora.Ownerless
		err  error
	)
	switch {
	case set != 1:
		return refuse(kinora.ErrInvalid, "the body must set one of name, operator and disabled")
	case body.Name != nil:
		err = s.cfg.People.Rename(ctx, personID, *body.Name)
	case body.Operator != nil:
		err = s.cfg.People.SetOperator(ctx, personID, *body.Operator)
	default:
		left, err = s.cfg.People.SetDisabled(ctx, personID, *body.Disabled)
	}
	if err != nil {
		return err
	}
	view, err := s.onePerson(ctx, personID)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, changedPersonView{view, viewOwnerless(left)})
	return nil
}

func (s *Server) adminResetPassword(ctx context.Context, x *exchange, r *http.Request) error {
	token, err := s.cfg.People.ResetPassword(ctx, r.PathValue("person_id"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusCreated, s.link("/invitation", token))
	return nil
}

func (s *Server) adminMembers(ctx context.Context, x *exchange, r *http.Request) error {
	list, err := s.cfg.People.Members(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	writeJSON(x, http.StatusOK, memberList{Members: viewMembers(shown), Truncated: truncated})
	return nil
}

func (s *Server) adminInvite(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		Email string      `json:"email"`
		Role  kinora.Role `json:"role"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	m, token, err := s.cfg.People.Invite(ctx, r.PathValue("organisation_id"), body.Email, body.Role)
	if err != nil {
		return err
	}
	answer := invitedView{memberView: viewMembers([]kinora.Membership{*m})[0]}
	if token != "" {
		answer.Invitation = s.link("/invitation", token)
	}
	writeJSON(x, http.StatusCreated, answer)
	return nil
}

func (s *Server) adminSetRole(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		Role kinora.Role `json:"role"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	if err := s.cfg.People.SetRole(ctx, r.PathValue("organisation_id"), r.PathValue("person_id"), body.Role); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) adminRemoveMember(ctx context.Context, x *exchange, r *http.Request) error {
	if err := s.cfg.People.RemoveMember(ctx, r.PathValue("organisation_id"), r.PathValue("person_id")); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

// adminSetupLink makes the link by which the first person comes in, in place of the one that the start has shown.
func (s *Server) adminSetupLink(ctx context.Context, x *exchange, _ *http.Request) error {
	token, err := s.cfg.People.SetupLink(ctx)
	if err != nil {
		return err
	}
	if token == "" {
		return &kinora.Error{Code: kinora.ErrConflict, Message: "the dashboard is set up already", Hint: "invite others with kinora person invite; kinora person reset lets somebody choose a new password"}
	}
	writeJSON(x, http.StatusCreated, s.link("/setup", token))
	return nil
}

type auditPage struct {
	Entries    []auditView `json:"entries"`
	NextCursor *string     `json:"next_cursor"` // null = that was all
}

type auditView struct {
	ID             string             `json:"id"`
	OrganisationID *string            `json:"organisation_id"` // null = of the whole instance
	Actor          auditActorView     `json:"actor"`
	Action         kinora.AuditAction `json:"action"`
	Target         *string            `json:"target"` // null = the organisation or instance itself
	Detail         any                `json:"detail"` // null = nothing to say
	CreatedAt      string             `json:"created_at"`
}

type auditActorView struct {
	Kind    kinora.ActorKind `json:"kind"`
	ID      *string          `json:"id"`
	Name    *string          `json:"name"`
	Address *string          `json:"address"`
}

func viewAudit(e kinora.AuditEntry) auditView {
	v := auditView{ID: e.ID, OrganisationID: optional(e.OrganisationID), Action: e.Action, Target: optional(e.Target), CreatedAt: e.CreatedAt.UTC().Format(time.RFC3339Nano),
		Actor: auditActorView{Kind: e.Actor.Kind, ID: optional(e.Actor.ID), Name: optional(e.Actor.Name), Address: optional(e.Actor.Address)}}
	if e.Detail != nil {
		v.Detail = e.Detail
	}
	return v
}

// adminAudit reads the audit log, the newest entries first.
func (s *Server) adminAudit(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	limit, cursor := p.number("limit", defaultPage, maxPage), p.text("cursor")
	f := kinora.AuditFilter{OrganisationID: p.text("organisation_id"), ActorID: p.text("actor_id"), ActorKind: kinora.ActorKind(p.text("actor_kind")), Action: p.text("action"), Target: p.text("target"),
		Since: p.time("since"), Until: p.time("until")}
	if err := p.err(); err != nil {
		return err
	}
	question, before := p.question("limit", "cursor"), ""
	if cursor != "" {
		var err error
		if before, err = s.cursors.take(question, cursor); err != nil {
			return err
		}
	}
	page, next, err := s.cfg.People.Audit(ctx, f, before, limit)
	if err != nil {
		return err
	}
	answer := auditPage{Entries: make([]auditView, len(page))}
	for i, e := range page {
		answer.Entries[i] = viewAudit(e)
	}
	if next != "" {
		text := s.cursors.give(question, next)
		answer.NextCursor = &text
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}
