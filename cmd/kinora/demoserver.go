package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/client/webhook"
	"github.com/kinora/kinora/internal/app"
	"github.com/kinora/kinora/internal/config"
)

// demoRun is the demo's server, receiver and client.
type demoRun struct {
	app      *app.App
	receiver *receiver
	api      *client.Client
	key      string
	folder   string // everything that the server keeps; removed in the end
	out      string
	items    []*demoItem
	logs     *demoLog
}

// demoConfig is a server that keeps everything in folder and may deliver to this machine. The environment of whoever
// runs the demo plays no part.
func demoConfig(addr, folder string) config.Config {
	cfg := config.Default()
	sandbox := true
	cfg.Listen, cfg.DataDir, cfg.Sandbox.Enabled = addr, folder, &sandbox
	cfg.Network.AllowPrefixes = []string{"127.0.0.0/8"}
	cfg.Webhooks.AllowHTTP = true
	return cfg
}

// start brings everything up, or nothing.
func (d *demoCommand) start(ctx context.Context) (_ *demoRun, err error) {
	r := &demoRun{out: d.Out, items: demoItems(), logs: &demoLog{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop(ctx))
		}
	}()
	if err := os.MkdirAll(d.Out, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for the files: %w", err)
	}
	if r.folder, err = os.MkdirTemp("", "kinora-demo-"); err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	cfg := demoConfig(d.Addr, r.folder)
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := app.New(ctx, cfg, app.Options{Logger: logger, Version: buildInfo().Version})
	if err != nil {
		return nil, err
	}
	r.app = server
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	made := server.Bootstrapped()
	if made == nil {
		return nil, errors.New("the server made no key although its database is new")
	}
	r.key = made.KeyText
	if r.receiver, err = listenForWebhooks(ctx, made.Secret.Text); err != nil {
		return nil, err
	}
	r.api, err = client.New(server.URL(), r.key, client.WithUserAgent(userAgent()))
	return r, err
}

// stop takes down what is up and removes the temporary folder. ctx may have ended: that is how a demo is stopped.
func (r *demoRun) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var errs []error
	if r.api != nil {
		r.api.CloseIdleConnections()
	}
	if r.app != nil {
		errs = append(errs, r.app.Stop(ctx))
	}
	if r.receiver != nil {
		r.receiver.close()
	}
	if r.folder != "" {
		errs = append(errs, os.RemoveAll(r.folder))
	}
	return errors.Join(errs...)
}

func verifiedHeaders() []string { return []string{webhook.HeaderSignature, webhook.HeaderHexSignature} }

// demoLog keeps the last record of the server's log, for the case that the demo fails, and passes everything on once the
// user wants to watch.
type demoLog struct {
	mu   sync.Mutex
	last string
	to   io.Writer // nil = keep
}

// Write takes one record: that is how package slog writes.
func (l *demoLog) Write(record []byte) (int, error) {
	const most = 400 // bytes; a record may hold a stack trace
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		return l.to.Write(record)
	}
	l.last = strings.TrimSpace(string(record[:min(most, len(record))]))
	return len(record), nil
}

func (l *demoLog) passOn(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = w
}

// kept is the last record, shortened; empty = none.
func (l *demoLog) kept() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
