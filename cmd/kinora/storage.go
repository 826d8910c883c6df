package main

import (
	"context"
	"fmt"
	"strings"
)

type storageCommand struct{ operator }

type keptShape struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	More  bool  `json:"more"`
}

func (k keptShape) text() string {
	more := ""
	if k.More {
		more = " or more"
	}
	return fmt.Sprintf("%d files, %s%s", k.Files, size(k.Bytes), more)
}

func (s *storageCommand) Run(ctx context.Context, c *console) error {
	var use struct {
		Outputs       keptShape `json:"outputs"`
		Assets        keptShape `json:"assets"`
		Uploads       keptShape `json:"uploads"`
		Folder        string    `json:"folder"`
		Bucket        string    `json:"bucket"`
		FreeBytes     *int64    `json:"free_bytes"`
		Database      string    `json:"database"`
		DatabaseBytes int64     `json:"database_bytes"`
	}
	return s.show(ctx, c, "/operator/storage", &use, func() {
		c.say("outputs   %s", use.Outputs.text())
		c.say("assets    %s", use.Assets.text())
		c.say("uploads   %s", use.Uploads.text())
		where := "bucket " + printable(use.Bucket)
		if use.Folder != "" {
			where = printable(use.Folder)
			if use.FreeBytes != nil {
				where += ", " + size(*use.FreeBytes) + " free"
			}
		}
		c.say("in        %s", where)
		c.say("database  %s, %s", printable(use.Database), size(use.DatabaseBytes))
	})
}

type settingsCommand struct {
	Changed bool `help:"Only what is not a default."`
	operator
}

func (s *settingsCommand) Run(ctx context.Context, c *console) error {
	var loaded struct {
		Settings []struct {
			Key      string `json:"key"`
			Value    string `json:"value"`
			Origin   string `json:"origin"`
			Variable string `json:"variable"`
		} `json:"settings"`
	}
	return s.show(ctx, c, "/operator/config", &loaded, func() {
		var rows [][]string
		for _, one := range loaded.Settings {
			if s.Changed && one.Origin == "default" {
				continue
			}
			from := one.Origin
			if from == "environment" {
				from = one.Variable
			}
			rows = append(rows, []string{printable(one.Key), orDash(printable(strings.TrimSpace(one.Value))), orDash(printable(from))})
		}
		c.table([]string{"SETTING", "VALUE", "FROM"}, rows)
	})
}
