package app

import (
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/provider"
)

// warnOf logs what is wrong with an account's settings. One account is no reason for the others to stand still, and work for it
// fails with a reason of its own.
func (a *App) warnOf(all []provider.Provider, acc provider.Account) {
	for _, p := range all {
		c, ok := p.(provider.AccountChecker)
		if !ok || p.Name() != acc.Provider {
			continue
		}
		if err := c.CheckAccount(acc); err != nil {
			a.log.Warn("the settings of an account are not right", "account", acc.Name, "provider", acc.Provider,
				"reason", provider.AsError(err, provider.Permission).Message)
		}
	}
}

// providerAccount is a configured account as its provider sees it.
func providerAccount(acc config.Account, baseURL string) provider.Account {
	settings := make(map[string]string, len(acc.Settings))
	for k, v := range acc.Settings {
		settings[k] = v.Reveal()
	}
	return provider.Account{Name: acc.Name, Provider: acc.Provider, BaseURL: baseURL, Settings: settings}
}

// accountURL is where an account's upstream is reached: its own address, or the provider's
// in the account's region.
func accountURL(all []provider.Provider, acc config.Account) (string, error) {
	if acc.BaseURL != "" {
		return strings.TrimSuffix(acc.BaseURL, "/"), nil
	}
	for _, p := range all {
		if p.Name() != acc.Provider {
			continue
		}
		if host, ok := p.Describe().Host(acc.Region); ok {
			return host, nil
		}
		if acc.Region == "" {
			return "", &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: "account " + acc.Name + " needs a base_url", Hint: "provider " + p.Name() + " has no public address"}
		}
		var regions []string
		for _, h := range p.Describe().Hosts {
			regions = append(regions, h.Region)
		}
		return "", &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: "account " + acc.Name + " has an unknown region", Hint: "provider " + p.Name() + " has " + strings.Join(regions, ", ")}
	}
	return "", nil // the engine refuses accounts of providers that do not exist
}

func hasAccount(accounts []lifecycle.Account, providerName string) bool {
	for _, acc := range accounts {
		if acc.Provider == providerName {
			return true
		}
	}
	return false
}
