package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/kinora/kinora/internal/config"
)

// configured is how the commands that work on a server's own machine find its configuration.
type configured struct {
	Config string `help:"The server's configuration file; defaults and KINORA_ variables alone when absent." placeholder:"FILE" env:"KINORA_CONFIG"`
}

func (x configured) load() (config.Config, error) {
	return config.Load(x.Config, os.Environ())
}

// newLogger makes what cfg asks for.
func newLogger(w io.Writer, cfg config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		level = slog.LevelInfo // the configuration has been checked
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
