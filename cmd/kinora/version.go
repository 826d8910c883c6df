package main

import (
	"runtime"
	"runtime/debug"

	"github.com/kinora/kinora/client"
)

type versionCommand struct{}

// build is what the toolchain recorded in this program.
type build struct {
	Version  string `json:"version"`  // of the module; "(devel)" when built from a folder without version control
	Commit   string `json:"commit"`   // empty = not recorded
	Modified bool   `json:"modified"` // built from a folder with changes on top of the commit
	Time     string `json:"time"`     // of the commit, RFC 3339; empty = not recorded
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

func (versionCommand) Run(c *console) error {
	b := buildInfo()
	return c.result(b, func() {
		commit := b.Commit
		if commit == "" {
			commit = "not recorded"
		} else if b.Modified {
			commit += " with changes"
		}
		c.say("kinora %s", b.Version)
		c.say("commit   %s", commit)
		c.say("go       %s", b.Go)
		c.say("platform %s", b.Platform)
	})
}

func buildInfo() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
	return b
}

// userAgent is what this program calls itself towards servers.
func userAgent() string { return client.DefaultUserAgent + " kinora-cli/" + buildInfo().Version }
