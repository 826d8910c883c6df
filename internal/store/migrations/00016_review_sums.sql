-- +goose Up

-- What waits for a review is told apart by its row, and summed up, so that accepting costs the same however much waits. A node of the previous
-- version must not run beside this one: it keeps neither.
ALTER TABLE generations ADD COLUMN held BIGINT NOT NULL DEFAULT 0; -- 1 = it waits for a review

CREATE TABLE review_sums (
    organisation_id TEXT NOT NULL,
    stripe          BIGINT NOT NULL,           -- as of usage_months
    waiting         BIGINT NOT NULL,           -- generations
    price_micros    BIGINT NOT NULL,           -- what they will cost if they succeed
    PRIMARY KEY (organisation_id, stripe)
);

UPDATE generations SET held = 1 WHERE completed_at = 0 AND id IN (SELECT generation_id FROM reviews WHERE state = 'pending');
INSERT INTO review_sums (organisation_id, stripe, waiting, price_micros)
SELECT organisation_id, 0, count(*), CAST(sum(price_micros) AS BIGINT) FROM generations WHERE completed_at = 0 AND held = 1 GROUP BY organisation_id;

DROP INDEX generations_open;
CREATE INDEX generations_open ON generations (organisation_id, held, surface, price_micros) WHERE completed_at = 0;

-- +goose Down
DROP INDEX generations_open;
CREATE INDEX generations_open ON generations (organisation_id, surface, price_micros) WHERE completed_at = 0;
DROP TABLE review_sums;
ALTER TABLE generations DROP COLUMN held;
