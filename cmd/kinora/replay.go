package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kinora/kinora"
)

type replayCommand struct {
	Start  replayStartCommand  `cmd:"" help:"Revive deliveries that failed, at a bounded rate, and watch how it comes along."`
	Status replayStatusCommand `cmd:"" help:"Show how a replay comes along."`
	List   replayListCommand   `cmd:"" help:"List replays, newest first."`
	Cancel replayCancelCommand `cmd:"" help:"End a replay. What it has revived goes on."`
}

// replayShape is the part of the admin API's replay that is shown as text.
type replayShape struct {
	ID             string    `json:"id"`
	OrganisationID string    `json:"organisation_id"`
	State          string    `json:"state"`
	EndpointID     string    `json:"endpoint_id"`
	Destination    string    `json:"destination"`
	EventType      string    `json:"event_type"`
	Since          time.Time `json:"since"`
	Until          time.Time `json:"until"`
	Delivered      bool      `json:"delivered"`
	Rate           int       `json:"rate"`
	Total          *int      `json:"total"`
	Revived        int       `json:"revived"`
	Passed         int       `json:"passed"`
	CreatedAt      time.Time `json:"created_at"`
	FinishedAt     time.Time `json:"finished_at"`
	Outcomes       *struct {
		OnTheWay  int `json:"on_the_way"`
		Delivered int `json:"delivered"`
		Dead      int `json:"dead"`
	} `json:"outcomes"`
}

func (r replayShape) running() bool { return r.State == string(kinora.ReplayRunning) }

// percent is how far it has come; what was not there when it was counted may come on top.
func (r replayShape) percent() int {
	switch {
	case r.State == string(kinora.ReplayFinished):
		return 100
	case r.Total == nil || *r.Total == 0:
		return 0
	}
	return min(99, 100*(r.Revived+r.Passed) / *r.Total)
}

type replayStartCommand struct {
	Org         string `help:"Id or name of the organisation; may be left out while there is only one." placeholder:"ORG"`
	Since       moment `help:"Only deliveries made since: how long ago (90m, 3d), or a time." placeholder:"WHEN"`
	Until       moment `help:"Only deliveries made before." placeholder:"WHEN"`
	Endpoint    string `help:"Only those to one endpoint: its id or name." placeholder:"ENDPOINT"`
	Destination string `help:"Only those to the scheme, host and port of a URL." placeholder:"URL"`
	Event       string `help:"Only those of one event type." placeholder:"TYPE"`
	Delivered   bool   `help:"Those too that arrived: their receivers get them again."`
	Rate        int    `help:"Deliveries a second, at most 1000." default:"50" placeholder:"N"`
	NoWait      bool   `help:"Begin it, and do not wait for its end."`

	operator
}

func (s *replayStartCommand) Run(ctx context.Context, c *console) error {
	return s.onAPI(ctx, func(api *adminAPI) error {
		org, err := findOrganisation(ctx, api, s.Org)
		if err != nil {
			return err
		}
		endpoint, err := endpointFilter(ctx, api, org.ID, s.Endpoint)
		if err != nil {
			return err
		}
		var begun replayShape
		text, err := callReplay(ctx, api, http.MethodPost, "", s.body(org.ID, endpoint), &begun)
		if err != nil {
			return err
		}
		if s.NoWait {
			return c.result(text, func() { c.showReplay(begun) })
		}
		c.note("%s goes on whatever happens to this command; kinora replay status shows it, kinora replay cancel ends it.", printable(begun.ID))
		return watchReplay(ctx, c, api, begun.ID)
	})
}

func (s *replayStartCommand) body(organisationID, endpointID string) any {
	at := func(m moment) *time.Time {
		if t := time.Time(m); !t.IsZero() {
			return &t
		}
		return nil
	}
	return struct {
		OrganisationID string     `json:"organisation_id"`
		EndpointID     string     `json:"endpoint_id,omitempty"`
		Destination    string     `json:"destination,omitempty"`
		EventType      string     `json:"event_type,omitempty"`
		Since          *time.Time `json:"since,omitempty"`
		Until          *time.Time `json:"until,omitempty"`
		Delivered      bool       `json:"delivered,omitempty"`
		Rate           int        `json:"rate"`
	}{organisationID, endpointID, s.Destination, s.Event, at(s.Since), at(s.Until), s.Delivered, s.Rate}
}

// callReplay asks the admin API about replays; path is what follows /replays.
func callReplay(ctx context.Context, api *adminAPI, method, path string, body any, into *replayShape) (json.RawMessage, error) {
	var text json.RawMessage
	if err := api.call(ctx, method, "/replays"+path, body, &text); err != nil {
		return nil, err
	}
	*into = replayShape{}
	if json.Unmarshal(text, into) != nil {
		return nil, notAdmin()
	}
	return text, nil
}

// watchEvery is how often a replay that is waited for is looked at.
const watchEvery = 500 * time.Millisecond

// watchReplay shows progress until the replay has ended, and then what became of it. A server
// that is away for a moment is asked again.
func watchReplay(ctx context.Context, c *console, api *adminAPI, id string) error {
	progress := c.startProgress("revived")
	defer progress.finish()
	for away := 0; ; {
		var r replayShape
		text, err := callReplay(ctx, api, http.MethodGet, "/"+url.PathEscape(id), nil, &r)
		if kinora.CodeOf(err) == kinora.ErrUnavailable && ctx.Err() == nil && away < 120 {
			away++
			progress.set(0, "no answer", 0)
		} else if err != nil {
			return err
		} else if away = 0; !r.running() {
			progress.end(0, r.State, r.percent(), r.State != string(kinora.ReplayFinished))
			progress.finish()
			return c.result(text, func() { c.showReplay(r) })
		} else {
			progress.set(0, fmt.Sprint(r.Revived+r.Passed), r.percent())
		}
		if err := c.pause(ctx, watchEvery); err != nil {
			return err
		}
	}
}

type replayStatusCommand struct {
	ID    string `arg:"" help:"The replay's id, rpl_…"`
	Watch bool   `help:"Wait for its end, and show how it comes along."`

	operator
}

func (s *replayStatusCommand) Run(ctx context.Context, c *console) error {
	return s.onAPI(ctx, func(api *adminAPI) error {
		if s.Watch {
			return watchReplay(ctx, c, api, s.ID)
		}
		var r replayShape
		text, err := callReplay(ctx, api, http.MethodGet, "/"+url.PathEscape(s.ID), nil, &r)
		if err != nil {
			return err
		}
		return c.result(text, func() { c.showReplay(r) })
	})
}

type replayListCommand struct {
	Org string `help:"Id or name of the organisation; all of them when absent." placeholder:"ORG"`

	operator
}

func (l *replayListCommand) Run(ctx context.Context, c *console) error {
	return l.onAPI(ctx, func(api *adminAPI) error {
		query := ""
		if l.Org != "" {
			org, err := findOrganisation(ctx, api, l.Org)
			if err != nil {
				return err
			}
			query = "?organisation_id=" + url.QueryEscape(org.ID)
		}
		var shape struct {
			Replays []json.RawMessage `json:"replays"` // as the admin API gives them
		}
		if err := api.call(ctx, http.MethodGet, "/replays"+query, nil, &shape); err != nil {
			return err
		}
		rows := make([][]string, len(shape.Replays))
		for i, text := range shape.Replays {
			var r replayShape
			if json.Unmarshal(text, &r) != nil {
				return notAdmin()
			}
			rows[i] = []string{r.ID, r.OrganisationID, stamp(r.CreatedAt), r.State, strconv.Itoa(r.Revived), r.total()}
		}
		return c.result(shape, func() { c.table([]string{"ID", "ORGANISATION", "CREATED", "STATE", "REVIVED", "OF"}, rows) })
	})
}

type replayCancelCommand struct {
	ID string `arg:"" help:"The replay's id, rpl_…"`

	operator
}

func (r *replayCancelCommand) Run(ctx context.Context, c *console) error {
	return r.onAPI(ctx, func(api *adminAPI) error {
		var ended replayShape
		text, err := callReplay(ctx, api, http.MethodPost, "/"+url.PathEscape(r.ID)+"/cancel", nil, &ended)
		if err != nil {
			return err
		}
		return c.result(text, func() { c.showReplay(ended) })
	})
}

func (r replayShape) total() string {
	if r.Total == nil {
		return "–"
	}
	return strconv.Itoa(*r.Total)
}

func (c *console) showReplay(r replayShape) {
	c.say("%s  %s, %d %%", c.outStyle.bold(printable(r.ID)), printable(r.State), r.percent())
	c.say("  organisation  %s", printable(r.OrganisationID))
	for _, line := range [][2]string{{"endpoint", r.EndpointID}, {"destination", r.Destination}, {"event", r.EventType}} {
		if line[1] != "" {
			c.say("  %-13s %s", line[0], printable(line[1]))
		}
	}
	for _, line := range []struct {
		name string
		at   time.Time
	}{{"since", r.Since}, {"until", r.Until}, {"began", r.CreatedAt}, {"ended", r.FinishedAt}} {
		if !line.at.IsZero() {
			c.say("  %-13s %s", line.name, stamp(line.at))
		}
	}
	c.say("  revived       %d of %s, at most %d a second", r.Revived, r.total(), r.Rate)
	if r.Passed > 0 {
		c.say("  passed        %d were on their way already", r.Passed)
	}
	if o := r.Outcomes; o != nil {
		c.say("  of these      %d delivered, %d on their way, %d dead again", o.Delivered, o.OnTheWay, o.Dead)
	}
}

// pause waits on the console's clock.
func (c *console) pause(ctx context.Context, d time.Duration) error {
	if c.clock != nil {
		return c.clock.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
