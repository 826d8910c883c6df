-- +goose Up

-- The asset whose ingest was still going on when the generation ended: a regenerate finds it. '' = none.
ALTER TABLE generations ADD COLUMN awaited_asset_id TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE generations DROP COLUMN awaited_asset_id;
