package store

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// InsertOrganisation writes a new organisation.
func (tx *Tx) InsertOrganisation(o *kinora.Organisation) error {
	hosts, allowance, err := encodeSettings(o)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO organisations (id, name, default_webhook, webhook_hosts, operator_hook, disabled, created_at, allowance) VALUES (?,?,?,?,?,?,?,?)`,
		o.ID, o.Name, o.DefaultWebhook, hosts, o.OperatorHook, bit(o.Disabled), Micros(o.CreatedAt), allowance)
	return err
}

// SaveOrganisation writes the mutable fields of an organisation, or ErrNotFound.
func (tx *Tx) SaveOrganisation(o *kinora.Organisation) error {
	hosts, allowance, err := encodeSettings(o)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE organisations SET name = ?, default_webhook = ?, webhook_hosts = ?, operator_hook = ?, disabled = ?, allowance = ? WHERE id = ?`,
		o.Name, o.DefaultWebhook, hosts, o.OperatorHook, bit(o.Disabled), allowance, o.ID)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

func encodeSettings(o *kinora.Organisation) (hosts, allowance string, err error) {
	h, err := json.Marshal(append([]string{}, o.WebhookHosts...))
	if err != nil {
		return "", "", err
	}
	a, err := json.Marshal(o.Allowance)
	return string(h), string(a), err
}

const organisationColumns = `id, name, default_webhook, webhook_hosts, operator_hook, disabled, created_at, allowance`

// Organisation reads one organisation, or ErrNotFound.
func (tx *Tx) Organisation(id string) (*kinora.Organisation, error) {
	return scanOrganisation(tx.QueryRow(`SELECT `+organisationColumns+` FROM organisations WHERE id = ?`, id))
}

// Organisations lists all organisations, oldest first.
func (tx *Tx) Organisations() ([]*kinora.Organisation, error) {
	var list []*kinora.Organisation
	err := tx.Query(`SELECT `+organisationColumns+` FROM organisations ORDER BY created_at, id`, nil, func(row Row) error {
		o, err := scanOrganisation(row)
		if err == nil {
			list = append(list, o)
		}
		return err
	})
	return list, err
}

// NewestOrganisations lists the limit organisations made last, newest first.
func (tx *Tx) NewestOrganisations(limit int) ([]*kinora.Organisation, error) {
	var list []*kinora.Organisation
	err := tx.Query(`SELECT `+organisationColumns+` FROM organisations ORDER BY id DESC LIMIT ?`, []any{limit}, func(row Row) error {
		o, err := scanOrganisation(row)
		if err == nil {
			list = append(list, o)
		}
		return err
	})
	return list, err
}

// OrganisationNames reads the names of organisations, by id. Ids that there are not are left out.
func (tx *Tx) OrganisationNames(ids []string) (map[string]string, error) {
	names := make(map[string]string, len(ids))
	if len(ids) == 0 {
		return names, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	places := strings.TrimSuffix(strings.Repeat("?,", len(ids)), ",")
	err := tx.Query(`SELECT id, name FROM organisations WHERE id IN (`+places+`)`, args, func(row Row) error {
		var id, name string
		err := row.Scan(&id, &name)
		names[id] = name
		return err
	})
	return names, err
}

func scanOrganisation(row Row) (*kinora.Organisation, error) {
	var r organisationRow
	if err := row.Scan(r.into()...); err != nil {
		return nil, err
	}
	return r.organisation()
}

// organisationRow is a row of organisationColumns.
type organisationRow struct {
	o         kinora.Organisation
	hosts     string
	disabled  int
	created   int64
	allowance string
}

func (r *organisationRow) into() []any {
	return []any{&r.o.ID, &r.o.Name, &r.o.DefaultWebhook, &r.hosts, &r.o.OperatorHook, &r.disabled, &r.created, &r.allowance}
}

func (r *organisationRow) organisation() (*kinora.Organisation, error) {
	if err := json.Unmarshal([]byte(r.hosts), &r.o.WebhookHosts); err != nil {
		return nil, err
	}
	r.o.Disabled, r.o.CreatedAt = r.disabled != 0, Time(r.created)
	var err error
	r.o.Allowance, err = decodeAllowance(r.allowance)
	return &r.o, err
}

// InsertKey writes a new key under the hash of its text.
func (tx *Tx) InsertKey(k *kinora.Key, hash string) error {
	_, err := tx.Exec(`INSERT INTO keys (id, organisation_id, name, start, hash, created_at, expires_at) VALUES (?,?,?,?,?,?,?)`,
		k.ID, k.OrganisationID, k.Name, k.Start, hash, Micros(k.CreatedAt), Micros(k.ExpiresAt))
	return err
}

const keyColumns = `id, organisation_id, name, start, created_at, last_used_at, revoked_at, expires_at, replaced_by`

// Key reads a key of an organisation, or ErrNotFound.
func (tx *Tx) Key(organisation, id string) (*kinora.Key, error) {
	return scanKey(tx.QueryRow(`SELECT `+keyColumns+` FROM keys WHERE id = ? AND organisation_id = ?`, id, organisation))
}

// KeyByHash finds a key by the hash of its text, one that has ended too, or ErrNotFound.
func (tx *Tx) KeyByHash(hash string) (*kinora.Key, error) {
	return scanKey(tx.QueryRow(`SELECT `+keyColumns+` FROM keys WHERE hash = ?`, hash))
}

// Keys lists the keys of an organisation, oldest first.
func (tx *Tx) Keys(organisation string) ([]*kinora.Key, error) {
	var list []*kinora.Key
	err := tx.Query(`SELECT `+keyColumns+` FROM keys WHERE organisation_id = ? ORDER BY created_at, id`, []any{organisation}, func(row Row) error {
		k, err := scanKey(row)
		if err == nil {
			list = append(list, k)
		}
		return err
	})
	return list, err
}

func scanKey(row Row) (*kinora.Key, error) {
	var (
		k                            kinora.Key
		created, used, revoked, ends int64
	)
	if err := row.Scan(&k.ID, &k.OrganisationID, &k.Name, &k.Start, &created, &used, &revoked, &ends, &k.ReplacedBy); err != nil {
		return nil, err
	}
	k.CreatedAt, k.LastUsedAt, k.RevokedAt, k.ExpiresAt = Time(created), Time(used), Time(revoked), Time(ends)
	return &k, nil
}

// RevokeKey ends a key of an organisation, and tells whether it was live until now; ErrNotFound when it has none of that id.
func (tx *Tx) RevokeKey(organisation, id string, now time.Time) (revoked bool, err error) {
	n, err := tx.Exec(`UPDATE keys SET revoked_at = ? WHERE id = ? AND organisation_id = ? AND revoked_at = 0`, Micros(now), id, organisation)
	if err != nil || n > 0 {
		return n > 0, err
	}
	var one int
	return false, tx.QueryRow(`SELECT 1 FROM keys WHERE id = ? AND organisation_id = ?`, id, organisation).Scan(&one)
}

// ReplaceKey notes which key has been made in a key's place and when the old one ends; ErrStale where it has ended or been
// replaced already.
func (tx *Tx) ReplaceKey(old *kinora.Key, by string, ends, now time.Time) error {
	n, err := tx.Exec(`UPDATE keys SET expires_at = ?, replaced_by = ?
		WHERE id = ? AND organisation_id = ? AND revoked_at = 0 AND replaced_by = '' AND (expires_at = 0 OR expires_at > ?)`,
		Micros(ends), by, old.ID, old.OrganisationID, Micros(now))
	if err == nil && n == 0 {
		return ErrStale
	}
	return err
}

// TouchKeys notes the last use of keys, by id.
func (tx *Tx) TouchKeys(used map[string]time.Time) error {
	sets := make([][]any, 0, len(used))
	for id, at := range used {
		sets = append(sets, []any{Micros(at), id, Micros(at)})
	}
	_, err := tx.ExecMany(`UPDATE keys SET last_used_at = ? WHERE id = ? AND last_used_at < ?`, sets)
	return err
}

// SealedSecret is a webhook secret as it lies in the database.
type SealedSecret struct {
	ID        string
	Sealed    string
	CreatedAt time.Time
	ExpiresAt time.Time // zero = the current secret
}

// InsertWebhookSecret makes a secret the organisation's current one. The one before it keeps
// signing beside it until previousUntil, and those of earlier rotations keep the ends that they
// were given; but where previousUntil is not after now, all of them end at once.
func (tx *Tx) InsertWebhookSecret(organisation string, s SealedSecret, previousUntil time.Time) error {
	which := ` AND expires_at = 0`
	if !previousUntil.After(s.CreatedAt) {
		which = `` // somebody may know the old secrets: none of them signs any longer
	}
	if _, err := tx.Exec(`UPDATE webhook_secrets SET expires_at = ? WHERE organisation_id = ?`+which,
		Micros(previousUntil), organisation); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM webhook_secrets WHERE organisation_id = ? AND expires_at > 0 AND expires_at <= ?`,
		organisation, Micros(s.CreatedAt)); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO webhook_secrets (id, organisation_id, sealed, created_at, expires_at) VALUES (?,?,?,?,0)`,
		s.ID, organisation, s.Sealed, Micros(s.CreatedAt))
	return err
}

// WebhookSecrets reads an organisation's secrets that sign at the instant now, the current one first.
func (tx *Tx) WebhookSecrets(organisation string, now time.Time) ([]SealedSecret, error) {
	var list []SealedSecret
	err := tx.Query(`SELECT id, sealed, created_at, expires_at FROM webhook_secrets
		WHERE organisation_id = ? AND (expires_at = 0 OR expires_at > ?)
		ORDER BY CASE WHEN expires_at = 0 THEN 0 ELSE 1 END, created_at DESC`, []any{organisation, Micros(now)}, func(row Row) error {
		var (
			s                SealedSecret
			created, expires int64
		)
		err := row.Scan(&s.ID, &s.Sealed, &created, &expires)
		s.CreatedAt, s.ExpiresAt = Time(created), Time(expires)
		list = append(list, s)
		return err
	})
	return list, err
}
