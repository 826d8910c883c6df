package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/store"
)

// A trial is a test event: a genuine, signed one about a generation that never was, sent once and
// at once to show whether a receiver gets it.

const (
	// trialRate and trialBurst bound an organisation's trials on each node: otherwise whoever may
	// start one could use it to flood somebody.
	trialRate  = rate.Limit(10.0 / 60) // a second
	trialBurst = 5
	// trialsAtOnce bounds all of them; a receiver that hangs keeps one for the attempt's time-out.
	trialsAtOnce = 16
	// maxTrialList is how many trials are listed: the newest.
	maxTrialList = 100
)

// TrialPrefix begins the random part of a trial's job id. No generation's id does: where these
// have a T, ids have a digit from 0 to 7.
const TrialPrefix = "TEST"

// trials bounds test events.
type trials struct {
	atOnce chan struct{}

	mu    sync.Mutex
	byOrg map[string]*rate.Limiter // organisations that exist
}

func newTrials() *trials {
	return &trials{atOnce: make(chan struct{}, trialsAtOnce), byOrg: map[string]*rate.Limiter{}}
}

// admit takes one of an organisation's trials.
func (t *trials) admit(organisation string, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.byOrg[organisation]
	if l == nil {
		l = rate.NewLimiter(trialRate, trialBurst)
		t.byOrg[organisation] = l
	}
	if r := l.ReserveN(now, 1); r.DelayFrom(now) > 0 {
		wait := r.DelayFrom(now)
		r.CancelAt(now)
		return &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many test events", Hint: "an organisation may have ten a minute", RetryAfter: wait}
	}
	return nil
}

// SendTrial sends a test event and returns the receiver's answer, as soon as it is there. It
// goes the way of a delivery, by the same rules, and through the same guard; it is sent once,
// and logged.
//
// Errors: ErrNotFound, the organisation or the endpoint; ErrInvalid, where the URL is one that
// nothing is delivered to, or none is set; ErrRateLimited; ErrUnavailable. That the receiver
// fails is not an error.
func (s *Dispatcher) SendTrial(ctx context.Context, q kinora.TrialRequest) (*kinora.Trial, error) {
	if q.Endpoint == kinora.DefaultEndpointID(q.Organisation) {
		q.Endpoint = ""
	}
	sample, err := trialSample(q)
	if err != nil {
		return nil, err
	}
	address, err := s.trialAddress(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := s.trials.admit(q.Organisation, s.cfg.Now()); err != nil {
		return nil, err
	}
	select {
	case s.trials.atOnce <- struct{}{}:
		defer func() { <-s.trials.atOnce }()
	default:
		return nil, &kinora.Error{Code: kinora.ErrRateLimited, Message: "too many test events are under way", RetryAfter: time.Second}
	}
	now := s.cfg.Now()
	content := trialContent(q.Organisation, trialJob(now), id.New(id.Event, now), sample, now)
	d := &kinora.Delivery{ID: id.New(id.Delivery, now), EventID: content.Event.ID, EventType: content.Event.Type, OrganisationID: q.Organisation,
		GenerationID: content.Generation.ID, EndpointID: q.Endpoint, URL: address, CreatedAt: now}
	o, log, err := s.try(ctx, d, content)
	if err != nil {
		return nil, err
	}
	log.Sent.Sample = sample
	t := &kinora.Trial{Delivered: o.verdict == delivered, ID: d.ID, OrganisationID: q.Organisation, EndpointID: q.Endpoint, URL: address,
		EventID: d.EventID, JobID: d.GenerationID, CreatedAt: now}
	if t.Attempt, err = s.showTrial(t, *log); err != nil {
		return nil, err
	}
	s.metrics.trials.WithLabelValues(string(o.fault)).Inc()
	s.log.Info("test event", "delivery", d.ID, "organisation", q.Organisation, "status", o.status, "fault", string(o.fault))
	// The caller has gone when ctx has ended; what was sent is logged all the same.
	err = s.cfg.DB.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if err := tx.InsertTrial(t, log); err != nil {
			return err
		}
		return tx.Audit(kinora.AuditEndpointTest, q.Organisation, q.Endpoint, map[string]any{"url": kinora.AuditURL(address), "delivered": t.Delivered, "delivery": t.ID})
	})
	return t, err
}

// trialSample is what a trial tells of.
func trialSample(q kinora.TrialRequest) (string, error) {
	eventType := cmp.Or(q.EventType, kinora.EventCompleted)
	samples := kinora.TrialSamples(eventType)
	switch {
	case samples == nil:
		return "", kinora.FieldErrorf(kinora.ErrInvalid, "event_type", "event_type must be %s or %s", kinora.EventCompleted, kinora.EventFailed)
	case q.Sample == "":
		return samples[0], nil
	case !slices.Contains(samples, q.Sample):
		return "", kinora.FieldErrorf(kinora.ErrInvalid, "sample", "sample of %s must be one of %s", eventType, strings.Join(samples, ", "))
	}
	return q.Sample, nil
}

// trialAddress is where a trial goes, checked as if it were to be stored.
func (s *Dispatcher) trialAddress(ctx context.Context, q kinora.TrialRequest) (address string, err error) {
	if q.Endpoint != "" && q.URL != "" {
		return "", kinora.FieldErrorf(kinora.ErrInvalid, "url", "give endpoint_id or url, not both")
	}
	var org *kinora.Organisation
	err = s.cfg.DB.View(ctx, func(tx *store.Tx) error {
		if org, err = tx.Organisation(q.Organisation); errors.Is(err, store.ErrNotFound) {
			return kinora.Errorf(kinora.ErrNotFound, "organisation not found")
		}
		if err != nil || q.Endpoint == "" {
			return err
		}
		e, err := tx.Endpoint(q.Organisation, q.Endpoint)
		if errors.Is(err, store.ErrNotFound) {
			return kinora.FieldErrorf(kinora.ErrNotFound, "endpoint_id", "endpoint not found")
		}
		if err == nil {
			address = e.URL
		}
		return err
	})
	if err != nil {
		return "", err
	}
	switch {
	case q.URL != "":
		address = q.URL
	case q.Endpoint == "":
		address = org.DefaultWebhook
	}
	if address == "" {
		missing := kinora.FieldErrorf(kinora.ErrInvalid, "endpoint_id", "the organisation has no default callback URL")
		missing.Hint = "give url or endpoint_id"
		return "", missing
	}
	return address, s.Check(org, address)
}

// trialJob makes the id of a generation that never was.
func trialJob(now time.Time) string {
	return id.Task + TrialPrefix + strings.TrimPrefix(id.New(id.Task, now), id.Task)[len(TrialPrefix):]
}

// trialContent makes up that generation and its end. It is the same for the same arguments.
func trialContent(organisation, jobID, eventID, sample string, now time.Time) *store.EventContent {
	reference := "test-event"
	g := &kinora.Generation{ID: jobID, OrganisationID: organisation, State: kinora.GenerationSucceeded, Reference: &reference,
		Metadata: json.RawMessage(`{"test":true}`), CreatedAt: now, CompletedAt: now}
	content := &store.EventContent{
		Event:      &kinora.Event{ID: eventID, OrganisationID: organisation, GenerationID: jobID, Type: kinora.EventCompleted, CreatedAt: now},
		Generation: g,
	}
	made := strings.TrimPrefix(jobID, id.Task)
	image := kinora.Output{ID: id.Output + made, GenerationID: jobID, Role: "primary", BlobKey: "test-event/sample.png",
		Kind: kinora.KindImage, ContentType: "image/png", Width: 1024, Height: 1024, CreatedAt: now}
	switch sample {
	case "", "image":
		content.Outputs = []kinora.Output{image}
	case "images":
		second := image
		second.ID, second.Role = id.Output+"2"+made[1:], "alternate"
		content.Outputs = []kinora.Output{image, second}
	case "video":
		content.Outputs = []kinora.Output{{ID: image.ID, GenerationID: jobID, Role: "primary", BlobKey: "test-event/sample.mp4",
			Kind: kinora.KindVideo, ContentType: "video/mp4", Width: 1280, Height: 720, CreatedAt: now}}
	default:
		content.Event.Type, g.State = kinora.EventFailed, kinora.GenerationFailed
		g.Failure = kinora.NewFailure(kinora.FailureCode(sample), "This is a test event.")
	}
	return content
}

// try makes the one attempt, prepared as that of any delivery.
func (s *Dispatcher) try(ctx context.Context, d *kinora.Delivery, content *store.EventContent) (outcome, *kinora.DeliveryAttempt, error) {
	b := newBatch()
	b.disabledToo = true // it is what one wants to know before enabling
	j := &job{delivery: d, batch: b}
	s.load(b, []*job{j})
	if b.contents != nil {
		b.contents[d.EventID] = content
	}
	p, unready, early := b.parcel(d)
	if unready {
		return outcome{}, nil, kinora.Errorf(kinora.ErrUnavailable, "the test event could not be prepared; try again")
	}
	if early != nil {
		return *early, s.unsent(j, *early), nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.post, cancel)() // a stop breaks it off
	o, log := s.courier.attempt(ctx, p)
	if o.verdict == interrupted {
		return o, nil, kinora.Errorf(kinora.ErrUnavailable, "the test event was broken off")
	}
	return o, log, nil
}

// showTrial shows an attempt with what it sent, and notes what the trial told of.
func (s *Dispatcher) showTrial(t *kinora.Trial, a kinora.DeliveryAttempt) (kinora.LoggedAttempt, error) {
	content := trialContent(t.OrganisationID, t.JobID, t.EventID, a.Sent.Sample, t.CreatedAt)
	t.EventType, t.Sample = content.Event.Type, cmp.Or(a.Sent.Sample, kinora.TrialSamples(content.Event.Type)[0])
	d := &kinora.Delivery{ID: t.ID, EventID: t.EventID, EventType: t.EventType, URL: t.URL}
	body, err := SentBody(content, &a, s.cfg.FileURL)
	return kinora.LoggedAttempt{DeliveryAttempt: a, RequestHeaders: SentHeaders(d, &a), RequestBody: body}, err
}

// Trials lists the newest hundred test events of an organisation. Errors: ErrNotFound, the
// organisation; ErrUnavailable.
func (s *Dispatcher) Trials(ctx context.Context, organisation string) ([]*kinora.Trial, error) {
	var list []*kinora.Trial
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) error {
		if _, err := tx.Organisation(organisation); errors.Is(err, store.ErrNotFound) {
			return kinora.Errorf(kinora.ErrNotFound, "organisation not found")
		} else if err != nil {
			return err
		}
		trials, err := tx.Trials(organisation, maxTrialList)
		for _, t := range trials {
			attempts, err := tx.DeliveryAttempts(t.ID)
			if err != nil {
				return err
			}
			for _, a := range attempts { // one
				shown, err := s.showTrial(t, a)
				if err != nil {
					return err
				}
				t.Attempt, t.Delivered = shown, a.Fault == kinora.FaultNone && a.Status/100 == 2
				list = append(list, t)
			}
		}
		return err
	})
	return list, err
}
