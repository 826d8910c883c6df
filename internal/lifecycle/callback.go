package lifecycle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// Callback takes an upstream's call on an attempt's own URL. It is a hint and nothing
// more: the attempt is looked at now, unless all it says is that the job goes on, and the
// poll stays the truth. The returned value says what to answer.
//
// Errors (*kinora.Error): ErrNotFound for a token that was never made for that provider,
// answered without a database write; ErrUnauthorized for a bad signature,
// ErrUnavailable while it cannot be checked.
func (e *Engine) Callback(ctx context.Context, providerName, token string, in provider.InboundCallback) (provider.Callback, error) {
	verifier, ok := e.providers[providerName].(provider.CallbackVerifier)
	if !ok || len(token) < 16 || len(token) > 64 {
		return provider.Callback{}, kinora.Errorf(kinora.ErrNotFound, "not found")
	}
	var a *kinora.Attempt
	err := e.db.View(ctx, func(tx *store.Tx) (err error) {
		a, err = tx.AttemptByCallback(kinora.CallbackHash(token))
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (a.Provider != providerName || a.CallbackMode != kinora.CallbackManaged) {
		return provider.Callback{}, kinora.Errorf(kinora.ErrNotFound, "not found")
	}
	if err != nil {
		return provider.Callback{}, err
	}
	acc := e.accounts[a.Account]
	if acc == nil {
		return provider.Callback{}, kinora.Errorf(kinora.ErrNotFound, "not found")
	}
	in.UpstreamModel, in.Settled = a.UpstreamModel, a.State != kinora.AttemptSubmitting
	got, err := verifier.VerifyCallback(e.upstream(acc), in)
	if err != nil {
		e.metrics.callbacks.WithLabelValues(providerName, "refused").Inc()
		if provider.AsError(err, provider.Credential).Class == provider.Unavailable {
			return provider.Callback{}, &kinora.Error{Code: kinora.ErrUnavailable, Op: "callback", Message: "the callback cannot be verified now", Err: err}
		}
		return provider.Callback{}, &kinora.Error{Code: kinora.ErrUnauthorized, Op: "callback", Message: "the callback cannot be verified", Err: err}
	}
	if got.Doubt != "" {
		e.log.Info("a callback is taken although something about it is odd", "attempt", a.ID(), "provider", providerName, "doubt", got.Doubt)
	}
	if a.State.Terminal() && got.UpstreamID != "" && a.UpstreamID == "" {
		return got, e.abandoned(ctx, a, got)
	}
	// That a job goes on matters only while it is not known that there is one.
	known := a.State == kinora.AttemptOpen || a.State == kinora.AttemptCollecting
	matters := got.Hint || got.UpstreamID != "" && !known
	if !matters || a.State.Terminal() {
		e.metrics.callbacks.WithLabelValues(providerName, "ignored").Inc()
		return got, nil
	}
	now := time.Now()
	news, named := newsOf(token, in, got.Delivery)
	last, repeated := e.repeats.last(news, now)
	if repeated && named {
		e.metrics.callbacks.WithLabelValues(providerName, "repeat").Inc()
		return got, nil
	}
	at := now
	if repeated && now.Sub(last) < e.timing.Repeat {
		// The same words without a name of their own may be a repetition, or may have come true
		// only now: they are looked into, but not more than once in the pause.
		at = last.Add(e.timing.Repeat)
	}
	e.metrics.callbacks.WithLabelValues(providerName, "hint").Inc()
	if err := e.hint(ctx, a, got, at); err != nil {
		return got, err
	}
	if at == now {
		e.repeats.remember(news, now) // only what has been acted on
	}
	return got, nil
}

// hint makes the attempt due at an instant, which is now or soon, or, while the submit call's outcome is not known,
// remembers the upstream's id so that settling can confirm it by a poll.
func (e *Engine) hint(ctx context.Context, a *kinora.Attempt, got provider.Callback, at time.Time) error {
	now := time.Now()
	if a.State != kinora.AttemptOpen && got.UpstreamID != "" {
		e.hints.put(a.CallbackHash, got.UpstreamID, got.Handle)
	}
	known := a.State == kinora.AttemptOpen || a.State == kinora.AttemptCollecting
	var (
		noted bool
		c     contest
	)
	err := noting(func() error {
		return e.db.Update(ctx, func(tx *store.Tx) (err error) {
			noted = false
			if got.UpstreamID != "" && !known {
				if _, noted, c, err = e.noteJob(tx, a, got.UpstreamID, got.Handle, time.Time{}, now); err != nil {
					return err
				}
				if noted {
					if err := tx.StartGeneration(a.GenerationID, now); err != nil {
						return err
					}
				}
			}
			if !got.Hint {
				return nil
			}
			return tx.HintAttempt(a, at)
		})
	})
	if err != nil {
		return err
	}
	if noted {
		e.contested(a, c)
	}
	e.nudge(a.Lane, func(l *lane) bell { return l.watch })
	e.nudge(a.Lane, func(l *lane) bell { return l.urgent })
	e.nudge(a.Lane, func(l *lane) bell { return l.settle })
	return nil
}

// abandoned takes the news of a job whose generation was ended while nobody knew whether the
// job existed: it is nobody's, and is cancelled where that can be done.
func (e *Engine) abandoned(ctx context.Context, a *kinora.Attempt, got provider.Callback) error {
	var (
		noted bool
		c     contest
	)
	err := noting(func() error {
		return e.db.Update(ctx, func(tx *store.Tx) (err error) {
			_, noted, c, err = e.noteJob(tx, a, got.UpstreamID, got.Handle, time.Time{}, time.Now())
			return err
		})
	})
	if err != nil || !noted {
		return err
	}
	e.contested(a, c)
	if c.runs() {
		e.metrics.callbacks.WithLabelValues(a.Provider, "contested").Inc()
		return nil
	}
	e.metrics.callbacks.WithLabelValues(a.Provider, "abandoned").Inc()
	e.log.Warn("a callback names a job whose generation has ended; it is cancelled upstream if that can be done", "attempt", a.ID(), "provider", a.Provider)
	a.UpstreamID, a.Handle = got.UpstreamID, got.Handle
	e.cancelUpstream(a)
	return nil
}

// callbackHints keeps upstream ids that callbacks brought before the submit call had
// returned, for as long as settling may need them.
type callbackHints struct {
	mu   sync.Mutex
	byID map[string]callbackHint // by the hash of the token
}

type callbackHint struct {
	upstreamID string
	handle     json.RawMessage
	at         time.Time
}

// hintLife is longer than the longest submit call and settling together.
const hintLife = 15 * time.Minute

func (h *callbackHints) put(hash, upstreamID string, handle json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID == nil {
		h.byID = map[string]callbackHint{}
	}
	now := time.Now()
	for t, old := range h.byID {
		if now.Sub(old.at) > hintLife {
			delete(h.byID, t)
		}
	}
	h.byID[hash] = callbackHint{upstreamID, handle, now}
}

func (h *callbackHints) of(hash string) (string, json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint := h.byID[hash]
	return hint.upstreamID, hint.handle
}

// callbackRepeats remembers the callbacks that were acted on, so that a sender's repetitions
// and a replayer's cost neither a write nor a look, or where they cannot be told from
// news, one look in a pause. It forgets when the process ends: then a
// repeat costs one look.
type callbackRepeats struct {
	mu sync.Mutex
	at map[[sha256.Size]byte]time.Time
}

const (
	// repeatLife is longer than any upstream is known to repeat a callback in one go, and at least
	// as long as a signed one is taken: from five minutes before its time to five after it.
	repeatLife = 10 * time.Minute
	// maxRepeats bounds the memory: about two megabytes.
	maxRepeats = 20_000
)

// newsOf tells callbacks apart: by the name that the sender has signed, by the id of the
// delivery where it has one, else by what it says. A signed name comes first: an id beside it
// could be changed with every replay.
func newsOf(token string, in provider.InboundCallback, delivery string) (news [sha256.Size]byte, named bool) {
	h := sha256.New()
	h.Write([]byte(token))
	h.Write([]byte{0})
	id := cmp.Or(delivery, in.Header.Get("webhook-id"))
	if id != "" {
		h.Write([]byte(id))
	} else {
		h.Write([]byte{0})
		h.Write(in.Body)
	}
	return [sha256.Size]byte(h.Sum(nil)), id != ""
}

func (r *callbackRepeats) last(news [sha256.Size]byte, now time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[news]
	return at, ok && now.Sub(at) < repeatLife
}

func (r *callbackRepeats) remember(news [sha256.Size]byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) >= maxRepeats {
		maps.DeleteFunc(r.at, func(_ [sha256.Size]byte, at time.Time) bool { return now.Sub(at) >= repeatLife })
	}
	if r.at == nil || len(r.at) >= maxRepeats {
		r.at = map[[sha256.Size]byte]time.Time{} // a flood: forgetting costs looks, not jobs
	}
	r.at[news] = now
}
