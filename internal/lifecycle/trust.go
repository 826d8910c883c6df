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
)

// callbackTrust learns whether an account's callbacks arrive, from the ends of its jobs:
// those that a callback announced raise it a little, those that a look had to find halve
// it. With one callback in five lost it stays so low that nothing is stretched.
type callbackTrust struct {
	mu    sync.Mutex
	share float64
}

func (t *callbackTrust) saw(hinted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if hinted {
		t.share += (1 - t.share) / 10
		return
	}
	t.share /= 2
}

// stretch is the factor by which waits between looks grow: 1 to stretchMost.
func (t *callbackTrust) stretch() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return 1 + (stretchMost-1)*max(0, 2*t.share-1)
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
