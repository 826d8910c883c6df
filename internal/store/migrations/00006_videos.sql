-- +goose Up

-- When the caller deleted a video: its files are gone and /v1/videos shows it no more; 0 = never. The record, its event
-- and its usage stay.
ALTER TABLE generations ADD COLUMN deleted_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX generations_videos ON generations (organisation_id, created_at, id) WHERE kind = 'video' AND deleted_at = 0;

-- +goose Down
DROP INDEX generations_videos;
ALTER TABLE generations DROP COLUMN deleted_at;
