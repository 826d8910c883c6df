package masterkey

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is what one server, or one run of the command, has of an installation.
type process struct {
	*Keeper
	ring    *seal.Ring
	secrets *tenancy.Service
	db      *store.DB
	batch   func() // called once for each batch of secrets; nil = nothing
}

// open starts a process over the keys in a file.
func open(t *testing.T, db *store.DB, node, file string) *process {
	t.Helper()
	keys, _, err := seal.LoadOrCreate(file)
	if err != nil {
		t.Fatal(err)
	}
	p := openKeys(t, db, node, keys...)
	p.cfg.File = file
	return p
}

// openKeys starts a process whose keys are configured.
func openKeys(t *testing.T, db *store.DB, node string, keys ...seal.Key) *process {
	t.Helper()
	ring, err := seal.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ring: ring, db: db}
	p.secrets = tenancy.New(db, ring, tenancy.Options{Now: func() time.Time {
		if p.batch != nil {
			p.batch()
		}
		return time.Now()
	}})
	p.Keeper = New(Config{DB: db, Node: node, Ring: ring, Secrets: p.secrets, LiveURLs: time.Hour})
	return p
}

// beat tells the other nodes of this one, as a server does.
func (p *process) beat(t *testing.T) {
	t.Helper()
	err := p.db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Beat(p.cfg.Node, p.ring.IDs(), time.Now(), time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// organisations makes n of them and returns their secrets.
func (p *process) organisations(t *testing.T, n int) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for i := range n {
		name := fmt.Sprint("org ", i)
		org, secret, err := p.secrets.CreateOrganisation(t.Context(), tenancy.OrganisationChange{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		texts[org.ID] = secret.Text
	}
	return texts
}

func (p *process) wantSecrets(t *testing.T, texts map[string]string) {
	t.Helper()
	for org, text := range texts {
		got, err := p.secrets.WebhookSecrets(t.Context(), org)
		if err != nil || len(got) != 1 || got[0].Text != text {
			t.Fatalf("%s: %v, %v", org, got, err)
		}
	}
}

func wantConflict(t *testing.T, what string, err error, says string) {
	t.Helper()
	if kinora.CodeOf(err) != kinora.ErrConflict || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want a conflict with %q", what, err, says)
	}
}

func TestRotateInAFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		file := filepath.Join(t.TempDir(), "master.key")
		p := open(t, db, "node_a", file)
		before := p.ring.IDs()[0]
		signed := p.ring.Derive("file-urls", 32)
		changed := 0
		p.cfg.Changed = func() error { changed++; return nil }
		texts := p.organisations(t, 5)

		change, err := p.Rotate(t.Context())
		if err != nil || !change.Made || change.Resealed != 5 || change.Current == before || len(change.Older) != 1 || change.Older[0] != before {
			t.Fatalf("rotated: %+v, %v", change, err)
		}
		if changed == 0 {
			t.Error("nobody was told of the new key")
		}
		p.wantSecrets(t, texts)
		// What was signed with the older key is still accepted, here and after a new start.
		for _, q := range []*process{p, open(t, db, "node_b", file)} {
			if all := q.ring.DeriveAll("file-urls", 32); len(all) != 2 || string(all[1]) != string(signed) {
				t.Errorf("%d keys for file URLs", len(all))
			}
		}
		_, err = p.ForgetOld(t.Context(), false)
		wantConflict(t, "forgetting while URLs live", err, "file URLs")
		p.cfg.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		if change, err := p.ForgetOld(t.Context(), false); err != nil || len(change.Forgotten) != 1 || change.Forgotten[0] != before || len(change.Older) != 0 {
			t.Fatalf("forgotten: %+v, %v", change, err)
		}
		again := open(t, db, "node_c", file)
		again.wantSecrets(t, texts)
		if ids := again.ring.IDs(); len(ids) != 1 || ids[0] != change.Current {
			t.Errorf("the file holds %v", ids)
		}
		if status, err := again.Status(t.Context()); err != nil || len(status.Keys) != 1 || status.Keys[0].Sealed != 5 || !status.File {
			t.Errorf("status: %+v, %v", status, err)
		}
	})
}

// Whatever a run got done before it ended, the next one brings it to its end: nothing is lost in between, and a second
// key is made only when the first is used for everything.
func TestRotateGoesOnWhereItEnded(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		file := filepath.Join(t.TempDir(), "master.key")
		texts := open(t, db, "node_0", file).organisations(t, 450) // three batches
		unfinished, underWay := 0, false
		for ends := range 30 {
			p := open(t, db, fmt.Sprint("node_", ends), file)
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			p.batch = func() {
				if calls++; calls == ends+1 {
					cancel()
				}
			}
			change, err := p.Rotate(ctx)
			cancel()
			p.batch = nil
			if change.Made && underWay {
				t.Error("a second key was made before the first was used for everything")
			}
			p.wantSecrets(t, texts)
			status, statusErr := p.Status(t.Context())
			if statusErr != nil {
				t.Fatal(statusErr)
			}
			if underWay = status.Keys[0].Sealed < 450; underWay && status.Keys[0].Sealed > 0 {
				unfinished++
			}
			if err == nil {
				if underWay {
					t.Errorf("done with %+v", status)
				}
				if unfinished == 0 {
					t.Error("no run ended in the middle: the test shows nothing")
				}
				return
			}
		}
		t.Error("never done")
	})
}

// Keys in the configuration are changed by whoever writes that; the command seals anew, once all servers agree.
func TestRotateWithSeveralServers(t *testing.T) {
	db := storetest.Postgres(t)
	old, current := seal.NewKey(), seal.NewKey()
	a, b := openKeys(t, db, "node_a", old), openKeys(t, db, "node_b", old)
	texts := a.organisations(t, 3)
	a.beat(t)
	b.beat(t)
	_, err := a.Rotate(t.Context())
	wantConflict(t, "nothing to do", err, "configuration")

	a = openKeys(t, db, "node_a", current, old)
	a.beat(t)
	_, err = a.Rotate(t.Context())
	wantConflict(t, "while another does not have it", err, "node_b")
	b = openKeys(t, db, "node_b", old, current)
	b.beat(t)
	_, err = a.Rotate(t.Context())
	wantConflict(t, "while another seals with the older one", err, "node_b")
	b.wantSecrets(t, texts)

	b = openKeys(t, db, "node_b", current, old)
	b.beat(t)
	change, err := a.Rotate(t.Context())
	if err != nil || change.Made || change.Resealed != 3 {
		t.Fatalf("rotated: %+v, %v", change, err)
	}
	openKeys(t, db, "node_c", current).wantSecrets(t, texts)

	// With a key file as well, a new key is not made while others would not know it.
	file := filepath.Join(t.TempDir(), "master.key")
	if err := seal.ReplaceFile(file, []seal.Key{current}, ""); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, db, "node_d", file).Rotate(t.Context())
	wantConflict(t, "a new key beside other servers", err, "node_a, node_b")
	// A server that has not been heard of for long does not count.
	d := open(t, db, "node_d", file)
	d.cfg.Now = func() time.Time { return time.Now().Add(time.Hour) }
	if change, err := d.Rotate(t.Context()); err != nil || !change.Made {
		t.Errorf("with all others gone: %+v, %v", change, err)
	}
}

func TestRotateWithAKeyMissing(t *testing.T) {
	db := storetest.SQLite(t)
	openKeys(t, db, "node_a", seal.NewKey()).organisations(t, 1)
	file := filepath.Join(t.TempDir(), "master.key")
	p := open(t, db, "node_b", file)
	before := p.ring.IDs()
	if _, err := p.Rotate(t.Context()); kinora.CodeOf(err) != kinora.ErrConflict {
		t.Errorf("rotated: %v", err)
	}
	if _, err := p.ForgetOld(t.Context(), true); kinora.CodeOf(err) != kinora.ErrConflict {
		t.Errorf("forgot: %v", err)
	}
	if keys, err := seal.LoadFile(file); err != nil || len(keys) != 1 || keys[0].ID() != before[0] {
		t.Errorf("the file has changed: %v", err)
	}
	if status, err := p.Status(t.Context()); err != nil || len(status.Keys) != 2 || status.Keys[1].Known || status.Keys[1].Sealed != 1 {
		t.Errorf("status: %+v, %v", status, err)
	}
}
