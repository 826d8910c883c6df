package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
)

// A setting that is misspelt is told of at the start, without its value, and stops nothing else.
func TestStartWarnsOfAccounts(t *testing.T) {
	const secret = "sk-misplaced"
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.Accounts = []config.Account{
		{Name: "wrong", Provider: "openai", Settings: map[string]config.Secret{"api_key": secret, "auth": secret}},
		{Name: "right", Provider: "openai", Settings: map[string]config.Secret{"api_key": secret}},
	}
	var log bytes.Buffer
	a, err := app.New(t.Context(), cfg, app.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "are not right") != 1 || !strings.Contains(text, `"account":"wrong"`) || !strings.Contains(text, "settings.auth must be bearer or api-key") || strings.Contains(text, secret) {
		t.Error(text)
	}
}
