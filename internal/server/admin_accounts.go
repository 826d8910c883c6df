package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// Accounts tells how the configured upstream accounts are, by name, as this process sees them. Errors:
// kinora.ErrUnavailable.
type Accounts interface {
	AccountHealth(ctx context.Context) ([]kinora.AccountHealth, error)
}

func (s *Server) accountRoutes() []route {
	if s.cfg.Accounts == nil || s.cfg.AdminToken == "" {
		return nil
	}
	return []route{{method: http.MethodGet, pattern: "/admin/v1/accounts", dialect: &adminDialect, auth: adminned, handler: s.adminAccounts}}
}

type accountList struct {
	Accounts []accountView `json:"accounts"`
}

type accountView struct {
	Name        string              `json:"name"`
	Provider    string              `json:"provider"`
	State       kinora.AccountState `json:"state"`
	Until       *string             `json:"until"` // null = not known
	InFlight    int                 `json:"in_flight"`
	MaxInFlight int                 `json:"max_in_flight"`
	Today       int                 `json:"today"`
	PerDay      int                 `json:"per_day"` // 0 = no limit
	LastError   *accountErrorView   `json:"last_error"`
}

type accountErrorView struct {
	Class string  `json:"class"`
	Code  string  `json:"code"`
	At    *string `json:"at"`
}

func (s *Server) adminAccounts(ctx context.Context, x *exchange, _ *http.Request) error {
	list, err := s.cfg.Accounts.AccountHealth(ctx)
	if err != nil {
		return err
	}
	answer := accountList{Accounts: make([]accountView, len(list))}
	for i, a := range list {
		answer.Accounts[i] = viewAccount(a)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

func viewAccount(a kinora.AccountHealth) accountView {
	v := accountView{
		Name: a.Name, Provider: a.Provider, State: a.State, Until: apiTime(a.Until),
		InFlight: a.InFlight, MaxInFlight: a.MaxInFlight, Today: a.Today, PerDay: a.PerDay,
	}
	if !a.LastAt.IsZero() {
		v.LastError = &accountErrorView{Class: a.LastClass, Code: a.LastCode, At: apiTime(a.LastAt)}
	}
	return v
}
