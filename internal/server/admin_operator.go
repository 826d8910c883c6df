package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
)

// Operator is what whoever runs the server looks at and does. The first half is *lifecycle.Engine's, the other *operator.Service's; their
// comments say what the methods do.
type Operator interface {
	TroubledAttempts(ctx context.Context, q kinora.TroubleSearch) (*kinora.TroubledAttempts, error)
	LookNow(ctx context.Context, attemptID string) (*kinora.Attempt, error)
	GiveUp(ctx context.Context, attemptID, reason string) (*kinora.Attempt, error)
	SettleByHand(ctx context.Context, attemptID, upstreamID string) (*kinora.SettledByHand, error)
	CancelAttempt(ctx context.Context, attemptID string) (*kinora.Generation, error)
	Health(ctx context.Context) (*kinora.Health, error)

	Queues(ctx context.Context) (*kinora.Queues, error)
	Storage(ctx context.Context) (*kinora.StorageUse, error)
	Settings() []kinora.Setting
}

// maxReason bounds what is kept of why an attempt was given up, in bytes.
const maxReason = 1000

func (s *Server) operatorRoutes() []route {
	if s.cfg.AdminToken == "" {
		return nil
	}
	const (
		operator = "/admin/v1/operator"
		attempt  = operator + "/attempts/{attempt_id}"
	)
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	var list []route
	if s.cfg.Operator != nil {
		list = append(list,
			on(http.MethodGet, operator+"/attempts", s.adminTroubledAttempts),
			on(http.MethodPost, attempt+"/look", s.adminLookNow),
			on(http.MethodPost, attempt+"/cancel", s.adminCancelAttempt),
			on(http.MethodPost, attempt+"/give-up", s.adminGiveUp),
			on(http.MethodPost, attempt+"/settle", s.adminSettle),
			on(http.MethodGet, operator+"/health", s.adminHealth),
			on(http.MethodGet, operator+"/queues", s.adminQueues),
			on(http.MethodGet, operator+"/storage", s.adminStorage),
			on(http.MethodGet, operator+"/config", s.adminSettings))
	}
	if s.cfg.Webhooks != nil && s.cfg.Admin != nil {
		list = append(list, on(http.MethodGet, "/admin/v1/organisations/{organisation_id}/destinations", s.adminDestinations))
	}
	return list
}

// adminTroubledAttempts lists attempts that need a person's eye, newest first.
func (s *Server) adminTroubledAttempts(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	words := make([]string, len(kinora.Troubles()))
	for i, t := range kinora.Troubles() {
		words[i] = string(t)
	}
	q := kinora.TroubleSearch{Trouble: kinora.Trouble(p.one("trouble", words...)), Since: p.time("since"), Limit: p.number("limit", defaultPage, maxPage)}
	if err := p.err(); err != nil {
		return err
	}
	found, err := s.cfg.Operator.TroubledAttempts(ctx, q)
	if err != nil {
		return err
	}
	answer := troubledList{Attempts: make([]troubledView, len(found.List)), More: found.More}
	for i := range found.List {
		answer.Attempts[i] = viewTroubled(&found.List[i], s.now())
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) adminLookNow(ctx context.Context, x *exchange, r *http.Request) error {
	a, err := s.cfg.Operator.LookNow(ctx, r.PathValue("attempt_id"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusAccepted, viewOperated(a))
	return nil
}

// adminCancelAttempt cancels the whole generation of an attempt.
func (s *Server) adminCancelAttempt(ctx context.Context, x *exchange, r *http.Request) error {
	g, err := s.cfg.Operator.CancelAttempt(ctx, r.PathValue("attempt_id"))
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, cancelledView{GenerationID: g.ID, OrganisationID: g.OrganisationID, State: g.State, CompletedAt: apiTime(g.CompletedAt)})
	return nil
}

func (s *Server) adminGiveUp(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	if len(body.Reason) > maxReason || !storable(body.Reason) {
		return refuse(kinora.ErrInvalid, "reason must be UTF-8 without NUL, of at most %d bytes", maxReason)
	}
	a, err := s.cfg.Operator.GiveUp(ctx, r.PathValue("attempt_id"), body.Reason)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewOperated(a))
	return nil
}

func (s *Server) adminSettle(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		UpstreamID string `json:"upstream_id"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	settled, err := s.cfg.Operator.SettleByHand(ctx, r.PathValue("attempt_id"), body.UpstreamID)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, settledView{operatedView: viewOperated(&settled.Attempt), Watched: settled.Watched})
	return nil
}

func (s *Server) adminHealth(ctx context.Context, x *exchange, _ *http.Request) error {
	h, err := s.cfg.Operator.Health(ctx)
	if err != nil {
		return err
	}
	answer := healthView{Node: h.Node, Accounts: make([]accountView, len(h.Accounts)), Hour: viewReport(&h.Hour), Day: viewReport(&h.Day), WithoutOwner: []ownerlessView{}}
	if s.cfg.People != nil {
		left, err := s.cfg.People.Ownerless(ctx)
		if err != nil {
			return err
		}
		answer.WithoutOwner = viewOwnerless(left)
	}
	for i, a := range h.Accounts {
		answer.Accounts[i] = viewAccount(a)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) adminQueues(ctx context.Context, x *exchange, _ *http.Request) error {
	q, err := s.cfg.Operator.Queues(ctx)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewQueues(q))
	return nil
}

func (s *Server) adminStorage(ctx context.Context, x *exchange, _ *http.Request) error {
	u, err := s.cfg.Operator.Storage(ctx)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewStorage(u))
	return nil
}

func (s *Server) adminSettings(_ context.Context, x *exchange, _ *http.Request) error {
	settings := s.cfg.Operator.Settings()
	answer := settingList{Settings: make([]settingView, len(settings))}
	for i, one := range settings {
		answer.Settings[i] = settingView{Key: one.Key, Value: one.Value, Secret: one.Secret, Origin: one.Origin, Variable: one.Variable}
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

// adminDestinations tells how an organisation's destinations take what is sent to them.
func (s *Server) adminDestinations(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	hours := p.number("hours", 24, 72)
	if err := p.err(); err != nil {
		return err
	}
	o, err := s.cfg.Admin.Organisation(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	report, err := s.cfg.Webhooks.Destinations(ctx, o.ID, time.Duration(hours)*time.Hour)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewDestinations(report))
	return nil
}
