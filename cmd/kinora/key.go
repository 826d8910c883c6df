package main

import (
	"context"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/tenancy"
)

type keyCommand struct {
	Create keyCreateCommand `cmd:"" help:"Make an API key. It is shown this once."`
	List   keyListCommand   `cmd:"" help:"List an organisation's keys."`
	Revoke keyRevokeCommand `cmd:"" help:"End a key."`
	Import keyImportCommand `cmd:"" help:"Take over a key that clients use already, from standard input."`
}

// keyShape is how --json shows a key.
type keyShape struct {
	ID             string  `json:"id"`
	OrganisationID string  `json:"organisation_id"`
	Name           string  `json:"name"`
	Start          string  `json:"start"` // first characters, to tell keys apart
	CreatedAt      instant `json:"created_at"`
	LastUsedAt     instant `json:"last_used_at"` // null = never
	RevokedAt      instant `json:"revoked_at"`   // null = live
}

func keyOf(k *kinora.Key) keyShape {
	return keyShape{ID: k.ID, OrganisationID: k.OrganisationID, Name: k.Name, Start: k.Start,
		CreatedAt: instant(k.CreatedAt), LastUsedAt: instant(k.LastUsedAt), RevokedAt: instant(k.RevokedAt)}
}

// owner says whose keys a command is about.
type owner struct {
	Org string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`
}

type keyCreateCommand struct {
	Name string `arg:"" help:"Name, for people: what the key is for."`
	Kind string `help:"sk: sk-… as the submit API's clients expect; kat_live: kat_live_….… as the generations API's do. Both open both." enum:"sk,kat_live" default:"sk"`
	owner

	operator
}

func (k *keyCreateCommand) Run(ctx context.Context, c *console) error {
	return k.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, k.Org)
		if err != nil {
			return err
		}
		key, text, err := d.CreateKey(ctx, org.ID, k.Name, tenancy.KeyKind(k.Kind))
		if err != nil {
			return err
		}
		shape := struct {
			keyShape
			Key string `json:"key"`
		}{keyOf(key), text}
		return c.result(shape, func() {
			c.showKey(shape.keyShape)
			c.showSecret("API key", text)
		})
	})
}

type keyImportCommand struct {
	Name string `arg:"" help:"Name, for people: what the key is for."`
	owner

	operator
}

func (k *keyImportCommand) Run(ctx context.Context, c *console) error {
	text, err := readInput(c.in, maxSecretInput)
	if err != nil {
		return err
	}
	return k.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, k.Org)
		if err != nil {
			return err
		}
		key, err := d.ImportKey(ctx, org.ID, k.Name, text)
		if err != nil {
			return err
		}
		shape := keyOf(key)
		return c.result(shape, func() { c.showKey(shape) })
	})
}

type keyListCommand struct {
	owner

	operator
}

func (k *keyListCommand) Run(ctx context.Context, c *console) error {
	return k.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, k.Org)
		if err != nil {
			return err
		}
		list, err := d.Keys(ctx, org.ID)
		if err != nil {
			return err
		}
		shape := struct {
			Keys      []keyShape `json:"keys"`
			Truncated bool       `json:"truncated"` // there are more
		}{[]keyShape{}, cutOff(d)}
		rows := make([][]string, 0, len(list))
		for _, key := range list {
			shape.Keys = append(shape.Keys, keyOf(key))
			state := "live"
			if !key.RevokedAt.IsZero() {
				state = "revoked " + stamp(key.RevokedAt)
			}
			rows = append(rows, []string{key.ID, key.Name, key.Start + "…", stamp(key.LastUsedAt), state})
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "NAME", "STARTS", "LAST USED", "STATE"}, rows) })
	})
}

type keyRevokeCommand struct {
	ID string `arg:"" help:"The key's id, key_…"`
	owner

	operator
}

func (k *keyRevokeCommand) Run(ctx context.Context, c *console) error {
	return k.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, k.Org)
		if err != nil {
			return err
		}
		if err := d.RevokeKey(ctx, org.ID, k.ID); err != nil {
			return err
		}
		shape := struct {
			ID      string `json:"id"`
			Revoked bool   `json:"revoked"`
		}{k.ID, true}
		return c.result(shape, func() { c.say("%s is revoked.", printable(k.ID)) })
	})
}

func (c *console) showKey(k keyShape) {
	c.say("%s  %s", c.outStyle.bold(printable(k.ID)), printable(k.Name))
	c.say("  organisation  %s", printable(k.OrganisationID))
	c.say("  starts with   %s…", printable(k.Start))
	c.say("  created       %s", stamp(time.Time(k.CreatedAt)))
}
