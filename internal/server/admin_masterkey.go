package server

import (
	"context"
	"net/http"

	"github.com/kinora/kinora"
)

// MasterKeys changes the master key of the installation.
type MasterKeys interface {
	// Status tells which keys there are and what depends on them.
	Status(ctx context.Context) (kinora.MasterKeys, error)
	// Rotate makes a new key, or brings a rotation that is under way to its end. Errors: kinora.ErrConflict.
	Rotate(ctx context.Context) (kinora.MasterKeyChange, error)
	// ForgetOld ends the older keys; early also while file URLs signed with them may be in use. Errors: kinora.ErrConflict.
	ForgetOld(ctx context.Context, early bool) (kinora.MasterKeyChange, error)
}

func (s *Server) masterKeyRoutes() []route {
	if s.cfg.MasterKeys == nil || s.cfg.AdminToken == "" {
		return nil
	}
	const path = "/admin/v1/master-key"
	on := func(method, pattern string, h handlerFunc) route {
		return route{method: method, pattern: pattern, dialect: &adminDialect, auth: adminned, handler: h}
	}
	return []route{
		on(http.MethodGet, path, s.adminMasterKeys),
		on(http.MethodPost, path+"/rotate", s.adminRotateMasterKey),
		on(http.MethodPost, path+"/forget-old", s.adminForgetMasterKeys),
	}
}

func (s *Server) adminMasterKeys(ctx context.Context, x *exchange, _ *http.Request) error {
	status, err := s.cfg.MasterKeys.Status(ctx)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, status)
	return nil
}

func (s *Server) adminRotateMasterKey(ctx context.Context, x *exchange, _ *http.Request) error {
	change, err := s.cfg.MasterKeys.Rotate(ctx)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, change)
	return nil
}

func (s *Server) adminForgetMasterKeys(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		Early bool `json:"early"`
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	change, err := s.cfg.MasterKeys.ForgetOld(ctx, body.Early)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusOK, change)
	return nil
}
