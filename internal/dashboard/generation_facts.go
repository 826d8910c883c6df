package dashboard

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// requestFacts is what was asked for.
type requestFacts struct {
	Prompt   string
	Made     bool // the prompt is a workflow's, not the caller's own words
	Choices  []fact
	Images   []string // addresses as they may be shown
	Model    string   // the model's own fields, as indented JSON, with addresses as they may be shown; empty = none
	Metadata string   // the caller's own object, as indented JSON; empty = none
}

// fact is a named value.
type fact struct{ Name, Value string }

func (v *visit) requestFacts(h *kinora.History) requestFacts {
	g := h.Generation
	r := requestFacts{Prompt: g.Input.Prompt, Metadata: indented(g.Metadata)}
	add := func(name, value string) {
		if value != "" {
			r.Choices = append(r.Choices, fact{name, value})
		}
	}
	if w := g.Request; w != nil {
		r.Made = true
		add("Workflow", w.Workflow)
		add("Capture type", w.CaptureType)
		add("Mode", w.Mode)
		add("Rooms", strings.Join(w.RoomTypes, ", "))
		add("Style", w.StylePreset)
		for _, name := range slices.Sorted(maps.Keys(w.Fields)) {
			value, _ := shownValue(w.Fields[name])
			add(name, plain(value))
		}
	}
	add("Size", g.Input.Size)
	if g.Input.Duration > 0 {
		add("Duration", fmt.Sprint(g.Input.Duration, " s"))
	}
	for _, image := range g.Input.Images {
		r.Images = append(r.Images, kinora.ShownURL(image))
	}
	if len(g.Input.Metadata) > 0 {
		own, _ := shownFields(g.Input.Metadata)
		raw, _ := json.Marshal(own) // raw messages that were read from JSON
		r.Model = indented(raw)
	}
	return r
}

// plain is a JSON value as people read it: a text without its quotes.
func plain(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// facts are what is known around a generation.
type facts struct {
	ID, Surface     string
	By              string // person who submitted it
	Reference       string
	Webhook         string // of this generation only
	Callback        string // that its caller gave to the upstream
	Ignored         bool   // whom that upstream will not call
	Key             string // idempotency key
	CreatedAt       time.Time
	DeadlineAt      time.Time // zero once it has ended
	Asset           *relative // that it is made from; without a page where it is not there any more
	Parent          *relative
	Regenerated     []relative
	MoreRegenerated bool
}

type relative struct {
	ID, Href string                 // no Href = there is no page about it
	State    kinora.GenerationState // empty = not known
}

// cost is what it costs, or has cost.
type cost struct {
	Words string
	Note  string // why it is so; empty = nothing to say
	Entry string // id of the ledger entry; empty = none
	Usage string // path of the ledger; empty = there is none
}

func (v *visit) facts(h *kinora.History, o *kinora.Origin) facts {
	g := h.Generation
	f := facts{ID: g.ID, Surface: surfaces[g.Surface], Webhook: v.urlText(g.WebhookURL), Callback: v.urlText(g.Input.CallbackURL),
		Ignored: g.Input.CallbackIgnored, Key: o.IdempotencyKey, CreatedAt: g.CreatedAt, MoreRegenerated: o.MoreRegenerations}
	if !g.State.Terminal() {
		f.DeadlineAt = g.DeadlineAt
	}
	if g.Reference != nil {
		f.Reference = *g.Reference
	}
	switch {
	case o.By == nil:
	case o.By.Kind == kinora.ActorOperator && (!v.insider() || o.By.Name == ""): // by the admin token, of which no name is known
		f.By = operatorName
	default:
		f.By = o.By.Name
		if f.By == "" {
			f.By = o.By.ID
		}
	}
	if g.SourceAssetID != "" {
		f.Asset = &relative{ID: g.SourceAssetID}
		if h.Source != nil {
			f.Asset.Href = v.here("assets", h.Source.IngestID)
		}
	}
	if g.ParentID != "" {
		f.Parent = &relative{ID: g.ParentID, Href: v.here("generations", g.ParentID)}
	}
	for _, r := range o.Regenerations {
		f.Regenerated = append(f.Regenerated, relative{ID: r.ID, Href: v.here("generations", r.ID), State: r.State})
	}
	return f
}

func (v *visit) cost(h *kinora.History) cost {
	g := h.Generation
	var c cost
	if v.mayOpen(organisationPath + "/usage") {
		c.Usage = v.here("usage")
	}
	switch {
	case h.Entry != nil:
		c.Words, c.Entry = dollars(h.Entry.Amount), h.Entry.ID
		switch {
		case h.Entry.Type == kinora.UsageCacheHit:
			c.Note = "answered from approved outputs, not charged"
		case !h.Entry.Billable:
			c.Note = "not billable"
		}
	case g.State.Terminal():
		c.Words, c.Note = dollars(0), "only what succeeds is charged"
	case g.Price > 0:
		c.Words, c.Note = dollars(g.Price), "if it succeeds"
	default:
		c.Words, c.Note = dollars(0), "no price is set for it"
	}
	return c
}
