package app

import (
	"testing"

	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/server"
)

// read_per_minute governs both ways to read; 0 is no limit for either.
func TestReadLimit(t *testing.T) {
	none, seven := 0, 7
	for name, c := range map[string]struct {
		set              *int
		task, generation int // negative = none, 0 = the server's default
	}{
		"unset": {nil, -1, 0}, "none": {&none, -1, -1}, "seven": {&seven, 7, 7},
	} {
		cfg := config.Default()
		cfg.Limits.ReadPerMinute = c.set
		l := limits(cfg)
		if l.Status != (server.Limit{PerMinute: c.task}) || l.Generation != (server.Limit{PerMinute: c.generation}) {
			t.Errorf("%s: %+v", name, l)
		}
		if l.Upload.PerMinute != 60 || l.Submit.PerMinute != -1 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}
