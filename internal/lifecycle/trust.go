package lifecycle

import (
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

const (
	// hintFresh is how long after a callback a look counts as caused by it.
	hintFresh = 10 * time.Second
	// stretchMost is how many times sparser the looks at jobs become whose ends callbacks announce.
	stretchMost = 4
	// stretchCeiling is the longest wait that stretching makes: callbacks can stop at any time.
	stretchCeiling = 2 * time.Minute
	// An account's looks are stretched from so many announced ends in a row on, and wholly
	// after so many. With one callback in five lost a row is as long as the first of them once
	// in a hundred times.
	stretchFrom, stretchFull = 20, 80
	// trustEvery is the time within which announced ends count once. A lost one is found only
	// when a look's wait is over, and until then a busy account would have filled its row.
	trustEvery = time.Second
)

// callbackTrust learns whether an account's callbacks arrive, from the ends of its jobs: for
// how many in a row, a second apart, they were announced. One that a look had to find by
// itself ends the row. A share of lost ones would be learnt too late: each is seen only once a
// stretched wait is over.
type callbackTrust struct {
	mu      sync.Mutex
	row     int
	counted time.Time // when the last of the row was
}

func (t *callbackTrust) saw(hinted bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !hinted:
		t.row = 0
	case now.Sub(t.counted) >= trustEvery:
		t.row, t.counted = min(t.row+1, stretchFull), now
	}
}

// stretch is the factor by which waits between looks grow: 1 to stretchMost.
func (t *callbackTrust) stretch() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return 1 + (stretchMost-1)*float64(max(0, t.row-stretchFrom))/(stretchFull-stretchFrom)
}

// hinted tells whether a callback made a look happen at now.
func hinted(a *kinora.Attempt, now time.Time) bool {
	return !a.HintedAt.IsZero() && now.Sub(a.HintedAt) < hintFresh
}

// stretched adapts the wait before the next look at an attempt that its upstream calls back
// about. After a callback that a look did not confirm it is the shortest one: the upstream's
// read side may lag behind its news.
func (e *Engine) stretched(a *kinora.Attempt, wait time.Duration, pace provider.Pace, now time.Time) time.Duration {
	if a.CallbackMode != kinora.CallbackManaged {
		return wait
	}
	if a.Polls > 0 && hinted(a, now) {
		return min(wait, pace.Interval)
	}
	acc := e.accounts[a.Account]
	if acc == nil {
		return wait
	}
	longer := time.Duration(float64(wait) * acc.trust.stretch())
	return max(wait, min(longer, stretchCeiling))
}
