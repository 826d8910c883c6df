-- +goose Up

-- The sweep for orphans asks of each received file whether an ingest has it.
CREATE INDEX source_assets_received ON source_assets (received_key) WHERE received_key <> '';

-- The sums of usage_months began with its migration; what the ledger has beyond them is from
-- before, all of it billed as generations. It gets a stripe of its own, -1. Ends without
-- success were in no ledger: of those before nothing is known.
--
-- A month begins so many days before the day of the entry; the arithmetic is that of the
-- Gregorian calendar, its years beginning in March, for neither database's functions do for
-- the other.
INSERT INTO usage_months (organisation_id, month, stripe, succeeded, failed, outputs, regenerations, cache_hits, billable, amount_micros)
SELECT l.organisation_id, l.month, -1,
    l.succeeded - coalesce(m.succeeded, 0), 0, l.outputs - coalesce(m.outputs, 0), 0, 0,
    l.billable - coalesce(m.billable, 0), l.amount_micros - coalesce(m.amount_micros, 0)
FROM (
    SELECT organisation_id, (day - (day_of_year - (153 * ((5 * day_of_year + 2) / 153) + 2) / 5)) * 86400000000 AS month,
        count(*) AS succeeded, CAST(sum(outputs) AS BIGINT) AS outputs, CAST(sum(billable) AS BIGINT) AS billable, CAST(sum(amount_micros) AS BIGINT) AS amount_micros
    FROM (
        SELECT organisation_id, outputs, billable, amount_micros, day, day_of_era - (365 * year + year / 4 - year / 100) AS day_of_year -- from 1 March on
        FROM (
            SELECT organisation_id, outputs, billable, amount_micros, day, day_of_era,
                (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365 AS year
            FROM (
                SELECT organisation_id, outputs, billable, amount_micros, created_at / 86400000000 AS day,
                    (created_at / 86400000000 + 719468) % 146097 AS day_of_era -- an era has 400 years
                FROM usage_entries
            ) AS days
        ) AS years
    ) AS entries
    GROUP BY 1, 2
) AS l
LEFT JOIN (
    SELECT organisation_id, month, CAST(sum(succeeded) AS BIGINT) AS succeeded, CAST(sum(outputs) AS BIGINT) AS outputs,
        CAST(sum(billable) AS BIGINT) AS billable, CAST(sum(amount_micros) AS BIGINT) AS amount_micros
    FROM usage_months GROUP BY organisation_id, month
) AS m ON m.organisation_id = l.organisation_id AND m.month = l.month
WHERE l.succeeded > coalesce(m.succeeded, 0);

-- +goose Down
DELETE FROM usage_months WHERE stripe = -1;
DROP INDEX source_assets_received;
