package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// complete fills in defaults and refuses what cannot be served.
func (c *Config) complete() error {
	switch {
	case c.Authenticator == nil:
		return errors.New("server: config: Authenticator is needed")
	case c.Generations == nil:
		return errors.New("server: config: Generations is needed")
	case c.FileURL == nil:
		return errors.New("server: config: FileURL is needed")
	case c.Files == nil || c.FileSigner == nil:
		return errors.New("server: config: Files and FileSigner are needed")
	case c.AdminToken != "" && len(c.AdminToken) < MinAdminToken:
		return fmt.Errorf("server: config: AdminToken has %d bytes, at least %d are needed", len(c.AdminToken), MinAdminToken)
	case c.MaxBody < 0 || c.MaxInFlight < 0 || c.MaxTransfers < 0 || c.OrganisationInFlight < 0 || c.RequestTimeout < 0 || c.MaxWait < 0:
		return errors.New("server: config: limits must not be negative")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	setDefault(&c.MaxBody, DefaultMaxBody)
	setDefault(&c.MaxInFlight, DefaultMaxInFlight)
	setDefault(&c.MaxTransfers, DefaultMaxTransfers)
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.MaxWait, DefaultMaxWait)
	c.Limits.complete()
	return nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// HTTPConfig holds the time-outs and bounds of the listener's side. Zero values mean the defaults.
type HTTPConfig struct {
	Addr              string        // host:port to listen on, for http.Server.ListenAndServe
	ReadHeaderTimeout time.Duration // for the request's head; default 10 s
	// ReadTimeout is for the whole request; default 60 s. It has to be longer than Config.RequestTimeout, as net/http
	// ends the request's context with it even when the body has been read. Transfers extend it themselves.
	ReadTimeout    time.Duration
	WriteTimeout   time.Duration // from the request's head to the answer's end; default 90 s; transfers extend it themselves
	IdleTimeout    time.Duration // between two requests on one connection; default 2 min
	MaxHeaderBytes int           // default 32 KiB
	Logger         *slog.Logger  // where net/http reports broken connections, at debug level; nil: nowhere
}

// HTTPServer returns an http.Server for handler with every time-out set, so that no client can hold a connection for
// nothing.
func HTTPServer(cfg HTTPConfig, handler http.Handler) *http.Server {
	setDefault(&cfg.ReadHeaderTimeout, 10*time.Second)
	setDefault(&cfg.ReadTimeout, 60*time.Second)
	setDefault(&cfg.WriteTimeout, 90*time.Second)
	setDefault(&cfg.IdleTimeout, 2*time.Minute)
	setDefault(&cfg.MaxHeaderBytes, 32<<10)
	logHandler := slog.DiscardHandler
	if cfg.Logger != nil {
		logHandler = cfg.Logger.Handler()
	}
	return &http.Server{
		Addr:              cfg.Addr,
		Handler:           handler,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.WriteTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logHandler, slog.LevelDebug),
		// Answers to OPTIONS * would come from net/http itself; ours go through the route table.
		DisableGeneralOptionsHandler: true,
	}
}
