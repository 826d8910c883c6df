package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

// Where an organisation's events go by default, where they may go, and who is told when that fails.
func (d *Dashboard) webhookSettingRoutes() []route {
	const settings = webhooksPath + "/settings"
	return []route{
		{method: http.MethodGet, pattern: settings, who: member, handler: d.showWebhookSettings},
		{method: http.MethodPost, pattern: settings + "/default", who: admin, handler: d.setDefaultWebhook},
		{method: http.MethodPost, pattern: settings + "/hosts", who: admin, handler: d.setWebhookHosts},
		{method: http.MethodPost, pattern: settings + "/operator-hook", who: admin, handler: d.setOperatorHook},
	}
}

// webhookSettingsPage shows URLs whole to those alone who may change them.
type webhookSettingsPage struct {
	Tabs                         []ui.Link
	Changes                      bool
	Default, Hosts, OperatorHook string
	HasDefault                   bool
	DefaultPage, Test            string
	SetDefault, SetHosts         string
	SetOperatorHook              string
	Shown                        shownValues // the hosts that the form stood at
	Errors                       map[string]string
}

func (v *visit) webhookSettingsPage(o *kinora.Organisation) webhookSettingsPage {
	p := webhookSettingsPage{Tabs: v.hookTabs("Settings"), Changes: v.changes(), Default: o.DefaultWebhook, OperatorHook: o.OperatorHook,
		Hosts: strings.Join(o.WebhookHosts, "\n"), HasDefault: o.DefaultWebhook != "", DefaultPage: v.hooks("endpoints", kinora.DefaultEndpointID(o.ID)),
		Test:       address(v.hooks("test"), url.Values{"to": {kinora.DefaultEndpointID(o.ID)}}),
		SetDefault: v.hooks("settings", "default"), SetHosts: v.hooks("settings", "hosts"), SetOperatorHook: v.hooks("settings", "operator-hook")}
	p.Shown = shownValues{"hosts": p.Hosts}
	if !p.Changes {
		p.Default, p.OperatorHook = v.urlText(p.Default), v.urlText(p.OperatorHook)
	}
	return p
}

func (d *Dashboard) showWebhookSettings(ctx context.Context, v *visit) error {
	return v.show(ctx, "Webhook settings", webhookSettingsBody(v.webhookSettingsPage(v.organisation)))
}

func (d *Dashboard) setDefaultWebhook(ctx context.Context, v *visit) error {
	address := v.typedURL("default")
	text := "The default callback URL has been set."
	if address == "" {
		text = "There is no default callback URL any more. What waits for it ends as dead."
	}
	p := v.webhookSettingsPage(v.organisation)
	p.Default = address
	return v.changeWebhooks(ctx, p, WebhookChange{DefaultWebhook: &address}, "default", text)
}

func (d *Dashboard) setOperatorHook(ctx context.Context, v *visit) error {
	address := v.typedURL("operator_hook")
	text := "The operator hook has been set."
	if address == "" {
		text = "There is no operator hook any more."
	}
	p := v.webhookSettingsPage(v.organisation)
	p.OperatorHook = address
	return v.changeWebhooks(ctx, p, WebhookChange{OperatorHook: &address}, "operator_hook", text)
}

func (d *Dashboard) setWebhookHosts(ctx context.Context, v *visit) error {
	typed := plainText(v.form("hosts"))
	hosts := strings.FieldsFunc(typed, func(r rune) bool { return r == '\n' || r == '\r' || r == ' ' || r == ',' || r == '\t' })
	text := "Events go to these hosts alone."
	if len(hosts) == 0 {
		text = "Events may go to any public host."
	}
	p := v.webhookSettingsPage(v.organisation)
	p.Hosts = strings.Join(hosts, "\n")
	if p.Errors = v.shown().overtaken(shownValues{"hosts": p.Hosts}, p.Shown); len(p.Errors) > 0 {
		return v.showAs(ctx, http.StatusUnprocessableEntity, "Webhook settings", webhookSettingsBody(p))
	}
	return v.changeWebhooks(ctx, p, WebhookChange{WebhookHosts: &hosts}, "hosts", text)
}

// typedURL is a URL of a form; a button that clears it comes with a field of its own.
func (v *visit) typedURL(name string) string {
	if v.form("clear") != "" {
		return ""
	}
	return plainText(v.form(name))
}

// changeWebhooks makes a change, or shows beside its field why it was not made.
func (v *visit) changeWebhooks(ctx context.Context, p webhookSettingsPage, c WebhookChange, field, text string) error {
	_, err := v.cfg.WebhookSettings.ChangeWebhooks(ctx, v.organisation.ID, c)
	switch kinora.CodeOf(err) {
	case "":
		return v.done(v.hooks("settings"), text)
	case kinora.ErrInvalid, kinora.ErrConflict:
		p.Errors = errorsBeside(err, map[string]string{"default_webhook": field, "webhook_hosts": field, "operator_hook": field})
		if other := p.Errors[""]; other != "" { // each form has one field
			p.Errors = map[string]string{field: other}
		}
		return v.showAs(ctx, http.StatusUnprocessableEntity, "Webhook settings", webhookSettingsBody(p))
	}
	return err
}
