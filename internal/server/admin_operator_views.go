package server

import (
	"time"

	"github.com/kinora/kinora"
)

// What operators are shown of attempts, upstreams, queues and storage. Durations are in seconds, but for answers of destinations.

type troubledList struct {
	Attempts []troubledView `json:"attempts"`
	More     bool           `json:"more"` // there may be others
}

type troubledView struct {
	operatedView
	Troubles        []kinora.Trouble `json:"troubles"`
	AgeSeconds      float64          `json:"age_seconds"`      // of the attempt; until its end where it has ended
	ExpectedSeconds *float64         `json:"expected_seconds"` // what such jobs take upstream; null = not known
}

// operatedView is an attempt by itself, whichever organisation's it is.
type operatedView struct {
	GenerationID   string      `json:"generation_id"`
	OrganisationID string      `json:"organisation_id"`
	Model          string      `json:"model"`
	Lane           string      `json:"lane"`
	Attempt        attemptView `json:"attempt"`
}

func viewOperated(a *kinora.Attempt) operatedView {
	return operatedView{GenerationID: a.GenerationID, OrganisationID: a.OrganisationID, Model: a.Model, Lane: a.Lane, Attempt: viewAttempt(a)}
}

func viewTroubled(t *kinora.TroubledAttempt, now time.Time) troubledView {
	if !t.FinishedAt.IsZero() {
		now = t.FinishedAt
	}
	v := troubledView{operatedView: viewOperated(&t.Attempt), Troubles: t.Troubles, AgeSeconds: seconds(max(now.Sub(t.CreatedAt), 0))}
	if t.Expected > 0 {
		expected := seconds(t.Expected)
		v.ExpectedSeconds = &expected
	}
	return v
}

type cancelledView struct {
	GenerationID   string                 `json:"generation_id"`
	OrganisationID string                 `json:"organisation_id"`
	State          kinora.GenerationState `json:"state"`
	CompletedAt    *string                `json:"completed_at"`
}

type settledView struct {
	operatedView
	Watched bool `json:"watched"` // false: it had ended, and stays so
}

type healthView struct {
	Node     string        `json:"node"` // as which accounts are seen
	Accounts []accountView `json:"accounts"`
	Hour     reportView    `json:"hour"`
	Day      reportView    `json:"day"`
	// WithoutOwner are the organisations that have members and no owner who can sign in.
	WithoutOwner []ownerlessView `json:"organisations_without_owner"`
}

type reportView struct {
	From      *string        `json:"from"`
	To        *string        `json:"to"`
	More      bool           `json:"more"` // ends before from are not counted
	Attempts  int            `json:"attempts"`
	Upstreams []upstreamView `json:"upstreams"`
}

type upstreamView struct {
	Provider  string          `json:"provider"`
	Account   string          `json:"account"` // "" = none had taken them
	Model     string          `json:"model"`
	Succeeded int             `json:"succeeded"`
	Failed    int             `json:"failed"`
	Cancelled int             `json:"cancelled"`
	Errors    map[string]int  `json:"errors"`
	Submits   percentilesView `json:"submit_seconds"`
	Jobs      percentilesView `json:"job_seconds"`
}

type percentilesView struct {
	P50 *float64 `json:"p50"` // null = there were none
	P95 *float64 `json:"p95"`
	Of  int      `json:"of"`
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func viewPercentiles(p kinora.Percentiles, unit func(time.Duration) float64) percentilesView {
	v := percentilesView{Of: p.Of}
	if p.Of > 0 {
		p50, p95 := unit(p.P50), unit(p.P95)
		v.P50, v.P95 = &p50, &p95
	}
	return v
}

func viewReport(r *kinora.UpstreamReport) reportView {
	v := reportView{From: apiTime(r.From), To: apiTime(r.To), More: r.More, Attempts: r.Attempts, Upstreams: make([]upstreamView, len(r.Upstreams))}
	for i, u := range r.Upstreams {
		v.Upstreams[i] = upstreamView{
			Provider: u.Provider, Account: u.Account, Model: u.Model, Succeeded: u.Succeeded, Failed: u.Failed, Cancelled: u.Cancelled,
			Errors: u.Errors, Submits: viewPercentiles(u.Submits, seconds), Jobs: viewPercentiles(u.Jobs, seconds),
		}
	}
	return v
}

type queuesView struct {
	CountedUpTo    int             `json:"counted_up_to"` // a number that reaches it says "or more"
	Lanes          []laneView      `json:"lanes"`
	AttemptsInHand int             `json:"attempts_in_hand"`
	Deliveries     deliveriesDepth `json:"deliveries"`
	Replays        int             `json:"replays"`
	Ingests        depthView       `json:"ingests"`
	Reviews        reviewsDepth    `json:"reviews"`
	Upkeep         map[string]int  `json:"upkeep"`
	Nodes          []nodeView      `json:"nodes"`
}

type laneView struct {
	Lane      string              `json:"lane"`
	State     kinora.AttemptState `json:"state"`
	Due       int                 `json:"due"`
	Waiting   int                 `json:"waiting"`
	OldestDue *string             `json:"oldest_due"`
}

type depthView struct {
	Due     int `json:"due"`
	Waiting int `json:"waiting"`
	InHand  int `json:"in_hand"`
}

type deliveriesDepth struct {
	depthView
	Held int `json:"held"`
	Dead int `json:"dead"`
}

type reviewsDepth struct {
	Waiting int     `json:"waiting"`
	Oldest  *string `json:"oldest"`
}

type nodeView struct {
	ID        string  `json:"id"`
	StartedAt *string `json:"started_at"`
	BeatAt    *string `json:"beat_at"`
	InHand    int     `json:"in_hand"`
	Answers   bool    `json:"answers"` // this request
}

func viewQueues(q *kinora.Queues) queuesView {
	v := queuesView{
		CountedUpTo: kinora.CountedUpTo, Lanes: make([]laneView, len(q.Lanes)), AttemptsInHand: q.AttemptsInHand,
		Deliveries: deliveriesDepth{depthView(q.Deliveries), q.HeldDeliveries, q.DeadDeliveries}, Replays: q.Replays, Ingests: depthView(q.Ingests),
		Reviews: reviewsDepth{q.Reviews, apiTime(q.OldestReview)}, Upkeep: map[string]int{}, Nodes: make([]nodeView, len(q.Nodes)),
	}
	for i, l := range q.Lanes {
		v.Lanes[i] = laneView{Lane: l.Lane, State: l.State, Due: l.Due, Waiting: l.Waiting, OldestDue: apiTime(l.OldestDue)}
	}
	for _, u := range q.Upkeep {
		v.Upkeep[u.State] = u.Jobs
	}
	for i, n := range q.Nodes {
		v.Nodes[i] = nodeView{ID: n.ID, StartedAt: apiTime(n.StartedAt), BeatAt: apiTime(n.BeatAt), InHand: n.InHand, Answers: n.Answers}
	}
	return v
}

type storageView struct {
	Outputs       keptView `json:"outputs"`
	Assets        keptView `json:"assets"`
	Uploads       keptView `json:"uploads"`
	Folder        string   `json:"folder"` // "" = a bucket
	Bucket        string   `json:"bucket"`
	FreeBytes     *int64   `json:"free_bytes"` // null = not known
	Database      string   `json:"database"`
	DatabaseBytes int64    `json:"database_bytes"`
	At            *string  `json:"at"`
}

type keptView struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	More  bool  `json:"more"` // there are more than are counted
}

func viewStorage(u *kinora.StorageUse) storageView {
	v := storageView{
		Outputs: keptView(u.Outputs), Assets: keptView(u.Assets), Uploads: keptView(u.Uploads), Folder: u.Folder, Bucket: u.Bucket,
		Database: u.Database, DatabaseBytes: u.DatabaseBytes, At: apiTime(u.At),
	}
	if u.Free >= 0 {
		v.FreeBytes = &u.Free
	}
	return v
}

type settingList struct {
	Settings []settingView `json:"settings"`
}

type settingView struct {
	Key      string               `json:"key"`
	Value    string               `json:"value"` // of a secret "set" or "unset"
	Secret   bool                 `json:"secret"`
	Origin   kinora.SettingOrigin `json:"origin"`   // "" = not known
	Variable string               `json:"variable"` // "" = the file alone can set it
}

type destinationsView struct {
	Node         string            `json:"node"` // as which breakers are seen
	From         *string           `json:"from"`
	To           *string           `json:"to"`
	More         bool              `json:"more"` // what was made before from is not counted
	Deliveries   int               `json:"deliveries"`
	Destinations []destinationView `json:"destinations"`
}

type destinationView struct {
	Destination  string                `json:"destination"`
	EndpointID   string                `json:"endpoint_id"` // "" = requests' own URLs
	Pending      int                   `json:"pending"`
	Held         int                   `json:"held"`
	Delivered    int                   `json:"delivered"`
	Dead         int                   `json:"dead"`
	Answers      percentilesView       `json:"answer_ms"`
	Breaker      string                `json:"breaker"` // "" = this node has sent nothing there lately
	BreakerUntil *string               `json:"breaker_until"`
	Room         int                   `json:"room"`
	Backlog      int                   `json:"backlog"`
	LastFailure  *sendingFailureView   `json:"last_failure"`
	Hours        []destinationHourView `json:"hours"`
}

type sendingFailureView struct {
	DeliveryID string       `json:"delivery_id"`
	At         *string      `json:"at"`
	Status     int          `json:"status"` // 0 = no answer
	Fault      kinora.Fault `json:"fault"`
	Error      string       `json:"error"`
}

type destinationHourView struct {
	At        *string         `json:"at"`
	Delivered int             `json:"delivered"`
	Failed    int             `json:"failed"`
	Answers   percentilesView `json:"answer_ms"`
}

func viewDestinations(r *kinora.DestinationReport) destinationsView {
	v := destinationsView{Node: r.Node, From: apiTime(r.From), To: apiTime(r.To), More: r.More, Deliveries: r.Deliveries, Destinations: make([]destinationView, len(r.Destinations))}
	for i := range r.Destinations {
		d := &r.Destinations[i]
		one := destinationView{
			Destination: d.Destination, EndpointID: d.EndpointID, Pending: d.Pending, Held: d.Held, Delivered: d.Delivered, Dead: d.Dead,
			Answers: viewPercentiles(d.Answers, milliseconds), Breaker: d.Breaker, BreakerUntil: apiTime(d.Until), Room: d.Room, Backlog: d.Backlog,
			Hours: make([]destinationHourView, len(d.Hours)),
		}
		if f := d.LastFailed; f != nil {
			one.LastFailure = &sendingFailureView{DeliveryID: f.DeliveryID, At: apiTime(f.At), Status: f.Status, Fault: f.Fault, Error: f.Error}
		}
		for n, h := range d.Hours {
			one.Hours[n] = destinationHourView{At: apiTime(h.At), Delivered: h.Delivered, Failed: h.Failed, Answers: viewPercentiles(h.Answers, milliseconds)}
		}
		v.Destinations[i] = one
	}
	return v
}
