package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/dashboard/ui"
)

const (
	// overviewPace is how often an overview that is looked at is read again.
	overviewPace = 5 * time.Second
	// silentAfter is how long a node gives no sign of life before the overview says so. Soon after, others take over.
	silentAfter = 10 * time.Second
	// dueTooLong is how long work may be due before the overview says that nobody takes it up.
	dueTooLong = 2 * time.Minute
	// littleSpace is how many free bytes are few.
	littleSpace = 2 << 30
)

// The first page of the operator's area: how the instance is, and what needs somebody.
func (d *Dashboard) overviewRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: operatorPath, who: operator, handler: d.overviewPage},
		{method: http.MethodGet, pattern: operatorPath + "/live", who: operator, handler: d.liveOverview, streams: true},
	}
}

// overview is the page. Its parts are compared by value to find out what has changed.
type overview struct {
	Notices []notice
	Figures []figure
	Lanes   []kinora.LaneDepth
	Nodes   []kinora.Node
	Storage storedView
	Upkeep  []kinora.UpkeepDepth
	Live    string `json:"-"`
}

// notice is one thing that needs somebody.
type notice struct {
	Tone ui.Tone
	Text string
	Href string // where to look; "" = nowhere
	Link string // what that is called
}

// figure is one number of the overview.
type figure struct{ Name, Value, Note string }

// storedView is what is stored, in words.
type storedView struct {
	Place    string // folder or bucket
	Free     string // "" = not known
	Kinds    []figure
	Database figure
}

func (d *Dashboard) overviewPage(ctx context.Context, v *visit) error {
	o, err := v.overview(ctx)
	if err != nil {
		return err
	}
	o.Live = v.link("operator", "live") + "?seen=" + o.digest()
	return v.show(ctx, "Overview", overviewBody(o))
}

// digest names what the page shows.
func (o overview) digest() string {
	text, _ := json.Marshal(o) // marshals plain values
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// liveOverview keeps an overview as it is now, part by part.
func (d *Dashboard) liveOverview(ctx context.Context, v *visit) error {
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		known, seen := (*overview)(nil), out.told()
		if seen == "" {
			seen = v.query("seen")
		}
		for {
			now, err := look(ctx, out, v.overview)
			if err != nil {
				return err
			}
			id := now.digest()
			if id != seen {
				if err := out.send(ctx, id, overviewChanged(now, known)); err != nil {
					return err
				}
			}
			known, seen = &now, id
			if err := out.rest(ctx, overviewPace); err != nil {
				return err
			}
		}
	})
}

// changed tells whether a part is another one than a page shows; it is where nothing is known of the page.
func changed[T any](now T, known *overview, part func(*overview) T) bool {
	return known == nil || !reflect.DeepEqual(now, part(known))
}

func (v *visit) overview(ctx context.Context) (o overview, err error) {
	queues, err := v.cfg.Operating.Queues(ctx)
	if err != nil {
		return o, err
	}
	health, err := v.cfg.Operating.Health(ctx)
	if err != nil {
		return o, err
	}
	stored, err := v.cfg.Operating.Storage(ctx)
	if err != nil {
		return o, err
	}
	troubled, err := v.cfg.Operating.TroubledAttempts(ctx, kinora.TroubleSearch{Limit: attemptPage})
	if err != nil {
		return o, err
	}
	ownerless, err := v.cfg.Persons.Ownerless(ctx)
	if err != nil {
		return o, err
	}
	return overview{Notices: append(v.notices(queues, health, stored, troubled), v.ownerless(ownerless)...), Figures: overviewFigures(queues, health), Lanes: queues.Lanes,
		Nodes: queues.Nodes, Storage: viewStored(stored), Upkeep: queues.Upkeep}, nil
}

func overviewFigures(q *kinora.Queues, h *kinora.Health) []figure {
	inFlight, queued, failed := 0, 0, 0
	for _, a := range h.Accounts {
		inFlight += a.InFlight
	}
	for _, l := range q.Lanes {
		if l.State == kinora.AttemptQueued {
			queued += l.Due + l.Waiting
		}
	}
	for _, u := range h.Hour.Upstreams {
		failed += u.Failed
	}
	d := q.Deliveries
	return []figure{
		{"In flight upstream", groups(int64(inFlight)), "at all accounts"},
		{"Waiting to be submitted", countText(queued), "attempts"},
		{"Failed in the last hour", groups(int64(failed)), "of " + groups(int64(h.Hour.Attempts)) + " attempts that ended"},
		{"Deliveries due", countText(d.Due), countText(d.Waiting) + " wait for their time"},
		{"Deliveries held", countText(q.HeldDeliveries), "their receiver rests"},
		{"Deliveries dead", countText(q.DeadDeliveries), "replays that run: " + countText(q.Replays)},
		{"Held for review", countText(q.Reviews), "wait for a person"},
		{"Sources being fetched", countText(q.Ingests.Due + q.Ingests.Waiting + q.Ingests.InHand), countText(q.Ingests.InHand) + " in hand"},
	}
}

// notices are what needs somebody, the worst first.
func (v *visit) notices(q *kinora.Queues, h *kinora.Health, s *kinora.StorageUse, t *kinora.TroubledAttempts) (list []notice) {
	add := func(tone ui.Tone, text, link string, segments ...string) {
		href := ""
		if link != "" {
			href = v.link(append([]string{"operator"}, segments...)...)
		}
		list = append(list, notice{Tone: tone, Text: text, Href: href, Link: link})
	}
	if s.Free >= 0 && s.Free < littleSpace {
		add(ui.Danger, "Only "+bytesOf(s.Free)+" are left for files.", "")
	}
	for _, a := range h.Accounts {
		switch a.State {
		case kinora.AccountRefused:
			add(ui.Danger, "The upstream refuses the account "+a.Name+": its key, permission or balance.", "Accounts", "accounts")
		case kinora.AccountResting:
			add(ui.Warning, "The account "+a.Name+" gave no usable answer several times in a row. It is tried again by itself.", "Accounts", "accounts")
		case kinora.AccountSpent:
			add(ui.Warning, "The account "+a.Name+" has reached its limit of the day.", "Accounts", "accounts")
		}
	}
	for _, n := range q.Nodes {
		if n.Silent > silentAfter {
			add(ui.Warning, "The node "+n.ID+" has given no sign of life for "+span(n.Silent.Truncate(time.Second))+". Others take over what it had in hand.", "")
		}
	}
	for _, l := range q.Lanes {
		if l.State != kinora.AttemptQueued && !l.OldestDue.IsZero() && v.now().Sub(l.OldestDue) > dueTooLong {
			add(ui.Warning, "Work of "+l.Lane+" in state "+string(l.State)+" is due for minutes, and no node takes it up.", "")
		}
	}
	if n := len(t.List); n > 0 {
		text := groups(int64(n)) + " attempts need a person’s eye."
		switch {
		case t.More:
			text = groups(int64(n)) + " attempts or more need a person’s eye."
		case n == 1:
			text = "One attempt needs a person’s eye."
		}
		add(ui.Warning, text, "Attempts", "attempts")
	}
	return list
}

// ownerless are notices of the organisations whose members nobody but operators can change.
func (v *visit) ownerless(list []kinora.Ownerless) (notices []notice) {
	if len(list) > 3 {
		return []notice{{Tone: ui.Warning, Text: "No owner who can sign in is left in: " + ownerlessNames(list) + ".", Href: v.link("operator", "organisations"), Link: "Organisations"}}
	}
	for _, o := range list {
		notices = append(notices, notice{Tone: ui.Warning, Text: o.OrganisationName + " has no owner who can sign in.",
			Href: v.link("operator", "organisations", o.OrganisationID), Link: "Organisation"})
	}
	return notices
}

func viewStored(s *kinora.StorageUse) storedView {
	kind := func(name string, k kinora.FilesKept) figure {
		more := ""
		if k.More {
			more = " or more"
		}
		files := groups(k.Files) + " files"
		if k.Files == 1 {
			files = "1 file"
		}
		return figure{name, bytesOf(k.Bytes) + more, files + more}
	}
	v := storedView{Place: s.Folder, Kinds: []figure{kind("Outputs", s.Outputs), kind("Source assets", s.Assets), kind("Uploads", s.Uploads)},
		Database: figure{s.Database, bytesOf(s.DatabaseBytes), ""}}
	if s.Bucket != "" {
		v.Place = "bucket " + s.Bucket
	}
	if s.Free >= 0 {
		v.Free = bytesOf(s.Free)
	}
	return v
}
