-- +goose Up

-- The generations of a source asset, by age, as the page about an asset and lists that ask for one show them. A generation has its
-- source from its acceptance on, so that the index costs one entry for each that is made from an asset, and nothing for others.
-- Nodes of the version before neither read it nor mind it.
CREATE INDEX generations_by_source ON generations (organisation_id, source_asset_id, created_at, id) WHERE source_asset_id <> '';

-- +goose Down
DROP INDEX generations_by_source;
