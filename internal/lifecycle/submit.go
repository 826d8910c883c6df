package lifecycle

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

const (
	// submitBatch bounds how many attempts one claim takes, and so how long its commit is.
	submitBatch = 100
	// submitCalls bounds the submit calls that a lane has open at once. Calls that hang fill
	// their own lane's share and nobody else's.
	submitCalls = 128
	// maxTries is how often an upstream may be unavailable, with nothing created, before the
	// generation fails. Waits double from a second to a minute: about five minutes in all.
	maxTries = 10
)

// submitLoop claims queued attempts of a lane as slots allow and calls the upstream for each.
func (e *Engine) submitLoop(l *lane) {
	var open atomic.Int64
	for {
		claimed, err := e.claimQueued(l, submitCalls-int(open.Load()))
		if err != nil && e.run.Err() == nil {
			e.log.Warn("claiming queued attempts failed", "lane", l.name, "error", err)
			e.metrics.databaseErrors.Inc()
		}
		for _, a := range claimed {
			open.Add(1)
			e.take([]*kinora.Attempt{a}, func() {
				e.submit(l, a)
				open.Add(-1)
				l.submit.ring()
			})
		}
		if len(claimed) > 0 {
			if e.run.Err() == nil {
				continue
			}
			return
		}
		if !e.sleep(l.submit, e.nextDue(l, kinora.AttemptQueued, err)) {
			return
		}
	}
}

// nextDue reads when a lane's next work in a state falls due, to sleep until then. Work
// that is due already but could not be claimed waits for the bell.
func (e *Engine) nextDue(l *lane, state kinora.AttemptState, claimErr error) time.Time {
	if claimErr != nil {
		return time.Time{}
	}
	var due time.Time
	err := e.db.View(e.run, func(tx *store.Tx) (err error) {
		due, err = tx.NextDue(l.name, state)
		return err
	})
	if err != nil || !due.After(time.Now()) {
		return time.Time{}
	}
	return due
}

// claimQueued commits the intent to submit: each claimed attempt gets its account, its
// callback token and this node's lease in one transaction, before anything is called.
func (e *Engine) claimQueued(l *lane, room int) ([]*kinora.Attempt, error) {
	if room <= 0 || e.run.Err() != nil {
		return nil, nil
	}
	now := time.Now()
	// Most wake-ups find nothing: look before opening a write transaction.
	var due time.Time
	if err := e.db.View(e.run, func(tx *store.Tx) (err error) {
		due, err = tx.NextDue(l.name, kinora.AttemptQueued)
		return err
	}); err != nil || due.IsZero() || due.After(now) {
		return nil, err
	}
	var claimed []*kinora.Attempt
	err := e.db.Update(e.run, func(tx *store.Tx) error {
		claimed = nil // a transaction may run again: what it takes counts once it is committed
		slots, err := e.freeSlots(tx, l, now)
		if err != nil || slots.total == 0 {
			return err
		}
		list, err := tx.DueAttempts(l.name, kinora.AttemptQueued, now, min(room, submitBatch, slots.total))
		if err != nil {
			return err
		}
		saves := make([]store.AttemptSave, 0, len(list))
		for _, a := range list {
			if m := e.routeOf(a); m != nil {
				a.UpstreamModel = m.UpstreamModel
			}
			acc, until := slots.take(a.UpstreamModel, now)
			if acc == nil && until.IsZero() {
				break
			}
			if acc == nil {
				// What no account takes of this model must not keep other models waiting.
				a.DueAt = until
				saves = append(saves, store.AttemptSave{Attempt: a, From: kinora.AttemptQueued})
				continue
			}
			a.Account, a.State, a.SubmittedAt = acc.Name, kinora.AttemptSubmitting, now
			a.LeaseOwner, a.DueAt = e.node.id, time.Time{}
			a.CallbackToken, a.UpstreamID, a.Handle = newToken(), "", nil
			a.CallbackHash = kinora.CallbackHash(a.CallbackToken)
			if p, ok := e.providers[a.Provider].(provider.CallbackRegistrar); ok && a.CallbackMode == kinora.CallbackManaged &&
				!p.RegistersCallback(acc.Account.Account, e.callbackURL(a.Provider)) {
				a.CallbackMode = kinora.CallbackNone // nobody will call: it is not waited for
			}
			saves = append(saves, store.AttemptSave{Attempt: a, From: kinora.AttemptQueued})
		}
		stale, err := tx.SaveAttempts(saves)
		if err != nil {
			return err
		}
		lost := map[*kinora.Attempt]bool{}
		for _, a := range stale {
			lost[a] = true
		}
		for _, s := range saves {
			if !lost[s.Attempt] && s.Attempt.State == kinora.AttemptSubmitting {
				s.Attempt.Version++
				claimed = append(claimed, s.Attempt)
			}
		}
		return e.countDay(tx, claimed, now)
	})
	if err != nil {
		return nil, err
	}
	for name, n := range byAccount(claimed) {
		e.accounts[name].begun(now, n, l.synchronous)
	}
	return claimed, nil
}

// byAccount counts attempts by the account that each was given.
func byAccount(list []*kinora.Attempt) map[string]int {
	out := map[string]int{}
	for _, a := range list {
		out[a.Account]++
	}
	return out
}

// countDay counts submits of accounts that have a daily limit, within the claim, and remembers
// whose day they fill.
func (e *Engine) countDay(tx *store.Tx, claimed []*kinora.Attempt, now time.Time) error {
	var limited []*account
	for name, n := range byAccount(claimed) {
		acc := e.accounts[name]
		if acc.PerDay == 0 {
			continue
		}
		if err := tx.CountSubmits(name, acc.dayOf(now), n); err != nil {
			return err
		}
		limited = append(limited, acc)
	}
	return noteDays(tx, limited, now)
}

// noteDays remembers which of some accounts have used up the day that is now.
func noteDays(tx *store.Tx, accounts []*account, now time.Time) error {
	if !slices.ContainsFunc(accounts, func(a *account) bool { return a.PerDay > 0 }) {
		return nil
	}
	today, err := tx.SubmitsOfDay(accounts[0].dayOf(now))
	if err != nil {
		return err
	}
	for _, a := range accounts {
		a.noteSpent(now, a.PerDay > 0 && today[a.Name] >= a.PerDay)
	}
	return nil
}

// newToken makes the unguessable part of an inbound callback URL: 192 random bits.
func newToken() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// slots are the free places at a lane's accounts within one claiming transaction.
type slots struct {
	free  []slot
	total int
}

type slot struct {
	account *account
	room    int
}

func (e *Engine) freeSlots(tx *store.Tx, l *lane, now time.Time) (*slots, error) {
	s := &slots{}
	for _, acc := range l.accounts {
		room := acc.room(now, l.synchronous)
		if room == 0 {
			continue
		}
		held, err := tx.InFlight(acc.Name, acc.MaxInFlight)
		if err != nil {
			return nil, err
		}
		room = min(room, acc.MaxInFlight-held)
		if acc.PerDay > 0 {
			today, err := tx.SubmitsOfDay(acc.dayOf(now))
			if err != nil {
				return nil, err
			}
			room = min(room, acc.PerDay-today[acc.Name])
			acc.noteSpent(now, today[acc.Name] >= acc.PerDay)
		}
		if room > 0 {
			s.free = append(s.free, slot{acc, room})
			s.total += room
		}
	}
	return s, nil
}

// take picks an account by weight among those with room that take work of a model. nil =
// none: until tells when one will that has room; zero = none has.
func (s *slots) take(upstreamModel string, now time.Time) (picked *account, until time.Time) {
	var open []int
	sum := 0
	for i, f := range s.free {
		if barred := f.account.barredUntil(upstreamModel); barred.After(now) {
			if until.IsZero() || barred.Before(until) {
				until = barred
			}
			continue
		}
		open = append(open, i)
		sum += f.account.Weight
	}
	if len(open) == 0 {
		return nil, until
	}
	pick := mathrand.IntN(sum)
	for _, i := range open {
		if pick -= s.free[i].account.Weight; pick >= 0 {
			continue
		}
		picked = s.free[i].account
		if s.free[i].room--; s.free[i].room == 0 {
			s.free = append(s.free[:i], s.free[i+1:]...)
		}
		break
	}
	return picked, time.Time{}
}

// submit makes the one call that a claimed attempt stands for and commits its outcome.
func (e *Engine) submit(l *lane, a *kinora.Attempt) {
	claimed := time.Now()
	m, acc := e.routeOf(a), e.accounts[a.Account]
	defer acc.withdrawn(l.synchronous)
	g, err := e.readGeneration(a.GenerationID)
	if err != nil {
		// Nothing was called: the intent can be taken back as if it had never been.
		e.requeue(a, time.Second)
		return
	}
	switch {
	case g.State.Terminal():
		e.drop(a)
		return
	case m == nil:
		e.reject(g, a, kinora.FailureModelUnavailable, "the model is not configured any more")
		return
	}
	req := e.request(g, a, m)
	if g.SourceAssetID != "" {
		key, err := e.sourceOf(g)
		switch {
		case errors.Is(err, store.ErrNotFound):
			e.reject(g, a, kinora.FailureInternal, "the source image is gone")
			return
		case err != nil:
			e.requeue(a, time.Second)
			return
		}
		req = e.withSource(req, key, g.DeadlineAt)
	}
	timeout := e.submitTimeout(l, a)
	call, release, ok := e.mayCall(claimed)
	if !ok {
		// Others may have taken the lease meanwhile; then this writes nothing.
		e.requeue(a, time.Second)
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(call, timeout)
	defer cancel()
	e.held.called(a)
	started := time.Now()
	accepted, err := l.provider.Submit(ctx, e.upstream(acc), e.during(g, a, req))
	e.metrics.observeSubmit(a.Provider, err, time.Since(started))
	if err == nil {
		acc.answered(time.Now(), nil, l.synchronous)
		e.accepted(l, a, accepted)
		return
	}
	pe := provider.AsError(err, provider.OutcomeUnknown)
	if call.Err() == nil { // a call that this node broke off says nothing about the upstream
		e.unanswered(l, acc, pe)
	}
	e.refused(l, g, a, acc, pe)
}

// unanswered counts a failed submit against its account's health.
func (e *Engine) unanswered(l *lane, acc *account, pe *provider.Error) {
	rest := acc.answered(time.Now(), pe, l.synchronous)
	if rest == 0 {
		return
	}
	e.metrics.accountRests.WithLabelValues(acc.Provider, acc.Name).Inc()
	e.log.Warn("an upstream gives no usable answers; the account rests", "account", acc.Name, "provider", acc.Provider,
		"class", string(pe.Class), "for", rest)
}

// submitTimeout is how long an attempt's submit call may last.
func (e *Engine) submitTimeout(l *lane, a *kinora.Attempt) time.Duration {
	if l.provider.Describe().Model(a.UpstreamModel).Synchronous {
		return e.timing.Synchronous
	}
	return e.timing.Submit
}

func (e *Engine) readGeneration(generationID string) (*kinora.Generation, error) {
	var g *kinora.Generation
	err := e.db.View(e.work, func(tx *store.Tx) (err error) {
		g, err = tx.Generation("", generationID)
		return err
	})
	if err != nil {
		e.log.Warn("a generation could not be read", "generation", generationID, "error", err)
	}
	return g, err
}

func (e *Engine) upstream(acc *account) provider.Upstream {
	return provider.Upstream{Account: acc.Account.Account, Client: e.cfg.Upstreams, Sources: e.cfg.Sources}
}

// accepted commits the upstream's id, so that from here on the attempt is watched.
func (e *Engine) accepted(l *lane, a *kinora.Attempt, got provider.Accepted) {
	from := a.State
	now := time.Now()
	e.open(a, got, now)
	if got.Report != nil && got.Report.State.Final() {
		e.conclude(l, from, []ending{{a, *got.Report}}, now)
		return
	}
	err := e.persist("accepted attempt", func(tx *store.Tx) error {
		if err := tx.SaveAttempt(a, from); err != nil {
			return err
		}
		return tx.StartGeneration(a.GenerationID, now)
	})
	switch {
	case errors.Is(err, store.ErrStale):
		e.overtaken(l, a)
		return
	case errors.Is(err, store.ErrTaken):
		e.acceptContested(l, a, from)
		return
	}
	e.logLost("accepted attempt", a, err)
	l.watch.ring()
}

// overtaken deals with an acceptance whose attempt somebody else has moved on. While it
// is being settled the id is the proof that settling looks for; when it has ended, the
// job upstream is nobody's and is cancelled where that can be done. Its id is kept with the
// attempt all the same, because the upstream's bill may name it. A job that a live attempt has goes on.
func (e *Engine) overtaken(l *lane, a *kinora.Attempt) {
	var (
		state kinora.AttemptState
		noted bool
		c     contest
	)
	err := noting(func() error {
		return e.persist("late acceptance", func(tx *store.Tx) (err error) {
			state, noted, c, err = e.noteJob(tx, a, a.UpstreamID, a.Handle, a.AcceptedAt, time.Now())
			return err
		})
	})
	e.logLost("late acceptance", a, err)
	level := slog.LevelWarn
	if state == kinora.AttemptCancelled {
		level = slog.LevelInfo // the caller's own doing
	}
	e.log.Log(e.work, level, "an acceptance came after its attempt had moved on", "attempt", a.ID(), "provider", a.Provider, "state", string(state), "upstream_id", a.UpstreamID)
	if err == nil && noted {
		e.contested(a, c)
	}
	if state.Terminal() && !c.runs() {
		e.cancelUpstream(a)
	}
	l.settle.ring()
}

// open turns a into an attempt that the upstream has accepted.
func (e *Engine) open(a *kinora.Attempt, got provider.Accepted, now time.Time) {
	a.State, a.UpstreamID, a.Handle = kinora.AttemptOpen, got.UpstreamID, got.Handle
	a.AcceptedAt, a.LeaseOwner, a.ReadErrors = now, "", 0
	a.ErrorClass, a.ErrorCode, a.ErrorMessage = "", "", ""
	a.DueAt = now.Add(e.nextLook(a, now, got.PollAfter))
}

// drop ends an attempt whose generation has ended without it.
func (e *Engine) drop(a *kinora.Attempt) {
	from := a.State
	a.State, a.LeaseOwner, a.DueAt, a.FinishedAt = kinora.AttemptCancelled, "", time.Time{}, time.Now()
	err := e.persist("dropped attempt", func(tx *store.Tx) error { return tx.SaveAttempt(a, from) })
	e.logLost("dropped attempt", a, err)
	e.nudgeProvider(a.Provider)
}

// logLost reports a result that could not be written. ErrStale is no fault: somebody
// else (a deadline, a cancel, a node that took over) has decided meanwhile.
func (e *Engine) logLost(what string, a *kinora.Attempt, err error) {
	switch {
	case err == nil:
	case errors.Is(err, store.ErrStale):
		e.log.Info("a result came after the attempt had moved on", "what", what, "attempt", a.ID())
	default:
		e.log.Error("a result could not be written", "what", what, "attempt", a.ID(), "error", err)
	}
}

// encodeResult keeps what is to be collected with the attempt.
func encodeResult(outputs []provider.Output) json.RawMessage {
	b, err := json.Marshal(outputs)
	if err != nil {
		return nil
	}
	return b
}

// storeSave is the write of one attempt, for persist.
func storeSave(a *kinora.Attempt, from kinora.AttemptState) func(tx *store.Tx) error {
	return func(tx *store.Tx) error { return tx.SaveAttempt(a, from) }
}

// storable drops what PostgreSQL refuses in text, and an upstream may send.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}
