-- +goose Up

-- What a key stands for may be of any kind: a generation, an ingest.
ALTER TABLE idempotency_keys RENAME COLUMN generation_id TO resource_id;

-- +goose Down
ALTER TABLE idempotency_keys RENAME COLUMN resource_id TO generation_id;
