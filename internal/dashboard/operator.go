package dashboard

import (
	"context"
	"slices"

	"github.com/kinora/kinora"
)

// The operator's area. Its pages are in the files operator_*.go, and everything that they work with is here.

// Operating is what operators look at and do. The methods are those that the admin API has; errors are *kinora.Error, and
// kinora.ErrUnavailable of all.
type Operating interface {
	// TroubledAttempts finds attempts that need a person's eye, newest first.
	TroubledAttempts(ctx context.Context, q kinora.TroubleSearch) (*kinora.TroubledAttempts, error)
	// Attempts lists the attempts of any organisation's generation, in order; none where there is no such generation.
	Attempts(ctx context.Context, generationID string) ([]*kinora.Attempt, error)
	// LookNow has the next step of an attempt taken at once. Errors: kinora.ErrNotFound, kinora.ErrConflict.
	LookNow(ctx context.Context, attemptID string) (*kinora.Attempt, error)
	// CancelAttempt cancels the generation of an attempt. Errors as of LookNow.
	CancelAttempt(ctx context.Context, attemptID string) (*kinora.Generation, error)
	// GiveUp ends an attempt as failed. Errors as of LookNow.
	GiveUp(ctx context.Context, attemptID, reason string) (*kinora.Attempt, error)
	// SettleByHand names the upstream's job of an attempt whose submit's outcome is not known. Errors as of LookNow, and
	// kinora.ErrInvalid when the upstream does not know the job.
	SettleByHand(ctx context.Context, attemptID, upstreamID string) (*kinora.SettledByHand, error)

	Health(ctx context.Context) (*kinora.Health, error)
	Queues(ctx context.Context) (*kinora.Queues, error)
	Storage(ctx context.Context) (*kinora.StorageUse, error)
	// Settings are the configuration as it was loaded, without secrets.
	Settings() []kinora.Setting
}

// Installation tells what is installed and offered.
type Installation interface {
	Version() string
	// Migrations lists the changes of the database's schema, oldest first.
	Migrations(ctx context.Context) ([]kinora.Migration, error)
	MasterKeys(ctx context.Context) (kinora.MasterKeys, error)
	// Models and Workflows are those offered, by name.
	Models() []kinora.OfferedModel
	Workflows() []kinora.OfferedWorkflow
}

// operatorRoutes are those of the whole area.
func (d *Dashboard) operatorRoutes() []route {
	return slices.Concat(d.overviewRoutes(), d.upstreamRoutes(), d.attemptRoutes(), d.attemptActionRoutes(), d.tenantRoutes(), d.personRoutes(), d.configurationRoutes(), d.instanceAuditRoutes())
}

// countText writes a number of waiting things, of which no more than kinora.CountedUpTo are counted.
func countText(n int) string {
	if n >= kinora.CountedUpTo {
		return groups(kinora.CountedUpTo) + "+"
	}
	return groups(int64(n))
}

// generationPlace is the page about an organisation's generation; "" = there is no such page.
func (v *visit) generationPlace(organisationID, generationID string) string {
	if !v.has(generationPattern) {
		return ""
	}
	return v.link("o", organisationID, "generations", generationID)
}

// organisationNames are the names of organisations by their ids.
func (v *visit) organisationNames(ctx context.Context, ids ...string) (map[string]string, error) {
	slices.Sort(ids)
	return v.cfg.Organisations.OrganisationNames(ctx, slices.Compact(ids))
}
