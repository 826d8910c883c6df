package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/id"
	"github.com/kinora/kinora/internal/media"
	"github.com/kinora/kinora/internal/netguard"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

const (
	// collectJobs bounds the attempts of a lane whose outputs are copied at once. A copy
	// waits for the network and the disk and holds a buffer of some kilobytes.
	collectJobs = 64
	// collectTries is how often an upstream may fail to hand out an output before the
	// generation fails. Waits double from a second to two minutes: about ten minutes in all.
	collectTries = 12
)

// collectLoop copies the outputs of a lane's finished attempts into our storage.
func (e *Engine) collectLoop(l *lane) {
	var jobs atomic.Int64
	for {
		claimed, err := e.claim(l, kinora.AttemptCollecting, collectJobs-int(jobs.Load()))
		if err != nil && e.run.Err() == nil {
			e.log.Warn("claiming finished attempts failed", "lane", l.name, "error", err)
			e.metrics.databaseErrors.Inc()
		}
		for _, a := range claimed {
			jobs.Add(1)
			e.take([]*kinora.Attempt{a}, func() {
				e.collect(l, a)
				jobs.Add(-1)
				l.collect.ring()
			})
		}
		if len(claimed) > 0 && e.run.Err() == nil {
			continue
		}
		if !e.sleep(l.collect, e.nextDue(l, kinora.AttemptCollecting, err)) {
			return
		}
	}
}

// collect copies all outputs of one attempt, has them judged, and ends it.
func (e *Engine) collect(l *lane, a *kinora.Attempt) {
	g, err := e.readGeneration(a.GenerationID)
	if err != nil {
		e.collectLater(a, time.Second)
		return
	}
	if g.State.Terminal() {
		e.drop(a)
		return
	}
	acc := e.accounts[a.Account]
	var wanted []provider.Output
	if acc == nil {
		// The output has been paid for; its account may be configured again.
		e.collectLater(a, time.Minute)
		return
	}
	if err := json.Unmarshal(a.Result, &wanted); err != nil || len(wanted) == 0 {
		e.fail(g, a, kinora.FailureInternal, "the outputs could not be collected")
		return
	}
	if a.ReadErrors > 0 && wanted[0].Kept == nil {
		// Output URLs die; many upstreams hand out fresh ones when asked again.
		wanted = e.freshOutputs(l, acc, a, wanted)
	}
	outputs := make([]kinora.Output, 0, len(wanted))
	for i, w := range wanted {
		o, err := e.copyOutput(l, acc, g, a, i, w)
		if err != nil {
			e.collectFailed(g, a, outputs, err)
			return
		}
		outputs = append(outputs, *o)
	}
	if g.Plan.Gate != nil {
		if err := e.judge(g, outputs); err != nil {
			e.judgeLater(a, outputs, err)
			return
		}
	}
	if !e.finish(g, a, conclusion{outputs: outputs}) {
		e.discard(a, outputs)
	}
}

// judge has outputs held against their plan's gate.
func (e *Engine) judge(g *kinora.Generation, outputs []kinora.Output) error {
	if e.cfg.Judge == nil {
		return errors.New("nothing can judge outputs")
	}
	ctx, cancel := context.WithTimeout(e.work, e.timing.Judge)
	defer cancel()
	for i := range outputs {
		o := &outputs[i]
		verdict, err := e.cfg.Judge.Judge(ctx, g, o, func(ctx context.Context) (io.ReadSeekCloser, error) { return e.cfg.Blob.Open(ctx, o.BlobKey) })
		if err != nil {
			return err
		}
		if o.Verdict = &verdict; !verdict.Passed {
			o.State = kinora.OutputRejected
		}
	}
	return nil
}

// gateAway stands in an attempt's error code while its outputs cannot be judged.
const gateAway = "gate"

// judgeLater plans another try after one at which the outputs could not be judged. Only the
// deadline ends them: nothing is known against what they show. They are in storage, and not
// fetched again.
func (e *Engine) judgeLater(a *kinora.Attempt, outputs []kinora.Output, err error) {
	e.log.Warn("outputs could not be judged; it is tried again", "attempt", a.ID(), "error", err)
	e.metrics.judgeErrors.Inc()
	if a.ErrorCode != gateAway {
		a.ReadErrors = 0
	}
	kept := make([]provider.Output, len(outputs))
	for i, o := range outputs {
		kept[i] = provider.Output{Kind: o.Kind, Kept: &provider.Kept{Key: o.BlobKey, ContentType: o.ContentType, Bytes: o.Bytes, SHA256: o.SHA256}}
	}
	a.Result = encodeResult(kept)
	a.ReadErrors = min(a.ReadErrors+1, 20)
	a.ErrorClass, a.ErrorCode, a.ErrorMessage = string(provider.Unavailable), gateAway, "the quality gate could not be asked"
	e.collectLater(a, e.backoff(a.ReadErrors, time.Second, 2*time.Minute, 0))
}

// discard removes copies that nothing will refer to: those of an attempt that has ended
// without them. Another finish may have won with the same keys, and another node may be at
// it: those stay.
func (e *Engine) discard(a *kinora.Attempt, outputs []kinora.Output) {
	if e.work.Err() != nil {
		return // what is left over is found by the orphan sweep
	}
	var known []kinora.Output
	err := e.db.View(e.work, func(tx *store.Tx) error {
		list, err := tx.Attempts(a.GenerationID)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(list, func(b *kinora.Attempt) bool { return b.Ordinal == a.Ordinal }); i >= 0 && !list[i].State.Terminal() {
			known = outputs
			return nil
		}
		known, err = tx.Candidates(a.GenerationID)
		return err
	})
	if err != nil {
		return
	}
	for _, o := range outputs {
		if slices.ContainsFunc(known, func(k kinora.Output) bool { return k.BlobKey == o.BlobKey }) {
			continue
		}
		if err := e.cfg.Blob.Delete(e.work, o.BlobKey); err != nil {
			e.log.Warn("a discarded output was not removed", "generation", a.GenerationID, "error", err)
		}
	}
}

func (e *Engine) freshOutputs(l *lane, acc *account, a *kinora.Attempt, old []provider.Output) []provider.Output {
	ctx, cancel := context.WithTimeout(e.work, e.timing.Poll)
	defer cancel()
	reports, err := l.provider.Poll(ctx, e.upstream(acc), []provider.Job{e.job(a)})
	if err != nil || len(reports) != 1 || reports[0].State != provider.StateSucceeded || len(reports[0].Outputs) != len(old) {
		return old
	}
	return reports[0].Outputs
}

// storageError marks failures of our own storage: they say nothing about the upstream.
type storageError struct{ err error }

func (s storageError) Error() string { return "output storage: " + s.err.Error() }
func (s storageError) Unwrap() error { return s.err }

// copyOutput streams one output into storage, unless it is there already, and finds out what it is.
func (e *Engine) copyOutput(l *lane, acc *account, g *kinora.Generation, a *kinora.Attempt, place int, w provider.Output) (*kinora.Output, error) {
	ctx, cancel := context.WithTimeout(e.work, e.timing.Collect)
	defer cancel()
	stored := &keptOutput{kind: w.Kind}
	if w.Kept != nil {
		stored.Kept = *w.Kept
	} else {
		res, err := e.openOutput(ctx, l, acc, a, w)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		stalled := time.AfterFunc(e.timing.Stall, cancel)
		defer stalled.Stop()
		source := &bounded{r: res.Body, limit: e.cfg.MaxOutput, moved: func() { stalled.Reset(e.timing.Stall) }}
		if stored, err = e.storeOutput(ctx, g, a, place, source); err != nil {
			return nil, err
		}
	}
	facts, err := e.probe(ctx, stored.Key)
	if w.Kept != nil && errors.Is(err, blob.ErrNotFound) {
		return nil, provider.Errorf(provider.Generation, "the output is not in storage any more")
	}
	if err != nil {
		return nil, err
	}
	width, height := facts.DisplaySize()
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &kinora.Output{
		// The same at every copy, so that a checker that is asked again knows what about.
		ID: id.Derived(id.Output, a.CreatedAt, fmt.Sprint(a.ID(), "/", place)), GenerationID: g.ID, Attempt: a.Ordinal, Place: place, State: kinora.OutputCandidate, Ordinal: -1,
		BlobKey: stored.Key, Kind: stored.kind, ContentType: stored.ContentType, Bytes: stored.Bytes, SHA256: stored.SHA256,
		Width: width, Height: height, Duration: facts.Duration, CreatedAt: now,
	}, nil
}

// probe reads dimensions and duration from the stored copy. A file that is damaged is
// the upstream's failure.
func (e *Engine) probe(ctx context.Context, key string) (media.Properties, error) {
	obj, err := e.cfg.Blob.Open(ctx, key)
	if err != nil {
		return media.Properties{}, storageError{err}
	}
	defer obj.Close()
	facts, err := media.Probe(obj)
	switch {
	case errors.Is(err, media.ErrFormat), errors.Is(err, media.ErrTruncated):
		return facts, provider.Errorf(provider.Generation, "the output is damaged")
	case err != nil:
		return facts, storageError{err}
	}
	return facts, nil
}

// openOutput starts the download: with the account's key where only that opens it,
// directly where the URL lies on the account's own configured host, and through the
// guard, without any key, everywhere else.
func (e *Engine) openOutput(ctx context.Context, l *lane, acc *account, a *kinora.Attempt, w provider.Output) (*http.Response, error) {
	if opener, ok := l.provider.(provider.Opener); ok && len(w.Handle) > 0 {
		res, err := opener.OpenOutput(ctx, e.upstream(acc), e.job(a), w)
		var moved *provider.Moved
		switch {
		case err == nil:
			return res, nil
		case !errors.As(err, &moved):
			return nil, provider.AsError(err, provider.Unavailable)
		}
		w.URL = moved.URL
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL, nil)
	if err != nil {
		return nil, provider.Errorf(provider.Generation, "the output has no usable address")
	}
	client := e.cfg.Downloads
	if sameOrigin(w.URL, acc.BaseURL) {
		client = e.cfg.Upstreams
	}
	res, err := client.Do(req)
	if err != nil {
		// Cause drops the URL, which is signed, from the error.
		return nil, &provider.Error{Class: provider.Unavailable, Message: "the output could not be downloaded", Err: netguard.Cause(err)}
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		class := provider.Unavailable
		if res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone || res.StatusCode == http.StatusForbidden {
			class = provider.Gone
		}
		return nil, &provider.Error{Class: class, HTTPStatus: res.StatusCode, Message: fmt.Sprintf("the output's address answered with status %d", res.StatusCode)}
	}
	return res, nil
}

func sameOrigin(raw, base string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	b, err := url.Parse(base)
	return err == nil && u.User == nil && strings.EqualFold(u.Scheme, b.Scheme) && strings.EqualFold(u.Host, b.Host) && u.Host != ""
}

// collectFailed plans another try, or ends the generation when the upstream has had enough.
func (e *Engine) collectFailed(g *kinora.Generation, a *kinora.Attempt, stored []kinora.Output, err error) {
	var ours storageError
	if errors.As(err, &ours) {
		// The output is paid for and waits upstream: a full disk must not lose it.
		e.log.Error("an output could not be stored; it is tried again", "attempt", a.ID(), "error", err)
		a.ErrorMessage = "output storage is not available"
		e.collectLater(a, e.backoff(3, time.Second, 30*time.Second, 0))
		return
	}
	pe := provider.AsError(err, provider.Unavailable)
	if a.ErrorCode == gateAway {
		a.ReadErrors = 0
	}
	e.countReadError(a, pe)
	// Gone can mean a URL that has just died: asked again, the upstream may hand out another.
	hopeless := pe.Class == provider.Generation || pe.Class == provider.Gone && a.ReadErrors >= goneLooks
	if a.ReadErrors < collectTries && !hopeless {
		e.log.Warn("an output could not be fetched; it is tried again", "attempt", a.ID(), "tries", a.ReadErrors, "error", err)
		e.collectLater(a, e.backoff(a.ReadErrors, time.Second, 2*time.Minute, pe.RetryAfter))
		return
	}
	e.failJob(g, a, pe.Class, kinora.FailureUpstream, "the outputs could not be fetched from the upstream")
	e.discard(a, stored)
}

func (e *Engine) collectLater(a *kinora.Attempt, wait time.Duration) {
	a.LeaseOwner, a.DueAt = "", time.Now().Add(wait)
	err := e.persist("collecting attempt", storeSave(a, kinora.AttemptCollecting))
	e.logLost("collecting attempt", a, err)
}

// bounded refuses to pass on more than the limit, and keeps the source's own failure, to
// tell it from the storage's.
type bounded struct {
	r     io.Reader
	n     int64
	limit int64
	moved func() // called when bytes have come
	err   error
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if n > 0 {
		b.moved()
	}
	if b.n > b.limit {
		err = provider.Errorf(provider.Generation, "the output is larger than the configured limit")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
