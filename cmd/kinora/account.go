package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/kinora/kinora"
)

type accountCommand struct {
	List accountListCommand `cmd:"" help:"List the upstream accounts and whether each takes new work."`
}

type accountListCommand struct{ operator }

// accountShape is how --json shows an account: as the admin API does.
type accountShape struct {
	Name        string     `json:"name"`
	Provider    string     `json:"provider"`
	State       string     `json:"state"`
	Until       *time.Time `json:"until"` // null = not known
	InFlight    int        `json:"in_flight"`
	MaxInFlight int        `json:"max_in_flight"`
	Today       int        `json:"today"`
	PerDay      int        `json:"per_day"` // 0 = no limit
	LastError   *struct {
		Class string     `json:"class"`
		Code  string     `json:"code"`
		At    *time.Time `json:"at"`
	} `json:"last_error"`
}

func (a *accountListCommand) Run(ctx context.Context, c *console) error {
	api, err := a.api(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	var answer struct {
		Accounts json.RawMessage `json:"accounts"`
	}
	if err := api.call(ctx, http.MethodGet, "/accounts", nil, &answer); err != nil {
		return err
	}
	var list []accountShape
	if json.Unmarshal(answer.Accounts, &list) != nil {
		return &kinora.Error{Code: kinora.ErrInternal, Message: "the server's answer is not that of an admin API", Hint: notKinora}
	}
	shape := struct {
		Accounts []accountShape `json:"accounts"`
	}{append([]accountShape{}, list...)}
	return c.result(shape, func() { c.showAccounts(list) })
}

func (c *console) showAccounts(list []accountShape) {
	rows := make([][]string, 0, len(list))
	for _, a := range list {
		state := a.State
		if a.Until != nil {
			state += " until " + a.Until.UTC().Format(time.RFC3339)
		}
		today := fmt.Sprint(a.Today)
		if a.PerDay > 0 {
			today += fmt.Sprintf(" of %d", a.PerDay)
		}
		last := ""
		if a.LastError != nil {
			last = a.LastError.Class
			if a.LastError.Code != "" {
				last += " (" + a.LastError.Code + ")"
			}
		}
		rows = append(rows, []string{printable(a.Name), printable(a.Provider), printable(state),
			fmt.Sprintf("%d of %d", a.InFlight, a.MaxInFlight), today, orDash(printable(last))})
	}
	c.table([]string{"ACCOUNT", "PROVIDER", "STATE", "IN FLIGHT", "TODAY", "LAST ERROR"}, rows)
}
