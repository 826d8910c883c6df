-- +goose Up

-- An upstream's job belongs to one attempt of its account. A node of the previous version must not run beside this one: a
-- write of its that names a job which another attempt has is refused here, and it does not know what to do then.
ALTER TABLE attempts ADD COLUMN named_by TEXT NOT NULL DEFAULT '';     -- who named upstream_id, where neither the submit call nor a callback did so in time: hand or late
ALTER TABLE attempts ADD COLUMN contested_id TEXT NOT NULL DEFAULT ''; -- an id that was named for the attempt, and that another one has; '' = none

-- Of live attempts with one job, the oldest keeps it. The others are settled: they end with their outcome unknown. What has
-- its outputs named already fetches them.
UPDATE attempts SET contested_id = upstream_id, upstream_id = '', version = version + 1,
    lease_owner = CASE WHEN state = 'collecting' THEN lease_owner ELSE '' END,
    due_at = CASE WHEN state = 'collecting' THEN due_at ELSE 1 END,
    state = CASE WHEN state = 'collecting' THEN state ELSE 'unsettled' END
WHERE (generation_id, ordinal) IN (
    SELECT generation_id, ordinal FROM (
        SELECT generation_id, ordinal, row_number() OVER (PARTITION BY account, upstream_id ORDER BY created_at, generation_id, ordinal) AS place
        FROM attempts WHERE upstream_id <> '' AND finished_at = 0
    ) AS holders WHERE place > 1
);

-- Of those that have ended, only ids that were noted after the end, or by hand, are in the way of a live one.
CREATE UNIQUE INDEX attempts_jobs ON attempts (upstream_id, account) WHERE upstream_id <> '' AND (finished_at = 0 OR named_by <> '');
-- Who else had a job. An attempt enters it once, when it ends.
CREATE INDEX attempts_ended_jobs ON attempts (upstream_id) WHERE upstream_id <> '' AND finished_at > 0;
CREATE INDEX attempts_contested ON attempts (created_at) WHERE contested_id <> '';

-- +goose Down
DROP INDEX attempts_contested;
DROP INDEX attempts_ended_jobs;
DROP INDEX attempts_jobs;
ALTER TABLE attempts DROP COLUMN contested_id;
ALTER TABLE attempts DROP COLUMN named_by;
