package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kinora/kinora"
)

// usageStripes is over how many rows a month's sums of an organisation are spread where
// several transactions write at once. Each holds its row until its commit is durable.
const usageStripes = 16

// InsertUsage writes the ledger entry of a generation that succeeds, in the transaction that
// ends it, and adds it to the sums of its billing period. Cache hits are not billable.
func (tx *Tx) InsertUsage(id string, g *kinora.Generation, outputs int) error {
	billable, amount := g.UsageType != kinora.UsageCacheHit, g.Price
	if !billable {
		amount = 0
	}
	_, err := tx.Exec(`INSERT INTO usage_entries (id, organisation_id, generation_id, usage_type, model, outputs, amount_micros, created_at,
			source_asset_id, fingerprint, billable, unit_price_micros)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`, id, g.OrganisationID, g.ID, string(cmp.Or(g.UsageType, kinora.UsageGeneration)), g.Model, outputs, int64(amount), Micros(g.CompletedAt),
		g.SourceAssetID, g.Fingerprint, bit(billable), int64(g.Price))
	if err != nil {
		return err
	}
	sums := usageSums{succeeded: 1, outputs: int64(outputs), billable: int64(bit(billable)), amount: int64(amount)}
	sums.add(g.UsageType)
	return tx.addUsage(g, sums)
}

// countFailure adds a generation that ends without success to the sums of its billing period.
func (tx *Tx) countFailure(g *kinora.Generation) error {
	sums := usageSums{failed: 1}
	sums.add(g.UsageType)
	return tx.addUsage(g, sums)
}

type usageSums struct{ succeeded, failed, outputs, regenerations, cacheHits, billable, amount int64 }

func (s *usageSums) add(t kinora.UsageType) {
	switch t {
	case kinora.UsageRegeneration:
		s.regenerations++
	case kinora.UsageCacheHit:
		s.cacheHits++
	}
}

// usageStripe is the row of an organisation's sums that this write goes to.
func (tx *Tx) usageStripe() int {
	if tx.db.Shared() {
		return rand.IntN(usageStripes)
	}
	return 0
}

func (tx *Tx) addUsage(g *kinora.Generation, s usageSums) error {
	stripe := tx.usageStripe()
	if err := tx.addUsageHour(g, s, stripe); err != nil {
		return err
	}
	month, _ := kinora.BillingPeriod(g.CompletedAt)
	_, err := tx.Exec(`INSERT INTO usage_months (organisation_id, month, stripe, succeeded, failed, outputs, regenerations, cache_hits, billable, amount_micros)
		VALUES (?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (organisation_id, month, stripe) DO UPDATE SET
			succeeded = usage_months.succeeded + excluded.succeeded,
			failed = usage_months.failed + excluded.failed,
			outputs = usage_months.outputs + excluded.outputs,
			regenerations = usage_months.regenerations + excluded.regenerations,
			cache_hits = usage_months.cache_hits + excluded.cache_hits,
			billable = usage_months.billable + excluded.billable,
			amount_micros = usage_months.amount_micros + excluded.amount_micros`,
		g.OrganisationID, Micros(month), stripe, s.succeeded, s.failed, s.outputs, s.regenerations, s.cacheHits, s.billable, s.amount)
	return err
}

// Usage reads what an organisation has used in the billing period of the instant at and, where
// that is now's as well, what is in flight. What it costs depends on what is in flight, never
// on how much has ended.
func (tx *Tx) Usage(organisation string, at, now time.Time) (kinora.Usage, error) {
	var (
		u                kinora.Usage
		amount, reserved int64
	)
	month, _ := kinora.BillingPeriod(at)
	present, _ := kinora.BillingPeriod(now)
	current := bit(month.Equal(present))
	err := tx.QueryRow(usageQuery, organisation, current, organisation, current, organisation, current, organisation, Micros(month)).
		Scan(&u.Succeeded, &u.Failed, &u.Outputs, &u.Regenerations, &u.CacheHits, &u.Billable, &amount, &u.InFlight, &reserved)
	u.Amount, u.Reserved = kinora.Money(amount), kinora.Money(reserved)
	return u, err
}

const usageQuery = `SELECT ` +
	`CAST(COALESCE(sum(succeeded), 0) AS BIGINT), CAST(COALESCE(sum(failed), 0) AS BIGINT), CAST(COALESCE(sum(outputs), 0) AS BIGINT),
	CAST(COALESCE(sum(regenerations), 0) AS BIGINT) +
		(SELECT count(*) FROM generations WHERE organisation_id = ? AND completed_at = 0 AND surface = 'generations' AND usage_type = 'regeneration' AND CAST(? AS BIGINT) = 1),
	CAST(COALESCE(sum(cache_hits), 0) AS BIGINT), CAST(COALESCE(sum(billable), 0) AS BIGINT), CAST(COALESCE(sum(amount_micros), 0) AS BIGINT),
	(SELECT count(*) FROM generations WHERE organisation_id = ? AND completed_at = 0 AND CAST(? AS BIGINT) = 1),
	(SELECT CAST(COALESCE(sum(price_micros), 0) AS BIGINT) FROM generations WHERE organisation_id = ? AND completed_at = 0 AND CAST(? AS BIGINT) = 1)
	FROM usage_months WHERE organisation_id = ? AND month = ?`

// Commitments is what an organisation has let itself in for.
type Commitments struct {
	Jobs    int          // of the generations API that are being worked on; those that wait for a review are not
	Reviews int          // generations that wait for a review
	Money   kinora.Money // spent in the billing period, and what all generations in flight will cost if they succeed
}

// Commitments reads them in one snapshot, for the billing period of an instant. An
// end moves its amount from what is in flight to what is spent in one commit, and a review between what is worked on
// and what waits, so that the sum never misses it. What it costs depends on what is being worked on, never on how many wait.
func (tx *Tx) Commitments(organisation string, at time.Time) (c Commitments, err error) {
	month, _ := kinora.BillingPeriod(at)
	var sum int64
	err = tx.QueryRow(commitmentsQuery, organisation, organisation, organisation, organisation, organisation, Micros(month)).Scan(&c.Jobs, &c.Reviews, &sum)
	c.Money = kinora.Money(sum)
	return c, err
}

const commitmentsQuery = `SELECT
	(SELECT count(*) FROM generations WHERE organisation_id = ? AND held = 0 AND surface = 'generations' AND completed_at = 0),
	(SELECT CAST(COALESCE(sum(waiting), 0) AS BIGINT) FROM review_sums WHERE organisation_id = ?),
	(SELECT CAST(COALESCE(sum(price_micros), 0) AS BIGINT) FROM generations WHERE organisation_id = ? AND held = 0 AND completed_at = 0) +
	(SELECT CAST(COALESCE(sum(price_micros), 0) AS BIGINT) FROM review_sums WHERE organisation_id = ?) +
	(SELECT CAST(COALESCE(sum(amount_micros), 0) AS BIGINT) FROM usage_months WHERE organisation_id = ? AND month = ?)`

// LockAllowance reads what an organisation may use, and keeps others who lock it waiting until
// the transaction ends: so that what is counted afterwards holds until the commit.
func (tx *Tx) LockAllowance(organisation string) (kinora.Allowance, error) {
	var text string
	err := tx.QueryRow(`SELECT allowance FROM organisations WHERE id = ? {for update}`, organisation).Scan(&text)
	if err != nil {
		return kinora.Allowance{}, err
	}
	return decodeAllowance(text)
}

func decodeAllowance(text string) (a kinora.Allowance, err error) {
	if text == "{}" {
		return a, nil
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return a, fmt.Errorf("store: decode allowance: %w", err)
	}
	return a, nil
}

// SetFingerprint settles the fingerprint of a generation whose source was not known when it
// was accepted. It must be settled before the generation can succeed.
func (tx *Tx) SetFingerprint(generationID, fingerprint string) error {
	_, err := tx.Exec(`UPDATE generations SET fingerprint = ? WHERE id = ? AND completed_at = 0`, fingerprint, generationID)
	return err
}

// Ledger reads an organisation's entries, the newest first: those older than the entry before,
// or from the newest on where before is empty; at most limit of them.
func (tx *Tx) Ledger(organisation, before string, limit int) ([]kinora.UsageEntry, error) {
	var list []kinora.UsageEntry
	if before == "" {
		before = beyondLedger
	}
	err := tx.Query(ledgerQuery, []any{organisation, before, limit}, func(row Row) error {
		u, err := scanEntry(row)
		list = append(list, u)
		return err
	})
	return list, err
}

func scanEntry(row Row) (u kinora.UsageEntry, err error) {
	var (
		kind                 string
		billable             int
		price, amount, since int64
	)
	err = row.Scan(&u.ID, &u.OrganisationID, &u.GenerationID, &u.SourceAssetID, &kind, &u.Fingerprint, &u.Model, &u.Outputs,
		&billable, &price, &amount, &since)
	u.Type, u.Billable, u.CreatedAt = kinora.UsageType(kind), billable != 0, Time(since)
	u.UnitPrice, u.Amount = kinora.Money(price), kinora.Money(amount)
	return u, err
}

// beyondLedger sorts behind every id of an entry, whatever the database's collation.
const beyondLedger = "bev_ZZZZZZZZZZZZZZZZZZZZZZZZZZ"

const entryColumns = `id, organisation_id, generation_id, source_asset_id, usage_type, fingerprint, model, outputs,
		billable, unit_price_micros, amount_micros, created_at`

const ledgerQuery = `SELECT ` + entryColumns + `
	FROM usage_entries WHERE organisation_id = ? AND id < ? ORDER BY id DESC LIMIT ?`
