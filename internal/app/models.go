package app

import (
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/provider"
)

// OfferedModels lists the models that a server with this configuration offers: those that it names, and the built-in ones of
// every provider with an account. Errors: kinora.ErrInvalid.
func OfferedModels(cfg config.Config) ([]kinora.Model, error) {
	workflows, err := comfyWorkflows(cfg.ComfyUI.Workflows)
	if err != nil {
		return nil, err
	}
	return offeredModels(cfg, providers(workflows), func(providerName string) bool {
		return providerName == sandboxAccount && cfg.SandboxEnabled() ||
			slices.ContainsFunc(cfg.Accounts, func(a config.Account) bool { return a.Provider == providerName })
	}), nil
}

func offeredModels(cfg config.Config, all []provider.Provider, hasAccount func(providerName string) bool) (models []kinora.Model) {
	named := map[string]bool{}
	for _, m := range cfg.Models {
		named[m.Name] = true
		models = append(models, modelOf(m))
	}
	for _, p := range all {
		if !hasAccount(p.Name()) {
			continue
		}
		for _, m := range p.Describe().Models {
			if !named[m.Name] {
				m.Provider = p.Name()
				models = append(models, m)
			}
		}
	}
	return models
}

// modelOf is a configured model with its routes.
func modelOf(m config.Model) kinora.Model {
	made := kinora.Model{
		Name: m.Name, Kind: kinora.Kind(m.Kind), Deadline: m.Deadline.Std(),
		Order: kinora.RouteOrder(m.Order), FailoverAfter: m.FailoverAfter.Std(), RetryElsewhere: m.RetryElsewhere,
	}
	for _, way := range m.Ways("") {
		made.Routes = append(made.Routes, kinora.Route{Provider: way.Provider, UpstreamModel: way.UpstreamModel, Accounts: way.Accounts, Weight: way.Weight})
	}
	return made
}

// checkModels refuses models that their provider could not run well as they are configured.
func checkModels(all []provider.Provider, models []kinora.Model) error {
	for _, p := range all {
		checker, ok := p.(provider.ModelChecker)
		if !ok {
			continue
		}
		for _, m := range models {
			for _, way := range m.Along() {
				if way.Provider != p.Name() {
					continue
				}
				if err := checker.CheckModel(way.UpstreamModel, m.Kind); err != nil {
					return &kinora.Error{
						Code: kinora.ErrInvalid, Op: "configuration", Message: "model " + m.Name + " " + provider.AsError(err, provider.ModelGone).Message,
						Hint: "see docs/providers/" + p.Name() + ".md",
					}
				}
			}
		}
	}
	return nil
}
