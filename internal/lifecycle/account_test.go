package lifecycle

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

var silence = provider.Errorf(provider.Unavailable, "503")

func TestAnAccountRestsAndIsProbed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := newAccount(Account{}, 1, dayOfUTC)
	for range breakAfter - 1 {
		a.begun(now, 1, false)
		a.answered(now, silence, false)
	}
	if a.room(now, false) == 0 {
		t.Fatal("it rests too soon")
	}
	a.begun(now, 1, false)
	rest := a.answered(now, silence, false)
	if rest < firstRest*8/10 || a.room(now, false) != 0 || a.room(now.Add(rest-1), false) != 0 {
		t.Fatalf("rest %v, room %d", rest, a.room(now, false))
	}
	if later := a.answered(now, silence, false); later != 0 {
		t.Errorf("an answer that was under way starts another rest of %v", later)
	}
	now = now.Add(rest)
	if a.room(now, false) != 1 {
		t.Fatalf("room %d after the rest, want one probe", a.room(now, false))
	}
	a.begun(now, 1, false)
	if a.room(now, false) != 0 {
		t.Error("a second probe beside the first")
	}
	if longer := a.answered(now, silence, false); longer <= rest {
		t.Errorf("the second rest is %v, the first was %v", longer, rest)
	}
	now = now.Add(longestRest * 2)
	a.begun(now, 1, false)
	a.withdrawn(false)
	if a.room(now, false) != 1 {
		t.Error("a probe that was never made keeps the account shut")
	}
	a.begun(now, 1, false)
	a.answered(now, provider.Errorf(provider.Invalid, "a refusal is an answer"), false)
	if a.room(now, false) != defaultInFlight {
		t.Errorf("room %d after an answer", a.room(now, false))
	}
}

// Whatever happens in whatever order, an account is never shut for good.
func TestAnAccountAlwaysComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		a := newAccount(Account{MaxInFlight: 10}, 1, dayOfUTC)
		out := 0
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				if n := a.room(now, false); n > 0 {
					a.begun(now, 1, false)
					out++
				}
			case 1:
				if out > 0 {
					a.answered(now, silence, false)
					out--
				}
			case 2:
				if out > 0 {
					a.withdrawn(false)
					out--
				}
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			}
		}
		for ; out > 0; out-- {
			a.answered(now, silence, false)
		}
		now = now.Add(2 * longestRest)
		if a.room(now, false) == 0 {
			t.Fatal("shut for good")
		}
		a.begun(now, 1, false)
		a.answered(now, nil, false)
		if a.room(now, false) != 10 {
			t.Fatalf("room %d after an acceptance", a.room(now, false))
		}
	})
}

func TestSubmitRateIsTakenOnlyByWhatIsClaimed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := newAccount(Account{PerMinute: 60}, 1, dayOfUTC)
	for range 100 {
		if a.room(now, false) != 6 {
			t.Fatalf("room %d: looking costs", a.room(now, false))
		}
	}
	a.begun(now, 6, false)
	if a.room(now, false) != 0 || a.room(now.Add(time.Second), false) != 1 {
		t.Errorf("room %d, a second later %d", a.room(now, false), a.room(now.Add(time.Second), false))
	}
}

func TestReadBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(Account{ReadsPerMinute: 60}, 1, dayOfUTC)
		start := time.Now()
		reads := 0
		for time.Since(start) < time.Minute {
			if wait := a.mayRead(context.Background(), time.Now()); wait > 0 {
				time.Sleep(wait)
				continue
			}
			reads++
		}
		if reads < 60 || reads > 70 {
			t.Errorf("%d reads in a minute, want 60 and the burst", reads)
		}
		a.restReads(time.Now(), time.Hour)
		if wait := a.mayRead(context.Background(), time.Now()); wait != time.Hour {
			t.Errorf("waits %v although the upstream asked for an hour", wait)
		}
	})
}

// Callbacks that always come make looks four times sparser; when one is lost, nothing is
// stretched until many have come again; and a thousand in one second prove no more than one.
func TestCallbackTrust(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var trust callbackTrust
	announced := func(n int, apart time.Duration) {
		for range n {
			now = now.Add(apart)
			trust.saw(true, now)
		}
	}
	announced(100, time.Second)
	if f := trust.stretch(); f < 3.9 {
		t.Errorf("factor %.2f although every callback arrived", f)
	}
	trust.saw(false, now)
	if f := trust.stretch(); f != 1 {
		t.Errorf("factor %.2f after a lost callback", f)
	}
	announced(stretchFrom, time.Minute)
	if f := trust.stretch(); f != 1 {
		t.Errorf("factor %.2f so soon after it", f)
	}
	trust.saw(false, now)
	announced(10_000, time.Millisecond)
	if f := trust.stretch(); f != 1 {
		t.Errorf("factor %.2f after ten seconds of callbacks, however many", f)
	}
}

// One callback in five is lost, by chance and not in turn, and found only a look's wait later.
// Whether an account ends one job in ten seconds or five hundred in one, nothing is stretched.
func TestLeakyCallbacksStretchNothing(t *testing.T) {
	for _, rate := range []float64{0.1, 5, 50, 500} {
		var trust callbackTrust
		random := rand.New(rand.NewPCG(1, 2))
		wait := 15 * time.Second
		apart := time.Duration(float64(time.Second) / rate)
		start := time.Unix(1_800_000_000, 0)
		var late []time.Time // when lost ones are found, in order
		stretched := 0
		const ends = 20_000
		for i := range ends {
			now := start.Add(time.Duration(i) * apart)
			for len(late) > 0 && !late[0].After(now) {
				trust.saw(false, now)
				late = late[1:]
			}
			if random.IntN(5) == 0 {
				late = append(late, now.Add(wait))
			} else {
				trust.saw(true, now)
			}
			if trust.stretch() > 1 {
				stretched++
			}
		}
		if stretched > ends/50 {
			t.Errorf("%.1f ends a second: stretched at %d of %d with one callback in five lost", rate, stretched, ends)
		}
	}
}

// After a call what falls due is gathered: for less long where callbacks have come, but never
// for a call each.
func TestGathering(t *testing.T) {
	for name, tc := range map[string]struct {
		rings bool
		want  time.Duration
	}{"nothing urgent": {false, gather}, "a callback": {true, gatherUrgent}} {
		synctest.Test(t, func(t *testing.T) {
			e := engineFor(provider.Pace{})
			e.run = t.Context()
			l := &lane{urgent: newBell()}
			if tc.rings {
				l.urgent.ring()
			}
			began := time.Now()
			if !e.gather(l) {
				t.Fatal("the engine has stopped")
			}
			if took := time.Since(began); took != tc.want {
				t.Errorf("%s: gathers for %v, want %v", name, took, tc.want)
			}
		})
	}
}

func TestLooksAfterAndBetweenCallbacks(t *testing.T) {
	pace := provider.Pace{First: 10 * time.Second, Interval: 10 * time.Second, Ceiling: 30 * time.Second}
	e := engineFor(pace)
	acc := newAccount(Account{Account: provider.Account{Name: "main"}}, 1, dayOfUTC)
	e.accounts = map[string]*account{"main": acc}
	start := time.Unix(1_800_000_000, 0)
	a := &kinora.Attempt{Model: "m", Provider: "p", Account: "main", CallbackMode: kinora.CallbackManaged, AcceptedAt: start, DeadlineAt: start.Add(time.Hour), Polls: 3}
	now := start.Add(10 * time.Minute)
	if wait := e.nextLook(a, now, 0); wait > 33*time.Second {
		t.Errorf("waits %v before callbacks have proven themselves", wait)
	}
	for i := range 100 {
		acc.trust.saw(true, start.Add(time.Duration(i)*time.Second))
	}
	if wait := e.nextLook(a, now, 0); wait < 100*time.Second || wait > 2*stretchCeiling {
		t.Errorf("waits %v with callbacks that always come", wait)
	}
	a.HintedAt = now.Add(-time.Second)
	if wait := e.nextLook(a, now, 0); wait > 11*time.Second {
		t.Errorf("waits %v after a callback that the look did not confirm", wait)
	}
	a.HintedAt, a.CallbackMode = time.Time{}, kinora.CallbackForwarded
	if wait := e.nextLook(a, now, 0); wait > 33*time.Second {
		t.Errorf("waits %v for a job whose callbacks go to the caller", wait)
	}
}

func TestLanes(t *testing.T) {
	e := &Engine{providers: map[string]provider.Provider{"p": mixed{}}, accounts: map[string]*account{}}
	for _, name := range []string{"a", "b"} {
		e.accounts[name] = newAccount(Account{Account: provider.Account{Name: name, Provider: "p"}}, 1, dayOfUTC)
	}
	lanes := map[string]bool{}
	for _, m := range []kinora.Model{
		{Provider: "p", UpstreamModel: "video"}, {Provider: "p", UpstreamModel: "image"},
		{Provider: "p", UpstreamModel: "video", Accounts: []string{"b", "a"}}, {Provider: "p", UpstreamModel: "image", Accounts: []string{"a"}},
	} {
		lane := e.laneOf(&m)
		lanes[lane] = true
		if laneProvider(lane) != "p" {
			t.Errorf("lane %s is of provider %s", lane, laneProvider(lane))
		}
		want := len(m.Accounts)
		if want == 0 {
			want = 2
		}
		if got := e.laneAccounts(lane); len(got) != want {
			t.Errorf("lane %s has %d accounts, want %d", lane, len(got), want)
		}
	}
	if len(lanes) != 4 {
		t.Errorf("lanes %v: long calls share one with short ones", lanes)
	}
}

// mixed is a provider whose images are synchronous.
type mixed struct{ provider.Provider }

func (mixed) Describe() provider.Description {
	return provider.Description{Traits: func(m string) provider.Traits { return provider.Traits{Synchronous: m == "image"} }}
}

// After a refusal of the account one submit is tried at a time until one is taken: a queue is
// not burnt on an empty balance. A refusal for what a submit asks shows that the account is welcome.
func TestARefusedAccountIsProbed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	balance := provider.Errorf(provider.Balance, "no money")
	a := newAccount(Account{MaxInFlight: 10}, 1, dayOfUTC)
	a.begun(now, 10, false)
	a.answered(now, balance, false)
	a.bar(now, parkBalance, "")
	if a.room(now, false) != 0 || !a.barred(now, "any") {
		t.Fatal("it takes work although it has no money")
	}
	for range 3 {
		now = now.Add(parkBalance)
		if n := a.room(now, false); n != 1 {
			t.Fatalf("room %d after the rest, want one probe", n)
		}
		a.begun(now, 1, false)
		if a.room(now, false) != 0 {
			t.Fatal("a second probe beside the first")
		}
		a.answered(now, balance, false)
		a.bar(now, parkBalance, "")
	}
	now = now.Add(parkBalance)
	a.begun(now, 1, false)
	a.answered(now, provider.Errorf(provider.Moderation, "no"), false)
	if n := a.room(now, false); n != 10 {
		t.Errorf("room %d after an answer about the request", n)
	}
	a.bar(now, parkBalance, "small")
	if a.room(now, false) != 10 || !a.barred(now, "small") || a.barred(now, "large") || a.barred(now.Add(parkBalance), "small") {
		t.Error("a refusal of one model is not about that model alone")
	}
}

// Long calls that go unanswered keep no short ones waiting, and their probe none either.
func TestLongCallsHaveABreakerOfTheirOwn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := newAccount(Account{}, 1, dayOfUTC)
	for range breakAfter {
		a.begun(now, 1, true)
		a.answered(now, silence, true)
	}
	if a.room(now, true) != 0 || a.room(now, false) != defaultInFlight {
		t.Errorf("room %d and %d", a.room(now, true), a.room(now, false))
	}
	now = now.Add(longestRest * 2)
	a.begun(now, 1, true)
	if a.room(now, true) != 0 || a.room(now, false) != defaultInFlight {
		t.Errorf("beside a long probe: room %d and %d", a.room(now, true), a.room(now, false))
	}
}
