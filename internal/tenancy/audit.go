package tenancy

import (
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
)

// What the audit log says of a change. Secrets are not in it: of keys and secrets their ids, of URLs what is no credential, of
// headers their names.

func organisationChanges(old, now *kinora.Organisation) kinora.AuditChanges {
	c := kinora.AuditChanges{}
	c.Note("name", old.Name, now.Name)
	c.NoteURL("default_webhook", old.DefaultWebhook, now.DefaultWebhook)
	c.NoteURL("operator_hook", old.OperatorHook, now.OperatorHook)
	if !slices.Equal(old.WebhookHosts, now.WebhookHosts) {
		c.Note("webhook_hosts", old.WebhookHosts, now.WebhookHosts)
	}
	c.Note("disabled", old.Disabled, now.Disabled)
	c.Note("allowance", old.Allowance, now.Allowance)
	return c
}

// auditEndpoint writes what a change has made of an endpoint: of its settings, and of whether it is asked.
func auditEndpoint(tx *store.Tx, old, now *kinora.Endpoint, change kinora.EndpointChange) error {
	c := kinora.AuditChanges{}
	c.Note("name", old.Name, now.Name)
	c.NoteURL("url", old.URL, now.URL)
	c.Note("description", old.Description, now.Description)
	if !slices.Equal(old.EventTypes, now.EventTypes) {
		c.Note("event_types", old.EventTypes, now.EventTypes)
	}
	if len(change.Headers) > 0 { // a value may be another under the same name
		c["headers"], c["old_headers"] = now.HeaderNames, old.HeaderNames
	}
	c.Note("rate_per_second", old.Rate, now.Rate)
	if len(c) > 0 {
		if err := tx.Audit(kinora.AuditEndpointUpdate, now.OrganisationID, now.ID, c); err != nil {
			return err
		}
	}
	switch {
	case old.Enabled() && !now.Enabled():
		return tx.Audit(kinora.AuditEndpointDisable, now.OrganisationID, now.ID, map[string]any{"name": now.Name, "reason": now.Reason})
	case !old.Enabled() && now.Enabled() || change.ReplayMissed:
		return tx.Audit(kinora.AuditEndpointEnable, now.OrganisationID, now.ID, map[string]any{"name": now.Name, "replay_missed": change.ReplayMissed})
	}
	return nil
}
