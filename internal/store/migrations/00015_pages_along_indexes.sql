-- +goose Up

-- What pages read again while somebody looks: the queue of one organisation's reviews, which is mostly
-- empty, without everybody else's; and what was made anew from a generation. Both cost a submit nothing.
-- A node of the version before goes on as it did.
CREATE INDEX reviews_pending_by_organisation ON reviews (organisation_id, created_at, generation_id) WHERE state = 'pending';
CREATE INDEX generations_by_parent ON generations (parent_id, created_at, id) WHERE parent_id <> '';

-- +goose Down
DROP INDEX generations_by_parent;
DROP INDEX reviews_pending_by_organisation;
