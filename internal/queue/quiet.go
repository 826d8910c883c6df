package queue

import (
	"context"
	"errors"
	"log/slog"
	"strings"
)

// quiet lets only River's warnings and errors through: its information is about its own
// comings and goings. That something was broken off by the stop of this server is none either.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if brokenOff(r) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// brokenOff tells whether a record is about a cancelled context. River's contexts are cancelled
// by Stop alone; it logs errors as texts.
func brokenOff(r slog.Record) bool {
	found := false
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			found = found || errors.Is(v, context.Canceled)
		case string:
			found = found || strings.Contains(v, context.Canceled.Error())
		}
		return !found
	})
	return found
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }
