package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/tenancy"
)

type keyCommand struct {
	Create keyCreateCommand `cmd:"" help:"Make an API key. It is shown this once."`
	List   keyListCommand   `cmd:"" help:"List an organisation's keys."`
	Rotate keyRotateCommand `cmd:"" help:"Make a key in the place of another one, which ends by itself after a while."`
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
	RevokedAt      instant `json:"revoked_at"`   // null = not revoked
	ExpiresAt      instant `json:"expires_at"`   // null = never
	ReplacedBy     string  `json:"replaced_by"`  // empty = it was not rotated
}

func keyOf(k *kinora.Key) keyShape {
	return keyShape{ID: k.ID, OrganisationID: k.OrganisationID, Name: k.Name, Start: k.Start,
		CreatedAt: instant(k.CreatedAt), LastUsedAt: instant(k.LastUsedAt), RevokedAt: instant(k.RevokedAt),
		ExpiresAt: instant(k.ExpiresAt), ReplacedBy: k.ReplacedBy}
}

// owner says whose keys a command is about.
type owner struct {
	Org string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`
}

// lifetime is when a new key is to end.
type lifetime struct {
	Expires deadline `help:"When it ends by itself: in how long (90d), or a time. When absent: never." placeholder:"WHEN"`
}

// deadline is a moment to come: a time, or how long from now.
type deadline time.Time

func (d *deadline) UnmarshalText(text []byte) error {
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		*d = deadline(t)
		return nil
	}
	var from config.Duration
	if err := from.UnmarshalText(text); err != nil || from <= 0 {
		return fmt.Errorf("%q is neither a length of time such as 12h or 90d, nor a time such as 2027-06-14T10:30:00Z", text)
	}
	*d = deadline(time.Now().Add(from.Std()))
	return nil
}

type keyCreateCommand struct {
	Name string `arg:"" help:"Name, for people: what the key is for."`
	Kind string `help:"sk: sk-… as the submit API's clients expect; kat_live: kat_live_….… as the generations API's do. Both open both." enum:"sk,kat_live" default:"sk"`
	owner
	lifetime

	operator
}

func (k *keyCreateCommand) Run(ctx context.Context, c *console) error {
	return k.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, k.Org)
		if err != nil {
			return err
		}
		key, text, err := d.CreateKey(ctx, org.ID, k.Name, tenancy.KeyKind(k.Kind), time.Time(k.Expires))
		if err != nil {
			return err
		}
		return c.newKey(key, text)
	})
}

// newKey shows a key that was made, and this once its text.
func (c *console) newKey(key *kinora.Key, text string) error {
	shape := struct {
		keyShape
		Key string `json:"key"`
	}{keyOf(key), text}
	return c.result(shape, func() {
		c.showKey(shape.keyShape)
		c.showSecret("API key", text)
	})
}

type keyRotateCommand struct {
	ID      string          `arg:"" help:"The old key's id, key_…"`
	Overlap config.Duration `help:"How long the old key goes on working, at most 30d; 0 ends it at once." default:"24h" placeholder:"24h"`
	owner

	operator
}

func (k *keyRotateCommand) Run(ctx context.Context, c *console) error {
	return k.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, k.Org)
		if err != nil {
			return err
		}
		key, text, err := d.RotateKey(ctx, org.ID, k.ID, k.Overlap.Std())
		if err != nil {
			return err
		}
		if err := c.newKey(key, text); err != nil || c.json {
			return err
		}
		before := "has ended"
		if k.Overlap > 0 {
			before = "goes on for " + k.Overlap.String() + " at most"
		}
		c.say("")
		c.say("%s %s.", printable(k.ID), before)
		return nil
	})
}

type keyImportCommand struct {
	Name string `arg:"" help:"Name, for people: what the key is for."`
	owner
	lifetime

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
		key, err := d.ImportKey(ctx, org.ID, k.Name, text, time.Time(k.Expires))
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
			rows = append(rows, []string{key.ID, key.Name, key.Start + "…", stamp(key.LastUsedAt), keyState(key, time.Now())})
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "NAME", "STARTS", "LAST USED", "STATE"}, rows) })
	})
}

// keyState says whether a key works, and until when.
func keyState(k *kinora.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked " + stamp(k.RevokedAt)
	case !k.Live(now):
		return "expired " + stamp(k.ExpiresAt)
	case k.ReplacedBy != "":
		return "rotated, ends " + stamp(k.ExpiresAt)
	case !k.ExpiresAt.IsZero():
		return "live until " + stamp(k.ExpiresAt)
	}
	return "live"
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
	if ends := time.Time(k.ExpiresAt); !ends.IsZero() {
		c.say("  expires       %s", stamp(ends))
	}
}
