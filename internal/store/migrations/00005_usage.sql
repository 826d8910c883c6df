-- +goose Up

-- What a key stands for may be of any kind: a generation, an ingest.
ALTER TABLE idempotency_keys RENAME COLUMN generation_id TO resource_id;

ALTER TABLE organisations ADD COLUMN allowance TEXT NOT NULL DEFAULT '{}'; -- kinora.Allowance

-- What the ledger entry of a generation will say, settled when it is accepted.
ALTER TABLE generations ADD COLUMN usage_type TEXT NOT NULL DEFAULT 'generation';
ALTER TABLE generations ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';   -- of its configuration; '' = made before there was one
ALTER TABLE generations ADD COLUMN price_micros BIGINT NOT NULL DEFAULT 0; -- millionths of a US dollar

-- What is in flight, and what it will cost. completed_at stands in the condition, not the
-- state: a change of state then touches no index.
CREATE INDEX generations_open ON generations (organisation_id, surface, price_micros) WHERE completed_at = 0;
-- What the approved-output cache looks in: only the generations API has it.
CREATE INDEX generations_by_fingerprint ON generations (organisation_id, fingerprint, completed_at) WHERE surface = 'generations';

-- The ledger. Nothing updates or deletes an entry.
ALTER TABLE usage_entries ADD COLUMN source_asset_id TEXT NOT NULL DEFAULT ''; -- '' = none
ALTER TABLE usage_entries ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_entries ADD COLUMN billable BIGINT NOT NULL DEFAULT 1;
ALTER TABLE usage_entries ADD COLUMN unit_price_micros BIGINT NOT NULL DEFAULT 0;
CREATE INDEX usage_entries_by_organisation ON usage_entries (organisation_id, id); -- ids sort by time

-- Sums over the ends of each billing period, kept in the transactions that write them. An
-- organisation's row is spread over stripes, so that its ends do not wait for each other.
CREATE TABLE usage_months (
    organisation_id TEXT NOT NULL,
    month           BIGINT NOT NULL,           -- its beginning, UTC
    stripe          BIGINT NOT NULL,
    succeeded       BIGINT NOT NULL,
    failed          BIGINT NOT NULL,           -- cancelled ones too
    outputs         BIGINT NOT NULL,
    regenerations   BIGINT NOT NULL,
    cache_hits      BIGINT NOT NULL,
    billable        BIGINT NOT NULL,
    amount_micros   BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, month, stripe)
);

-- A file that several generations share: copies name the output that it was made for.
ALTER TABLE outputs ADD COLUMN origin_id TEXT NOT NULL DEFAULT '';         -- '' = its own
CREATE INDEX outputs_sharing ON outputs (blob_key) WHERE origin_id <> '';

-- Rate limits of the generations API on databases that several nodes share.
CREATE TABLE rate_limits (
    who     TEXT PRIMARY KEY,                  -- kind of route, and key, organisation or address
    full_at BIGINT NOT NULL                    -- when all requests of the limit are saved up again
);

-- +goose Down
DROP TABLE rate_limits;
DROP INDEX outputs_sharing;
ALTER TABLE outputs DROP COLUMN origin_id;
DROP TABLE usage_months;
DROP INDEX usage_entries_by_organisation;
ALTER TABLE usage_entries DROP COLUMN unit_price_micros;
ALTER TABLE usage_entries DROP COLUMN billable;
ALTER TABLE usage_entries DROP COLUMN fingerprint;
ALTER TABLE usage_entries DROP COLUMN source_asset_id;
DROP INDEX generations_by_fingerprint;
DROP INDEX generations_open;
ALTER TABLE generations DROP COLUMN price_micros;
ALTER TABLE generations DROP COLUMN fingerprint;
ALTER TABLE generations DROP COLUMN usage_type;
ALTER TABLE organisations DROP COLUMN allowance;
ALTER TABLE idempotency_keys RENAME COLUMN resource_id TO generation_id;
