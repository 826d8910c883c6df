package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/provider"
)

// addRoutes makes the ways of a model known, and says what is wrong with them.
func (e *Engine) addRoutes(m kinora.Model) (errs []error) {
	for _, along := range m.Along() {
		if e.providers[along.Provider] == nil {
			errs = append(errs, fmt.Errorf("model %q: there is no provider %q", m.Name, along.Provider))
		}
		for _, name := range along.Accounts {
			if a := e.accounts[name]; a == nil || a.Provider != along.Provider {
				errs = append(errs, fmt.Errorf("model %q: provider %q has no account %q", m.Name, along.Provider, name))
			}
		}
		e.routes[m.Name] = append(e.routes[m.Name], &along)
		e.crews[&along] = e.laneAccounts(e.laneOf(&along))
	}
	e.models[m.Name] = e.routes[m.Name][0]
	return errs
}

// routeOf is the way that an attempt takes, as it is configured now; nil = it is not any more.
func (e *Engine) routeOf(a *kinora.Attempt) *kinora.Model {
	routes := e.routes[a.Model]
	if a.Route < len(routes) && routes[a.Route].Provider == a.Provider {
		return routes[a.Route]
	}
	for _, same := range []func(*kinora.Model) bool{
		func(m *kinora.Model) bool { return e.laneOf(m) == a.Lane },
		func(m *kinora.Model) bool { return m.Provider == a.Provider },
	} {
		if i := slices.IndexFunc(routes, same); i >= 0 {
			return routes[i]
		}
	}
	return nil
}

// places are those of a model's routes that have an account and whose upstream takes such a
// request, as listed. Without any, err is what the first one has against it.
func (e *Engine) places(g *kinora.Generation) (places []int, err error) {
	for i, m := range e.routes[g.Model] {
		if !slices.ContainsFunc(e.crews[m], func(acc *account) bool { return !acc.Retired }) {
			if err == nil {
				err = &kinora.Error{Code: kinora.ErrNoUpstream, Op: "accept", Message: "no upstream account is configured for this model",
					Hint: "add an account of provider " + m.Provider}
			}
			continue
		}
		refusal := e.providers[m.Provider].Validate(e.request(g, nil, m))
		if refusal == nil {
			places = append(places, i)
		} else if err == nil || kinora.CodeOf(err) == kinora.ErrNoUpstream {
			err = refusal
		}
	}
	if len(places) > 0 {
		return places, nil
	}
	return nil, err
}

// draw puts routes in the order in which a part goes to them: as listed or, where the model
// says so, by weight, but first of all one that takes new work at present.
func (e *Engine) draw(g *kinora.Generation, places []int, now time.Time) (order []int, usable bool) {
	order = slices.Clone(places)
	routes := e.routes[g.Model]
	if len(order) > 1 && routes[0].Order == kinora.RoutesWeighted {
		for i := range order {
			j := i + byWeight(routes, order[i:])
			order[i], order[j] = order[j], order[i]
		}
	}
	for i, place := range order {
		if e.takesWork(routes[place], now, g.DeadlineAt) {
			return slices.Insert(slices.Delete(order, i, i+1), 0, place), true
		}
	}
	return order, false
}

// byWeight picks one of some routes at random, by weight.
func byWeight(routes []*kinora.Model, places []int) int {
	sum := 0
	for _, p := range places {
		sum += routes[p].RouteWeight()
	}
	pick := rand.IntN(sum)
	for i, p := range places {
		if pick -= routes[p].RouteWeight(); pick < 0 {
			return i
		}
	}
	return 0
}

// takesWork tells whether some account of a route may take work that has to end by a deadline.
func (e *Engine) takesWork(m *kinora.Model, now, deadline time.Time) bool {
	return slices.ContainsFunc(e.crews[m], func(acc *account) bool { return acc.usable(now, m.UpstreamModel, deadline) })
}

// takesWorkAfterAll asks once more before a generation is refused, with the accounts' days as the database has them: what
// this node remembers of them may be older than what another node has given back.
func (e *Engine) takesWorkAfterAll(tx *store.Tx, g *kinora.Generation, places []int, now time.Time) (bool, error) {
	routes := e.routes[g.Model]
	for _, place := range places {
		if err := noteDays(tx, e.crews[routes[place]], now); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(places, func(place int) bool { return e.takesWork(routes[place], now, g.DeadlineAt) }), nil
}

// shares is how many calls a route's upstream needs for what a request asks for.
func (e *Engine) shares(g *kinora.Generation, m *kinora.Model) int {
	if splitter, ok := e.providers[m.Provider].(provider.Splitter); ok {
		return max(1, splitter.Parts(e.request(g, nil, m)))
	}
	return 1
}

// newRound makes the attempts of a round, the first of which has the ordinal next. They go to
// some of the given routes: to those that need as many calls as the first one drawn, because
// a share of one upstream's is not another's. usable tells whether it takes new work at present.
func (e *Engine) newRound(g *kinora.Generation, places []int, round, next int, now time.Time) (list []*kinora.Attempt, usable bool) {
	routes := e.routes[g.Model]
	order, usable := e.draw(g, places, now)
	shares := e.shares(g, routes[order[0]])
	parts := min(max(1, g.Plan.Parts)*shares, maxParts+1)
	if len(order) > 1 {
		order = slices.DeleteFunc(order, func(place int) bool { return e.shares(g, routes[place]) != shares })
	}
	for i := range parts {
		if i > 0 && len(order) > 1 {
			order, _ = e.draw(g, order, now)
		}
		a := e.attemptAlong(g, order, now)
		a.Ordinal, a.Part, a.Parts, a.Round = next+i, i, parts, round
		list = append(list, a)
	}
	return list, usable
}

// attemptAlong makes an attempt that goes to the first of some routes.
func (e *Engine) attemptAlong(g *kinora.Generation, order []int, now time.Time) *kinora.Attempt {
	m := e.routes[g.Model][order[0]]
	a := &kinora.Attempt{
		GenerationID: g.ID, OrganisationID: g.OrganisationID, Route: order[0], RoutesLeft: slices.Clone(order[1:]),
		Lane: e.laneOf(m), Model: m.Name, Provider: m.Provider, UpstreamModel: m.UpstreamModel,
		CallbackMode: e.callbackMode(g, m, e.providers[m.Provider]), DueAt: now, CreatedAt: now, DeadlineAt: g.DeadlineAt,
	}
	if len(a.RoutesLeft) > 0 {
		a.MoveAt = now.Add(m.FailoverWait())
	}
	return a
}

// elsewhere is the attempt that takes an attempt's part over on the next route that takes
// work; nil = there is none, or no time.
func (e *Engine) elsewhere(g *kinora.Generation, a *kinora.Attempt, now time.Time, fits func(*kinora.Model) bool) *kinora.Attempt {
	if !now.Before(g.DeadlineAt) {
		return nil
	}
	routes := e.routes[g.Model]
	for i, place := range a.RoutesLeft {
		if place >= len(routes) || !e.takesWork(routes[place], now, g.DeadlineAt) || fits != nil && !fits(routes[place]) {
			continue
		}
		next := e.attemptAlong(g, append([]int{place}, slices.Delete(slices.Clone(a.RoutesLeft), i, i+1)...), now)
		next.Part, next.Parts, next.Round = a.Part, a.Parts, a.Round
		return next
	}
	return nil
}

// moveOn ends an attempt for which nothing was created upstream, and lets another route take
// its part over. It reports whether one did: where a callback has named a job, none does, and
// whoever asked requeues or rejects the attempt, which settles it.
func (e *Engine) moveOn(g *kinora.Generation, a *kinora.Attempt, fits func(*kinora.Model) bool) bool {
	next := e.elsewhere(g, a, time.Now().UTC().Truncate(time.Microsecond), fits)
	if next == nil {
		return false
	}
	called := a.State != kinora.AttemptQueued
	moved := e.finish(g, a, conclusion{next: next, also: func(tx *store.Tx) error {
		if err := unnamed(tx, a); err != nil || !called {
			return err
		}
		return e.uncount(tx, a)
	}})
	if moved {
		e.rerouted(a, next)
	}
	return moved
}

func (e *Engine) rerouted(a, next *kinora.Attempt) {
	e.metrics.rerouted.WithLabelValues(a.Provider, next.Provider).Inc()
	e.log.Info("a part goes to another route", "attempt", a.ID(), "from", a.Provider, "to", next.Provider, "class", a.ErrorClass)
}

// patient tells whether an attempt may wait so long for its route before the next one is tried.
func patient(a *kinora.Attempt, wait time.Duration) bool {
	return a.MoveAt.IsZero() || time.Now().Add(wait).Before(a.MoveAt)
}

// triesElsewhere tells whether what an upstream has taken and failed is made anew on another route: the model says so, or
// the caller does (submit API contract, 2.4: official_fallback).
func (e *Engine) triesElsewhere(g *kinora.Generation) bool {
	m := e.models[g.Model]
	return m != nil && m.RetryElsewhere || string(g.Input.Metadata["official_fallback"]) == "true"
}

// failJob ends an attempt whose job the upstream has taken and failed. Where the model or the caller asks
// for it, and neither the caller nor an unknown outcome is the reason, another route makes
// the part anew.
func (e *Engine) failJob(g *kinora.Generation, a *kinora.Attempt, class provider.Class, code kinora.FailureCode, message string) {
	end := conclusion{failure: kinora.NewFailure(code, message)}
	if e.triesElsewhere(g) {
		switch class {
		case provider.Invalid, provider.Moderation, provider.OutcomeUnknown:
		default:
			end.next = e.elsewhere(g, a, time.Now().UTC().Truncate(time.Microsecond), nil)
		}
	}
	if e.finish(g, a, end) && end.next != nil {
		e.rerouted(a, end.next)
	}
}

const (
	moveBatch = 100
	// movePause is how soon a queued attempt is looked at again that did not move: its own
	// route takes work, or no other does.
	movePause = 2 * time.Second
)

// moveLoop lets attempts that have waited too long for a place at their route go to the next one.
func (e *Engine) moveLoop() {
	never := newBell()
	for {
		n, err := e.moveWaiting(time.Now())
		if err != nil && e.run.Err() == nil {
			e.log.Warn("moving attempts to other routes failed", "error", err)
		}
		if n == moveBatch {
			continue
		}
		if !e.sleep(never, time.Time{}) {
			return
		}
	}
}

func (e *Engine) moveWaiting(now time.Time) (int, error) {
	var list []*kinora.Attempt
	err := e.db.View(e.run, func(tx *store.Tx) (err error) {
		list, err = tx.MovableAttempts(now, moveBatch)
		return err
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	free := map[string]bool{} // lanes with room, which many of them share
	fits := func(m *kinora.Model) bool {
		name := e.laneOf(m) + "\x00" + m.UpstreamModel
		if _, known := free[name]; !known {
			free[name] = e.hasRoom(m)
		}
		return free[name]
	}
	var stay []*kinora.Attempt
	for _, a := range list {
		if m := e.routeOf(a); m != nil && fits(m) {
			stay = append(stay, a) // it is about to be claimed
			continue
		}
		g, err := e.readGeneration(a.GenerationID)
		if err != nil {
			return 0, err
		}
		if !e.moveOn(g, a, fits) {
			stay = append(stay, a)
		}
	}
	if len(stay) == 0 {
		return len(list), nil
	}
	return len(list), e.db.Update(e.run, func(tx *store.Tx) error { return tx.PostponeMoves(stay, now.Add(movePause)) })
}

// hasRoom tells whether an account of a route has a place free now.
func (e *Engine) hasRoom(m *kinora.Model) bool {
	lane, now := e.laneOf(m), time.Now()
	for _, acc := range e.crews[m] {
		if acc.barred(now, m.UpstreamModel) || acc.room(now, isSynchronous(lane)) == 0 {
			continue
		}
		held, today := 0, map[string]int{}
		err := e.db.View(e.run, func(tx *store.Tx) (err error) {
			if held, err = tx.Holding(acc.Name, acc.MaxInFlight); err == nil && acc.PerDay > 0 {
				today, err = tx.SubmitsOfDay(e.cfg.DayOf(now))
			}
			return err
		})
		if err == nil && held < acc.MaxInFlight && (acc.PerDay == 0 || today[acc.Name] < acc.PerDay) {
			return true
		}
	}
	return false
}

// learntAs is the name under which an attempt's durations are kept: those of one route tell
// little of another's.
func (e *Engine) learntAs(a *kinora.Attempt) string {
	if len(e.routes[a.Model]) < 2 {
		return a.Model
	}
	return a.Model + " " + a.Provider + "/" + a.UpstreamModel
}
