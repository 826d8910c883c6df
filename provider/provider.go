// Package provider is the seam between the lifecycle and the upstreams: what a provider
// must translate, how it reports failure, and the one way it talks HTTP.
//
// A provider is a pure translation of one upstream's protocol. It never retries, sleeps,
// loops, logs, stores or counts: the lifecycle does that once, around all of them.
// Each provider lives in a folder of its own and passes providertest.
package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/kinora/kinora"
)

// Provider speaks one upstream's protocol. All methods are safe for concurrent use.
type Provider interface {
	// Name is the provider's word in configuration, metrics and callback paths: lower-case letters.
	Name() string
	// Describe returns the provider's constant facts.
	Describe() Description
	// Validate checks what the upstream documents and can be known before a paid call.
	// It does no I/O. Its error is an *Error of class Invalid whose Message names the
	// caller's field ("input.metadata.n must be between 1 and 4").
	Validate(req Request) error
	// Submit asks the upstream, once, to make what req says.
	//
	// A nil error means accepted. Otherwise an *Error; its class decides whether anything
	// may exist upstream: OutcomeUnknown means "perhaps", every other class "surely not".
	Submit(ctx context.Context, up Upstream, req Request) (Accepted, error)
	// Poll reads the state of jobs, all of one account: one or, where their Traits.BatchPoll
	// is above 1, up to that many in one HTTP call. It returns one Report per job in any
	// order, or an error that concerns the call as a whole. A job that the upstream does
	// not know may be left out: the lifecycle counts that as Gone, asks for it alone the
	// next time, and believes it after several. One that the upstream shows to be another
	// attempt's, by a reference of ours that is not its Job's, is left out: ids come from
	// unsigned callbacks and from people, too. All jobs of one call have the same Traits.Batch.
	Poll(ctx context.Context, up Upstream, jobs []Job) ([]Report, error)
}

// Canceler is a provider whose upstream can end a job early.
type Canceler interface {
	// Cancel ends the job upstream. ErrNotCancellable (by errors.Is) means that it runs on,
	// ErrResultLost that it had ended, and that its result went with the attempt.
	// It must never destroy the record of a finished job.
	Cancel(ctx context.Context, up Upstream, job Job) error
}

// Reconciler is a provider whose upstream can be asked, by an id of our own making,
// whether a submit whose answer was lost created anything.
type Reconciler interface {
	// Reconcile returns the accepted job, or ErrNotSubmitted (by errors.Is) when the
	// upstream is certain that it has none, or ErrUncertain (by errors.Is) when it shows
	// none and that proves nothing, or another error when it cannot be known now.
	Reconcile(ctx context.Context, up Upstream, req Request) (Accepted, error)
}

// Router is a provider that polls by what it chose from the request, such as a path: a
// callback names the job and cannot bring it.
type Router interface {
	// Route returns the Handle that an accepted submit of req has; nil = none.
	Route(req Request) json.RawMessage
}

// CallbackVerifier is a provider whose upstream calls back.
type CallbackVerifier interface {
	// VerifyCallback checks an inbound call on an attempt's own URL. An *Error of class
	// Credential means a bad signature, one of class Unavailable that it cannot be checked now:
	// the upstream is to call again. The Callback's answer tells the server what to
	// reply; its state is a hint only.
	VerifyCallback(up Upstream, in InboundCallback) (Callback, error)
}

// CallbackRegistrar is a CallbackVerifier some of whose accounts are never called back.
type CallbackRegistrar interface {
	// RegistersCallback tells whether a submit with that CallbackURL would give it to the account's
	// upstream. Where not, none is waited for.
	RegistersCallback(a Account, callbackURL string) bool
}

// Opener is a provider whose outputs can only be read with the account's key or are
// carried inside an answer. Others are downloaded through the guard without any key.
type Opener interface {
	// OpenOutput starts reading an output. The caller closes the body. A *Moved (by errors.As)
	// sends it elsewhere.
	OpenOutput(ctx context.Context, up Upstream, job Job, out Output) (*http.Response, error)
}

// Patient is a provider some of whose requests may take far longer than their model's
// deadline: those that ask for a slow, cheap tier.
type Patient interface {
	// Patience is how long the upstream may take over req before it gives up by itself; 0 =
	// no longer than usual. A generation's deadline is at least this long.
	Patience(req Request) time.Duration
}

// Splitter is a provider whose upstream makes fewer outputs in a call than a request may ask for.
type Splitter interface {
	// Parts is how many calls it takes to make all that req asks for, at least 1. Each becomes
	// an attempt of its own, whose Request tells by Part and Parts which share to ask for.
	Parts(req Request) int
}

// AccountChecker is a provider whose settings depend on each other.
type AccountChecker interface {
	// CheckAccount tells what is wrong with an account's settings as far as this machine can know;
	// it asks nobody. Its error is an *Error whose Message quotes no setting.
	CheckAccount(a Account) error
}

// ModelChecker is a provider whose models have to be configured in a certain way.
type ModelChecker interface {
	// CheckModel tells what is wrong with how one of the upstream's models is configured. Its error
	// is an *Error whose Message completes "model NAME …".
	CheckModel(upstreamModel string, kind kinora.Kind) error
}

// Description is a provider's constant facts.
type Description struct {
	// Traits tells how one of the upstream's models is reached. It answers for every
	// string, because models are configuration; nil = the zero Traits for all.
	Traits func(upstreamModel string) Traits
	// Models are the public models that an account at this provider offers without further
	// configuration; their Provider is left empty. An operator adds to them and replaces them.
	Models []kinora.Model
	// Poll are the upstream's own hints on pace, used until durations are learnt.
	Poll Pace
	// Hosts are the upstream's public addresses by region, the default first. Empty for an
	// upstream that an operator runs himself: its accounts name their address.
	Hosts []Host
	// Settings names the account settings that the provider reads, for doctor and docs.
	Settings []Setting
}

// Traits are the facts that differ between the models of one upstream.
type Traits struct {
	// Batch names the jobs that one Poll call may mix; different routes have different names.
	Batch string
	// BatchPoll is how many jobs one Poll call may name; 0 and 1 mean one.
	BatchPoll int
	// Callbacks says that the upstream takes a callback URL with a submit.
	Callbacks bool
	// Hints says that it takes this server's own, and that a caller's is not for it: callers
	// know the upstream as one that is polled. Where Callbacks is set it says nothing.
	Hints bool
	// Synchronous says that Submit may last as long as the generation itself, and that
	// its answer carries the outputs.
	Synchronous bool
	// Poll is the pace of the model's jobs where it is not the upstream's usual one; zero = that one.
	Poll Pace
}

// Host is a public address of an upstream.
type Host struct {
	Region  string // the word in an account's region, such as "global" or "china"
	BaseURL string // no trailing slash
}

// Model returns the traits of one of the upstream's models.
func (d Description) Model(upstreamModel string) Traits {
	if d.Traits == nil {
		return Traits{}
	}
	return d.Traits(upstreamModel)
}

// Host returns the address for a region, where empty means the default; false = none such.
func (d Description) Host(region string) (string, bool) {
	for _, h := range d.Hosts {
		if region == "" || h.Region == region {
			return h.BaseURL, true
		}
	}
	return "", false
}

// Pace is how often an upstream likes to be asked.
type Pace struct {
	First    time.Duration // from acceptance to the first look
	Interval time.Duration // least time between two looks at one job
	Ceiling  time.Duration // most time between two looks
}

// Setting is one key of an account's configuration.
type Setting struct {
	Name     string
	Meaning  string
	Required bool
	Secret   bool
}

// Account is one set of credentials and limits at a provider. However it is printed,
// logged or encoded, its settings stay out of it.
type Account struct {
	Name     string
	Provider string
	BaseURL  string            // no trailing slash
	Settings map[string]string `json:"-"` // by Setting.Name; includes secrets
}

// String names the account, as "provider/name".
func (a Account) String() string { return a.Provider + "/" + a.Name }

// Format prints the account's name under every verb: %+v and %#v would otherwise show its
// settings, String or not.
func (a Account) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), a.String())
}

// LogValue is the account's name.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Upstream is an account and the client to reach it with.
type Upstream struct {
	Account Account
	// Client does not follow redirects, so that a key never travels to another origin.
	Client *http.Client
	// Sources opens the files that a caller named by URL; set for Submit calls.
	Sources Sources
}

// Request is one generation as a provider sees it.
type Request struct {
	ClientRef     string // unique per attempt, of our own making: letters, digits, "_"
	Model         string // the public name, for messages
	UpstreamModel string // the upstream's id for it
	Kind          kinora.Kind
	Prompt        string
	Size          string   // "WxH", "W:H", "auto" or empty
	Images        []string // http(s) URLs
	ImageItems    int      // how many the caller's list had, for limits on that alone; 0 = len(Images)
	Duration      int      // seconds; 0 = default
	// Part is which share of the outputs this call is to ask for, 0-based, of Parts, as the
	// provider's Splitter has counted them. Parts of 0 and 1 mean all.
	Part, Parts int
	// Metadata are the caller's own fields for this model, without callback_url. What a
	// provider does not know it passes through in the upstream's own shape.
	Metadata map[string]json.RawMessage
	// CallbackURL is what the upstream is to call: the caller's own URL byte for byte, or
	// ours with the attempt's token, or empty.
	CallbackURL string
	// SubmittedAt is when the intent was committed; a Reconciler takes nothing older.
	SubmittedAt time.Time
	// Sink takes outputs that come inside the answer of a submit; set for Submit only.
	Sink Sink
	// Progress tells, in percent, how far a submit is that lasts as long as its generation.
	// It may be called as often as the upstream speaks, and never fails. nil = nobody asks.
	Progress func(percent int)
}

// Accepted is a submit that the upstream took.
type Accepted struct {
	UpstreamID string
	Handle     json.RawMessage // what Poll needs beside the id, e.g. a path; nil = nothing
	PollAfter  time.Duration   // the upstream's own wish; 0 = none
	// Report, when not nil, is the end that came with the answer (synchronous upstreams).
	Report *Report
}

// Job is an accepted attempt that is to be looked at.
type Job struct {
	UpstreamID    string
	Handle        json.RawMessage
	ClientRef     string
	UpstreamModel string
	Kind          kinora.Kind
}

// State is a job's state in the words that all upstreams are mapped to.
type State string

const (
	StateQueued    State = "queued"
	StateRunning   State = "running" // also every word that the provider does not know
	StateSucceeded State = "succeeded"
	StateFailed    State = "failed"
	StateCancelled State = "cancelled"
	StateExpired   State = "expired" // the upstream gave up on time, or its record is gone
)

// Final reports whether the upstream will not change the state any more.
func (s State) Final() bool {
	return s == StateSucceeded || s == StateFailed || s == StateCancelled || s == StateExpired
}

// Report is what one look told about one job.
type Report struct {
	UpstreamID string
	State      State
	Progress   int           // 0..100; -1 = the upstream does not tell
	PollAfter  time.Duration // the upstream's own wish; 0 = none
	Outputs    []Output      // when succeeded
	Err        *Error        // when failed or expired: why
}

// Output is a file at the upstream.
type Output struct {
	URL    string          `json:"url,omitempty"`
	Kind   kinora.Kind     `json:"kind"`
	Handle json.RawMessage `json:"handle,omitempty"` // for an Opener
	Kept   *Kept           `json:"kept,omitempty"`   // by a Sink: nothing is to be fetched
}

// InboundCallback is a call that came in on an attempt's own URL.
type InboundCallback struct {
	Method  string
	Path    string // of the URL as registered with the upstream
	Query   string // raw, of the URL as registered
	Header  http.Header
	Body    []byte
	Arrived time.Time
	// UpstreamModel is the attempt's, for upstreams that call back in several ways.
	UpstreamModel string
	// Settled tells whether the submit call of the attempt has returned already.
	Settled bool
}

// Callback is what a verified inbound call means.
type Callback struct {
	UpstreamID string          // empty when the body does not say
	Handle     json.RawMessage // as in Accepted
	Verified   bool            // a signature was there and is good
	// Answer is the body to reply with under status 200 (a challenge's echo); nil = empty.
	Answer json.RawMessage
	// Hint says that the job may have ended, so that it should be looked at now. It is false
	// where the body says, in a word that the upstream documents, that the job goes on: asking
	// would tell no more. UpstreamID then still proves that the job exists.
	Hint bool
	// Delivery names the call so that a repetition, the sender's or a replayer's, has the same
	// name. It is covered by the signature. Empty = the upstream signs none.
	Delivery string
	// Doubt is what is odd about a call that is taken all the same, for the log; it quotes nothing
	// of the call. Empty = nothing is.
	Doubt string
}
