package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/tenancy"
)

// directory is what the org, key and endpoint commands work on: the admin API of a running server, or its database.
// *tenancy.Service is one, and its comments say what the methods do.
type directory interface {
	CreateOrganisation(ctx context.Context, change tenancy.OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error)
	Organisation(ctx context.Context, organisationID string) (*kinora.Organisation, error)
	ListOrganisations(ctx context.Context) ([]*kinora.Organisation, error)
	UpdateOrganisation(ctx context.Context, organisationID string, change tenancy.OrganisationChange) (*kinora.Organisation, error)
	WebhookSecrets(ctx context.Context, organisationID string) ([]kinora.WebhookSecret, error)
	RotateWebhookSecret(ctx context.Context, organisationID string, overlap time.Duration) (*kinora.WebhookSecret, error)
	ImportWebhookSecret(ctx context.Context, organisationID, text string, overlap time.Duration) (*kinora.WebhookSecret, error)
	CreateKey(ctx context.Context, organisationID, name string, kind tenancy.KeyKind, expires time.Time) (key *kinora.Key, text string, err error)
	ImportKey(ctx context.Context, organisationID, name, text string, expires time.Time) (*kinora.Key, error)
	RotateKey(ctx context.Context, organisationID, keyID string, overlap time.Duration) (key *kinora.Key, text string, err error)
	Keys(ctx context.Context, organisationID string) ([]*kinora.Key, error)
	RevokeKey(ctx context.Context, organisationID, keyID string) error
	Endpoints(ctx context.Context, organisationID string) ([]*kinora.Endpoint, error)
	CreateEndpoint(ctx context.Context, organisationID string, change kinora.EndpointChange) (*kinora.Endpoint, error)
	UpdateEndpoint(ctx context.Context, organisationID, endpointID string, change kinora.EndpointChange) (*kinora.Endpoint, error)
	DeleteEndpoint(ctx context.Context, organisationID, endpointID string) error
}

var (
	_ directory = (*tenancy.Service)(nil)
	_ directory = (*adminAPI)(nil)
)

// operator is how the commands of whoever runs a server reach it.
type operator struct {
	Server     string `help:"Address of the server whose admin API is used. When absent: the configured one if it answers, else its database directly." placeholder:"URL" env:"KINORA_SERVER"`
	AdminToken string `help:"Token of the admin API. When absent: the one in the server's data folder." placeholder:"TOKEN" env:"KINORA_ADMIN_TOKEN"`
	configured
}

// probeTimeout is how long a server may take to show that it is there before the database is opened instead.
const probeTimeout = 2 * time.Second

// with runs do on the server that is named; else on the configured one, if it answers; else on its database.
func (o operator) with(ctx context.Context, do func(directory) error) error {
	api, cfg, why := o.find(ctx)
	if api != nil {
		defer api.close()
		return do(api)
	}
	if cfg == nil {
		return why
	}
	return onDatabase(ctx, *cfg, why, func(opened *app.App) error { return do(opened.Tenancy()) })
}

// api is the admin API of the server that is named; else of the configured one.
func (o operator) api(ctx context.Context) (*adminAPI, error) {
	api, cfg, why := o.find(ctx)
	switch {
	case api != nil:
		return api, nil
	case why != nil:
		return nil, why
	}
	return nil, &kinora.Error{Code: kinora.ErrUnavailable, Message: "no server to ask: none has run yet on " + cfg.DataDir + ", or its port is not configured",
		Hint: "name it with --server (KINORA_SERVER) and give its KINORA_ADMIN_TOKEN"}
}

// onAPI runs do on that API.
func (o operator) onAPI(ctx context.Context, do func(*adminAPI) error) error {
	api, err := o.api(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	return do(api)
}

// find returns the admin API to use. Without one it returns why, and, where the database may be used in its place, the
// configuration.
func (o operator) find(ctx context.Context) (*adminAPI, *config.Config, error) {
	if o.Server != "" {
		api, err := o.named()
		return api, nil, err
	}
	cfg, err := o.load()
	if err != nil {
		return nil, nil, err
	}
	api, why := o.running(ctx, cfg)
	return api, &cfg, why
}

// named is the admin API of the server that --server names.
func (o operator) named() (*adminAPI, error) {
	token := o.AdminToken
	if token == "" {
		cfg, err := o.load()
		if err != nil {
			return nil, err
		}
		if token = storedToken(cfg); token == "" {
			return nil, usage("no admin token", "set KINORA_ADMIN_TOKEN, or name the server's configuration with --config where it runs on this machine")
		}
	}
	return newAdminAPI(o.Server, token)
}

// running is the admin API of the configured server, when it answers and takes the token; otherwise why not.
func (o operator) running(ctx context.Context, cfg config.Config) (*adminAPI, error) {
	token := o.AdminToken
	if token == "" {
		token = storedToken(cfg)
	}
	address := localURL(cfg.Listen)
	if token == "" || address == "" {
		return nil, nil
	}
	api, err := newAdminAPI(address, token)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := api.ListOrganisations(ctx); err != nil {
		api.close()
		return nil, err
	}
	return api, nil
}

// storedToken is the configured admin token, or the one that the server made; empty when there is none to be read.
func storedToken(cfg config.Config) string {
	if token := cfg.AdminToken.Reveal(); token != "" {
		return token
	}
	text, err := os.ReadFile(app.AdminTokenFile(cfg.DataDir))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// localURL is where a server that listens on address is reached from this machine; empty when its port is only known to it.
func localURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" || port == "" {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// onDatabase runs do on the configured database itself. why is what kept a running server from being used; nil = none runs.
func onDatabase(ctx context.Context, cfg config.Config, why error, do func(*app.App) error) (err error) {
	if cfg.AutoMigrate {
		if err := bringUpToDate(ctx, cfg); err != nil {
			if kinora.CodeOf(err) == kinora.ErrUnavailable && why != nil {
				return withHint(err, "a server answers at "+localURL(cfg.Listen)+" and was of no use: "+explain(why).message)
			}
			return err
		}
	}
	if err := knowsMasterKey(cfg); err != nil {
		return err
	}
	cfg.Listen = "127.0.0.1:0" // nothing is served: the configured address stays free
	opened, err := app.New(ctx, cfg, app.Options{Version: buildInfo().Version})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, opened.Stop(context.WithoutCancel(ctx)))
	}()
	return do(opened)
}

// knowsMasterKey refuses to work on a shared database from a machine, or a folder, that has not its servers' key: a new
// one would be made, and what is sealed with it no server could read.
func knowsMasterKey(cfg config.Config) error {
	if cfg.MasterKey != "" || !store.IsPostgres(cfg.DatabaseDSN()) {
		return nil
	}
	if _, err := os.Stat(app.MasterKeyFile(cfg.DataDir)); err != nil {
		return usage("the servers' master key is neither configured nor in "+cfg.DataDir,
			"run this with a server's own --config, or name a server with --server (KINORA_SERVER)")
	}
	return nil
}

// bringUpToDate migrates the database as a start of the server would.
func bringUpToDate(ctx context.Context, cfg config.Config) (err error) {
	db, err := store.Open(ctx, store.Options{DSN: cfg.DatabaseDSN(), MaxConns: cfg.DatabaseMaxConns})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
