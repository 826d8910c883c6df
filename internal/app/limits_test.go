package app

import (
	"testing"

	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/server"
)

// The defaults are the contract's numbers; 0 is no limit, and reads of tasks have none until one is set.
func TestLimitsOfTheConfiguration(t *testing.T) {
	cfg := config.Default()
	of := func(n int) server.Limit { return server.Limit{PerMinute: n} }
	want := server.Limits{
		Submit: of(-1), Status: of(-1), Upload: of(60), AssetCreate: of(120), AssetRead: of(1200), Create: of(120), Generation: of(1200),
		Regenerate: of(120), Usage: of(120), Billing: of(120), SourceURL: of(60), PerAddress: 10,
	}
	if l := limits(cfg); l != want {
		t.Errorf("%+v", l)
	}
	cfg.Limits.ReadPerMinute, cfg.Limits.API.GenerationsRead = 7, 0
	want.Status, want.Generation = of(7), of(-1)
	if l := limits(cfg); l != want {
		t.Errorf("%+v", l)
	}
}
