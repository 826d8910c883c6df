package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
)

// A stop leaves nothing in the log that an operator could take for trouble; trouble stays.
func TestWhatOfRiversLogIsShown(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(quiet{slog.NewTextHandler(&out, nil)})
	for _, say := range []func(){
		func() { log.Info("comings and goings") },
		func() { log.Error("could not fetch", slog.String("err", "begin: context canceled")) },
		func() {
			log.With("name", "x").WithGroup("g").Warn("stopped", "error", fmt.Errorf("fetch: %w", context.Canceled))
		},
	} {
		if say(); out.Len() != 0 {
			t.Errorf("shown: %s", out.String())
			out.Reset()
		}
	}
	for _, err := range []error{errors.New("no such table"), context.DeadlineExceeded} {
		if log.Error("could not fetch", slog.String("err", err.Error())); out.Len() == 0 {
			t.Errorf("%v is not shown", err)
		}
		out.Reset()
	}
}
