package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// personalThings are what persons look after by themselves on their account page. Operators may, for somebody who cannot.
type personalThings interface {
	Rename(ctx context.Context, personID, name string) error
	Sessions(ctx context.Context, personID string) ([]kinora.Session, error)
	EndSession(ctx context.Context, personID, sessionID string) error
	EndOtherSessions(ctx context.Context, personID, keep string) error
}

type sessionList struct {
	Sessions  []sessionView `json:"sessions"`
	Truncated bool          `json:"truncated"`
}

type sessionView struct {
	ID         string  `json:"id"`
	Address    string  `json:"address"`
	UserAgent  string  `json:"user_agent"`
	CreatedAt  *string `json:"created_at"`
	LastSeenAt *string `json:"last_seen_at"`
	ExpiresAt  *string `json:"expires_at"`
}

func (s *Server) adminSessions(ctx context.Context, x *exchange, r *http.Request) error {
	personID := r.PathValue("person_id")
	if _, _, err := s.cfg.People.Person(ctx, personID); err != nil {
		return err // somebody who is not there has not merely no sessions
	}
	list, err := s.cfg.People.Sessions(ctx, personID)
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := sessionList{Sessions: make([]sessionView, len(shown)), Truncated: truncated}
	for i, one := range shown {
		answer.Sessions[i] = sessionView{ID: one.ID, Address: one.Address, UserAgent: one.UserAgent, CreatedAt: apiTime(one.CreatedAt),
			LastSeenAt: apiTime(one.LastSeenAt), ExpiresAt: apiTime(one.ExpiresAt)}
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func (s *Server) adminEndSessions(ctx context.Context, x *exchange, r *http.Request) error {
	if err := s.cfg.People.EndOtherSessions(ctx, r.PathValue("person_id"), ""); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) adminEndSession(ctx context.Context, x *exchange, r *http.Request) error {
	if err := s.cfg.People.EndSession(ctx, r.PathValue("person_id"), r.PathValue("session_id")); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}
