package app

import (
	"context"
	"net/http"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/tenancy"
	"github.com/kinora/kinora/internal/workflow"
)

// View looks into the database.
func (a *App) View(ctx context.Context, fn func(tx *store.Tx) error) error { return a.db.View(ctx, fn) }

// Update changes the database.
func (a *App) Update(ctx context.Context, fn func(tx *store.Tx) error) error {
	return a.db.Update(ctx, fn)
}

// PurgeRecords removes the records whose time is over at an instant.
func (a *App) PurgeRecords(ctx context.Context, at time.Time) error { return a.purgeRecords(ctx, at) }

// Accept resolves a request by the workflows that are offered and accepts it, as the generations API does.
func (a *App) Accept(ctx context.Context, organisationID string, req kinora.WorkflowRequest, assetID string) (string, error) {
	recipe, err := a.workflows.Resolve(req, workflow.SourceFacts{})
	if err != nil {
		return "", err
	}
	accepted, err := a.engine.Accept(ctx, &kinora.Submission{
		OrganisationID: organisationID, Surface: kinora.SurfaceGenerations, Model: recipe.Model, Plan: recipe.Plan, Source: kinora.Source{AssetID: assetID},
		Request: &recipe.Request, Input: kinora.Input{Prompt: recipe.Prompt, Size: recipe.Size, Metadata: recipe.Metadata},
	})
	if err != nil {
		return "", err
	}
	return accepted.Generation.ID, nil
}

// Candidates are all outputs of a generation with their verdicts.
func (a *App) Candidates(ctx context.Context, generationID string) ([]kinora.Output, error) {
	return a.engine.Candidates(ctx, generationID)
}

// NewKey makes another organisation with a key.
func (a *App) NewKey(ctx context.Context, name string) (key string, err error) {
	org, _, err := a.tenancy.CreateOrganisation(ctx, tenancy.OrganisationChange{Name: &name})
	if err != nil {
		return "", err
	}
	_, key, err = a.tenancy.CreateKey(ctx, org.ID, name, tenancy.KeyKatLive, time.Time{})
	return key, err
}

// Deliveries are those of a generation.
func (a *App) Deliveries(ctx context.Context, generationID string) ([]*kinora.Delivery, error) {
	list, _, err := a.dispatcher.Search(ctx, kinora.DeliverySearch{Generation: generationID}, "", 10)
	return list, err
}

// Call does a request as a person for an organisation, as the dashboard does.
func (a *App) Call(r *http.Request, actor kinora.Actor, organisationID string) ([]byte, error) {
	_, body, err := a.server.Call(r, actor, organisationID)
	return body, err
}

// NewOrganisation makes another organisation.
func (a *App) NewOrganisation(ctx context.Context, name string) (id string, err error) {
	org, _, err := a.tenancy.CreateOrganisation(ctx, tenancy.OrganisationChange{Name: &name})
	if err != nil {
		return "", err
	}
	return org.ID, nil
}

// Allow changes what an organisation may use.
func (a *App) Allow(ctx context.Context, organisationID string, change kinora.AllowanceChange) error {
	_, err := a.tenancy.UpdateOrganisation(ctx, organisationID, tenancy.OrganisationChange{Allowance: &change})
	return err
}
