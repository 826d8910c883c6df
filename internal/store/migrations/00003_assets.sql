-- +goose Up

-- Source images, and the ingests that bring them. Rows with due_at > 0 are claimable; a claimed
-- row has a lease owner and due_at 0. Every write of an ingest names the version it read.
CREATE TABLE source_assets (
    ingest_id       TEXT PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,      -- callers learn it once the state is ready
    organisation_id TEXT NOT NULL,
    state           TEXT NOT NULL,
    source_url      TEXT NOT NULL DEFAULT '',  -- '' = the file was sent
    received_key    TEXT NOT NULL DEFAULT '',  -- the file as it came; '' = still to be fetched, or ended
    failure_code    TEXT NOT NULL DEFAULT '',
    failure_message TEXT NOT NULL DEFAULT '',
    blob_key        TEXT NOT NULL DEFAULT '',  -- the kept file; shared with others of the same content
    content_type    TEXT NOT NULL DEFAULT '',
    bytes           BIGINT NOT NULL DEFAULT 0,
    sha256          TEXT NOT NULL DEFAULT '',  -- of the kept file
    width           BIGINT NOT NULL DEFAULT 0,
    height          BIGINT NOT NULL DEFAULT 0,
    tries           BIGINT NOT NULL DEFAULT 0, -- fetches that failed and may be repeated
    due_at          BIGINT NOT NULL DEFAULT 0,
    lease_owner     TEXT NOT NULL DEFAULT '',
    version         BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX source_assets_due ON source_assets (due_at) WHERE due_at > 0;
CREATE INDEX source_assets_leased ON source_assets (lease_owner) WHERE lease_owner <> '';
CREATE INDEX source_assets_by_organisation ON source_assets (organisation_id, ingest_id);
CREATE INDEX source_assets_ended ON source_assets (state, updated_at) WHERE state IN ('ready', 'failed');

-- The kept files, one for all of an organisation's assets of the same content. A file whose last
-- asset goes is forgotten here first and removed then; the same content coming again gets a key
-- of its own, so that the removal never meets it.
CREATE TABLE asset_files (
    organisation_id TEXT NOT NULL,
    sha256          TEXT NOT NULL,
    blob_key        TEXT NOT NULL UNIQUE,
    assets          BIGINT NOT NULL,           -- how many share it
    PRIMARY KEY (organisation_id, sha256)
);

-- The asset that a generation is made from; '' = none, or its ingest failed.
ALTER TABLE generations ADD COLUMN source_asset_id TEXT NOT NULL DEFAULT '';
CREATE INDEX generations_live_by_source ON generations (source_asset_id) WHERE source_asset_id <> '' AND completed_at = 0;

-- +goose Down
DROP INDEX generations_live_by_source;
ALTER TABLE generations DROP COLUMN source_asset_id;
DROP TABLE asset_files;
DROP TABLE source_assets;
