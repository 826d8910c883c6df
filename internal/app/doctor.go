package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/masterkey"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/tenancy"
	"github.com/kinora/kinora/provider"
)

// Diagnosis is one thing that Doctor looked at.
type Diagnosis struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`         // what was seen
	Hint   string `json:"hint,omitempty"` // what to do, when not OK
}

// Doctor checks, without starting a server, that one could run well with cfg. It writes
// a few small files and rows and removes them. While a server holds the SQLite file, the
// checks of the database say so and the rest is made.
func Doctor(ctx context.Context, cfg config.Config) []Diagnosis {
	d := &doctor{cfg: cfg}
	d.configuration()
	d.dataFolder()
	d.keys()
	d.database(ctx)
	d.storage(ctx)
	d.routes()
	d.identityProvider(ctx)
	d.clock()
	return d.found
}

type doctor struct {
	cfg    config.Config
	found  []Diagnosis
	master *masterKeys // nil: they cannot be used
}

func (d *doctor) good(name, format string, args ...any) {
	d.found = append(d.found, Diagnosis{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) bad(name, detail, hint string) {
	d.found = append(d.found, Diagnosis{Name: name, Detail: detail, Hint: hint})
}

// failed reports an error; the hint comes from the error where it has one.
func (d *doctor) failed(name string, err error, hint string) {
	var e *kinora.Error
	if errors.As(err, &e) && e.Hint != "" {
		hint = e.Hint
	}
	d.bad(name, err.Error(), hint)
}

func (d *doctor) configuration() {
	if err := d.cfg.Validate(); err != nil {
		d.failed("configuration", err, "see docs/configuration.md")
		return
	}
	u, _ := url.Parse(d.cfg.PublicURL)
	switch {
	case d.cfg.PublicURL == "":
		d.good("public_url", "not set: file URLs use the listening address, and upstreams are not asked to call back")
	case u.Scheme != "https":
		d.bad("public_url", "is plain http: most upstreams refuse to call back there", "put a proxy with TLS in front and set an https address")
	default:
		d.good("public_url", "%s", d.cfg.PublicURL)
	}
	for _, p := range d.cfg.Network.AllowPrefixes {
		d.good("network", "callers' URLs may lead to %s", p)
	}
}

// identityProvider asks it what the first sign-in would.
func (d *doctor) identityProvider(ctx context.Context) {
	o := d.cfg.Dashboard.OIDC
	if !d.cfg.Dashboard.Enabled || o.Issuer == "" {
		return
	}
	if err := oidcOf(o, d.cfg.PublicURL+"/dashboard").Check(ctx); err != nil {
		d.failed("identity provider", err, "check dashboard.oidc.issuer")
		return
	}
	if d.cfg.PublicURL == "" {
		d.bad("identity provider", "it answers, and would send browsers back to the address that the server listens on", "set public_url, and register its /dashboard/oidc/callback there")
		return
	}
	d.good("identity provider", "%s; it sends browsers back to %s/dashboard/oidc/callback", o.Issuer, d.cfg.PublicURL)
}

func (d *doctor) dataFolder() {
	if err := os.MkdirAll(d.cfg.DataDir, 0o700); err != nil {
		d.bad("data folder", err.Error(), "check data_dir and its permissions")
		return
	}
	probe := filepath.Join(d.cfg.DataDir, ".doctor")
	const writes = 50
	started := time.Now()
	f, err := os.OpenFile(probe, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	for range writes {
		if err == nil {
			_, err = f.WriteString(strings.Repeat("x", 4096))
		}
		if err == nil {
			err = f.Sync()
		}
	}
	took := time.Since(started)
	if f != nil {
		_ = f.Close()
		_ = os.Remove(probe)
	}
	if err != nil {
		d.bad("data folder", err.Error(), "check the disk and the permissions of data_dir")
		return
	}
	perSync := took / writes
	if perSync > 20*time.Millisecond {
		d.bad("data folder", fmt.Sprintf("a durable write takes %v", perSync), "SQLite commits cannot be faster; a local SSD is")
		return
	}
	d.good("data folder", "%s, a durable write takes %v", d.cfg.DataDir, perSync.Round(10*time.Microsecond))
	if free, ok := freeSpace(d.cfg.DataDir); ok {
		if free < 1<<30 {
			d.bad("disk", fmt.Sprintf("%d MiB free", free>>20), "outputs and the database need room; shorten retention or add a disk")
			return
		}
		d.good("disk", "%d GiB free", free>>30)
	}
}

// keys looks at the master keys by themselves. Whether they are the right ones is for the database to tell.
func (d *doctor) keys() {
	found, err := findMasterKeys(d.cfg)
	if err != nil {
		d.failed("master key", err, "")
		return
	}
	d.master = &found
	switch {
	case found.file == "":
		d.good("master key", "from the configuration")
	case found.own != nil:
		d.good("master key", "from data_dir; keep a copy of it apart from the database")
	}
}

// sealed checks that the keys are those of the database. db is nil where it has no tables yet; why, unless empty, tells
// what keeps it from being asked.
func (d *doctor) sealed(ctx context.Context, db *store.DB, why string) {
	if d.master == nil {
		return
	}
	if why != "" {
		if d.master.own == nil {
			d.bad("master key", "there is none in data_dir, and whether the database needs one could not be seen: "+why, "put the key back if there was one")
		}
		return
	}
	ring, err := d.master.ring()
	if err == nil && db != nil {
		err = masterkey.Check(ctx, tenancy.New(db, ring, tenancy.Options{}), ring)
	}
	switch {
	case err != nil:
		d.failed("master key", err, "")
	case d.master.own == nil:
		d.good("master key", "will be made on first start")
	case db != nil:
		d.good("sealed secrets", "can be read with it")
	}
}

func (d *doctor) database(ctx context.Context) {
	dsn := d.cfg.DatabaseDSN()
	db, err := store.Open(ctx, store.Options{DSN: dsn, ConnectTimeout: 5 * time.Second})
	if err != nil {
		d.failed("database", err, "check database")
		d.sealed(ctx, nil, "it cannot be opened")
		return
	}
	defer db.Close()
	list, err := db.Migrations(ctx)
	if err != nil {
		d.failed("database", err, "")
		d.sealed(ctx, nil, "it cannot be read")
		return
	}
	waiting := 0
	for _, m := range list {
		if !m.Applied {
			waiting++
		}
	}
	switch {
	case waiting == len(list):
		d.sealed(ctx, nil, "") // no tables, no secrets
	case waiting > 0:
		d.sealed(ctx, nil, "its schema is that of another version")
	default:
		d.sealed(ctx, db, "")
	}
	switch {
	case waiting > 0 && !d.cfg.AutoMigrate:
		d.bad("database", fmt.Sprintf("%s, %d of %d schema changes are not applied", db.Name(), waiting, len(list)), "run kinora migrate")
	case waiting > 0:
		d.good("database", "%s, %d schema changes will be applied at start", db.Name(), waiting)
	default:
		err = db.Update(ctx, func(tx *store.Tx) error {
			now := time.Now()
			if _, err := tx.Beat("doctor", nil, now, now); err != nil {
				return err
			}
			_, err := tx.RemoveNode("doctor", now)
			return err
		})
		if err != nil {
			d.failed("database", err, "the database answers but cannot be written")
			return
		}
		d.good("database", "%s, schema is current, writable", db.Name())
	}
}

func (d *doctor) storage(ctx context.Context) {
	files, done, err := OpenStorage(d.cfg)
	if err != nil {
		d.failed("storage", err, "check storage")
		return
	}
	defer func() { _ = done() }()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := files.Check(ctx); err != nil {
		d.failed("storage", err, "check storage and its permissions")
		return
	}
	if d.cfg.Storage.S3.Bucket != "" {
		d.good("storage", "bucket %s at %s, writable", d.cfg.Storage.S3.Bucket, d.cfg.Storage.S3.Endpoint)
		return
	}
	d.good("storage", "%s, writable", d.cfg.StorageFolder())
}

func (d *doctor) routes() {
	known := map[string]map[string]bool{}
	checkers := map[string]provider.AccountChecker{}
	made := map[string]map[string]kinora.Kind{} // by provider and its id for the model
	required := map[string][]string{}
	for _, p := range providers(nil) {
		known[p.Name()], made[p.Name()] = map[string]bool{}, map[string]kinora.Kind{}
		for _, m := range p.Describe().Models {
			made[p.Name()][m.Along()[0].UpstreamModel] = m.Kind
		}
		if c, ok := p.(provider.AccountChecker); ok {
			checkers[p.Name()] = c
		}
		for _, s := range p.Describe().Settings {
			known[p.Name()][s.Name] = true
			if s.Required {
				required[p.Name()] = append(required[p.Name()], s.Name)
			}
		}
	}
	for _, a := range d.cfg.Accounts {
		name := "account " + a.Name
		settings, ok := known[a.Provider]
		if !ok {
			d.bad(name, "there is no provider "+a.Provider, "see docs/providers")
			continue
		}
		sound := true
		if _, err := accountURL(providers(nil), a); err != nil {
			sound = false
			d.failed(name, err, "see docs/providers")
		}
		for _, s := range required[a.Provider] {
			if a.Settings[s].Reveal() == "" {
				sound = false
				d.bad(name, "settings."+s+" is empty", "set it, or the variable that it is read from")
			}
		}
		for s := range a.Settings {
			if !settings[s] {
				sound = false
				d.bad(name, "provider "+a.Provider+" has no setting "+s, "see docs/providers")
			}
		}
		if c := checkers[a.Provider]; c != nil && sound {
			if err := c.CheckAccount(providerAccount(a, a.BaseURL)); err != nil {
				sound = false
				d.bad(name, provider.AsError(err, provider.Permission).Message, "see docs/providers/"+a.Provider+".md")
			}
		}
		if sound {
			d.good(name, "provider %s", a.Provider)
		}
	}
	var models []kinora.Model
	for _, m := range d.cfg.Models {
		d.model(m, made)
		models = append(models, modelOf(m))
	}
	if err := checkModels(providers(nil), models); err != nil {
		d.failed("models", err, "see docs/providers")
	}
	workflows, err := comfyWorkflows(d.cfg.ComfyUI.Workflows)
	if err == nil {
		err = checkComfy(workflows, models)
	}
	switch {
	case err != nil:
		d.failed("comfyui", err, "see docs/providers/comfyui.md")
	case len(workflows) > 0:
		d.good("comfyui", "%d workflows in %s", len(workflows), d.cfg.ComfyUI.Workflows)
	}
	if d.cfg.SandboxEnabled() {
		d.good("sandbox", "its models are offered")
	}
	d.workflows()
}

func (d *doctor) workflows() {
	models, err := OfferedModels(d.cfg)
	if err != nil {
		return // told already
	}
	set, err := Workflows(d.cfg, models)
	if err != nil {
		d.failed("workflows", err, "see docs/workflows.md")
		return
	}
	d.good("workflows", "%s", cmp.Or(strings.Join(set.Names(), ", "), "none: the built-in ones need the sandbox, or a file that extends them with another model"))
}

// model looks at each route of a model: whether it can take work at all, and makes what the
// model is said to make.
func (d *doctor) model(m config.Model, made map[string]map[string]kinora.Kind) {
	name, sound := "model "+m.Name, true
	bad := func(at, why, hint string) {
		sound = false
		if len(m.Routes) > 0 {
			why = at + " " + why
		}
		d.bad(name, why, hint)
	}
	var providers []string
	for _, way := range m.Ways("") {
		at := strings.TrimPrefix(way.At, ".")
		providers = append(providers, way.Provider)
		kinds, known := made[way.Provider]
		upstreamModel := way.UpstreamModel
		if upstreamModel == "" {
			upstreamModel = m.Name
		}
		kind, listed := kinds[upstreamModel]
		switch {
		case !known && len(m.Routes) == 0:
			bad(at, "there is no provider "+way.Provider, "see docs/providers")
		case !known:
			bad(at, "names provider "+way.Provider+", which there is not", "see docs/providers")
		case listed && string(kind) != m.Kind:
			bad(at, fmt.Sprintf("makes %ss at %s, and the model is for %ss", kind, way.Provider, m.Kind), "a model is of one kind, whatever its route")
		case len(m.Routes) > 0 && !d.hasAccount(way.Route):
			bad(at, "has no account that takes new work", "add an account of provider "+way.Provider+", or remove the route")
		}
	}
	if sound && len(m.Routes) > 1 {
		order := m.Order
		if order == "" {
			order = string(kinora.RoutesListed)
		}
		d.good(name, "routes %s: %s", order, strings.Join(providers, ", "))
	}
}

// hasAccount tells whether a route has an account that is not retired.
func (d *doctor) hasAccount(r config.Route) bool {
	if r.Provider == "sandbox" && d.cfg.SandboxEnabled() {
		return true
	}
	return slices.ContainsFunc(d.cfg.Accounts, func(a config.Account) bool {
		return a.Provider == r.Provider && !a.Retired && (len(r.Accounts) == 0 || slices.Contains(r.Accounts, a.Name))
	})
}

func (d *doctor) clock() {
	// A clock that was never set makes signatures and deadlines nonsense.
	if now := time.Now(); now.Year() < 2025 {
		d.bad("clock", "says "+now.UTC().Format(time.RFC3339), "set the system's clock")
		return
	}
	d.good("clock", "%s", time.Now().UTC().Format(time.RFC3339))
}
