package app

import (
	"context"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/server"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/tenancy"
	"github.com/kinora/kinora/internal/webhook"
)

// admin serves the operator's API from the services that own what it shows.
type admin struct {
	*tenancy.Service
	db         *store.DB
	engine     *lifecycle.Engine
	dispatcher *webhook.Dispatcher
}

var _ server.Admin = admin{}

func (a *App) admin() admin {
	return admin{Service: a.tenancy, db: a.db, engine: a.engine, dispatcher: a.dispatcher}
}

func (a admin) Organisations(ctx context.Context) ([]*kinora.Organisation, error) {
	return a.ListOrganisations(ctx)
}

func (a admin) CreateOrganisation(ctx context.Context, c server.OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	return a.Service.CreateOrganisation(ctx, tenancy.OrganisationChange(c))
}

func (a admin) UpdateOrganisation(ctx context.Context, organisationID string, c server.OrganisationChange) (*kinora.Organisation, error) {
	return a.Service.UpdateOrganisation(ctx, organisationID, tenancy.OrganisationChange(c))
}

func (a admin) UpdateEndpoint(ctx context.Context, organisationID, endpointID string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	e, err := a.Service.UpdateEndpoint(ctx, organisationID, endpointID, c)
	if err == nil && c.ReplayMissed {
		a.dispatcher.ReplayMissed()
	}
	return e, err
}

func (a admin) CreateKey(ctx context.Context, organisationID, name, kind string, expires time.Time) (*kinora.Key, string, error) {
	return a.Service.CreateKey(ctx, organisationID, name, tenancy.KeyKind(kind), expires)
}

func (a admin) RotateWebhookSecret(ctx context.Context, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error) {
	if text != "" {
		return a.ImportWebhookSecret(ctx, organisationID, text, overlap)
	}
	return a.Service.RotateWebhookSecret(ctx, organisationID, overlap)
}

func (a admin) Generation(ctx context.Context, generationID string) (*kinora.Generation, []kinora.Output, error) {
	return a.engine.Generation(ctx, "", generationID)
}

func (a admin) History(ctx context.Context, generationID string) (*kinora.History, error) {
	return a.engine.History(ctx, "", generationID)
}

func (a admin) Origin(ctx context.Context, g *kinora.Generation) (*kinora.Origin, error) {
	return a.engine.Origin(ctx, g)
}

func (a admin) Deliveries(ctx context.Context, generationID string) ([]*kinora.Delivery, error) {
	var list []*kinora.Delivery
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.DeliveriesOf(generationID)
		return err
	})
	return list, err
}

func (a admin) DeliveryAttempts(ctx context.Context, deliveryID string) ([]kinora.DeliveryAttempt, error) {
	var list []kinora.DeliveryAttempt
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.DeliveryAttempts(deliveryID)
		return err
	})
	return list, err
}
