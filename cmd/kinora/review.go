package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/user"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

type reviewCommand struct {
	List    reviewListCommand    `cmd:"" help:"List the generations that wait, the oldest first."`
	Approve reviewApproveCommand `cmd:"" help:"Publish what a generation holds."`
	Reject  reviewRejectCommand  `cmd:"" help:"Publish nothing of it."`
}

type reviewListCommand struct {
	Org string `help:"Id or name of the organisation; all of them when absent." placeholder:"ORG"`
	operator
}

type reviewApproveCommand struct {
	ID     string   `arg:"" help:"The generation's id, task_… or job_…"`
	Output []string `help:"An output to publish, the primary first. When absent: the best ones." placeholder:"ID" sep:","`
	reviewer
}

type reviewRejectCommand struct {
	ID string `arg:"" help:"The generation's id, task_… or job_…"`
	reviewer
}

type reviewer struct {
	By     string `help:"Who decides. When absent: your user name." placeholder:"NAME"`
	Reason string `help:"Why, for the records." placeholder:"TEXT"`
	Round  int    `help:"The round that you have looked at, as kinora review list shows it; refused when another one waits by now. When absent: whichever waits." placeholder:"N"`
	operator
}

// reviewShape is the part of the admin API's reviews that is shown as text.
type reviewShape struct {
	GenerationID    string             `json:"generation_id"`
	Round           int                `json:"round"`
	State           kinora.ReviewState `json:"state"`
	Outputs         []string           `json:"outputs"`
	Reason          string             `json:"reason"`
	DecidedBy       string             `json:"decided_by"`
	CreatedAt       time.Time          `json:"created_at"`
	DecidedAt       time.Time          `json:"decided_at"`
	GenerationState string             `json:"generation_state"`
	Candidates      []struct {
		ID      string          `json:"id"`
		Verdict *kinora.Verdict `json:"verdict"`
		URL     string          `json:"url"`
	} `json:"candidates"`
}

func (l *reviewListCommand) Run(ctx context.Context, c *console) error {
	api, err := l.api(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	shape := struct {
		Reviews []json.RawMessage `json:"reviews"` // all pages of GET /admin/v1/reviews
	}{[]json.RawMessage{}}
	path := "/reviews?limit=200"
	if l.Org != "" {
		org, err := findOrganisation(ctx, api, l.Org)
		if err != nil {
			return err
		}
		path += "&organisation_id=" + url.QueryEscape(org.ID)
	}
	for cursor := ""; ; {
		var page struct {
			Reviews    []json.RawMessage `json:"reviews"`
			NextCursor string            `json:"next_cursor"`
		}
		from := path
		if cursor != "" {
			from += "&cursor=" + url.QueryEscape(cursor)
		}
		if err := api.call(ctx, http.MethodGet, from, nil, &page); err != nil {
			return err
		}
		shape.Reviews = append(shape.Reviews, page.Reviews...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	list := make([]reviewShape, len(shape.Reviews))
	for i, text := range shape.Reviews {
		if json.Unmarshal(text, &list[i]) != nil {
			return notAdmin()
		}
	}
	return c.result(shape, func() { c.showReviews(list) })
}

func (c *console) showReviews(list []reviewShape) {
	if len(list) == 0 {
		c.say("Nothing waits for a review.")
		return
	}
	var rows [][]string
	for _, r := range list {
		for _, o := range r.Candidates {
			score := "–"
			if o.Verdict != nil {
				score = fmt.Sprintf("%.2f", o.Verdict.Score)
			}
			rows = append(rows, []string{printable(r.GenerationID), time.Since(r.CreatedAt).Round(time.Second).String(), fmt.Sprint(r.Round + 1),
				printable(o.ID), score, printable(o.URL)})
		}
	}
	c.table([]string{"GENERATION", "WAITS", "ROUND", "OUTPUT", "SCORE", "LOOK AT"}, rows)
}

func (a *reviewApproveCommand) Run(ctx context.Context, c *console) error {
	return a.decide(ctx, c, a.ID, "approve", a.Output)
}

func (r *reviewRejectCommand) Run(ctx context.Context, c *console) error {
	return r.decide(ctx, c, r.ID, "reject", nil)
}

func (r *reviewer) decide(ctx context.Context, c *console, generationID, decision string, outputs []string) error {
	if r.Round < 0 {
		return usage("--round must be 1 or more", "kinora review list shows the round that waits")
	}
	if r.By == "" {
		who, err := user.Current()
		if err != nil || who.Username == "" {
			return &kinora.Error{Code: kinora.ErrInvalid, Message: "who decides is not known", Hint: "name it with --by"}
		}
		r.By = who.Username
	}
	api, err := r.api(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	body := struct {
		Decision string   `json:"decision"`
		Outputs  []string `json:"outputs,omitempty"`
		Reason   string   `json:"reason,omitempty"`
		By       string   `json:"by"`
		Round    *int     `json:"round,omitempty"`
	}{decision, outputs, r.Reason, r.By, nil}
	if r.Round > 0 { // people count from 1
		round := r.Round - 1
		body.Round = &round
	}
	var text json.RawMessage
	if err := api.call(ctx, http.MethodPost, "/reviews/"+url.PathEscape(generationID)+"/decide", body, &text); err != nil {
		return err
	}
	var decided reviewShape
	if json.Unmarshal(text, &decided) != nil {
		return notAdmin()
	}
	return c.result(text, func() {
		what := string(decided.State)
		if len(decided.Outputs) > 0 {
			what += ": " + strings.Join(decided.Outputs, ", ")
		}
		next := decided.GenerationState
		if next == string(kinora.GenerationRunning) {
			next = "another round is made"
		}
		c.say("%s  %s; %s", printable(decided.GenerationID), printable(what), printable(next))
	})
}

// reviewLine says in one line what became of a review.
func reviewLine(r reviewShape) string {
	line := fmt.Sprintf("round %d, %s", r.Round+1, printable(string(r.State)))
	if r.DecidedBy != "" {
		line += " by " + printable(r.DecidedBy) + " " + stamp(r.DecidedAt)
	}
	if r.Reason != "" {
		line += ": " + printable(r.Reason)
	}
	return line
}
