package main

import (
	"context"

	"github.com/kinora/kinora/client"
)

// defaultServer is where `kinora serve` listens unless it is told otherwise.
const defaultServer = "http://127.0.0.1:8080"

// connection is how the commands that use the public API reach it: with a key of an organisation's, or as an operator for any
// organisation.
type connection struct {
	Server string `help:"Address of the server; http://127.0.0.1:8080 when absent, or with --org the configured one." placeholder:"URL" env:"KINORA_SERVER"`
	Key    string `help:"API key. Prefer the variable: other users of a machine can read arguments." placeholder:"sk-…" env:"KINORA_KEY"`

	Org        string `help:"For operators: do it for this organisation, by id or name, with the admin token in place of a key." placeholder:"ORG"`
	AdminToken string `help:"With --org: token of the admin API. When absent: the one in the server's data folder." placeholder:"TOKEN" env:"KINORA_ADMIN_TOKEN"`
	configured
}

// open makes a client. Without --org it sends nothing.
func (x connection) open(ctx context.Context, c *console) (*client.Client, error) {
	if x.Org != "" {
		return x.openFor(ctx, c)
	}
	if x.Server == "" { // a variable that is set to nothing counts as absent
		x.Server = defaultServer
	}
	if x.Key == "" {
		return nil, usage("no API key", "set KINORA_KEY, or give --key; operators may name an organisation with --org")
	}
	return c.client(x.Server, x.Key, "check --server and --key")
}

// openFor makes a client that acts for the organisation that --org names.
func (x connection) openFor(ctx context.Context, c *console) (*client.Client, error) {
	api, err := operator{Server: x.Server, AdminToken: x.AdminToken, configured: x.configured}.api(ctx)
	if err != nil {
		return nil, err
	}
	defer api.close()
	return c.clientFor(ctx, api, x.Org)
}

// clientFor makes a client that acts for an organisation through the admin API.
func (c *console) clientFor(ctx context.Context, api *adminAPI, ref string) (*client.Client, error) {
	org, err := findOrganisation(ctx, api, ref)
	if err != nil {
		return nil, err
	}
	return c.client(api.server+"/admin/v1"+organisationPath(org.ID)+"/as", api.token, "check --server and --admin-token")
}

func (c *console) client(server, key, hint string) (*client.Client, error) {
	opts := []client.Option{client.WithUserAgent(userAgent())}
	if c.clock != nil {
		opts = append(opts, client.WithClock(c.clock))
	}
	api, err := client.New(server, key, opts...)
	if err != nil {
		return nil, usage(withoutPrefix(err.Error()), hint)
	}
	return api, nil
}
