package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora/internal/simulator/fleet"
)

type simulateCommand struct {
	Only    []string      `help:"Start only these: sandbox, kling, ark, minimax, vidu, comfyui, localai, google, openai, and what starts only if named: openai-vllm, openai-sglang, google-vertex." placeholder:"NAME,…"`
	Port    int           `help:"Port of the first; the others have the next ones, always the same for each. 0 = any free ones." default:"9700"`
	JobTime time.Duration `help:"How long a job takes that does not say. 0 = as each simulator likes." default:"0" placeholder:"10s"`
}

// simulateShape is how --json shows what runs.
type simulateShape struct {
	Upstreams []fleet.Upstream `json:"upstreams"`
}

// closeTimeout is how long requests under way may last after the signal to stop.
const closeTimeout = 2 * time.Second

func (s *simulateCommand) Run(ctx context.Context, c *console) error {
	if s.Port < 0 || s.Port > 65535-len(fleet.Names()) || s.JobTime < 0 {
		return usage("the port or the job time is out of range", "see kinora help simulate")
	}
	f, err := fleet.Start(ctx, fleet.Options{Only: s.Only, Port: s.Port, JobTime: s.JobTime})
	if err != nil {
		return err
	}
	err = c.result(simulateShape{f.Upstreams}, func() { c.showFleet(f) })
	if err == nil {
		<-ctx.Done()
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = f.Close(stop) // whoever is cut off has been told to stop
	return err
}

// showFleet prints the accounts as they stand in a configuration.
func (c *console) showFleet(f *fleet.Fleet) {
	c.say("# Simulated upstreams are running; nothing here costs money. End them with Ctrl-C.")
	c.say("# The configuration of a server on this machine, which they call back:")
	c.say("public_url: http://127.0.0.1:8080")
	c.say("network: {allow_prefixes: [127.0.0.0/8]}")
	c.say("accounts:")
	for _, u := range f.Upstreams {
		c.say("  - name: %s-simulated", u.Name)
		c.say("    provider: %s", u.Provider)
		c.say("    base_url: %s", u.URL)
		c.say("    settings:")
		for _, name := range slices.Sorted(maps.Keys(u.Settings)) {
			c.say("      %s: %s", name, yamlText(u.Settings[name]))
		}
	}
}

// yamlText is a text as YAML, quoted where it could be read as anything else.
func yamlText(text string) string {
	if !strings.ContainsAny(text, `{}[]"'#,`) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
