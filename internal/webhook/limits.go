package webhook

import "time"

// Limits bound what one node has in hand at once, and shape how it treats destinations. A
// zero field means its default.
type Limits struct {
	Fresh   int // first attempts in hand; 512
	Retries int // retries in hand; 256
	Held    int // deliveries in hand that were held before; 256

	PerDestination int // POSTs at once to a healthy destination; 16
	Unproven       int // POSTs at once to one that has not answered with a 2xx yet; 4

	SlowAfter time.Duration // a destination that takes longer on average counts as slow; 1 s
	OpenAfter int           // consecutive failures to answer that open the breaker; 5
	Pause     time.Duration // first pause of an open breaker, doubled while probes fail; 5 s
	MaxPause  time.Duration // longest pause; 1 min

	IdleFor time.Duration // what was learnt of a destination is forgotten when it was idle for so long; 10 min
	Tracked int           // destinations remembered at once, idle ones included; 20,000
}

func (l Limits) withDefaults() Limits {
	number := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	length := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	number(&l.Fresh, 512)
	number(&l.Retries, 256)
	number(&l.Held, 256)
	number(&l.PerDestination, 16)
	number(&l.Unproven, 4)
	l.Unproven = min(l.Unproven, l.PerDestination)
	length(&l.SlowAfter, time.Second)
	number(&l.OpenAfter, 5)
	length(&l.Pause, 5*time.Second)
	length(&l.MaxPause, time.Minute)
	l.MaxPause = max(l.MaxPause, l.Pause)
	length(&l.IdleFor, 10*time.Minute)
	number(&l.Tracked, 20_000)
	return l
}
