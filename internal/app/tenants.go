package app

import (
	"context"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/tenancy"
)

// tenants lets the dashboard's operators make and change organisations.
type tenants struct {
	tenancy *tenancy.Service
	engine  *lifecycle.Engine
}

var _ dashboard.Tenants = tenants{}

func (t tenants) NewOrganisation(ctx context.Context, name string) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	return t.tenancy.CreateOrganisation(ctx, tenancy.OrganisationChange{Name: &name})
}

func (t tenants) FirstKey(ctx context.Context, organisationID string) (text string, err error) {
	_, text, err = t.tenancy.CreateKey(ctx, organisationID, "first key", tenancy.KeySK, time.Time{})
	return text, err
}

func (t tenants) SetAllowance(ctx context.Context, organisationID string, c kinora.AllowanceChange) error {
	_, err := t.tenancy.UpdateOrganisation(ctx, organisationID, tenancy.OrganisationChange{Allowance: &c})
	return err
}

func (t tenants) SetDisabled(ctx context.Context, organisationID string, disabled bool) error {
	_, err := t.tenancy.UpdateOrganisation(ctx, organisationID, tenancy.OrganisationChange{Disabled: &disabled})
	return err
}

func (t tenants) Usage(ctx context.Context, organisationID string, at time.Time) (kinora.Usage, error) {
	return t.engine.Usage(ctx, organisationID, at)
}
