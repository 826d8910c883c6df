package webhook

import (
	"fmt"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// gateTest drives a gate by hand.
type gateTest struct {
	t *testing.T
	*gate
	at time.Time
	n  int
}

func newGateTest(t *testing.T, l Limits) *gateTest {
	x := &gateTest{t: t, at: time.Unix(1790000000, 0)}
	x.gate = newGate(l, func() time.Time { return x.at }, func() float64 { return half })
	return x
}

// one admits one delivery for a destination ("org host").
func (x *gateTest) one(track trackID, dest string) (*job, placement) {
	x.t.Helper()
	x.n++
	if x.reserve(track, 1) == 0 {
		x.t.Fatalf("track %s is full", track)
	}
	j := &job{track: track, delivery: &kinora.Delivery{ID: fmt.Sprint("dlv_", x.n), Destination: dest}}
	return j, x.admit(j)
}

// many admits n deliveries and returns those that start.
func (x *gateTest) many(track trackID, dest string, n int) (started []*job) {
	x.t.Helper()
	for range n {
		if j, p := x.one(track, dest); p == placeStart {
			started = append(started, j)
		}
	}
	return started
}

// prove makes a destination healthy and its limit the largest.
func (x *gateTest) prove(dest string) {
	x.t.Helper()
	for x.dests[dest] == nil || x.dests[dest].limit < x.limits.PerDestination {
		j, p := x.one(trackFresh, dest)
		if p != placeStart {
			x.t.Fatalf("%s is at %v", dest, p)
		}
		x.finish(j, signalGood, time.Millisecond)
	}
}

func (x *gateTest) want(what string, got, want int) {
	x.t.Helper()
	if got != want {
		x.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

func TestUnknownDestinationGetsLittleUntilItAnswers(t *testing.T) {
	x := newGateTest(t, Limits{})
	jobs := x.many(trackFresh, "org a", 50)
	x.want("started for an unknown destination", len(jobs), 4)
	x.want("held", x.dests["org a"].holding, 46)
	// Each 2xx adds one.
	for i := range 12 {
		x.finish(jobs[0], signalGood, time.Millisecond)
		x.want("limit", x.dests["org a"].limit, 5+i)
		jobs = append(jobs[1:], &job{track: trackHeld, dest: x.dests["org a"]})
		x.dests["org a"].posting++
		x.reserve(trackHeld, 1)
	}
	x.want("limit in the end", x.dests["org a"].limit, 16)
	x.want("of it for waiting deliveries, a quarter being kept", x.dests["org a"].backWidth(), 12)
}

func TestHangingDestinationShrinksAndIsLeftAlone(t *testing.T) {
	x := newGateTest(t, Limits{})
	x.prove("org a")
	jobs := x.many(trackFresh, "org a", 16)
	x.want("started", len(jobs), 16)
	for i, limit := range []int{8, 4, 2, 1} {
		x.finish(jobs[i], signalSick, 10*time.Second)
		x.want("limit", x.dests["org a"].width(), limit)
	}
	x.finish(jobs[4], signalSick, 10*time.Second)
	if b := x.dests["org a"].breaker; b != open {
		t.Fatalf("after five failures to answer the breaker is %v", b)
	}
	for _, j := range jobs[5:] {
		x.finish(j, signalSick, 10*time.Second)
	}
	pause := 5 * time.Second
	for range 5 {
		if got := x.dests["org a"].reopen.Sub(x.at); got != pause {
			t.Fatalf("pause %v, want %v", got, pause)
		}
		x.at = x.at.Add(pause - 1)
		if _, p := x.one(trackFresh, "org a"); p != placeHold {
			t.Fatalf("asked while the breaker is open: %v", p)
		}
		x.dests["org a"].holding-- // dropped by this test
		x.at = x.at.Add(1)
		probe, p := x.one(trackFresh, "org a")
		if p != placeStart {
			t.Fatalf("no probe: %v", p)
		}
		if _, p := x.one(trackFresh, "org a"); p != placeHold {
			t.Fatalf("a second probe beside the first: %v", p)
		}
		x.dests["org a"].holding--
		x.finish(probe, signalSick, 10*time.Second)
		pause = min(2*pause, time.Minute)
	}
	x.at = x.at.Add(pause)
	probe, _ := x.one(trackRetry, "org a")
	x.finish(probe, signalGood, time.Millisecond)
	for i := range 4 {
		x.want("limit after recovery", x.dests["org a"].width(), i+1)
		j, _ := x.one(trackFresh, "org a")
		x.finish(j, signalGood, time.Millisecond)
	}
	if x.dests["org a"].pause != 0 {
		t.Error("the pause of the next opening is not the first one again")
	}
}

func TestAnswersThatAreNot2xxDoNotOpenTheBreaker(t *testing.T) {
	x := newGateTest(t, Limits{})
	x.prove("org a")
	for range 100 {
		j, p := x.one(trackFresh, "org a")
		if p != placeStart {
			t.Fatalf("held: %v", p)
		}
		x.finish(j, signalAlive, time.Millisecond)
	}
	x.want("limit", x.dests["org a"].width(), 4)
}

func TestProbeWithoutAVerdictLeavesRoomForAnother(t *testing.T) {
	x := newGateTest(t, Limits{OpenAfter: 1})
	j, _ := x.one(trackFresh, "org a")
	x.finish(j, signalSick, time.Second)
	x.at = x.at.Add(5 * time.Second)
	for range 3 {
		j, p := x.one(trackFresh, "org a")
		if p != placeStart {
			t.Fatalf("no probe: %v", p)
		}
		x.finish(j, signalNone, 0)
	}
}

func TestManyHangingDestinationsLeaveRoomForOthers(t *testing.T) {
	x := newGateTest(t, Limits{Fresh: 64})
	x.prove("good fast")
	hanging := 0
	for i := range 1000 {
		hanging += len(x.many(trackFresh, fmt.Sprint("bad host", i), 1))
	}
	x.want("POSTs to one organisation's unknown hosts", hanging, 16)
	newcomers := 0
	for i := range 1000 {
		newcomers += len(x.many(trackFresh, fmt.Sprint("new host", i), 1))
	}
	x.want("POSTs to another's", newcomers, 8)
	for i := range 1000 {
		hanging += len(x.many(trackFresh, fmt.Sprintf("org%d host", i), 1))
	}
	x.want("POSTs to slow destinations in all", hanging+newcomers, 32)
	x.want("POSTs to a healthy destination beside them", len(x.many(trackFresh, "good fast", 16)), 16)
}

func TestTracksDoNotTakeEachOthersRoom(t *testing.T) {
	x := newGateTest(t, Limits{Fresh: 8, Retries: 8, Held: 8})
	x.want("reserved", x.reserve(trackRetry, 100), 8)
	x.want("reserved beyond the room", x.reserve(trackRetry, 1), 0)
	x.want("reserved for first attempts", x.reserve(trackFresh, 100), 8)
	x.release(trackRetry, 3)
	x.want("reserved again", x.reserve(trackRetry, 100), 3)
}

func TestFirstAttemptsPassTheBacklogOfAHealthyDestination(t *testing.T) {
	x := newGateTest(t, Limits{})
	x.prove("org a")
	x.held("org a")
	if _, p := x.one(trackRetry, "org a"); p != placeHold {
		t.Errorf("a retry passes what has waited longer: %v", p)
	}
	x.want("first attempts beside a backlog", len(x.many(trackFresh, "org a", 10)), 4)

	x.held("org b") // unknown: nobody passes
	x.want("first attempts to an unknown destination with a backlog", len(x.many(trackFresh, "org b", 10)), 0)
}

func TestWaitingInMemoryIsForTheHealthyOnly(t *testing.T) {
	x := newGateTest(t, Limits{})
	x.prove("org a")
	jobs := x.many(trackFresh, "org a", 16)
	for range 48 {
		if _, p := x.one(trackFresh, "org a"); p != placeWait {
			t.Fatalf("a claimed delivery of a fast destination is at %v", p)
		}
	}
	if _, p := x.one(trackFresh, "org a"); p != placeHold {
		t.Fatalf("more than about three turns wait in memory: %v", p)
	}
	start, hold := x.finish(jobs[0], signalGood, time.Millisecond)
	x.want("started from memory", len(start), 1)
	x.want("held", len(hold), 0)
	start, hold = x.finish(jobs[1], signalSick, time.Second)
	x.want("started when it falls ill", len(start), 0)
	x.want("held when it falls ill", len(hold), 47)
	x.want("in hand", x.inHand()[trackFresh], 15)
}

func TestRefillsTakeTurns(t *testing.T) {
	x := newGateTest(t, Limits{Held: 4, Unproven: 1})
	for i := range 3 {
		x.held(fmt.Sprint("big host", i))
	}
	x.held("small host")
	seen := map[string]bool{}
	for range 4 {
		list := x.refills(1, 100)
		if len(list) != 1 {
			t.Fatalf("%d refills", len(list))
		}
		r := list[0]
		x.want("room for an unknown destination", r.n, 1)
		seen[r.dest.key] = true
		jobs, _ := x.arrive(r, []*kinora.Delivery{{Destination: r.dest.key}}, nil)
		if len(seen) == 2 && !seen["small host"] {
			t.Error("an organisation with many destinations goes first twice")
		}
		x.finish(jobs[0], signalAlive, time.Millisecond)
	}
}

func TestBacklogEndsWhenNothingIsFound(t *testing.T) {
	x := newGateTest(t, Limits{})
	x.held("org a")
	r := x.refills(1, 100)[0]
	x.arrive(r, nil, nil)
	x.want("refills when nothing is held any more", len(x.refills(1, 100)), 0)
	x.held("org a")
	r = x.refills(1, 100)[0]
	x.held("org a") // one more was written while the claim was under way, and not seen by it
	x.arrive(r, nil, nil)
	x.want("refills when one came meanwhile", len(x.refills(1, 100)), 1)
}

func TestRefillsWaitForTheProbe(t *testing.T) {
	x := newGateTest(t, Limits{OpenAfter: 1})
	j, _ := x.one(trackFresh, "org a")
	x.finish(j, signalSick, time.Second)
	x.held("org a")
	x.want("refills while the breaker is open", len(x.refills(9, 100)), 0)
	if got := x.nextProbe(); !got.Equal(x.at.Add(5 * time.Second)) {
		t.Fatalf("next probe at %v", got)
	}
	x.at = x.nextProbe()
	list := x.refills(9, 100)
	if len(list) != 1 || list[0].n != 1 {
		t.Fatalf("probes: %+v", list)
	}
	x.abandon(list[0])
	x.want("refills after a claim that failed", len(x.refills(9, 100)), 1)
}

func TestIdleDestinationsAreForgotten(t *testing.T) {
	x := newGateTest(t, Limits{Tracked: 10})
	for i := range 100 {
		j, p := x.one(trackFresh, fmt.Sprintf("org%d host", i))
		if p == placeStart {
			x.finish(j, signalGood, time.Millisecond)
		}
	}
	x.held("busy host")
	x.forget()
	x.want("destinations remembered", len(x.dests), 10)
	if x.dests["busy host"] == nil {
		t.Error("one with held deliveries was forgotten")
	}
	if x.discover("one more") {
		t.Error("more destinations are followed than may be")
	}
	x.at = x.at.Add(10 * time.Minute)
	x.forget()
	x.want("destinations remembered when all are idle", len(x.dests), 1)
}
