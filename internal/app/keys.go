package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/masterkey"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/tenancy"
)

// masterKeys are the keys of an installation as they are found.
type masterKeys struct {
	own   []seal.Key // configured, or in the key file; none where the file is still to be made
	older []seal.Key // old_master_keys
	file  string     // empty = the key is in the configuration
}

// findMasterKeys reads the keys and makes none.
func findMasterKeys(cfg config.Config) (masterKeys, error) {
	var m masterKeys
	if text := cfg.MasterKey.Reveal(); text != "" {
		key, err := parseKey("master_key", text)
		if err != nil {
			return m, err
		}
		m.own = []seal.Key{key}
	} else {
		m.file = MasterKeyFile(cfg.DataDir)
		keys, err := seal.LoadFile(m.file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, &kinora.Error{Code: kinora.ErrInvalid, Op: "master key", Message: "the key file cannot be used", Err: err,
				Hint: "restore " + m.file + " from its copy; what is sealed in the database cannot be read without it"}
		}
		m.own = keys
	}
	for i, old := range cfg.OldMasterKeys {
		key, err := parseKey(fmt.Sprintf("old_master_keys[%d]", i), old.Reveal())
		if err != nil {
			return m, err
		}
		m.older = append(m.older, key)
	}
	return m, nil
}

func parseKey(setting, text string) (seal.Key, error) {
	key, err := seal.ParseKey(text)
	if err != nil {
		return key, &kinora.Error{Code: kinora.ErrInvalid, Op: "configuration", Message: setting + " is not a master key",
			Hint: "a key is 32 bytes, as 64 hexadecimal digits or in base64; kinora master-key new prints one"}
	}
	return key, nil
}

// ring is what the keys seal and open with. Where there is no key yet it seals with one that nobody else has, so that
// what the database needs can be looked at.
func (m masterKeys) ring() (*seal.Ring, error) {
	if len(m.own) == 0 {
		return seal.NewRing(append([]seal.Key{seal.NewKey()}, m.older...)...)
	}
	return seal.NewRing(slices.Concat(m.own, m.older)...)
}

// openKeys reads the master keys and the admin token, making those that are not configured. A master key is made only
// where nothing is sealed with another one: a new key in place of a lost one would void every secret and file URL.
func (a *App) openKeys(ctx context.Context) error {
	found, err := findMasterKeys(a.cfg)
	if err != nil {
		return err
	}
	if a.ring, err = found.ring(); err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	if err := a.checkSealed(ctx); err != nil {
		return err
	}
	if found.own == nil {
		if found.own, _, err = seal.LoadOrCreate(found.file); err != nil {
			return fmt.Errorf("master key: %w", err)
		}
		if err := a.ring.Replace(slices.Concat(found.own, found.older)...); err != nil {
			return fmt.Errorf("master key: %w", err)
		}
	}
	if a.signer, err = blob.NewSigner(a.ring.DeriveAll(fileURLs, 32)...); err != nil {
		return fmt.Errorf("file URLs: %w", err)
	}
	a.keyFile = found.file
	if a.adminToken = a.cfg.AdminToken.Reveal(); a.adminToken != "" {
		return nil
	}
	if a.adminToken, err = privateToken(AdminTokenFile(a.cfg.DataDir), "kadm-"); err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	return nil
}

// checkSealed refuses a database in which something is sealed with a key that is not here.
func (a *App) checkSealed(ctx context.Context) error {
	return masterkey.Check(ctx, tenancy.New(a.db, a.ring, tenancy.Options{}), a.ring)
}

// fileURLs is the purpose of the derived key that signs file URLs.
const fileURLs = "file-urls"

// wireMasterKeys makes what rotates the master key.
func (a *App) wireMasterKeys(node string) {
	uploads := max(a.cfg.Uploads.KeepImage.Std(), a.cfg.Uploads.KeepVideo.Std())
	a.keys = masterkey.New(masterkey.Config{
		DB: a.db, Node: node, Ring: a.ring, File: a.keyFile, Secrets: a.tenancy,
		Changed:  func() error { return a.signer.Replace(a.ring.DeriveAll(fileURLs, 32)...) },
		LiveURLs: max(uploads, a.cfg.Retention.FileURLs.Std()),
	})
}
