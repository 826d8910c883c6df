package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/tenancy"
)

type orgCommand struct {
	Create       orgCreateCommand  `cmd:"" help:"Make an organisation. Its webhook secret is shown this once."`
	List         orgListCommand    `cmd:"" help:"List organisations."`
	Show         orgShowCommand    `cmd:"" help:"Show one organisation."`
	Update       orgUpdateCommand  `cmd:"" help:"Change an organisation; what is not named stays."`
	Secrets      orgSecretsCommand `cmd:"" help:"Show which webhook secrets of an organisation sign now, and until when. Their texts are not shown."`
	RotateSecret orgRotateCommand  `cmd:"" help:"Give an organisation a new webhook secret. It is shown this once."`
}

// orgShape is how --json shows an organisation.
type orgShape struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	DefaultWebhook string   `json:"default_webhook"` // empty = none
	WebhookHosts   []string `json:"webhook_hosts"`   // empty = any public host
	OperatorHook   string   `json:"operator_hook"`   // empty = none
	Disabled       bool     `json:"disabled"`
	CreatedAt      instant  `json:"created_at"`

	Allowance kinora.Allowance `json:"allowance"` // where it differs from what the server allows everybody
}

func orgOf(o *kinora.Organisation) orgShape {
	return orgShape{ID: o.ID, Name: o.Name, DefaultWebhook: o.DefaultWebhook, WebhookHosts: append([]string{}, o.WebhookHosts...),
		OperatorHook: o.OperatorHook, Disabled: o.Disabled, CreatedAt: instant(o.CreatedAt), Allowance: o.Allowance}
}

// secretShape is a webhook secret; its text is there at the one time that it is shown.
type secretShape struct {
	ID        string  `json:"id"`
	Secret    string  `json:"secret,omitempty"`
	CreatedAt instant `json:"created_at"`
	ExpiresAt instant `json:"expires_at"` // null = the current one
}

func secretOf(s *kinora.WebhookSecret) secretShape {
	return secretShape{ID: s.ID, Secret: s.Text, CreatedAt: instant(s.CreatedAt), ExpiresAt: instant(s.ExpiresAt)}
}

type orgCreateCommand struct {
	Name           string   `arg:"" help:"Name, for people."`
	DefaultWebhook string   `help:"Where events go that name no destination of their own." placeholder:"URL"`
	WebhookHosts   []string `help:"The only hosts that events may go to, separated by commas; *.example.com for all below one." placeholder:"HOST,…"`

	operator
}

func (o *orgCreateCommand) Run(ctx context.Context, c *console) error {
	return o.with(ctx, func(d directory) error {
		change := tenancy.OrganisationChange{Name: &o.Name, WebhookHosts: &o.WebhookHosts}
		if o.DefaultWebhook != "" {
			change.DefaultWebhook = &o.DefaultWebhook
		}
		org, secret, err := d.CreateOrganisation(ctx, change)
		if err != nil {
			return err
		}
		shape := struct {
			orgShape
			WebhookSecret secretShape `json:"webhook_secret"`
		}{orgOf(org), secretOf(secret)}
		return c.result(shape, func() {
			c.showOrg(shape.orgShape)
			c.showSecret("webhook secret", secret.Text)
		})
	})
}

type orgListCommand struct{ operator }

func (o *orgListCommand) Run(ctx context.Context, c *console) error {
	return o.with(ctx, func(d directory) error {
		list, err := d.ListOrganisations(ctx)
		if err != nil {
			return err
		}
		shape := struct {
			Organisations []orgShape `json:"organisations"`
			Truncated     bool       `json:"truncated"` // there are more
		}{[]orgShape{}, cutOff(d)}
		rows := make([][]string, 0, len(list))
		for _, org := range list {
			shape.Organisations = append(shape.Organisations, orgOf(org))
			state := "active"
			if org.Disabled {
				state = "disabled"
			}
			rows = append(rows, []string{org.ID, org.Name, state, stamp(org.CreatedAt)})
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "NAME", "STATE", "CREATED"}, rows) })
	})
}

type orgShowCommand struct {
	Org string `arg:"" optional:"" help:"Id or name; may be left out while there is only one."`

	operator
}

func (o *orgShowCommand) Run(ctx context.Context, c *console) error {
	return o.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, o.Org)
		if err != nil {
			return err
		}
		shape := orgOf(org)
		return c.result(shape, func() { c.showOrg(shape) })
	})
}

type orgUpdateCommand struct {
	Org            string   `arg:"" help:"Id or name."`
	Name           *string  `help:"New name." placeholder:"NAME"`
	DefaultWebhook *string  `help:"Where events go that name no destination of their own; an empty text = nowhere." placeholder:"URL"`
	WebhookHosts   []string `help:"The only hosts that events may go to, separated by commas." placeholder:"HOST,…" xor:"hosts"`
	OperatorHook   *string  `help:"Where events about endpoints go, such as endpoint.disabled; an empty text = nowhere." placeholder:"URL"`
	AnyWebhookHost bool     `help:"Let events go to any public host again." xor:"hosts"`
	Disable        bool     `help:"Switch API access off. Generations under way run on." xor:"access"`
	Enable         bool     `help:"Switch API access on again." xor:"access"`

	Limit    map[string]int `help:"Requests per minute of a kind of route of the generations API, such as generations_create=500; 0 = no limit, -1 = the server's number." placeholder:"KIND=N" mapsep:","`
	InFlight *int           `help:"Jobs of the generations API in flight; 0 = no limit, -1 = the server's number." placeholder:"N" type:"signed"`
	Budget   *kinora.Money  `help:"Most that generations of a calendar month may cost, in US dollars." placeholder:"USD" type:"signed" xor:"budget"`
	NoBudget bool           `help:"Take the budget away." xor:"budget"`
	Included *int64         `help:"Billable generations of a month that the usage summary calls included." placeholder:"N" type:"signed"`

	operator
}

func (o *orgUpdateCommand) change() (tenancy.OrganisationChange, error) {
	change := tenancy.OrganisationChange{Name: o.Name, DefaultWebhook: o.DefaultWebhook, OperatorHook: o.OperatorHook}
	if o.AnyWebhookHost || len(o.WebhookHosts) > 0 {
		change.WebhookHosts = &o.WebhookHosts
	}
	if o.Disable || o.Enable {
		change.Disabled = &o.Disable
	}
	if len(o.Limit) > 0 || o.InFlight != nil || o.Budget != nil || o.NoBudget || o.Included != nil {
		change.Allowance = &kinora.AllowanceChange{Limits: o.Limit, JobsInFlight: o.InFlight, Budget: o.Budget, NoBudget: o.NoBudget, Included: o.Included}
	}
	if change == (tenancy.OrganisationChange{}) {
		return change, usage("nothing to change", "see kinora help org update")
	}
	return change, nil
}

func (o *orgUpdateCommand) Run(ctx context.Context, c *console) error {
	change, err := o.change()
	if err != nil {
		return err
	}
	return o.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, o.Org)
		if err != nil {
			return err
		}
		if org, err = d.UpdateOrganisation(ctx, org.ID, change); err != nil {
			return err
		}
		shape := orgOf(org)
		return c.result(shape, func() { c.showOrg(shape) })
	})
}

type orgSecretsCommand struct {
	Org string `arg:"" optional:"" help:"Id or name; may be left out while there is only one."`

	operator
}

func (o *orgSecretsCommand) Run(ctx context.Context, c *console) error {
	return o.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, o.Org)
		if err != nil {
			return err
		}
		list, err := d.WebhookSecrets(ctx, org.ID)
		if err != nil {
			return err
		}
		shape := struct {
			OrganisationID string        `json:"organisation_id"`
			WebhookSecrets []secretShape `json:"webhook_secrets"` // the current one first
			Truncated      bool          `json:"truncated"`       // there are more
		}{org.ID, []secretShape{}, cutOff(d)}
		rows := make([][]string, 0, len(list))
		for _, s := range list {
			s.Text = "" // whoever has the database could read it; nobody is shown it
			shape.WebhookSecrets = append(shape.WebhookSecrets, secretOf(&s))
			state := "current"
			if !s.ExpiresAt.IsZero() {
				state = "until " + stamp(s.ExpiresAt)
			}
			rows = append(rows, []string{s.ID, stamp(s.CreatedAt), state})
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "CREATED", "SIGNS"}, rows) })
	})
}

type orgRotateCommand struct {
	Org     string        `arg:"" optional:"" help:"Id or name; may be left out while there is only one."`
	Overlap time.Duration `help:"How long the secret before this one goes on signing beside it; 0 ends all older secrets at once." default:"24h" placeholder:"24h"`
	Import  bool          `help:"Take the new secret from standard input instead of making one."`

	operator
}

func (o *orgRotateCommand) Run(ctx context.Context, c *console) error {
	text := ""
	if o.Import {
		var err error
		if text, err = readInput(c.in, maxSecretInput); err != nil {
			return err
		}
	}
	return o.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, o.Org)
		if err != nil {
			return err
		}
		var secret *kinora.WebhookSecret
		if o.Import {
			secret, err = d.ImportWebhookSecret(ctx, org.ID, text, o.Overlap)
		} else {
			secret, err = d.RotateWebhookSecret(ctx, org.ID, o.Overlap)
		}
		if err != nil {
			return err
		}
		shape := struct {
			OrganisationID string `json:"organisation_id"`
			secretShape
		}{org.ID, secretOf(secret)}
		if o.Import { // whoever imports one has it already
			shape.Secret = ""
		}
		return c.result(shape, func() {
			before := "all older secrets have ended"
			if o.Overlap > 0 {
				before = "the one before it goes on for " + config.Duration(o.Overlap).String()
			}
			c.say("%s signs with %s from now on; %s.", printable(org.Name), secret.ID, before)
			if shape.Secret != "" {
				c.showSecret("webhook secret", secret.Text)
			}
		})
	})
}

const maxSecretInput = 4 << 10 // bytes of a key or secret on standard input

// findOrganisation takes an id, a name that only one has, or nothing where there is only one.
func findOrganisation(ctx context.Context, d directory, ref string) (*kinora.Organisation, error) {
	if strings.HasPrefix(ref, "org_") {
		return d.Organisation(ctx, ref)
	}
	all, err := d.ListOrganisations(ctx)
	if err != nil {
		return nil, err
	}
	var found []*kinora.Organisation
	for _, org := range all {
		if ref == "" || org.Name == ref {
			found = append(found, org)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && ref == "":
		return nil, usage("there are several organisations", "name one; kinora org list shows them")
	case len(found) > 1:
		return nil, usage(fmt.Sprintf("%d organisations are called %q", len(found), ref), "use the id; kinora org list shows it")
	}
	return nil, &failure{exit: exitNotFound, message: "organisation not found", hint: "kinora org list shows all of them"}
}

// cutOff tells whether d left something out of the list that it gave last.
func cutOff(d directory) bool {
	api, ok := d.(*adminAPI)
	return ok && api.truncated
}

// list is a table that may not be whole.
func (c *console) list(truncated bool, head []string, rows [][]string) {
	c.table(head, rows)
	if truncated {
		c.say("There are more than the server lists at once.")
	}
}

func (c *console) showOrg(o orgShape) {
	hosts, state := "any public host", "active"
	if len(o.WebhookHosts) > 0 {
		hosts = strings.Join(o.WebhookHosts, ", ")
	}
	if o.Disabled {
		state = c.outStyle.bad("disabled")
	}
	c.say("%s  %s", c.outStyle.bold(printable(o.ID)), printable(o.Name))
	c.say("  state            %s", state)
	c.say("  default webhook  %s", printable(orDash(o.DefaultWebhook)))
	c.say("  webhook hosts    %s", printable(hosts))
	c.say("  operator hook    %s", printable(orDash(o.OperatorHook)))
	c.showAllowance(o.Allowance)
	c.say("  created          %s", stamp(time.Time(o.CreatedAt)))
}

// showAllowance shows where it differs from what the server allows everybody.
func (c *console) showAllowance(a kinora.Allowance) {
	for _, kind := range kinora.RateKinds() {
		if n, own := a.Limits[kind]; own {
			c.say("  limit            %s: %s", kind, orUnlimited(n, " a minute"))
		}
	}
	if a.JobsInFlight != nil {
		c.say("  jobs in flight   %s", orUnlimited(*a.JobsInFlight, ""))
	}
	if a.Budget != nil {
		c.say("  budget           %s USD a month", *a.Budget)
	}
	if a.Included > 0 {
		c.say("  included         %d generations a month", a.Included)
	}
}

func orUnlimited(n int, unit string) string {
	if n == 0 {
		return "no limit"
	}
	return strconv.Itoa(n) + unit
}

// showSecret shows what cannot be read again.
func (c *console) showSecret(name, text string) {
	c.say("")
	c.say("  %s  %s", name, c.outStyle.bold(text))
	c.say("  %s", c.outStyle.dim("Shown this once; keep it now."))
}
