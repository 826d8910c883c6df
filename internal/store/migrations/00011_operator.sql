-- +goose Up

-- What operators look for among attempts. Each of the three holds next to nothing at any time, and costs the steps nothing.
CREATE INDEX attempts_unknown ON attempts (finished_at) WHERE failure_code = 'outcome_unknown';
CREATE INDEX attempts_unsettled ON attempts (created_at) WHERE state = 'unsettled';
CREATE INDEX attempts_unreadable ON attempts (created_at) WHERE read_errors >= 5 AND finished_at = 0;

-- How much is stored is summed up from the index alone; it serves retention as the one before it did.
DROP INDEX outputs_expiring;
CREATE INDEX outputs_kept ON outputs (expires_at, bytes, origin_id) WHERE removed_at = 0;

-- +goose Down
DROP INDEX outputs_kept;
CREATE INDEX outputs_expiring ON outputs (expires_at) WHERE removed_at = 0;
DROP INDEX attempts_unreadable;
DROP INDEX attempts_unsettled;
DROP INDEX attempts_unknown;
