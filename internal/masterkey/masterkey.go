// Package masterkey changes the master key of an installation: the key that seals its secrets in the database and from
// which the signatures of file URLs are derived.
//
// The order makes it safe to break off anywhere and begin again. The new key is in the key file, durably, before
// anything is sealed with it; older keys stay accepted until somebody forgets them; secrets are sealed anew in small
// transactions; and what is left over is found by its key's id, not by a note about how far a run had come.
//
// Not its duty: which secrets there are (see tenancy), and keys that are kept in the configuration, which only whoever
// writes that can change: for those it seals anew what the configured order asks for.
package masterkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/seal"
	"github.com/kinora/kinora/internal/store"
)

// nodeSilence is how long after its last sign of life a server still counts. It is far above what declares a node dead,
// so that a difference between clocks does not hide one.
const nodeSilence = 5 * time.Minute

// Secrets are the sealed texts of the database.
type Secrets interface {
	// Sealed counts them by the id of their key.
	Sealed(ctx context.Context) (map[string]int, error)
	// Reseal seals those of older keys anew. It may be broken off and repeated.
	Reseal(ctx context.Context) (int, error)
}

// Config is what a Keeper works with; all of it is required but where said otherwise.
type Config struct {
	DB      *store.DB
	Node    string // this process among the nodes
	Ring    *seal.Ring
	Secrets Secrets
	// File is the key file; empty = the keys are in the configuration.
	File string
	// Changed is called when the ring has other keys than before; nil = nobody.
	Changed func() error
	// LiveURLs is how long a signed file URL can live: no older key is forgotten before.
	LiveURLs time.Duration
	Now      func() time.Time // nil = time.Now
}

// Keeper is safe for concurrent use.
type Keeper struct {
	cfg Config
	mu  sync.Mutex // one change at a time
}

// New makes a Keeper. It reads and writes nothing.
func New(cfg Config) *Keeper {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Keeper{cfg: cfg}
}

// Status tells which keys there are and what depends on them.
func (k *Keeper) Status(ctx context.Context) (kinora.MasterKeys, error) {
	sealed, err := k.cfg.Secrets.Sealed(ctx)
	if err != nil {
		return kinora.MasterKeys{}, err
	}
	nodes, err := k.nodes(ctx)
	if err != nil {
		return kinora.MasterKeys{}, err
	}
	ids := k.cfg.Ring.IDs()
	status := kinora.MasterKeys{Current: ids[0], File: k.cfg.File != "", Keys: []kinora.MasterKeyUse{}, Nodes: []kinora.MasterKeyNode{}}
	for _, id := range ids {
		status.Keys = append(status.Keys, kinora.MasterKeyUse{ID: id, Known: true, Sealed: sealed[id]})
		delete(sealed, id)
	}
	for _, id := range slices.Sorted(maps.Keys(sealed)) {
		status.Keys = append(status.Keys, kinora.MasterKeyUse{ID: id, Sealed: sealed[id]})
	}
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		status.Nodes = append(status.Nodes, kinora.MasterKeyNode{ID: id, Keys: nodes[id]})
	}
	return status, nil
}

// Rotate reads the key file again. Where something is sealed with an older key than the current one, a rotation is under
// way, and it is brought to its end. Otherwise a new key is made and becomes the current one at once; that is only
// possible for a key file that no other server depends on.
//
// Errors: kinora.ErrConflict when other servers do not seal with the current key yet, or would not know a new one, or
// the key is in the configuration, or something is sealed with a key that is not known here; with a hint about what to
// do. Nothing has changed then.
func (k *Keeper) Rotate(ctx context.Context) (kinora.MasterKeyChange, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var change kinora.MasterKeyChange
	if err := k.reload(); err != nil {
		return change, err
	}
	underWay, err := k.underWay(ctx)
	if err != nil {
		return change, err
	}
	others, err := k.others(ctx)
	if err != nil {
		return change, err
	}
	if underWay {
		err = k.agree(others)
	} else {
		err = k.renew(others)
		change.Made = err == nil
	}
	if err != nil {
		return change, err
	}
	change.Resealed, err = k.cfg.Secrets.Reseal(ctx)
	ids := k.cfg.Ring.IDs()
	change.Current, change.Older, change.Forgotten = ids[0], ids[1:], []string{}
	if change.Made || change.Resealed > 0 {
		detail := map[string]any{"current": change.Current, "made": change.Made, "resealed": change.Resealed}
		err = errors.Join(err, k.audit(ctx, kinora.AuditMasterKeyRotate, detail))
	}
	return change, err
}

// ForgetOld takes the older keys out of the key file. Until signed file URLs of theirs can no longer live it refuses to,
// unless early is set: those URLs then end at once.
//
// Errors: kinora.ErrConflict as Rotate, and when something is still sealed with an older key.
func (k *Keeper) ForgetOld(ctx context.Context, early bool) (kinora.MasterKeyChange, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var change kinora.MasterKeyChange
	if k.cfg.File == "" {
		return change, conflict("the master key is in the configuration", "take the older keys out of old_master_keys, and start the servers anew")
	}
	if err := k.reload(); err != nil {
		return change, err
	}
	underWay, err := k.underWay(ctx)
	if err != nil {
		return change, err
	}
	if underWay {
		return change, conflict("an older master key is still needed: secrets are sealed with it", "kinora master-key rotate seals them anew")
	}
	others, err := k.others(ctx)
	if err != nil {
		return change, err
	}
	if err := k.agree(others); err != nil {
		return change, err
	}
	before := k.cfg.Ring.IDs()
	keys, err := seal.LoadFile(k.cfg.File)
	if err == nil && len(keys) > 1 && !early {
		err = k.urlsHaveEnded()
	}
	if err == nil && len(keys) > 1 {
		err = k.write(keys[:1], "Master key of this installation.")
	}
	if err != nil {
		return change, err
	}
	ids := k.cfg.Ring.IDs()
	change.Current, change.Older, change.Forgotten = ids[0], ids[1:], []string{}
	for _, id := range before {
		if !slices.Contains(ids, id) {
			change.Forgotten = append(change.Forgotten, id)
		}
	}
	if len(change.Forgotten) == 0 {
		return change, nil
	}
	return change, k.audit(ctx, kinora.AuditMasterKeyForget, map[string]any{"current": change.Current, "forgotten": change.Forgotten, "early": early})
}

// audit writes what was done. A key file and a database have no transaction together: the entry follows the change, and
// that it could not be written is an error although the change stands.
func (k *Keeper) audit(ctx context.Context, action kinora.AuditAction, detail map[string]any) error {
	return k.cfg.DB.Update(ctx, func(tx *store.Tx) error { return tx.Audit(action, "", "", detail) })
}

// reload takes over what somebody has written into the key file since it was read.
func (k *Keeper) reload() error {
	if k.cfg.File == "" {
		return nil
	}
	keys, err := seal.LoadFile(k.cfg.File)
	if err != nil {
		return err
	}
	return k.use(keys)
}

func (k *Keeper) use(keys []seal.Key) error {
	if err := k.cfg.Ring.Replace(keys...); err != nil {
		return err
	}
	if k.cfg.Changed == nil {
		return nil
	}
	return k.cfg.Changed()
}

func (k *Keeper) write(keys []seal.Key, comment string) error {
	comment += "\nKeep a copy in a safe place, apart from the database's."
	if err := seal.ReplaceFile(k.cfg.File, keys, comment); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	return k.use(keys)
}

// renew makes a new key the current one.
func (k *Keeper) renew(others map[string][]string) error {
	const procedure = "see \"Changing the master key\" in docs/operations.md"
	switch {
	case k.cfg.File == "":
		return conflict("nothing is sealed with an older key, and a new master key cannot be made here, because it is in the configuration", procedure)
	case len(others) > 0:
		return conflict("a new master key has to reach all servers before it is used, and others run on this database: "+names(others), procedure)
	}
	keys, err := seal.LoadFile(k.cfg.File)
	if err != nil {
		return err
	}
	return k.write(append([]seal.Key{seal.NewKey()}, keys...),
		"Master keys of this installation: the first one is used, the others are still accepted.")
}

// agree makes sure that all other servers seal with the current key.
func (k *Keeper) agree(others map[string][]string) error {
	current := k.cfg.Ring.IDs()[0]
	maps.DeleteFunc(others, func(_ string, keys []string) bool { return len(keys) > 0 && keys[0] == current })
	if len(others) == 0 {
		return nil
	}
	return conflict("other servers do not seal with master key "+current+" yet: "+names(others),
		"give it to them as their first key and start them anew, or wait five minutes if they no longer run")
}

// underWay tells whether something is sealed with another key than the current one.
func (k *Keeper) underWay(ctx context.Context) (bool, error) {
	sealed, err := k.cfg.Secrets.Sealed(ctx)
	if err != nil {
		return false, err
	}
	if err := missing(kinora.ErrConflict, sealed, k.cfg.Ring.IDs()); err != nil {
		return false, err
	}
	delete(sealed, k.cfg.Ring.IDs()[0])
	return len(sealed) > 0, nil
}

// Check refuses to go on where something is sealed with a key that is not in the ring: its owner has lost it, or this is
// not the installation that it takes itself for. What the ring sealed or signed then, the other servers would not accept.
//
// Errors: kinora.ErrInvalid with a hint; kinora.ErrUnavailable.
func Check(ctx context.Context, secrets Secrets, ring *seal.Ring) error {
	sealed, err := secrets.Sealed(ctx)
	if err != nil {
		return fmt.Errorf("look for sealed secrets: %w", err)
	}
	return missing(kinora.ErrInvalid, sealed, ring.IDs())
}

// missing is the error for keys that something is sealed with and that are not among ids; nil when there are none.
func missing(code kinora.ErrorCode, sealed map[string]int, ids []string) error {
	for _, id := range slices.Sorted(maps.Keys(sealed)) {
		if !slices.Contains(ids, id) {
			return &kinora.Error{Code: code, Op: "master key",
				Message: fmt.Sprintf("%d secrets in the database are sealed with master key %s, which is not here", sealed[id], id),
				Hint:    "put that key back, or list it under old_master_keys (with a key file: below its first line); see \"A lost master key\" in docs/operations.md"}
		}
	}
	return nil
}

// nodes are the servers on a shared database. On SQLite there can be no other.
func (k *Keeper) nodes(ctx context.Context) (map[string][]string, error) {
	if !k.cfg.DB.Shared() {
		return nil, nil
	}
	var list map[string][]string
	err := k.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.NodeKeys(k.cfg.Now().Add(-nodeSilence))
		return err
	})
	return list, err
}

func (k *Keeper) others(ctx context.Context) (map[string][]string, error) {
	list, err := k.nodes(ctx)
	delete(list, k.cfg.Node)
	return list, err
}

// urlsHaveEnded judges by when the key file was last written.
func (k *Keeper) urlsHaveEnded() error {
	written, err := os.Stat(k.cfg.File)
	if err != nil {
		return err
	}
	end := written.ModTime().Add(k.cfg.LiveURLs)
	if k.cfg.Now().Before(end) {
		return conflict("file URLs signed with an older master key may be in use until "+end.UTC().Format(time.RFC3339),
			"wait for it, or end them with --early")
	}
	return nil
}

func conflict(message, hint string) error {
	return &kinora.Error{Code: kinora.ErrConflict, Message: message, Hint: hint}
}

func names(nodes map[string][]string) string {
	return strings.Join(slices.Sorted(maps.Keys(nodes)), ", ")
}
