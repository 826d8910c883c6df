package webhook

import (
	"testing"
	"time"
)

func TestOthersGiveWayToFirstAttemptsThatComeSingly(t *testing.T) {
	t0 := time.Unix(1790000000, 0)
	type note struct {
		at      time.Duration
		n       int
		crowded bool
	}
	tests := map[string]struct {
		notes []note
		at    time.Duration
		want  bool
	}{
		"none ever":                {nil, 0, false},
		"one just now":             {[]note{{0, 1, false}}, 0, true},
		"one a moment ago":         {[]note{{0, 1, false}}, 999 * time.Millisecond, true},
		"one a second ago":         {[]note{{0, 1, false}}, time.Second, false},
		"claims that found none":   {[]note{{0, 1, false}, {900 * time.Millisecond, 0, false}}, time.Second, false},
		"a crowd":                  {[]note{{0, 128, true}}, 0, false},
		"single ones in a crowd":   {[]note{{0, 128, true}, {500 * time.Millisecond, 1, false}}, 600 * time.Millisecond, false},
		"single ones after it":     {[]note{{0, 128, true}, {900 * time.Millisecond, 1, false}}, 1100 * time.Millisecond, true},
		"a crowd among single one": {[]note{{0, 1, false}, {100 * time.Millisecond, 1, true}}, 200 * time.Millisecond, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPace()
			for _, n := range tt.notes {
				p.fresh(n.n, n.crowded, t0.Add(n.at))
			}
			if got := p.yields(t0.Add(tt.at)); got != tt.want {
				t.Errorf("yields %v, want %v", got, tt.want)
			}
		})
	}
}

func TestPause(t *testing.T) {
	p := newPace()
	p.rate = 100
	if got := p.pause(time.Second, 1000); got != 0 {
		t.Errorf("a pause of %v though nobody waits", got)
	}
	p.fresh(1, false, time.Now().Add(time.Hour)) // for as long as this test runs
	for _, tt := range []struct {
		took    time.Duration
		started int
		want    time.Duration
	}{
		{5 * time.Millisecond, 0, 20 * time.Millisecond},
		{time.Millisecond, 10, 100 * time.Millisecond},
		{50 * time.Millisecond, 10, 200 * time.Millisecond},
	} {
		if got := p.pause(tt.took, tt.started); got != tt.want {
			t.Errorf("after %v and %d POSTs: %v, want %v", tt.took, tt.started, got, tt.want)
		}
	}
	if p.most(100, 7) != 7 {
		t.Error("the bites are not smaller")
	}
}
