package server

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
)

type keyList struct {
	Keys      []keyView `json:"keys"`
	Truncated bool      `json:"truncated"`
}

type keyView struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Start      string  `json:"start"` // first characters
	CreatedAt  *string `json:"created_at"`
	LastUsedAt *string `json:"last_used_at"` // to about a minute; null = never
	RevokedAt  *string `json:"revoked_at"`   // null = not revoked
	ExpiresAt  *string `json:"expires_at"`   // null = never
	ReplacedBy *string `json:"replaced_by"`  // the key that a rotation made; null = none
}

type newKeyView struct {
	keyView
	Key string `json:"key"` // shown this once
}

func viewKey(k *kinora.Key) keyView {
	v := keyView{
		ID: k.ID, Name: k.Name, Start: k.Start,
		CreatedAt: apiTime(k.CreatedAt), LastUsedAt: apiTime(k.LastUsedAt), RevokedAt: apiTime(k.RevokedAt), ExpiresAt: apiTime(k.ExpiresAt),
	}
	if k.ReplacedBy != "" {
		v.ReplacedBy = &k.ReplacedBy
	}
	return v
}

func (s *Server) adminKeys(ctx context.Context, x *exchange, r *http.Request) error {
	list, err := s.cfg.Admin.Keys(ctx, r.PathValue("organisation_id"))
	if err != nil {
		return err
	}
	shown, truncated := bounded(list)
	answer := keyList{Keys: make([]keyView, len(shown)), Truncated: truncated}
	for i, k := range shown {
		answer.Keys[i] = viewKey(k)
	}
	writeJSON(x, http.StatusOK, answer)
	return nil
}

// adminCreateKey makes a key, or imports one where the body has its text.
func (s *Server) adminCreateKey(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		Name      string  `json:"name"`
		Kind      *string `json:"kind"`       // "sk", the default, or "kat_live"
		Key       *string `json:"key"`        // an existing key's text
		ExpiresAt *string `json:"expires_at"` // null = never
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	var expires time.Time
	if body.ExpiresAt != nil {
		var err error
		if expires, err = time.Parse(time.RFC3339, *body.ExpiresAt); err != nil || expires.IsZero() {
			return refuse(kinora.ErrInvalid, "expires_at must be a time such as 2027-01-31T12:00:00Z")
		}
	}
	organisationID := r.PathValue("organisation_id")
	if body.Key != nil {
		if body.Kind != nil {
			return refuse(kinora.ErrInvalid, "kind cannot be given together with key, which shows its own")
		}
		key, err := s.cfg.Admin.ImportKey(ctx, organisationID, body.Name, *body.Key, expires)
		if err != nil {
			return err
		}
		writeJSON(x, http.StatusCreated, viewKey(key)) // whoever sent the text has it
		return nil
	}
	kind := "sk"
	if body.Kind != nil {
		kind = *body.Kind
	}
	key, text, err := s.cfg.Admin.CreateKey(ctx, organisationID, body.Name, kind, expires)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusCreated, newKeyView{keyView: viewKey(key), Key: text})
	return nil
}

// adminRotateKey makes a key in the place of the one that the path names.
func (s *Server) adminRotateKey(ctx context.Context, x *exchange, r *http.Request) error {
	var body struct {
		OverlapSeconds *int64 `json:"overlap_seconds"` // default: a day; 0: the old one ends at once
	}
	if err := s.adminBody(x, r, &body); err != nil {
		return err
	}
	overlap, err := overlapOf(body.OverlapSeconds)
	if err != nil {
		return err
	}
	key, text, err := s.cfg.Admin.RotateKey(ctx, r.PathValue("organisation_id"), r.PathValue("key_id"), overlap)
	if err != nil {
		return err
	}
	writeJSON(x, http.StatusCreated, newKeyView{keyView: viewKey(key), Key: text})
	return nil
}

func (s *Server) adminRevokeKey(ctx context.Context, x *exchange, r *http.Request) error {
	if err := s.cfg.Admin.RevokeKey(ctx, r.PathValue("organisation_id"), r.PathValue("key_id")); err != nil {
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}
