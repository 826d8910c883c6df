package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/masterkey"
	"github.com/kinora/kinora/internal/seal"
)

type masterKeyCommand struct {
	Status    masterKeyStatusCommand `cmd:"" help:"Show the keys, by their ids, and what depends on each."`
	Rotate    masterKeyRotateCommand `cmd:"" help:"Change the key, or finish a change that was broken off."`
	ForgetOld masterKeyForgetCommand `cmd:"" help:"Stop accepting the keys of before."`
	New       masterKeyNewCommand    `cmd:"" help:"Print a new key, for a configuration; nothing is changed."`
}

// keyring changes master keys: a running server's, or those of the configuration that is at hand.
type keyring interface {
	Status(ctx context.Context) (kinora.MasterKeys, error)
	Rotate(ctx context.Context) (kinora.MasterKeyChange, error)
	ForgetOld(ctx context.Context, early bool) (kinora.MasterKeyChange, error)
}

var (
	_ keyring = (*masterkey.Keeper)(nil)
	_ keyring = (*adminAPI)(nil)
)

// withKeys is operator.with for master keys.
func (o operator) withKeys(ctx context.Context, do func(keyring) error) error {
	api, cfg, why := o.find(ctx)
	if api != nil {
		defer api.close()
		return do(api)
	}
	if cfg == nil {
		return why
	}
	return onDatabase(ctx, *cfg, why, func(opened *app.App) error { return do(opened.MasterKeys()) })
}

type masterKeyStatusCommand struct{ operator }

func (m *masterKeyStatusCommand) Run(ctx context.Context, c *console) error {
	return m.withKeys(ctx, func(k keyring) error {
		status, err := k.Status(ctx)
		if err != nil {
			return err
		}
		return c.result(status, func() { c.showMasterKeys(status) })
	})
}

func (c *console) showMasterKeys(status kinora.MasterKeys) {
	rows := make([][]string, 0, len(status.Keys))
	for _, key := range status.Keys {
		state := "still accepted"
		switch {
		case key.ID == status.Current:
			state = "current"
		case !key.Known:
			state = "MISSING: put it back"
		}
		rows = append(rows, []string{key.ID, fmt.Sprint(key.Sealed), state})
	}
	c.table([]string{"KEY", "SEALED", "STATE"}, rows)
	for _, node := range status.Nodes {
		c.say("%s has %s", printable(node.ID), printable(orDash(strings.Join(node.Keys, ", "))))
	}
}

type masterKeyRotateCommand struct{ operator }

func (m *masterKeyRotateCommand) Run(ctx context.Context, c *console) error {
	return m.withKeys(ctx, func(k keyring) error {
		change, err := k.Rotate(ctx)
		if err != nil {
			return err
		}
		return c.result(change, func() {
			what := "finished the change to"
			if change.Made {
				what = "made"
			}
			c.say("%s key %s; %d secrets sealed anew with it.", strings.ToUpper(what[:1])+what[1:], change.Current, change.Resealed)
			if len(change.Older) > 0 {
				c.say("Still accepted: %s. End them with kinora master-key forget-old, once file URLs of theirs have expired.", strings.Join(change.Older, ", "))
			}
			if change.Made {
				c.say("Keep a copy of master.key, apart from the database's.")
			}
		})
	})
}

type masterKeyForgetCommand struct {
	Early bool `help:"Also while file URLs signed with them may be in use; these end at once."`

	operator
}

func (m *masterKeyForgetCommand) Run(ctx context.Context, c *console) error {
	return m.withKeys(ctx, func(k keyring) error {
		change, err := k.ForgetOld(ctx, m.Early)
		if err != nil {
			return err
		}
		return c.result(change, func() {
			if len(change.Forgotten) == 0 {
				c.say("There is no older key.")
				return
			}
			c.say("Forgotten: %s. Key %s alone is accepted from now on.", strings.Join(change.Forgotten, ", "), change.Current)
		})
	})
}

type masterKeyNewCommand struct{}

func (*masterKeyNewCommand) Run(c *console) error {
	key := seal.NewKey()
	shape := struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}{key.ID(), key.Text()}
	return c.result(shape, func() { c.say("%s", shape.Key) })
}
