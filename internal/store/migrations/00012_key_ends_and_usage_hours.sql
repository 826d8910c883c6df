-- +goose Up

-- Sums over ends by hour, model and workflow, for charts; kept in the transactions that write the
-- ends, and spread over stripes as usage_months is. Upkeep folds the stripes of hours that are
-- over into stripe 0, and old hours into the first hour of their day.
CREATE TABLE usage_hours (
    organisation_id TEXT NOT NULL,
    hour            BIGINT NOT NULL,           -- its beginning, UTC
    model           TEXT NOT NULL,
    workflow        TEXT NOT NULL,             -- '' = none
    stripe          BIGINT NOT NULL,
    succeeded       BIGINT NOT NULL,
    failed          BIGINT NOT NULL,           -- cancelled ones too
    outputs         BIGINT NOT NULL,
    amount_micros   BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, hour, model, workflow, stripe)
);
CREATE INDEX usage_hours_striped ON usage_hours (hour) WHERE stripe > 0;
CREATE INDEX usage_hours_unfolded ON usage_hours (hour) WHERE hour % 86400000000 > 0;

-- What the ledger has from before, by day: in the first hour of each. Ends without success were in
-- no ledger.
INSERT INTO usage_hours (organisation_id, hour, model, workflow, stripe, succeeded, failed, outputs, amount_micros)
SELECT u.organisation_id, u.created_at / 86400000000 * 86400000000, u.model, coalesce(g.workflow, ''), 0,
    count(*), 0, CAST(sum(u.outputs) AS BIGINT), CAST(sum(u.amount_micros) AS BIGINT)
FROM usage_entries u LEFT JOIN generations g ON g.id = u.generation_id
GROUP BY 1, 2, 3, 4;

-- Last, because it keeps all others from the table until the end, and each request reads its key.
ALTER TABLE keys ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;    -- 0 = never
ALTER TABLE keys ADD COLUMN replaced_by TEXT NOT NULL DEFAULT '';    -- the key that a rotation made in its place

-- +goose Down
DROP TABLE usage_hours;
ALTER TABLE keys DROP COLUMN replaced_by;
ALTER TABLE keys DROP COLUMN expires_at;
