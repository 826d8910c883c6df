package people

import (
	"context"
	"slices"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

const (
	// DefaultAuditPage is how many entries a page of the audit log has that nobody says otherwise of.
	DefaultAuditPage = 50
	// MaxAuditPage is how many it may have.
	MaxAuditPage = 500
	// auditReach is how many entries one page looks at, at most, so that no filter makes a page cost more.
	auditReach = 10_000
)

// Audit reads the audit log, newest first. before is what the page before returned as next, "" = from the newest; limit 0 =
// DefaultAuditPage. A page looks at 10,000 entries at most: where a filter lets few through it may be short, or empty, and have a next
// one all the same. next is "" behind the last entry. Errors: ErrInvalid.
func (s *Service) Audit(ctx context.Context, f kinora.AuditFilter, before string, limit int) (page []kinora.AuditEntry, next string, err error) {
	if limit == 0 {
		limit = DefaultAuditPage
	}
	switch {
	case limit < 1 || limit > MaxAuditPage:
		return nil, "", wrong("limit", "limit must be between 1 and 500")
	case before != "" && !id.WellFormed(before, id.Audit):
		return nil, "", wrong("before", "before is not the id of an entry")
	case f.ActorKind != "" && !slices.Contains(kinora.ActorKinds(), f.ActorKind):
		return nil, "", wrong("actor_kind", "actor_kind must be person, operator, key or system")
	case !knownAction(f.Action):
		return nil, "", wrong("action", "action must be one of those listed, or a noun with a dot behind it")
	}
	for _, text := range []string{f.OrganisationID, f.ActorID, f.Target} {
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return []kinora.AuditEntry{}, "", nil // nobody's id
		}
	}
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		page, next, err = tx.AuditEntries(f, store.SearchPage{Before: before, Limit: limit, Reach: auditReach})
		return err
	})
	return page, next, err
}

func knownAction(action string) bool {
	if action == "" {
		return true
	}
	for _, a := range kinora.AuditActions() {
		noun, _, _ := strings.Cut(string(a), ".")
		if action == string(a) || action == noun+"." {
			return true
		}
	}
	return false
}
