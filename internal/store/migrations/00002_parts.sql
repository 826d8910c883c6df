-- +goose Up

-- A generation may be made of several attempts: parts side by side, rounds one after the
-- other, and further routes for a part.

ALTER TABLE generations ADD COLUMN plan TEXT NOT NULL DEFAULT ''; -- kinora.Plan as JSON; '' = the zero Plan

ALTER TABLE attempts ADD COLUMN part BIGINT NOT NULL DEFAULT 0;            -- 0-based
ALTER TABLE attempts ADD COLUMN parts BIGINT NOT NULL DEFAULT 1;           -- that run side by side in its round
ALTER TABLE attempts ADD COLUMN round BIGINT NOT NULL DEFAULT 0;           -- 0-based
ALTER TABLE attempts ADD COLUMN route BIGINT NOT NULL DEFAULT 0;           -- place among the model's routes, 0-based
ALTER TABLE attempts ADD COLUMN routes_left TEXT NOT NULL DEFAULT '';      -- JSON list of places: routes that the part may still go to; '' = none
ALTER TABLE attempts ADD COLUMN move_at BIGINT NOT NULL DEFAULT 0;         -- when it goes to the next route if it is still queued; 0 = never
ALTER TABLE attempts ADD COLUMN progress BIGINT NOT NULL DEFAULT 0;        -- its own, 0..99
ALTER TABLE attempts ADD COLUMN failure_code TEXT NOT NULL DEFAULT '';     -- what the generation fails with if this end decides
ALTER TABLE attempts ADD COLUMN failure_message TEXT NOT NULL DEFAULT '';
CREATE INDEX attempts_moving ON attempts (move_at) WHERE move_at > 0 AND state = 'queued';

-- Outputs that are not published have no place among those that callers see, so the table is
-- made anew without its old unique key.
CREATE TABLE outputs_by_attempt (
    id            TEXT PRIMARY KEY,
    generation_id TEXT NOT NULL REFERENCES generations (id),
    attempt       BIGINT NOT NULL,           -- the ordinal of the attempt that made it
    place         BIGINT NOT NULL,           -- among the files of that attempt
    state         TEXT NOT NULL,             -- candidate, published or rejected
    ordinal       BIGINT NOT NULL,           -- among the published ones; -1 = not published
    verdict       TEXT NOT NULL DEFAULT '',  -- kinora.Verdict as JSON; '' = not judged
    blob_key      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    bytes         BIGINT NOT NULL,
    sha256        TEXT NOT NULL,
    width         BIGINT NOT NULL,
    height        BIGINT NOT NULL,
    duration_us   BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,           -- when retention removes the file
    removed_at    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (generation_id, attempt, place)
);
INSERT INTO outputs_by_attempt (id, generation_id, attempt, place, state, ordinal, blob_key, kind, content_type, bytes, sha256,
    width, height, duration_us, created_at, expires_at, removed_at)
SELECT id, generation_id, 0, ordinal, 'published', ordinal, blob_key, kind, content_type, bytes, sha256,
    width, height, duration_us, created_at, expires_at, removed_at FROM outputs;
DROP TABLE outputs;
ALTER TABLE outputs_by_attempt RENAME TO outputs;
CREATE INDEX outputs_expiring ON outputs (expires_at) WHERE removed_at = 0;

-- Generations whose outputs a person is to approve, and what became of it.
CREATE TABLE reviews (
    generation_id   TEXT NOT NULL REFERENCES generations (id),
    round           BIGINT NOT NULL,           -- of the attempts whose outputs are held
    organisation_id TEXT NOT NULL,
    state           TEXT NOT NULL,             -- pending, approved, rejected or withdrawn
    outputs         TEXT NOT NULL DEFAULT '',  -- JSON list: ids of the approved ones, the primary first; '' = none
    reason          TEXT NOT NULL DEFAULT '',  -- as the decider wrote it
    decided_by      TEXT NOT NULL DEFAULT '',
    created_at      BIGINT NOT NULL,
    decided_at      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (generation_id, round)
);
CREATE INDEX reviews_pending ON reviews (created_at, generation_id) WHERE state = 'pending';

-- +goose Down
DROP TABLE reviews;
CREATE TABLE outputs_before (
    id            TEXT PRIMARY KEY,
    generation_id TEXT NOT NULL REFERENCES generations (id),
    ordinal       BIGINT NOT NULL,
    blob_key      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    bytes         BIGINT NOT NULL,
    sha256        TEXT NOT NULL,
    width         BIGINT NOT NULL,
    height        BIGINT NOT NULL,
    duration_us   BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    removed_at    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (generation_id, ordinal)
);
INSERT INTO outputs_before SELECT id, generation_id, ordinal, blob_key, kind, content_type, bytes, sha256,
    width, height, duration_us, created_at, expires_at, removed_at FROM outputs WHERE state = 'published';
DROP TABLE outputs;
ALTER TABLE outputs_before RENAME TO outputs;
CREATE INDEX outputs_expiring ON outputs (expires_at) WHERE removed_at = 0;
DROP INDEX attempts_moving;
ALTER TABLE attempts DROP COLUMN failure_message;
ALTER TABLE attempts DROP COLUMN failure_code;
ALTER TABLE attempts DROP COLUMN progress;
ALTER TABLE attempts DROP COLUMN move_at;
ALTER TABLE attempts DROP COLUMN routes_left;
ALTER TABLE attempts DROP COLUMN route;
ALTER TABLE attempts DROP COLUMN round;
ALTER TABLE attempts DROP COLUMN parts;
ALTER TABLE attempts DROP COLUMN part;
ALTER TABLE generations DROP COLUMN plan;
