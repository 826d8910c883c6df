package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
)

// recoveryRoutes are the operator's routes for replays and test events.
func (s *Server) recoveryRoutes() []route {
	if s.cfg.Webhooks == nil || s.cfg.AdminToken == "" {
		return nil
	}
	const (
		replays = "/admin/v1/replays"
		replay  = replays + "/{replay_id}"
		trial   = "/admin/v1/organisations/{organisation_id}/webhook-test"
	)
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	return []route{
		on(http.MethodGet, replays, s.adminReplays),
		on(http.MethodPost, replays, s.adminStartReplay),
		on(http.MethodGet, replay, s.adminReplay),
		on(http.MethodPost, replay+"/cancel", s.adminCancelReplay),
		on(http.MethodGet, trial, s.adminTrials),
		on(http.MethodPost, trial, s.adminSendTrial),
	}
}

type replayList struct {
	Replays []replayView `json:"replays"` // the newest hundred
}

type replayView struct {
	ID             string             `json:"id"`
	OrganisationID string             `json:"organisation_id"`
	State          kinora.ReplayState `json:"state"`
	EndpointID     string             `json:"endpoint_id"`
	Destination    string             `json:"destination"`
	EventType      kinora.EventType   `json:"event_type"`
	Since          *string            `json:"since"`
	Until          *string            `json:"until"`
	Delivered      bool               `json:"delivered"`
	Rate           int                `json:"rate"`
	Total          *int               `json:"total"` // null = not counted yet
	Revived        int                `json:"revived"`
	Passed         int                `json:"passed"`
	Node           string             `json:"node"` // that works on it now; "" = none
	CreatedAt      *string            `json:"created_at"`
	UpdatedAt      *string            `json:"updated_at"`
	FinishedAt     *string            `json:"finished_at"`
	Outcomes       *outcomesView      `json:"outcomes,omitempty"` // of one replay only
}

// outcomesView counts where the revived deliveries stand.
type outcomesView struct {
	OnTheWay  int `json:"on_the_way"`
	Delivered int `json:"delivered"`
	Dead      int `json:"dead"`
}

func viewReplay(r *kinora.Replay) replayView {
	v := replayView{
		ID: r.ID, OrganisationID: r.OrganisationID, State: r.State, EndpointID: r.Filter.EndpointID, Destination: r.Filter.Destination, EventType: r.Filter.EventType,
		Since: apiTime(r.Filter.Since), Until: apiTime(r.Filter.Until), Delivered: r.Filter.Delivered, Rate: r.Rate, Revived: r.Revived, Passed: r.Passed,
		Node: r.LeaseOwner, CreatedAt: apiTime(r.CreatedAt), UpdatedAt: apiTime(r.UpdatedAt), FinishedAt: apiTime(r.FinishedAt),
	}
	if r.Total >= 0 {
		v.Total = &r.Total
	}
	return v
}

func (s *Server) adminReplays(ctx context.Context, x *exchange, r *http.Request) error {
	p := parameters{values: r.URL.Query()}
	organisation := p.text("organisation_id")
	if err := p.err(); err != nil {
		return err
	}
	list, err := s.cfg.Webhooks.Replays(ctx, organisation)
	if err != nil {
		return err
	}
	answer := replayList{Replays: make([]replayView, len(list))}
	for i, r := range list {
		answer.Replays[i] = viewReplay(r)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

// adminStartReplay begins a replay. It answers before anything is revived.
func (s *Server) adminStartReplay(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		OrganisationID string           `json:"organisation_id"`
		EndpointID     string           `json:"endpoint_id"`
		Destination    string           `json:"destination"`
		EventType      kinora.EventType `json:"event_type"`
		Since          *time.Time       `json:"since"`
		Until          *time.Time       `json:"until"`
		Delivered      bool             `json:"delivered"`
		Rate           *int             `json:"rate"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	ask := kinora.ReplayRequest{Organisation: body.OrganisationID, Endpoint: body.EndpointID, Destination: body.Destination,
		EventType: body.EventType, Delivered: body.Delivered}
	if body.OrganisationID == "" {
		return refuse(kinora.ErrInvalid, "organisation_id is required")
	}
	if body.Since != nil {
		ask.Since = *body.Since
	}
	if body.Until != nil {
		ask.Until = *body.Until
	}
	if body.Rate != nil {
		if ask.Rate = *body.Rate; ask.Rate < 1 {
			return refuse(kinora.ErrInvalid, "rate must be from 1 to %d deliveries a second", kinora.MaxReplayRate)
		}
	}
	started, err := s.cfg.Webhooks.StartReplay(ctx, ask)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusAccepted, viewReplay(started))
	return nil
}

func (s *Server) adminReplay(ctx context.Context, x *exchange, r *http.Request) error {
	replayID, err := replayOf(r)
	if err != nil {
		return err
	}
	p, err := s.cfg.Webhooks.Replay(ctx, "", replayID)
	if err != nil {
		return err
	}
	v := viewReplay(p.Replay)
	v.Outcomes = &outcomesView{
		OnTheWay:  p.Outcomes[kinora.DeliveryPending] + p.Outcomes[kinora.DeliveryHeld],
		Delivered: p.Outcomes[kinora.DeliveryDelivered], Dead: p.Outcomes[kinora.DeliveryDead],
	}
	writeJSON(x, http.StatusOK, v)
	return nil
}

func (s *Server) adminCancelReplay(ctx context.Context, x *exchange, r *http.Request) error {
	replayID, err := replayOf(r)
	if err != nil {
		return err
	}
	ended, err := s.cfg.Webhooks.CancelReplay(ctx, "", replayID)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewReplay(ended))
	return nil
}

func replayOf(r *http.Request) (string, error) {
	replayID := r.PathValue("replay_id")
	if !id.WellFormed(replayID, id.Replay) {
		return "", refuse(kinora.ErrNotFound, "replay not found")
	}
	return replayID, nil
}

type trialList struct {
	Tests []trialView `json:"tests"` // the newest hundred
}

type trialView struct {
	ID             string              `json:"id"`
	OrganisationID string              `json:"organisation_id"`
	EndpointID     string              `json:"endpoint_id"`
	URL            string              `json:"url"`
	EventID        string              `json:"event_id"`
	EventType      kinora.EventType    `json:"event_type"`
	Sample         string              `json:"sample"`
	JobID          string              `json:"job_id"`
	Delivered      bool                `json:"delivered"`
	Attempt        deliveryAttemptView `json:"attempt"`
}

func viewTrial(t *kinora.Trial) trialView {
	v := trialView{ID: t.ID, OrganisationID: t.OrganisationID, EndpointID: t.EndpointID, URL: kinora.ShownURL(t.URL), EventID: t.EventID, EventType: t.EventType,
		Sample: t.Sample, JobID: t.JobID, Delivered: t.Delivered, Attempt: viewDeliveryAttempt(&t.Attempt.DeliveryAttempt)}
	v.Attempt.Request = viewRequest(&t.Attempt)
	return v
}

// adminSendTrial sends a test event and shows the receiver's answer.
func (s *Server) adminSendTrial(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		EndpointID string           `json:"endpoint_id"`
		URL        string           `json:"url"`
		EventType  kinora.EventType `json:"event_type"`
		Sample     string           `json:"sample"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	t, err := s.cfg.Webhooks.SendTrial(ctx, kinora.TrialRequest{Organisation: r.PathValue("organisation_id"), Endpoint: body.EndpointID,
		URL: body.URL, EventType: body.EventType, Sample: body.Sample})
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, viewTrial(t))
	return nil
}

func (s *Server) adminTrials(ctx context.Context, x *exchange, r *http.Request) error {
	list, err := s.cfg.Webhooks.Trials(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	answer := trialList{Tests: make([]trialView, len(list))}
	for i, t := range list {
		answer.Tests[i] = viewTrial(t)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}
