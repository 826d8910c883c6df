package server

import (
	"encoding/json"
	"time"

	"github.com/kinora/kinora"
)

// What the admin API shows. No view has a field for a key's hash, a callback token, or what a provider keeps to find a job
// again: those can be secrets.

type organisationList struct {
	Organisations []organisationView `json:"organisations"`
	Truncated     bool               `json:"truncated"` // there are more
}

type organisationView struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	DefaultWebhook string   `json:"default_webhook"` // "" = none
	WebhookHosts   []string `json:"webhook_hosts"`
	OperatorHook   string   `json:"operator_hook"` // "" = none
	Disabled       bool     `json:"disabled"`
	CreatedAt      *string  `json:"created_at"`

	Allowance allowanceView `json:"allowance"`
}

// allowanceView shows what differs from what the server allows everybody.
type allowanceView struct {
	Limits       map[string]int `json:"limits"`
	JobsInFlight *int           `json:"in_flight_jobs"` // null = the server's number
	Budget       *kinora.Money  `json:"budget_usd"`     // null = none
	Included     int64          `json:"included"`
}

func viewAllowance(a kinora.Allowance) allowanceView {
	v := allowanceView{Limits: a.Limits, JobsInFlight: a.JobsInFlight, Budget: a.Budget, Included: a.Included}
	if v.Limits == nil {
		v.Limits = map[string]int{}
	}
	return v
}

type newOrganisationView struct {
	organisationView
	WebhookSecret secretView `json:"webhook_secret"`
}

func viewOrganisation(o *kinora.Organisation) organisationView {
	return organisationView{
		ID: o.ID, Name: o.Name, DefaultWebhook: o.DefaultWebhook, WebhookHosts: append([]string{}, o.WebhookHosts...),
		OperatorHook: o.OperatorHook, Disabled: o.Disabled, CreatedAt: apiTime(o.CreatedAt),
		Allowance: viewAllowance(o.Allowance),
	}
}

type secretList struct {
	WebhookSecrets []secretView `json:"webhook_secrets"`
	Truncated      bool         `json:"truncated"`
}

type secretView struct {
	ID        string  `json:"id"`
	Secret    string  `json:"secret,omitempty"` // shown once, where it was made
	CreatedAt *string `json:"created_at"`
	ExpiresAt *string `json:"expires_at"` // null = the current one
}

func viewSecret(s *kinora.WebhookSecret, reveal bool) secretView {
	v := secretView{ID: s.ID, CreatedAt: apiTime(s.CreatedAt), ExpiresAt: apiTime(s.ExpiresAt)}
	if reveal {
		v.Secret = s.Text
	}
	return v
}

type generationView struct {
	ID             string                 `json:"id"`
	OrganisationID string                 `json:"organisation_id"`
	Surface        kinora.Surface         `json:"surface"`
	Model          string                 `json:"model"`
	Kind           kinora.Kind            `json:"kind"`
	State          kinora.GenerationState `json:"state"`
	Progress       int                    `json:"progress"`
	Input          inputView              `json:"input"`
	Reference      *string                `json:"reference"`
	Metadata       json.RawMessage        `json:"metadata"`
	Webhook        string                 `json:"webhook"` // of this generation only; "" = the organisation's default
	Failure        *kinora.Failure        `json:"failure"`
	SourceAssetID  *string                `json:"source_asset_id"` // null = none
	ParentID       *string                `json:"parent_id"`       // that it was made anew from
	Regenerated    []relativeView         `json:"regenerated_as"`
	SubmittedBy    *actorView             `json:"submitted_by"`    // null = one of the organisation's keys
	IdempotencyKey *string                `json:"idempotency_key"` // known for a day
	Price          kinora.Money           `json:"price_usd"`       // what it costs if it succeeds
	Entry          *entryView             `json:"usage_entry"`     // null unless it succeeded
	Event          *eventView             `json:"event"`           // null until it has ended
	Outputs        []adminOutputView      `json:"outputs"`
	Attempts       []attemptView          `json:"attempts"`
	Reviews        []reviewView           `json:"reviews"`
	CreatedAt      *string                `json:"created_at"`
	UpdatedAt      *string                `json:"updated_at"`
	CompletedAt    *string                `json:"completed_at"`
	DeadlineAt     *string                `json:"deadline_at"`
}

// relativeView is a generation that another one names.
type relativeView struct {
	ID    string                 `json:"id"`
	State kinora.GenerationState `json:"state"`
}

type actorView struct {
	Kind kinora.ActorKind `json:"kind"`
	ID   string           `json:"id"`
	Name string           `json:"name"`
}

type entryView struct {
	ID        string           `json:"id"`
	Type      kinora.UsageType `json:"type"`
	Billable  bool             `json:"billable"`
	Amount    kinora.Money     `json:"amount_usd"`
	CreatedAt *string          `json:"created_at"`
}

type eventView struct {
	ID        string           `json:"id"`
	Type      kinora.EventType `json:"type"`
	CreatedAt *string          `json:"created_at"`
}

// inputView leaves out the query of every URL: that is where signatures stand.
type inputView struct {
	Prompt      string                     `json:"prompt"`
	Size        string                     `json:"size"`
	Images      []string                   `json:"images"`
	Duration    int                        `json:"duration"`
	Metadata    map[string]json.RawMessage `json:"metadata"`
	CallbackURL string                     `json:"callback_url"`
}

type adminOutputView struct {
	ID          string             `json:"id"`
	Attempt     string             `json:"attempt"` // its id
	State       kinora.OutputState `json:"state"`
	Role        *string            `json:"role"`    // null = not published
	Verdict     *kinora.Verdict    `json:"verdict"` // null = not judged
	Kind        kinora.Kind        `json:"kind"`
	ContentType string             `json:"content_type"`
	Bytes       int64              `json:"bytes"`
	SHA256      string             `json:"sha256"`
	Width       int                `json:"width"`
	Height      int                `json:"height"`
	DurationMS  int64              `json:"duration_ms"`
	Key         string             `json:"key"` // in storage
	URL         *string            `json:"url"` // signed; null = the file is not kept
	PreviewURL  *string            `json:"preview_url"`
	RemovedAt   *string            `json:"removed_at"` // null = the file is kept
}

type attemptView struct {
	ID            string              `json:"id"`
	State         kinora.AttemptState `json:"state"`
	Part          int                 `json:"part"`
	Parts         int                 `json:"parts"`
	Round         int                 `json:"round"`
	Route         int                 `json:"route"`
	Failure       *kinora.Failure     `json:"failure"`
	Provider      string              `json:"provider"`
	Account       string              `json:"account"` // "" while it waits for one
	UpstreamModel string              `json:"upstream_model"`
	UpstreamID    string              `json:"upstream_id"`
	ContestedID   string              `json:"contested_id"` // named for it although another attempt has it; "" = none
	Callback      kinora.CallbackMode `json:"callback"`
	Tries         int                 `json:"tries"`
	Polls         int                 `json:"polls"`
	ReadErrors    int                 `json:"read_errors"`
	ErrorClass    string              `json:"error_class"`
	ErrorCode     string              `json:"error_code"`
	ErrorMessage  string              `json:"error_message"`
	Node          string              `json:"node"` // that works on it now; "" = none
	DueAt         *string             `json:"due_at"`
	CreatedAt     *string             `json:"created_at"`
	SubmittedAt   *string             `json:"submitted_at"`
	AcceptedAt    *string             `json:"accepted_at"`
	DoneAt        *string             `json:"done_at"`
	FinishedAt    *string             `json:"finished_at"`
	DeadlineAt    *string             `json:"deadline_at"`
}

func viewGeneration(h *kinora.History, origin *kinora.Origin) generationView {
	g, outputs, attempts := h.Generation, h.Outputs, h.Attempts
	v := generationView{
		ID: g.ID, OrganisationID: g.OrganisationID, Surface: g.Surface, Model: g.Model, Kind: g.Kind, State: g.State, Progress: g.Progress,
		Input: inputView{
			Prompt: g.Input.Prompt, Size: g.Input.Size, Images: make([]string, len(g.Input.Images)), Duration: g.Input.Duration,
			Metadata: g.Input.Metadata, CallbackURL: kinora.ShownURL(g.Input.CallbackURL),
		},
		Reference: g.Reference, Metadata: g.Metadata, Webhook: kinora.ShownURL(g.WebhookURL), Failure: g.Failure,
		SourceAssetID: optional(g.SourceAssetID), ParentID: optional(g.ParentID), IdempotencyKey: optional(origin.IdempotencyKey), Price: g.Price,
		Regenerated: []relativeView{}, Outputs: make([]adminOutputView, len(outputs)), Attempts: make([]attemptView, len(attempts)), Reviews: []reviewView{},
		CreatedAt: apiTime(g.CreatedAt), UpdatedAt: apiTime(g.UpdatedAt), CompletedAt: apiTime(g.CompletedAt), DeadlineAt: apiTime(g.DeadlineAt),
	}
	for i, image := range g.Input.Images {
		v.Input.Images[i] = kinora.ShownURL(image)
	}
	for _, r := range origin.Regenerations {
		v.Regenerated = append(v.Regenerated, relativeView(r))
	}
	if by := origin.By; by != nil {
		v.SubmittedBy = &actorView{Kind: by.Kind, ID: by.ID, Name: by.Name}
	}
	if e := h.Entry; e != nil {
		v.Entry = &entryView{ID: e.ID, Type: e.Type, Billable: e.Billable, Amount: e.Amount, CreatedAt: apiTime(e.CreatedAt)}
	}
	if e := h.Event; e != nil {
		v.Event = &eventView{ID: e.ID, Type: e.Type, CreatedAt: apiTime(e.CreatedAt)}
	}
	for _, r := range h.Reviews {
		v.Reviews = append(v.Reviews, viewReview(r))
	}
	if v.Input.Metadata == nil {
		v.Input.Metadata = map[string]json.RawMessage{}
	}
	for i, o := range outputs {
		v.Outputs[i] = adminOutputView{
			ID: o.ID, Attempt: (&kinora.Attempt{GenerationID: g.ID, Ordinal: o.Attempt}).ID(), State: o.State, Verdict: o.Verdict, RemovedAt: apiTime(o.RemovedAt), Kind: o.Kind, ContentType: o.ContentType, Bytes: o.Bytes, SHA256: o.SHA256,
			Width: o.Width, Height: o.Height, DurationMS: o.Duration.Milliseconds(), Key: o.BlobKey,
		}
		if o.State == kinora.OutputPublished {
			v.Outputs[i].Role = &o.Role
		}
	}
	for i, a := range attempts {
		v.Attempts[i] = viewAttempt(a)
	}
	return v
}

func viewAttempt(a *kinora.Attempt) attemptView {
	return attemptView{
		ID: a.ID(), State: a.State, Part: a.Part, Parts: max(1, a.Parts), Round: a.Round, Route: a.Route, Failure: a.Failure, Provider: a.Provider, Account: a.Account, UpstreamModel: a.UpstreamModel, UpstreamID: a.UpstreamID,
		ContestedID: a.ContestedID, Callback: a.CallbackMode, Tries: a.Tries, Polls: a.Polls, ReadErrors: a.ReadErrors,
		ErrorClass: a.ErrorClass, ErrorCode: a.ErrorCode, ErrorMessage: a.ErrorMessage, Node: a.LeaseOwner,
		DueAt: apiTime(a.DueAt), CreatedAt: apiTime(a.CreatedAt), SubmittedAt: apiTime(a.SubmittedAt), AcceptedAt: apiTime(a.AcceptedAt),
		DoneAt: apiTime(a.DoneAt), FinishedAt: apiTime(a.FinishedAt), DeadlineAt: apiTime(a.DeadlineAt),
	}
}

type deliveryList struct {
	Deliveries []deliveryView `json:"deliveries"`
	Truncated  bool           `json:"truncated"`
}

// deliveryPage is a page of a search.
type deliveryPage struct {
	Deliveries []deliverySummary `json:"deliveries"`
	NextCursor *string           `json:"next_cursor"` // null = that was all
}

type deliverySummary struct {
	ID             string               `json:"id"`
	EventID        string               `json:"event_id"`
	EventType      kinora.EventType     `json:"event_type"`
	OrganisationID string               `json:"organisation_id"`
	GenerationID   string               `json:"generation_id"`
	EndpointID     string               `json:"endpoint_id"` // "" = the request's own URL, or the operator hook
	URL            string               `json:"url"`
	State          kinora.DeliveryState `json:"state"`
	AttemptCount   int                  `json:"attempt_count"`
	LastStatus     int                  `json:"last_status"` // 0 = none
	LastError      string               `json:"last_error"`
	DueAt          *string              `json:"due_at"`
	CreatedAt      *string              `json:"created_at"`
	FinishedAt     *string              `json:"finished_at"`
}

type deliveryView struct {
	deliverySummary
	Attempts []deliveryAttemptView `json:"attempts"` // the newest hundred, oldest first
}

// deliveryAttemptView gives times in milliseconds; those of a connection that was reused are 0.
type deliveryAttemptView struct {
	Number       int          `json:"number"`
	StartedAt    *string      `json:"started_at"`
	DurationMS   float64      `json:"duration_ms"`
	Status       int          `json:"status"` // 0 = no answer
	Fault        kinora.Fault `json:"fault"`  // "" = none
	Error        string       `json:"error"`
	Address      string       `json:"address"`
	DNSMS        float64      `json:"dns_ms"`
	ConnectMS    float64      `json:"connect_ms"`
	TLSMS        float64      `json:"tls_ms"`
	FirstByteMS  float64      `json:"first_byte_ms"`
	ResponseHead string       `json:"response_head"`
	Response     string       `json:"response"`
	NextAt       *string      `json:"next_at"`
	Request      *requestView `json:"request,omitempty"` // of one delivery only
}

// requestView is what an attempt sent.
type requestView struct {
	Headers    []kinora.HeaderLine `json:"headers"`
	Body       string              `json:"body"` // "" = its generation is no longer known
	BodyBytes  int                 `json:"body_bytes"`
	BodySHA256 string              `json:"body_sha256"` // base64 without padding, of what was sent
}

func viewRequest(a *kinora.LoggedAttempt) *requestView {
	if a.Sent.IsZero() {
		return nil
	}
	return &requestView{Headers: a.RequestHeaders, Body: a.RequestBody, BodyBytes: a.Sent.BodyBytes, BodySHA256: a.Sent.BodySHA256}
}

func summariseDelivery(d *kinora.Delivery) deliverySummary {
	return deliverySummary{
		ID: d.ID, EventID: d.EventID, EventType: d.EventType, OrganisationID: d.OrganisationID, GenerationID: d.GenerationID, EndpointID: d.EndpointID, URL: kinora.ShownURL(d.URL),
		State: d.State, AttemptCount: d.Attempts, LastStatus: d.LastStatus, LastError: d.LastError,
		DueAt: apiTime(d.DueAt), CreatedAt: apiTime(d.CreatedAt), FinishedAt: apiTime(d.FinishedAt),
	}
}

func viewDelivery(d *kinora.Delivery, attempts []kinora.DeliveryAttempt) deliveryView {
	v := deliveryView{deliverySummary: summariseDelivery(d), Attempts: make([]deliveryAttemptView, len(attempts))}
	for i := range attempts {
		v.Attempts[i] = viewDeliveryAttempt(&attempts[i])
	}
	return v
}

func viewDeliveryAttempt(a *kinora.DeliveryAttempt) deliveryAttemptView {
	return deliveryAttemptView{
		Number: a.Number, StartedAt: apiTime(a.StartedAt), DurationMS: milliseconds(a.Duration), Status: a.Status, Fault: a.Fault, Error: a.Error,
		Address: a.Address, DNSMS: milliseconds(a.DNS), ConnectMS: milliseconds(a.Connect), TLSMS: milliseconds(a.TLS),
		FirstByteMS: milliseconds(a.FirstByte), ResponseHead: a.ResponseHead, Response: a.Response, NextAt: apiTime(a.NextAt),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
