package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

type endpointCommand struct {
	Add     endpointAddCommand     `cmd:"" help:"Register a URL that events go to as well."`
	List    endpointListCommand    `cmd:"" help:"List an organisation's endpoints, its default callback URL first."`
	Show    endpointShowCommand    `cmd:"" help:"Show one endpoint and how it fares."`
	Health  endpointHealthCommand  `cmd:"" help:"Show how an organisation's destinations have taken its events."`
	Update  endpointUpdateCommand  `cmd:"" help:"Change an endpoint; what is not named stays."`
	Enable  endpointEnableCommand  `cmd:"" help:"Deliver to an endpoint again."`
	Disable endpointDisableCommand `cmd:"" help:"Deliver nothing to an endpoint; its events are kept."`
	Remove  endpointRemoveCommand  `cmd:"" help:"Remove an endpoint. What waits for it ends as dead."`
}

// endpointShape is how --json shows an endpoint.
type endpointShape struct {
	ID             string                `json:"id"`
	OrganisationID string                `json:"organisation_id"`
	Name           string                `json:"name"`
	Default        bool                  `json:"default"` // the organisation's default callback URL
	URL            string                `json:"url"`
	Description    string                `json:"description"`
	EventTypes     []kinora.EventType    `json:"event_types"` // empty = all
	Headers        map[string]string     `json:"headers"`     // names; values are not shown
	Rate           int                   `json:"rate_per_second"`
	Enabled        bool                  `json:"enabled"`
	DisabledAt     instant               `json:"disabled_at"`     // null = enabled
	DisabledReason *kinora.DisableReason `json:"disabled_reason"` // null = enabled
	FailingSince   instant               `json:"failing_since"`   // null = it does not fail
	Failures       int                   `json:"failures"`
	MissedSince    instant               `json:"missed_since"` // null = nothing was missed, or it was replayed
	Replaying      bool                  `json:"replaying"`
	CreatedAt      instant               `json:"created_at"`
	UpdatedAt      instant               `json:"updated_at"`
}

func endpointOf(e *kinora.Endpoint) endpointShape {
	s := endpointShape{ID: e.ID, OrganisationID: e.OrganisationID, Name: e.Name, Default: e.Default(), URL: e.URL, Description: e.Description,
		EventTypes: append([]kinora.EventType{}, e.EventTypes...), Headers: map[string]string{}, Rate: e.Rate,
		Enabled: e.Enabled(), DisabledAt: instant(e.DisabledAt), FailingSince: instant(e.FailingSince), Failures: e.Failures,
		MissedSince: instant(e.MissedSince), Replaying: !e.ReplayFrom.IsZero(), CreatedAt: instant(e.CreatedAt), UpdatedAt: instant(e.UpdatedAt)}
	if !e.Enabled() {
		s.DisabledReason = &e.Reason
	}
	for _, name := range e.HeaderNames {
		s.Headers[name] = kinora.HiddenHeader
	}
	return s
}

// endpointSettings are what add and update have in common.
type endpointSettings struct {
	Description *string  `help:"What it is for." placeholder:"TEXT"`
	Events      []string `help:"The only events that go there, separated by commas: generation.completed, generation.failed." placeholder:"TYPE,…" xor:"events"`
	Rate        *int     `help:"Deliveries a second at most; 0 = no limit." placeholder:"N"`
	Headers     string   `help:"File of headers to send with each delivery, one \"Name: value\" a line; - = standard input. Their values are not shown again." placeholder:"FILE"`
}

func (s endpointSettings) change(c *console) (kinora.EndpointChange, error) {
	change := kinora.EndpointChange{Description: s.Description, Rate: s.Rate}
	if len(s.Events) > 0 {
		change.EventTypes = &s.Events
	}
	if s.Headers == "" {
		return change, nil
	}
	in := c.in
	if s.Headers != "-" {
		file, err := os.Open(s.Headers)
		if err != nil {
			return change, usage("the file of headers cannot be read: "+err.Error(), "")
		}
		defer file.Close()
		in = file
	}
	headers, err := readHeaderLines(in)
	change.Headers = headers
	return change, err
}

// readHeaderLines takes what the server will check more closely. No error shows a line: its value is a secret.
func readHeaderLines(in io.Reader) (map[string]*string, error) {
	headers := map[string]*string{}
	lines := bufio.NewScanner(io.LimitReader(in, 2*kinora.MaxEndpointHeaderBytes))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			return nil, usage(fmt.Sprintf("line %d of the headers is not \"Name: value\"", n), "")
		}
		value = strings.TrimSpace(value)
		headers[strings.TrimSpace(name)] = &value
	}
	if err := lines.Err(); err != nil {
		return nil, usage("the headers cannot be read: "+err.Error(), "")
	}
	if len(headers) == 0 {
		return nil, usage("there are no headers in what --headers names", "write one \"Name: value\" a line")
	}
	return headers, nil
}

type endpointAddCommand struct {
	Name string `arg:"" help:"Name, for people; unique in the organisation."`
	URL  string `arg:"" help:"Where events are to go."`
	endpointSettings
	Disabled bool `help:"Deliver nothing to it yet; its events are kept."`
	owner

	operator
}

func (e *endpointAddCommand) Run(ctx context.Context, c *console) error {
	change, err := e.change(c)
	if err != nil {
		return err
	}
	change.Name, change.URL = &e.Name, &e.URL
	if e.Disabled {
		change.Enabled = new(bool)
	}
	return e.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, e.Org)
		if err != nil {
			return err
		}
		made, err := d.CreateEndpoint(ctx, org.ID, change)
		if err != nil {
			return err
		}
		shape := endpointOf(made)
		return c.result(shape, func() { c.showEndpoint(shape) })
	})
}

type endpointListCommand struct {
	owner

	operator
}

func (e *endpointListCommand) Run(ctx context.Context, c *console) error {
	return e.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, e.Org)
		if err != nil {
			return err
		}
		list, err := d.Endpoints(ctx, org.ID)
		if err != nil {
			return err
		}
		shape := struct {
			Endpoints []endpointShape `json:"endpoints"`
			Truncated bool            `json:"truncated"` // there are more
		}{[]endpointShape{}, cutOff(d)}
		rows := make([][]string, 0, len(list))
		for _, x := range list {
			s := endpointOf(x)
			shape.Endpoints = append(shape.Endpoints, s)
			rows = append(rows, []string{x.ID, x.Name, c.standing(s), eventsOf(s), x.URL})
		}
		return c.result(shape, func() { c.list(shape.Truncated, []string{"ID", "NAME", "STATE", "EVENTS", "URL"}, rows) })
	})
}

// oneEndpoint says which endpoint a command is about.
type oneEndpoint struct {
	Endpoint string `arg:"" help:"Id or name; the default callback URL is called default."`
	owner

	operator
}

// on finds the endpoint and shows what do makes of it.
func (e oneEndpoint) on(ctx context.Context, c *console, do func(d directory, x *kinora.Endpoint) (*kinora.Endpoint, error)) error {
	return e.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, e.Org)
		if err != nil {
			return err
		}
		x, err := findEndpoint(ctx, d, org.ID, e.Endpoint)
		if err != nil {
			return err
		}
		if x, err = do(d, x); err != nil {
			return err
		}
		shape := endpointOf(x)
		return c.result(shape, func() { c.showEndpoint(shape) })
	})
}

// findEndpoint takes an id or a name.
func findEndpoint(ctx context.Context, d directory, organisationID, ref string) (*kinora.Endpoint, error) {
	list, err := d.Endpoints(ctx, organisationID)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if x.ID == ref || x.Name == ref {
			return x, nil
		}
	}
	return nil, &failure{exit: exitNotFound, message: "endpoint not found", hint: "kinora endpoint list shows all of them"}
}

// endpointFilter makes an endpoint's id of an id or a name; "" stays so.
func endpointFilter(ctx context.Context, d directory, organisationID, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	x, err := findEndpoint(ctx, d, organisationID, ref)
	if err != nil {
		return "", err
	}
	return x.ID, nil
}

type endpointShowCommand struct{ oneEndpoint }

func (e *endpointShowCommand) Run(ctx context.Context, c *console) error {
	return e.on(ctx, c, func(_ directory, x *kinora.Endpoint) (*kinora.Endpoint, error) { return x, nil })
}

type endpointUpdateCommand struct {
	oneEndpoint
	Name *string `help:"New name." placeholder:"NAME"`
	URL  *string `help:"New URL. What waits goes there." placeholder:"URL"`
	endpointSettings
	AllEvents    bool     `help:"Let all events go there again." xor:"events"`
	RemoveHeader []string `help:"Headers not to send any more, separated by commas." placeholder:"NAME,…"`
}

func (e *endpointUpdateCommand) Run(ctx context.Context, c *console) error {
	change, err := e.change(c)
	if err != nil {
		return err
	}
	change.Name, change.URL = e.Name, e.URL
	if e.AllEvents {
		change.EventTypes = &[]string{}
	}
	for _, name := range e.RemoveHeader {
		if change.Headers == nil {
			change.Headers = map[string]*string{}
		}
		change.Headers[name] = nil
	}
	if change.Name == nil && change.URL == nil && change.Description == nil && change.Rate == nil && change.EventTypes == nil && change.Headers == nil {
		return usage("nothing to change", "see kinora help endpoint update")
	}
	return e.on(ctx, c, func(d directory, x *kinora.Endpoint) (*kinora.Endpoint, error) {
		return d.UpdateEndpoint(ctx, x.OrganisationID, x.ID, change)
	})
}

type endpointEnableCommand struct {
	oneEndpoint
	Replay bool `help:"Deliver what it missed while it was disabled, and what died while it failed before that."`
}

func (e *endpointEnableCommand) Run(ctx context.Context, c *console) error {
	on := true
	return e.on(ctx, c, func(d directory, x *kinora.Endpoint) (*kinora.Endpoint, error) {
		return d.UpdateEndpoint(ctx, x.OrganisationID, x.ID, kinora.EndpointChange{Enabled: &on, ReplayMissed: e.Replay})
	})
}

type endpointDisableCommand struct{ oneEndpoint }

func (e *endpointDisableCommand) Run(ctx context.Context, c *console) error {
	return e.on(ctx, c, func(d directory, x *kinora.Endpoint) (*kinora.Endpoint, error) {
		return d.UpdateEndpoint(ctx, x.OrganisationID, x.ID, kinora.EndpointChange{Enabled: new(bool)})
	})
}

type endpointRemoveCommand struct{ oneEndpoint }

func (e *endpointRemoveCommand) Run(ctx context.Context, c *console) error {
	return e.with(ctx, func(d directory) error {
		org, err := findOrganisation(ctx, d, e.Org)
		if err != nil {
			return err
		}
		x, err := findEndpoint(ctx, d, org.ID, e.Endpoint)
		if err != nil {
			return err
		}
		if err := d.DeleteEndpoint(ctx, org.ID, x.ID); err != nil {
			return err
		}
		shape := struct {
			ID      string `json:"id"`
			Removed bool   `json:"removed"`
		}{x.ID, true}
		return c.result(shape, func() { c.say("%s is removed.", printable(x.ID)) })
	})
}

func (c *console) showEndpoint(e endpointShape) {
	names := make([]string, 0, len(e.Headers))
	for name := range e.Headers {
		names = append(names, name)
	}
	limit := "none"
	if e.Rate > 0 {
		limit = fmt.Sprintf("%d a second", e.Rate)
	}
	c.say("%s  %s", c.outStyle.bold(printable(e.ID)), printable(e.Name))
	c.say("  state        %s", c.standing(e))
	c.say("  url          %s", printable(e.URL))
	if e.Description != "" {
		c.say("  description  %s", printable(e.Description))
	}
	c.say("  events       %s", eventsOf(e))
	c.say("  headers      %s", printable(orDash(sortedList(names))))
	c.say("  rate limit   %s", limit)
	if since := time.Time(e.FailingSince); !since.IsZero() {
		c.say("  failing      %d times since %s", e.Failures, stamp(since))
	}
	if since := time.Time(e.MissedSince); !since.IsZero() {
		c.say("  missed       events since %s; kinora endpoint enable --replay delivers them", stamp(since))
	}
	c.say("  created      %s", stamp(time.Time(e.CreatedAt)))
}

// standing is an endpoint's state in a few words.
func (c *console) standing(e endpointShape) string {
	switch {
	case !e.Enabled:
		why := map[kinora.DisableReason]string{kinora.DisabledByOperator: "by hand", kinora.DisabledGone: "it answered 410",
			kinora.DisabledFailing: "nothing but failure"}[*e.DisabledReason]
		return c.outStyle.bad("disabled") + " (" + why + ")"
	case e.Replaying:
		return "enabled, replaying"
	case !time.Time(e.FailingSince).IsZero():
		return "enabled, failing"
	}
	return "enabled"
}

func eventsOf(e endpointShape) string {
	if len(e.EventTypes) == 0 {
		return "all"
	}
	names := make([]string, len(e.EventTypes))
	for i, t := range e.EventTypes {
		names[i] = string(t)
	}
	return sortedList(names)
}

func sortedList(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
